"""One restrained, colour-blind-safe look for every picture, and how pictures reach the disk."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from PIL import Image

from mode_imitation.atomic import write_atomic
from mode_imitation.errors import UserError

INK = "#22262b"
FAINT = "#6b7280"
RULE = "#c9cdd3"
GROUND = "#f6f5f1"
"""Fill of the arena."""

HAZARD = "#d1332e"
GOAL = "#2166ac"
VASE = "#8a6d3b"

# Tol's "bright" and "muted" schemes (Paul Tol, SRON/EPS/TN/09-002, 2021), in an order in which neighbours differ in
# lightness too. Modes and experts draw from the same hues: a mode is given the colour of the expert that it matches.
_TOL = "4477aa ee7733 228833 aa3377 ccbb44 33bbee 882255 44aa99 999933 bbbbbb 332288 cc6677"
PALETTE = tuple(f"#{color}" for color in _TOL.split())

# Fixed, so that an expert wears one colour in every picture of every dataset.
_EXPERTS = (
    "goal_seeking forward_moving circling backward_moving hazard_avoiding slow_goal_seeking agile_goal_seeking careful"
)
_EXPERT_COLORS = dict(zip(_EXPERTS.split(), PALETTE, strict=False))
UNLABELLED = "#5f6b7a"

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "lines.solid_capstyle": "round",
}

# Dark at the start, bright at the end, lightness strictly rising; no pure red or blue, which mean hazard and goal.
TIME_COLORS = LinearSegmentedColormap.from_list(
    "mode_imitation_time", ["#2d1e3e", "#4b3f72", "#3f7f74", "#6bb04a", "#f2c230"]
)

# White for nothing, dark for much: the ground of every heat map.
SHADES = LinearSegmentedColormap.from_list("mode_imitation_shades", ["#ffffff", "#dbe5f0", "#7fa3c7", "#1f4e79"])

PADDING = 0.09
"""Inches about axes and at a figure's edges."""


@contextmanager
def style() -> Iterator[None]:
    """The project's look inside the `with`; Matplotlib's settings are as before after it."""
    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(width: float, height: float, *, layout: str | None = "compressed", title: str | None = None) -> Figure:
    """A figure in the project's style that pyplot does not know of, so nothing has to be closed.

    Args:
        width, height: inches.
        layout: Matplotlib's layout engine: "compressed" leaves room for titles and legends of equal-aspect axes too;
            "constrained", or None.
        title: over the figure, in as many lines as its width asks for.
    """
    with style():
        figure = Figure(figsize=(width, height), dpi=100, layout=layout)  # pyright: ignore[reportArgumentType]
        FigureCanvasAgg(figure)
        if engine := figure.get_layout_engine():
            engine.set(w_pad=PADDING, h_pad=PADDING, wspace=0.02)  # pyright: ignore[reportCallIssue]
        if title:
            figure.suptitle(wrapped(title, width - 0.2, 12), x=0.1 / width, ha="left", fontsize=12, fontweight="bold")
        return figure


def small_axes(
    n: int, width: float, height: float, *, columns: int = 4, title: str | None = None, margin: float = 0, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `n` axes of about `width` x `height` inches in rows of at most `columns`.

    `margin` is inches more at the left, for names; `shared` is `sharex`, `sharey` as `Figure.subplots` takes them.
    """
    columns = min(n, columns)
    rows = -(-n // columns)
    across = max(margin + columns * width, 4.5)  # one alone still has room for a title
    lines = wrapped(title, across - 0.2, 12).count("\n") + 1 if title else 0
    figure = new_figure(across, rows * height + 0.1 + 0.22 * lines, title=title)
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Inches that a line takes in letters of so many points."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def wrapped(text: str, width: float, size: float, *, bold: bool = True) -> str:
    """The text in lines of at most `width` inches."""
    for letters in range(min(len(text), int(300 * width / size)), 1, -1):  # no letter is narrower than that
        lines = textwrap.wrap(text, letters)
        if all(text_width(line, size, bold=bold) <= width for line in lines):
            return "\n".join(lines)
    return text


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> Path:
    """Write the figure atomically, in the format that the name ends in: png, pdf, svg or jpg.

    Returns:
        `path`.

    Raises:
        UserError: the ending names no format that can be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    known = sorted(figure.canvas.get_supported_filetypes())
    if kind not in known:
        raise UserError(f"cannot write a picture as {path.name!r}; end the name in .png, .pdf or .svg")
    # Dates and version strings would make equal pictures differ.
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    drawn = BytesIO()
    with style():
        figure.savefig(drawn, format=kind, dpi=dpi, metadata=metadata)
    if kind == "png":  # a third of the size
        image = in_few_colors(Image.open(drawn).convert("RGB"), 256)
        image.save(drawn := BytesIO(), format="PNG", optimize=True, dpi=(dpi, dpi))
    write_atomic(path, lambda temporary: temporary.write_bytes(drawn.getvalue()))
    return path


def in_few_colors(image: Image.Image, n: int) -> Image.Image:
    """The image with a palette of at most `n` colours, without dithering."""
    # Maximum coverage keeps the colours of thin lines; one step of k-means makes those of large areas exact.
    return image.quantize(n, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)


def figure_to_array(figure: Figure, *, dpi: int = 100) -> np.ndarray:
    """The drawn figure as (height, width, 3) uint8, for TensorBoard and animations."""
    with style():
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]


def mode_color(mode: int) -> str:
    """The colour of a mode, by its index; grey for none of them, which is negative."""
    return PALETTE[mode % len(PALETTE)] if mode >= 0 else UNLABELLED


def mode_name(mode: int) -> str:
    """What a legend calls a mode."""
    return f"mode {mode}" if mode >= 0 else "none of the modes"


def expert_color(name: str | None, names: list[str] | None = None) -> str:
    """The colour of an expert: fixed for the project's own; others take the free colours in the order of `names`.

    Args:
        name: the expert's name, None for trajectories without labels.
        names: every expert in the picture, so that two unknown ones get different colours.
    """
    if name is None:
        return UNLABELLED
    if name in _EXPERT_COLORS:
        return _EXPERT_COLORS[name]
    others = [other for other in dict.fromkeys(names or [name]) if other not in _EXPERT_COLORS]
    taken = {_EXPERT_COLORS[other] for other in names or [] if other in _EXPERT_COLORS}
    free = [color for color in PALETTE if color not in taken]
    return free[(others.index(name) if name in others else 0) % len(free)]


def dress(ax: Axes) -> None:
    """Give axes that someone else made the project's spines, ticks and title."""
    for side, spine in ax.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=RULE, linewidth=0.8)
    ax.tick_params(color=RULE, labelcolor=FAINT, labelsize=8)
    ax.set_axisbelow(True)
    ax.grid(False)


def draw_heat(ax: Axes, values: np.ndarray) -> None:
    """(rows, columns) of 0 to 1 as squares from white to dark with pale gaps, no frame; NaN stays white."""
    dress(ax)
    ax.imshow(values, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#d5d9de", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


@dataclass(frozen=True)
class Bar:
    """A horizontal bar with a text at its end."""

    value: float
    text: str
    color: str
    interval: tuple[float, float] | None = None
    framed: bool = False
    """Drawn pale in a frame of its colour."""


def draw_bars(ax: Axes, places: Sequence[float] | np.ndarray, bars: Sequence[Bar]) -> None:
    """Bars at heights that count downwards."""
    dress(ax)
    ends = [bar.interval or (bar.value, bar.value) for bar in bars]
    low, high = min(0.0, *[end for end, _ in ends]), max(0.0, *[end for _, end in ends])
    span = high - low or 1.0
    for place, bar, (left, right) in zip(places, bars, ends, strict=True):
        fill = lighter(bar.color, 0.65) if bar.framed else bar.color
        ax.barh(place, bar.value, height=0.7, facecolor=fill, edgecolor=bar.color, lw=float(bar.framed))
        if bar.interval:
            ax.plot([left, right], [place, place], color=INK, lw=1.3, solid_capstyle="butt")
        x, side, gap = (left, "right", -4) if bar.value < 0 else (right, "left", 4)
        looks: Any = {"va": "center", "ha": side, "fontsize": 8, "color": INK}
        ax.annotate(bar.text, (x, place), (gap, 0), textcoords="offset points", **looks)
    ax.set_xlim(low - 0.3 * span * (low < 0), high + 0.3 * span * (high > 0 or low == 0))
    ax.set_ylim(float(places[-1]) + 0.6, float(places[0]) - 0.6)
    ax.axvline(0, color=RULE, lw=0.8)
    ax.xaxis.set_major_locator(ticks(4))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=_SETTINGS["grid.color"], linewidth=0.8)


def figure_name(name: str) -> str:
    """What a figure of episodes is called over a picture, with its unit."""
    return {"speed": "speed (m/s)"}.get(name, name.replace("_", " "))


def caption(ax: Axes, text: str) -> None:
    """A faint line, or several, at the left below axes."""
    ax.set_xlabel(text, fontsize=8.5, color=FAINT, labelpad=3, loc="left")


def draw_arrow(ax: Axes, tail: Any, head: Any, *, color: Any = INK, size: float = 13, **looks: Any) -> None:
    """An arrow between two points of the axes."""
    arrow = FancyArrowPatch(tuple(tail), tuple(head), arrowstyle="-|>", mutation_scale=size, shrinkA=0, shrinkB=0)
    arrow.set(color=color, **{"linewidth": 1.6, **looks})
    ax.add_artist(arrow)


def ticks(most: int, *, integer: bool = False) -> MaxNLocator:
    """At most `most` intervals between ticks at round numbers."""
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=integer)


def lighter(color: str, amount: float = 0.6) -> str:
    """`color` mixed with white; amount 1 is white."""
    red, green, blue = (1 - (1 - channel) * (1 - amount) for channel in to_rgb(color))
    return to_hex((red, green, blue))


def ink_on(color: Any) -> str:
    """Black or white, whichever reads better on `color` (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return INK if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.3 else "white"
