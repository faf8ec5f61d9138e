"""One episode from above: where the agent went, in which order it reached the goals, what it had to avoid."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Circle

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.layout import LEGEND, columns_that_fit, legend_handles
from mode_imitation.plots.scene import (
    HALO,
    Limits,
    View,
    draw_goals,
    draw_scale,
    draw_scene,
    limits_of,
    n_goals_reached,
    positions_of,
    prepare_axes,
)

OLDEST = 0.6
"""Width of a path's first step, as a share of its last one's: what lies long ago does not hide what follows."""
ROOMY = 24.0
"""A path of so many sides of the view is drawn as wide as was asked for; longer ones are thinner."""
PIECES = 120
"""About so many pieces, each of one colour and width, make a path."""
DISTURBED = -2
"""Stands for a mode in steps that were disturbed."""


def plot_birdseye(
    ax: Axes,
    episode: Episode,
    *,
    title: str | None = None,
    view: View = "arena",
    modes: np.ndarray | None = None,
    show_legend: bool = True,
    show_scale: bool = True,
    linewidth: float = 2.2,
) -> Axes:
    """Draw the episode's path over its scene, to scale.

    The path runs from dark and thin to bright and wide with time; the start is a white disc with an arrow along the
    heading, the end a black dot. Steps that were disturbed are dotted grey. Goals that were reached carry the number of
    the order in which they were; the one that was not is a dashed ring. Where the path leaves the view for its furthest
    point there is an arrow at the edge; `caption_of` says how far from the arena's centre it went.

    Args:
        ax: where to draw; its limits and aspect are set.
        episode: T transitions with positions; the scene and the headings are drawn where there are any.
        title: over the axes.
        view: what to show; "arena" (square, somewhat wider than the arena), "all", or limits in metres.
        modes: (T,) int, the mode of each step; the path then wears the modes' colours, grey for none (negative).
        show_legend: below the axes, never on the path, with the caption over it.
        show_scale: a bar of known length in the lower left corner.
        linewidth: of the path's end, points; of a path that would be a tangle, less.

    Returns:
        `ax`.

    Raises:
        UserError: the episode has no positions, or `modes` has another length.
    """
    positions = positions_of(episode)
    if modes is not None and len(modes) != len(episode):
        raise UserError(f"modes has {len(modes)} entries for {len(episode)} steps; expected one for each step")
    limits = limits_of(view, [episode])
    with look.style():
        prepare_axes(ax, limits, title=title)
        if episode.scene is not None:
            draw_scene(ax, episode.scene)
            draw_goals(ax, episode.scene, n_goals_reached(episode))
        draw_path(ax, episode, limits, modes=modes, linewidth=linewidth)
        size = 0.016 * (limits[2] - limits[0])
        if episode.headings is not None:
            heading = float(episode.headings[0])
            tip = positions[0] + 4.2 * size * np.array([np.cos(heading), np.sin(heading)])
            look.draw_arrow(ax, positions[0], tip, size=10, zorder=7, path_effects=HALO, gid="heading")
        start = Circle(tuple(positions[0]), size, facecolor="white", edgecolor=look.INK, lw=1.6, zorder=8, gid="start")
        ax.add_artist(start)
        ax.plot(*positions[-1], marker="o", ms=6, mfc=look.INK, mec="white", mew=1.2, ls="", zorder=8, gid="end")
        draw_way_out(ax, episode, limits)
        if show_scale:
            draw_scale(ax, limits)
        if show_legend:
            look.caption(ax, way_out(episode, limits))
            handles = legend_handles([episode], modes=modes)
            columns = columns_that_fit(handles, ax.get_window_extent().width / 100)
            ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=columns, **LEGEND)
    return ax


def draw_path(
    ax: Axes,
    episode: Episode,
    limits: Limits,
    *,
    modes: np.ndarray | None = None,
    linewidth: float = 2.2,
    n_steps: int | None = None,
) -> None:
    """The path over a white casing, so that it stands out on discs; `n_steps` is where its colours end."""
    positions, n = positions_of(episode), len(episode)
    length = float(np.linalg.norm(np.diff(np.clip(positions, limits[:2], limits[2:]), axis=0), axis=1).sum())
    linewidth *= min(1.0, np.sqrt(ROOMY * (limits[2] - limits[0]) / max(length, 1e-9)))
    disturbed = np.zeros(n, bool) if episode.disturbed is None else np.asarray(episode.disturbed, bool)
    kinds = np.where(disturbed, DISTURBED, 0 if modes is None else np.asarray(modes))
    changes = np.flatnonzero(np.diff(kinds)) + 1
    cuts = np.unique(np.concatenate([np.arange(0, n, 1 + n // PIECES), changes, [n]]))
    pieces = [positions[start : stop + 1] for start, stop in pairwise(cuts)]
    starts = cuts[:-1]
    widths = linewidth * (OLDEST + (1 - OLDEST) * starts / n)
    calm = ~disturbed[starts]
    shown = [piece for piece, is_calm in zip(pieces, calm, strict=True) if is_calm]
    # Whole runs of disturbed steps: dots are spaced along one rather than begin anew at each step.
    runs = [positions[a : b + 1] for a, b in pairwise([0, *changes, n]) if disturbed[a]]
    if modes is None:
        colors: dict[str, Any] = {"array": starts[calm], "cmap": look.TIME_COLORS, "norm": Normalize(0, n_steps or n)}
    else:
        colors = {"colors": [look.mode_color(int(mode)) for mode in kinds[starts[calm]]]}
    casing: dict[str, Any] = {"colors": "white", "capstyle": "round", "zorder": 3}
    for line in (
        LineCollection(pieces, linewidths=widths + 0.35 + 0.5 * linewidth, **casing),
        LineCollection(runs, linewidths=linewidth * 0.7, colors=look.FAINT, linestyles=":", zorder=4, gid="disturbed"),
        LineCollection(shown, linewidths=widths[calm], capstyle="round", zorder=4, gid="path", **colors),
    ):
        ax.add_collection(line, autolim=False)


def _furthest_out(episode: Episode, limits: Limits) -> tuple[int, int, float] | None:
    """Where a path left the view for its furthest point: the last step inside, the step of that point, its metres from
    the arena's centre or else from the start. None where the path never left the view, or began outside."""
    positions = positions_of(episode)
    center = positions[0] if episode.scene is None else np.reshape(episode.scene.arena, (2, 2)).mean(axis=0)
    inside = np.all((positions >= limits[:2]) & (positions <= limits[2:]), axis=1)
    distances = np.where(inside, -1.0, np.linalg.norm(positions - center, axis=1))
    furthest = int(np.argmax(distances))
    before = np.flatnonzero(inside[:furthest])
    return (int(before[-1]), furthest, float(distances[furthest])) if len(before) and not inside[furthest] else None


def draw_way_out(ax: Axes, episode: Episode, limits: Limits) -> None:
    """An arrow where the path left the view for its furthest point."""
    if (found := _furthest_out(episode, limits)) is None:
        return
    last, beyond = positions_of(episode)[found[0] : found[0] + 2]
    step = beyond - last
    with np.errstate(divide="ignore", invalid="ignore"):
        fractions = np.where(step > 0, (limits[2:] - last) / step, (limits[:2] - last) / step)
    edge = last + np.nanmin(np.where(step == 0, np.inf, fractions)).clip(0, 1) * step
    tail = edge - 0.06 * (limits[2] - limits[0]) * step / np.linalg.norm(step)
    look.draw_arrow(ax, tail, edge, size=14, zorder=7, gid="way out")


def way_out(episode: Episode, limits: Limits) -> str:
    """How far beyond the view a path went, from the arena's centre or else from the start: "out to 2.3 m and back"."""
    if (found := _furthest_out(episode, limits)) is None:
        return ""
    _, furthest, distance = found
    rest = positions_of(episode)[furthest:]
    back = np.all((rest >= limits[:2]) & (rest <= limits[2:]), axis=1).any()
    return f"out to {distance:.{1 if distance < 9.5 else 0}f} m" + " and back" * bool(back)
