"""Where in the arena each mode goes, and by which sensors: small pictures side by side, one a mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.layout import Square, square_panels
from mode_imitation.plots.scene import Limits, beyond, draw_arena, draw_scale, map_limits, prepare_axes
from mode_imitation.plots.states import name_axes

BINS = 48
"""Cells along each side of a map."""
DECADES = 2.5
"""Powers of ten from the palest to the darkest cell."""
LEVELS = [round(digit * 10.0**power, 6) for power in range(-5, 0) for digit in (1, 3)]
"""Shares that the legend shows the shades of, where they occur."""


@dataclass(frozen=True, kw_only=True)
class ModeMap(Square):
    """Where one mode went; its caption is the number of episodes where None."""

    paths: Sequence[np.ndarray]
    """(T + 1, 2) positions of each episode, metres."""


def plot_mode_maps(
    maps: Sequence[ModeMap], arena: Limits | None, *, title: str | None = None, of_states: bool = False
) -> Figure:
    """A two-dimensional histogram of positions for each mode, all over the same cells and in the same shades.

    Args:
        maps: one a mode.
        arena: x and y of two corners; the maps show it and a margin. None shows the middle 99% of all positions.
        title: over the figure.
        of_states: the positions are directions of the states, see `states.placed`.

    Raises:
        UserError: there are no maps, or no positions.
    """
    points = [np.concatenate([np.asarray(path, np.float64) for path in one.paths]) for one in maps if len(one.paths)]
    if len(points) < len(maps) or not points:
        raise UserError("there are no positions to draw a map of; drive the modes in a simulator first")
    limits = map_limits(np.concatenate(points), arena)
    edges = [np.linspace(limits[axis], limits[axis + 2], BINS + 1) for axis in (0, 1)]
    shares = [np.histogram2d(*rows.T, bins=edges)[0] / len(rows) for rows in points]
    norm = LogNorm((top := max(float(share.max()) for share in shares) or 1.0) / 10**DECADES, top)
    grey = _shades(look.FAINT)
    levels = [level for level in LEVELS if top / 10**DECADES < level < top][-4:]
    names = [f"{100 * level:g}%{' of its time in a cell' * (level == levels[-1])}" for level in levels]
    handles = [Patch(fc=grey(norm(level)), ec=look.RULE, label=name) for level, name in zip(levels, names, strict=True)]
    captioned = [
        replace(one, caption=(one.caption or f"{len(one.paths)} episodes") + beyond([rows], limits))
        for one, rows in zip(maps, points, strict=True)
    ]
    rows = [captioned[first : first + 4] for first in range(0, len(captioned), 4)]
    figure, grid = square_panels(rows, 2.6, title=title, handles=handles)
    axes = [ax for row in grid for ax in row]
    with look.style():
        for ax, one, share in zip(axes, maps, shares, strict=True):
            prepare_axes(ax, limits)
            cells = np.ma.masked_equal(share.T, 0.0)
            ax.pcolormesh(*edges, cells, cmap=_shades(one.color or look.FAINT), norm=norm, rasterized=True)
            if arena is not None:
                draw_arena(ax, arena, fc="none", ec=look.FAINT, ls=(0, (3, 2)), zorder=2)
        if of_states:
            name_axes(axes[0])
        else:
            draw_scale(axes[0], limits, color=look.INK)
    return figure


def _shades(color: str) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("map", ["#ffffff", look.lighter(color, 0.75), color, look.INK])


def plot_reactions(
    reactions: Mapping[int, Mapping[str, float]], *, colors: Mapping[int, str], title: str | None = None
) -> Figure:
    """How far each mode's action moves when one sensor's readings are exchanged: bars, one picture a mode.

    Args:
        reactions: {mode: {sensor: sigmas}}.
        colors: of each mode.
        title: over the figure.

    Raises:
        UserError: there are none.
    """
    if not reactions:
        raise UserError("there are no reactions to draw; the dataset must say which observations are which sensor")
    sensors = list(dict.fromkeys(name for found in reactions.values() for name in found))
    y = np.arange(len(sensors))
    with look.style():
        height = 0.85 + 0.22 * len(sensors)
        figure, axes = look.small_axes(len(reactions), 2.3, height, title=title, margin=1.2, sharey=True)
        top = max(sigmas for found in reactions.values() for sigmas in found.values()) or 1.0
        for ax, (mode, found) in zip(axes, reactions.items(), strict=True):
            values = [found.get(name, 0.0) for name in sensors]
            texts = [f"{value:.1f}" if value >= 1 else f"{value:.2f}" for value in values]
            bars = [look.Bar(value, text, colors[mode]) for value, text in zip(values, texts, strict=True)]
            look.draw_bars(ax, y, bars)
            ax.set_yticks(y, [name.replace("_", " ") for name in sensors], color=look.INK)
            ax.set_title(f"mode {mode}", loc="left")
            ax.set_xlim(0, 1.3 * top)
            look.caption(ax, "change of the action (sigmas)\nwhen its readings are exchanged")
    return figure


def plot_blend(blend: Mapping[str, Any], *, title: str | None = None) -> Figure:
    """What the policy does between two modes: each figure against the weight of the second, with intervals.

    Args:
        blend: as in report.json: modes, weights, figures {name: [{mean, low, high}]}.
        title: over the figure.
    """
    first, second = blend["modes"]
    shown = {name: rows for name, rows in blend["figures"].items() if rows is not None}
    weights = np.asarray(blend["weights"])
    ends = [look.mode_color(first), look.mode_color(second)]
    shades = LinearSegmentedColormap.from_list("blend", ends)
    with look.style():
        figure, axes = look.small_axes(len(shown), 2.5, 2.4, columns=len(shown), title=title)
        for ax, (name, rows) in zip(axes, shown.items(), strict=True):
            mean, low, high = (np.array([row[key] for row in rows]) for key in ("mean", "low", "high"))
            ax.fill_between(weights, low, high, color="#dfe3e8", lw=0)
            ax.plot(weights, mean, color=look.FAINT, lw=1.4)
            ax.scatter(weights, mean, c=weights, cmap=shades, s=30, zorder=3, edgecolor="white", linewidth=0.6)
            ax.set_title(look.figure_name(name), loc="left")
            ax.set_ylim(bottom=min(0.0, float(low.min())), top=1.08 * max(float(high.max()), 1e-9))
            ax.yaxis.set_major_locator(look.ticks(4))
            ax.set_xticks([0, 0.5, 1], [f"mode {first}", "half", f"mode {second}"])
            for tick, color in zip(ax.get_xticklabels()[::2], ends, strict=True):
                tick.set(color=color, fontweight="bold")
            ax.set_xlim(-0.06, 1.06)
            ax.grid(axis="y")
    return figure
