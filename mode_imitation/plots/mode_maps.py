"""Where in the arena each mode goes, and by which sensors: small pictures side by side, one a mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.scene import HALO, Limits, draw_scale, prepare_axes
from mode_imitation.plots.states import name_axes

BINS = 48
"""Cells along each side of a map."""
DECADES = 2.5
"""Powers of ten from the palest to the darkest cell."""
MARGIN = 0.14
"""Around the arena, of its side."""


@dataclass(frozen=True, kw_only=True)
class ModeMap:
    """Where one mode went."""

    title: str
    paths: Sequence[np.ndarray]
    """(T + 1, 2) positions of each episode, metres."""
    color: str
    caption: str = ""


def plot_mode_maps(
    maps: Sequence[ModeMap],
    arena: tuple[float, float, float, float] | None,
    *,
    title: str | None = None,
    of_states: bool = False,
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
    limits = _limits(np.concatenate(points), arena)
    edges = [np.linspace(limits[axis], limits[axis + 2], BINS + 1) for axis in (0, 1)]
    shares = [np.histogram2d(*rows.T, bins=edges)[0] / len(rows) for rows in points]
    top = max(float(share.max()) for share in shares) or 1.0
    columns = min(len(maps), 4)
    lines = -(-len(maps) // columns)
    figure = look.new_figure(max(2.75 * columns, 3.6), 3.1 * lines + (0.35 if title else 0), title=title)
    with look.style():
        axes = figure.subplots(lines, columns, squeeze=False)
        for ax, one, share in zip(axes.flat, maps, shares, strict=False):
            prepare_axes(ax, limits, title=one.title)
            ax.spines["top"].set(color=one.color, linewidth=3)
            shades = LinearSegmentedColormap.from_list(
                "map", ["#ffffff", look.lighter(one.color, 0.75), one.color, look.INK]
            )
            ax.pcolormesh(
                *edges,
                np.ma.masked_equal(share.T, 0.0),
                cmap=shades,
                norm=LogNorm(top / 10**DECADES, top),
                rasterized=True,
            )
            if arena is not None:
                corner, size = arena[:2], (arena[2] - arena[0], arena[3] - arena[1])
                ax.add_patch(Rectangle(corner, *size, fill=False, ec=look.FAINT, lw=0.9, ls=(0, (3, 2))))
            if ax is axes.flat[0] and of_states:
                name_axes(ax)
            elif ax is axes.flat[0]:
                draw_scale(ax, limits)
                for drawn in (ax.lines[-1], ax.texts[-1]):
                    drawn.set(color=look.INK, path_effects=HALO)
            outside = 1.0 - share.sum()
            caption = one.caption or f"{len(one.paths)} episodes"
            if outside > 0.005:
                caption += f" · {outside:.0%} of the time beyond this view"
            ax.set_xlabel(caption, fontsize=8, color=look.FAINT, loc="left", labelpad=3)
        for ax in axes.flat[len(maps) :]:
            ax.remove()
    return figure


def plot_reactions(
    reactions: Mapping[int, Mapping[str, Mapping[str, float]]], *, colors: Mapping[int, str], title: str | None = None
) -> Figure:
    """How far each mode's action moves when one sensor's readings are exchanged: bars, one picture a mode.

    Args:
        reactions: {mode: {sensor: {sigmas, nats}}}.
        colors: of each mode.
        title: over the figure.

    Raises:
        UserError: there are none.
    """
    if not reactions:
        raise UserError("there are no reactions to draw; the dataset must say which observations are which sensor")
    sensors = list(dict.fromkeys(name for found in reactions.values() for name in found))
    columns = min(len(reactions), 4)
    lines = -(-len(reactions) // columns)
    height = lines * (0.95 + 0.22 * len(sensors)) + (0.35 if title else 0)
    figure = look.new_figure(1.6 + 2.2 * columns, max(height, 1.6), title=title)
    top = max(values["sigmas"] for found in reactions.values() for values in found.values()) or 1.0
    with look.style():
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
        y = np.arange(len(sensors))
        for ax, (mode, found) in zip(axes.flat, reactions.items(), strict=False):
            values = np.array([found[name]["sigmas"] if name in found else 0.0 for name in sensors])
            ax.barh(y, values, height=0.66, color=colors[mode])
            for place, value in zip(y, values, strict=True):
                ax.text(
                    value + 0.02 * top, place, f"{value:.1f}" if value >= 1 else f"{value:.2f}", va="center", fontsize=8
                )
            ax.set_title(f"mode {mode}", loc="left")
            ax.set_xlim(0, 1.2 * top)
            ax.xaxis.set_major_locator(look.ticks(4))
            ax.set_xlabel(
                "change of the action (sigmas)\nwhen its readings are exchanged", fontsize=8, color=look.FAINT
            )
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.grid(axis="x")
        for ax in axes[:, 0]:
            ax.set_yticks(y, [name.replace("_", " ") for name in sensors], color=look.INK)
        axes[0, 0].set_ylim(len(sensors) - 0.4, -0.6)
        for ax in axes.flat[len(reactions) :]:
            ax.remove()
    return figure


def plot_blend(blend: Mapping[str, Any], *, title: str | None = None) -> Figure:
    """What the policy does between two modes: each figure against the weight of the second, with intervals.

    Args:
        blend: as in report.json: modes, weights, figures {name: [{mean, low, high}]}.
        title: over the figure.
    """
    first, second = blend["modes"]
    shown = {name: rows for name, rows in blend["figures"].items() if rows is not None}
    figure = look.new_figure(2.5 * max(len(shown), 1) + 0.3, 2.7, title=title)
    units = {"speed": "speed (m/s)"}
    weights = np.asarray(blend["weights"])
    ends = [look.mode_color(first), look.mode_color(second)]
    shades = LinearSegmentedColormap.from_list("blend", ends)
    with look.style():
        for ax, (name, rows) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
            mean, low, high = (np.array([row[key] for row in rows]) for key in ("mean", "low", "high"))
            ax.fill_between(weights, low, high, color="#dfe3e8", lw=0)
            ax.plot(weights, mean, color=look.FAINT, lw=1.4)
            ax.scatter(weights, mean, c=weights, cmap=shades, s=30, zorder=3, edgecolor="white", linewidth=0.6)
            ax.set_title(units.get(name, name), loc="left")
            ax.set_ylim(bottom=min(0.0, float(low.min())), top=1.08 * max(float(high.max()), 1e-9))
            ax.yaxis.set_major_locator(look.ticks(4))
            ax.set_xticks([0, 0.5, 1], [f"mode {first}", "half", f"mode {second}"])
            for tick, color in zip(ax.get_xticklabels()[::2], ends, strict=True):
                tick.set(color=color, fontweight="bold")
            ax.set_xlim(-0.06, 1.06)
            ax.grid(axis="y")
    return figure


def _limits(points: np.ndarray, arena: tuple[float, float, float, float] | None) -> Limits:
    if arena is None:
        low, high = np.percentile(points, [0.5, 99.5], axis=0)
    else:
        low, high = np.array(arena[:2]), np.array(arena[2:])
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-3) * (1 + 2 * MARGIN)
    return (float(middle[0] - half), float(middle[1] - half), float(middle[0] + half), float(middle[1] + half))
