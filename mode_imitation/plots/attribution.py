"""Who made which step: a strip an episode in the colours of the modes, and under it who really did, where known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.layout import columns_that_fit

WIDTH = 9.6
"""Inches."""
ROW, STRIP, TRUTH = 0.3, 0.6, 0.22
"""Height of a row in inches; of the strip and of the truth under it as shares of a row."""
MOST_STRIPS = 32


@dataclass(frozen=True)
class Strip:
    """One episode of T steps."""

    label: str
    states: np.ndarray
    """(T,) int, the mode of each step; negative for none of the modes."""
    probability: np.ndarray
    """(T,) of that state; what is uncertain is drawn pale."""
    experts: np.ndarray | None = None
    """(T,) str, who drove."""


def plot_attribution(
    strips: Sequence[Strip], *, matches: Mapping[int, str] | None = None, title: str | None = None
) -> Figure:
    """Draw a strip an episode; of more than MOST_STRIPS episodes, so many evenly spread ones.

    Args:
        strips: in the order in which they are drawn, from above.
        matches: mode -> the expert that it matches, who then wears its colour.
        title: over the figure.

    Raises:
        UserError: there is no episode.
    """
    if not strips:
        raise UserError("there are no episodes to draw; give at least one")
    chosen = [strips[index] for index in np.unique(np.linspace(0, len(strips) - 1, MOST_STRIPS).round().astype(int))]
    shades = expert_shades(strips, matches or {})
    figure = look.new_figure(WIDTH, 1.2 + ROW * len(chosen), layout="constrained", title=title)
    with look.style():
        ax = figure.subplots()
        for row, strip in enumerate(chosen):
            _draw_strip(ax, strip, row, shades)
        longest = max(len(strip.states) for strip in chosen)
        ax.set(xlim=(0, longest), ylim=(len(chosen) - 0.02, -0.02), xlabel="step")
        ax.set_yticks(np.arange(len(chosen)) + 0.5 * (STRIP + TRUTH) + 0.04, [strip.label for strip in chosen])
        ax.tick_params(axis="y", length=0, labelsize=8, labelcolor=look.INK)
        ax.spines["left"].set_visible(False)
        modes, drivers = _mode_handles(chosen), _expert_handles(chosen, shades)
        columns = columns_that_fit(modes, WIDTH - 0.5 - max(look.text_width(strip.label, 8) for strip in chosen))
        ax.legend(handles=modes, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderpad=0, handlelength=1.2)
        if drivers:
            place: Any = "outside lower left"
            figure.legend(handles=drivers, loc=place, ncols=columns_that_fit(drivers, WIDTH - 0.3), handlelength=1.2)
    return figure


def expert_shades(strips: Sequence[Strip], matches: Mapping[int, str]) -> dict[str, str]:
    """The colour of each expert: of the mode that matches it, else one that no mode of the picture wears."""
    names = sorted({str(name) for strip in strips if strip.experts is not None for name in strip.experts})
    shades = {name: look.mode_color(mode) for mode, name in sorted(matches.items(), reverse=True)}
    worn = {look.mode_color(mode) for mode in {*matches, *(int(m) for s in strips for m in s.states)}}
    free = [color for color in look.PALETTE if color not in worn] or list(look.PALETTE)
    strangers = [name for name in names if name not in shades]
    return {name: shades[name] for name in names if name in shades} | {
        name: free[index % len(free)] for index, name in enumerate(strangers)
    }


def _draw_strip(ax: Axes, strip: Strip, row: int, shades: Mapping[str, str]) -> None:
    def paint(colors: np.ndarray, top: float, bottom: float) -> None:  # (T, 3) as a band of one unit a step
        ax.imshow(colors[None], extent=(0, len(colors), bottom, top), aspect="auto", interpolation="nearest")

    sure = strip.probability[:, None]
    colors = np.array([to_rgb(look.mode_color(int(state))) for state in strip.states])
    paint(sure * colors + (1 - sure), row, row + STRIP)
    if strip.experts is not None:
        truth = np.array([to_rgb(shades[str(name)]) for name in strip.experts])
        paint(truth, row + STRIP + 0.04, row + STRIP + 0.04 + TRUTH)


def _mode_handles(strips: Sequence[Strip]) -> list[Patch]:
    states = sorted({int(state) for strip in strips for state in np.unique(strip.states)}, key=lambda s: (s < 0, s))
    handles = [Patch(color=look.mode_color(state), label=look.mode_name(state)) for state in states]
    if any(float(strip.probability.min()) < 0.9 for strip in strips):
        handles.append(Patch(facecolor="white", edgecolor=look.RULE, label="pale: uncertain"))
    return handles


def _expert_handles(strips: Sequence[Strip], shades: Mapping[str, str]) -> list[Patch]:
    shown = {str(name) for strip in strips if strip.experts is not None for name in np.unique(strip.experts)}
    drove = [Patch(color=color, label=name) for name, color in shades.items() if name in shown]
    return [Patch(alpha=0, label="thin strip, who drove:"), *drove] if drove else []
