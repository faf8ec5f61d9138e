"""Figures of a sweep over k, step size and seeds: what was chosen and why, expert-to-code maps, order of learning."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.curves import spread

PANEL_WIDTH, EXPERT_HEIGHT = 1.3, 0.24
"""Inches of an expert-to-code map and of each of its experts."""
LINE_HEIGHT = 0.17
DASHES = (0, (3, 2))


def plot_choice(
    settings: Sequence[Mapping[str, Any]], *, chosen: tuple[int, int], merge_gap: float, title: str | None = None
) -> Figure:
    """What the choice without labels goes by: heat maps over k and stride, and every seed's smallest gap between two
    codes; the chosen setting framed.

    Args:
        settings: as in sweep.json: "codes", "stride", "nll" and "n_modes" (best seed first), "smallest_gap" (of each
            seed; None for a single code), "stability".
        chosen: (k, stride).
        merge_gap: nats per step, drawn as a line; codes with a gap below it explain each other's data.
        title: over the figure.

    Raises:
        UserError: there are no settings.
    """
    if not settings:
        raise UserError("no setting of the sweep finished, so there is nothing to draw")
    strides = sorted({entry["stride"] for entry in settings})
    codes = sorted({entry["codes"] for entry in settings})

    def table(value: Callable[[Mapping[str, Any]], float | None]) -> np.ndarray:
        filled = np.full((len(strides), len(codes)), np.nan)
        for entry in settings:
            found = value(entry)
            if found is not None:
                filled[strides.index(entry["stride"]), codes.index(entry["codes"])] = found
        return filled

    # Name, values, how they are written, whether low values are the dark ones.
    shown = [
        ("cross-fitted NLL", table(lambda entry: entry["nll"][0]), "{:.3f}", True),
        ("stability between seeds", table(lambda entry: entry["stability"]), "{:.2f}", False),
        ("modes found", table(lambda entry: entry["n_modes"][0]), "{:.0f}", False),
    ]
    shown = [panel for panel in shown if np.isfinite(panel[1]).any()]
    width, height = max(2.4, 0.66 * len(codes) + 0.8), 0.4 * len(strides) + 1.0
    has_gaps = any(gap is not None for entry in settings for gap in entry["smallest_gap"])
    n_panels = len(shown) + has_gaps
    figure = look.new_figure(width * n_panels, height + (0.35 if title else 0), layout="constrained")
    with look.style():
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(1, n_panels, squeeze=False)[0]
        if has_gaps:
            _gap_panel(axes[-1], settings, chosen, merge_gap)
        for ax, (name, values, pattern, low_is_dark) in zip(axes, shown, strict=False):
            _heat_map(ax, values, pattern, low_is_dark=low_is_dark)
            ax.set_title(name, loc="left", fontsize=9.5)
            ax.set_xticks(range(len(codes)), [f"{k}" for k in codes])
            ax.set_yticks(range(len(strides)), [f"{stride}" for stride in strides])
            ax.set_xlabel("k", color=look.FAINT)
            place = codes.index(chosen[0]) - 0.5, strides.index(chosen[1]) - 0.5
            ax.add_patch(Rectangle(place, 1, 1, fill=False, ec=look.PALETTE[1], lw=2.4, zorder=5, clip_on=False))
        axes[0].set_ylabel("stride (steps)", color=look.FAINT)
    return figure


def plot_code_maps(
    maps: Mapping[str, Mapping[tuple[int, int], tuple[np.ndarray, str]]],
    experts: Sequence[str],
    *,
    claims: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> Figure:
    """The original experiment's grid: rows are step sizes, columns numbers of codes, panels experts by codes.

    Codes have no order of their own; they are sorted by the expert of which they hold most.

    Args:
        maps: heading -> {(stride, k): ((L, K) windows of each expert with each code, caption)}, a block each, side by
            side.
        experts: L names.
        claims: heading -> lines to be written under its block.
        title: over the figure.

    Raises:
        UserError: there is nothing to draw.
    """
    maps = {heading: panels for heading, panels in maps.items() if panels}
    if not maps:
        raise UserError("no cell of the sweep finished, so there is nothing to draw")
    strides = sorted({stride for panels in maps.values() for stride, _ in panels})
    codes = sorted({k for panels in maps.values() for _, k in panels})
    block_width = max(PANEL_WIDTH * len(codes) + 1.5, 4.0)
    texts = {heading: _wrapped((claims or {}).get(heading, ()), int(15 * block_width)) for heading in maps}
    below = LINE_HEIGHT * max(text.count("\n") + 1 for text in texts.values()) + 0.1
    above = (EXPERT_HEIGHT * len(experts) + 0.42) * len(strides) + 0.7
    figure = look.new_figure(block_width * len(maps), above + below + (0.35 if title else 0), layout="constrained")
    with look.style():
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        blocks = figure.subfigures(2, len(maps), squeeze=False, height_ratios=[above, below])
        for column, (heading, panels) in enumerate(maps.items()):
            top, bottom = blocks[:, column]
            top.suptitle(heading, x=0.02, ha="left", fontsize=11, fontweight="bold")
            axes = top.subplots(len(strides), len(codes), squeeze=False)
            for i, stride in enumerate(strides):
                for j, k in enumerate(codes):
                    _map_panel(axes[i, j], panels.get((stride, k)), experts, named=j == 0)
                    if i == 0:
                        axes[i, j].annotate(
                            f"k = {k}", (0.5, 1), (0, 17), "axes fraction", "offset points", ha="center", fontsize=9.5
                        )
                axes[i, 0].set_ylabel(f"step {stride}", fontsize=9.5, color=look.INK)
            bottom.text(0.02, 0.98, texts[heading], va="top", fontsize=8.5, color=look.INK, linespacing=1.3)
    return figure


def plot_learning_orders(curves: Mapping[str, Mapping[str, Any]], *, title: str | None = None) -> Figure:
    """How well each expert's actions are predicted while training goes on, an objective each.

    Args:
        curves: heading -> {"title", "iterations" (N,), "fits" {expert: (S, N) of S seeds, nats per step},
            "own_window_fits" the same, "level" (nats at which an expert counts as learned) or None, "marks" {text:
            iteration}}. Lines are means over seeds, bands go from the lowest to the highest; own-window fits are
            dashed. Lines that fall far below all own-window fits leave the axes, and say where they end.
        title: over the figure.

    Raises:
        UserError: there are no curves.
    """
    if not curves:
        raise UserError("no training of the sweep recorded a curve, so there is nothing to draw")
    figure = look.new_figure(4.9 * len(curves), 3.3 + (0.35 if title else 0), layout="constrained")
    with look.style():
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
        # The first look comes before anything is learned; it would squeeze the rest.
        settled = [
            np.asarray(values)[:, 2:] for found in curves.values() for values in found["own_window_fits"].values()
        ]
        known = [values for values in settled if values.size] or [np.zeros((1, 1))]
        low, high = min(float(values.min()) for values in known), max(float(values.max()) for values in known)
        axes[0].set_ylim(low - 0.45 * (high - low), high + 0.08 * (high - low))
        for ax, (heading, found) in zip(axes, curves.items(), strict=True):
            _order_panel(ax, found)
            ax.set_title(f"{heading}, {found['title']}", loc="left", fontsize=9.5)
        axes[0].set_ylabel("action log-likelihood (nats per step)", fontsize=8.5, color=look.FAINT)
        lines = [Line2D([], [], color=look.FAINT, lw=lw, ls=ls) for lw, ls in ((1.8, "-"), (1.1, DASHES))]
        names = ["context of other windows of the episode", "context of the action's own window"]
        figure.legend(lines, names, loc="outside lower left", ncols=2)
    return figure


def _gap_panel(ax: Axes, settings: Sequence[Mapping[str, Any]], chosen: tuple[int, int], merge_gap: float) -> None:
    """Smallest gaps over k, a dot a seed and a shade a stride."""
    look.dress(ax)
    ax.grid(axis="y")
    codes = sorted({entry["codes"] for entry in settings})
    strides = sorted({entry["stride"] for entry in settings})
    for entry in settings:
        gaps = [gap for gap in entry["smallest_gap"] if gap is not None]
        if not gaps:
            continue  # an empty line has no place, which the layout cannot take
        rank = (strides.index(entry["stride"]) + 0.5) / len(strides)  # in (0, 1)
        place = codes.index(entry["codes"]) + 0.8 * (rank - 0.5)
        framed = (entry["codes"], entry["stride"]) == chosen
        edge = {"mec": look.PALETTE[1], "mew": 1.6, "zorder": 4} if framed else {"mec": look.FAINT, "mew": 0.4}
        shade = look.SHADES(0.2 + 0.8 * rank)
        ax.plot([place] * len(gaps), gaps, "o", ms=5, color=shade, clip_on=False, gid="gaps", **edge)
    ax.axhline(merge_gap, color=look.INK, lw=1.1, ls=DASHES, zorder=1, gid="merge gap")
    ax.margins(y=0.15)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    where = {"xytext": (0, 2), "textcoords": "offset points", "va": "bottom", "ha": "right", "fontsize": 7}
    ax.annotate(f"merged below {merge_gap:g}", (len(codes) - 0.5, merge_gap), color=look.FAINT, **where)
    ax.set_xlim(-0.5, len(codes) - 0.5)
    ax.set_xticks(range(len(codes)), [f"{k}" for k in codes])
    ax.set_xlabel("k (darker: larger stride)" if len(strides) > 1 else "k", color=look.FAINT)
    ax.set_title("smallest gap (nats)", loc="left", fontsize=9.5)


def _order_panel(ax: Axes, found: Mapping[str, Any]) -> None:
    look.dress(ax)
    ax.grid(axis="y")
    x = np.asarray(found["iterations"], np.float64)
    names = list(found["fits"])
    low, high = ax.get_ylim()
    ends = []
    for name in names:
        color = look.expert_color(name, names)
        values = np.asarray(found["fits"][name], np.float64)
        mean, own = values.mean(0), np.asarray(found["own_window_fits"][name], np.float64).mean(0)
        ax.fill_between(x, values.min(0), values.max(0), color=color, alpha=0.15, lw=0)
        ax.plot(x, mean, color=color, lw=1.8)
        ax.plot(x, own, color=color, lw=1.1, ls=DASHES)
        text = name if mean[-1] >= low else f"{name},\nfalls to {mean[-1]:.1f}"
        ends.append((float(np.clip(mean[-1], low + 0.06 * (high - low), high)), text, color))
    ends.sort()
    lines = max(text.count("\n") for _, text, _ in ends) + 1
    places = spread([value for value, _, _ in ends], 0.09 * lines * (high - low), high)
    for place, (_, text, color) in zip(places, ends, strict=True):
        where = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
        ax.annotate(text, (x[-1], place), fontsize=8.5, color=color, **where)
    if found.get("level") is not None:
        ax.axhline(found["level"], color=look.FAINT, lw=0.8, ls=(0, (1, 2)), zorder=0)
        ax.text(x[-1], found["level"], "learned", fontsize=7, color=look.FAINT, va="bottom", ha="right")
    for text, step in (found.get("marks") or {}).items():
        ax.axvline(step, color=look.RULE, lw=0.9, zorder=0)
        ax.text(step, 1.0, f" {text}", transform=ax.get_xaxis_transform(), fontsize=7, color=look.FAINT, va="top")
    ax.set_ylim(low, high)
    ax.set_xlim(0, x[-1])
    ax.xaxis.set_major_locator(look.ticks(4))
    ax.set_xlabel("iteration", fontsize=8.5, color=look.FAINT)


def _map_panel(ax: Axes, panel: tuple[np.ndarray, str] | None, experts: Sequence[str], *, named: bool) -> None:
    """One expert-to-code map; a missing one is left blank and says so."""
    if panel is None:
        look.dress(ax)
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "failed", transform=ax.transAxes, ha="center", va="center", fontsize=8, color=look.FAINT)
        return
    counts, caption = panel
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    order = np.lexsort((-shares.max(0), shares.argmax(0), shares.max(0) <= 0))
    _heat_map(ax, shares[:, order], None)
    ax.set_xticks([])
    ax.set_yticks(range(len(experts)), experts if named else [""] * len(experts), color=look.INK, fontsize=8)
    ax.set_title(caption, loc="center", fontsize=7.5, fontweight="normal", color=look.FAINT, pad=3)


def _heat_map(ax: Axes, values: np.ndarray, pattern: str | None, *, low_is_dark: bool = False) -> None:
    """Squares with pale gaps; with a pattern each is written into, and the colours span the values."""
    look.dress(ax)
    low, high = (np.nanmin(values), np.nanmax(values)) if pattern else (0.0, 1.0)
    depth = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    if pattern:
        depth = 0.75 * (1 - depth if low_is_dark and high > low else depth)
    ax.imshow(depth, cmap=look.SHADES, vmin=0, vmax=1, aspect="auto")
    if pattern:
        for (i, j), value in np.ndenumerate(values):
            known = bool(np.isfinite(value))
            text, ink = (pattern.format(value), look.ink_on(look.SHADES(depth[i, j])[:3])) if known else ("-", look.INK)
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#d5d9de", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _wrapped(lines: Sequence[str], width: int) -> str:
    return "\n".join(textwrap.fill(line, width, subsequent_indent="   ") for line in lines)
