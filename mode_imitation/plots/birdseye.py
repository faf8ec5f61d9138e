"""One episode from above: where the agent went, in which order it reached the goals, what it had to avoid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, FancyArrowPatch

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.legend import add_legend
from mode_imitation.plots.scene import (
    HALO,
    Limits,
    View,
    center_of,
    draw_scale,
    draw_scene,
    limits_of,
    n_goals_reached,
    positions_of,
    prepare_axes,
)


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

    The path runs from dark to bright with time; the start is a white disc with an arrow along the heading, the end a
    black dot. Steps that were disturbed are dotted grey. Goals that were reached carry the number of the order in which
    they were; the one that was not is a dashed ring. Where the path leaves the view, an arrow at the edge says how far
    from the arena's centre it went.

    Args:
        ax: where to draw; its limits and aspect are set.
        episode: T transitions with positions; the scene and the headings are drawn where there are any.
        title: over the axes.
        view: what to show; "arena" (square, somewhat wider than the arena), "all", or limits in metres.
        modes: (T,) int, the mode of each step; the path then wears the modes' colours, grey for none (negative).
        show_legend: below the axes, never on the path.
        show_scale: a bar of known length in the lower left corner.
        linewidth: of the path, points.

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
            draw_scene(ax, episode.scene, n_goals_reached(episode))
        draw_path(ax, episode, modes=modes, linewidth=linewidth)
        heading = None if episode.headings is None else float(episode.headings[0])
        draw_start(ax, positions[0], heading, size=0.016 * (limits[2] - limits[0]))
        ax.plot(*positions[-1], marker="o", ms=6, mfc=look.INK, mec="white", mew=1.2, ls="", zorder=8, gid="end")
        draw_way_out(ax, positions, limits, episode)
        if show_scale:
            draw_scale(ax, limits)
        if show_legend:
            add_legend(ax, [episode], modes=modes)
    return ax


def draw_path(ax: Axes, episode: Episode, *, modes: np.ndarray | None = None, linewidth: float = 2.2) -> None:
    """The path over a white casing, so that it stands out on discs."""
    positions = positions_of(episode)
    segments = np.stack([positions[:-1], positions[1:]], axis=1)  # (T, 2, 2)
    disturbed = np.zeros(len(segments), bool) if episode.disturbed is None else np.asarray(episode.disturbed, bool)
    ax.plot(*positions.T, color="white", lw=linewidth + 1.6, solid_joinstyle="round", zorder=3)
    if disturbed.any():
        ax.add_collection(
            LineCollection(_runs(positions, disturbed), colors=look.FAINT, lw=linewidth * 0.7, ls=":", zorder=4),
            autolim=False,
        )
    shown = segments[~disturbed]
    if modes is None:
        steps = np.flatnonzero(~disturbed)
        line = LineCollection(list(shown), array=steps, cmap=look.TIME_COLORS, norm=Normalize(0, max(len(episode), 1)))
    else:
        line = LineCollection(list(shown), colors=[look.mode_color(int(m)) for m in np.asarray(modes)[~disturbed]])
    line.set(linewidth=linewidth, capstyle="round", zorder=4, gid="path")
    ax.add_collection(line, autolim=False)


def draw_start(ax: Axes, position: np.ndarray, heading: float | None, *, size: float) -> None:
    """A white disc where the episode began, with an arrow along the heading where it is known; `size` in metres."""
    if heading is not None:
        tip = position + 4.2 * size * np.array([np.cos(heading), np.sin(heading)])
        arrow = FancyArrowPatch(
            (position[0], position[1]),
            (tip[0], tip[1]),
            arrowstyle="-|>",
            mutation_scale=10,
            shrinkA=0,
            shrinkB=0,
            color=look.INK,
            lw=1.6,
            zorder=7,
            path_effects=HALO,
        )
        arrow.set_gid("heading")
        ax.add_patch(arrow)
    disc = Circle((position[0], position[1]), size, facecolor="white", edgecolor=look.INK, lw=1.6, zorder=8)
    disc.set_gid("start")
    ax.add_patch(disc)


@dataclass(frozen=True)
class WayOut:
    """The excursion beyond the view that went furthest."""

    at: np.ndarray
    """(2,) where the path crossed the edge of the view."""
    direction: np.ndarray
    """(2,) unit vector of the path there."""
    distance: float
    """Metres from the arena's centre to the furthest point."""
    came_back: bool

    @property
    def label(self) -> str:
        """What is written at the edge of the view."""
        distance = f"{self.distance:.0f}" if self.distance >= 9.5 else f"{self.distance:.1f}"
        return f"out to {distance} m" + ("\nand back" if self.came_back else "")


def way_out(positions: np.ndarray, limits: Limits, center: np.ndarray) -> WayOut | None:
    """Where and how far the path left the view; None where it never did.

    Args:
        positions: (T + 1, 2), metres.
        limits: the view.
        center: (2,) from which the distance is measured.
    """
    low, high = np.array(limits[:2]), np.array(limits[2:])
    inside = np.all((positions >= low) & (positions <= high), axis=1)
    if inside.all() or not inside.any():
        return None
    distances = np.linalg.norm(positions - center, axis=1)
    furthest = int(np.argmax(np.where(inside, -1.0, distances)))
    before = np.flatnonzero(inside[:furthest])
    if not len(before):  # the episode began outside
        return None
    a, b = positions[before[-1]], positions[before[-1] + 1]
    step = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        fractions = np.where(step > 0, (high - a) / step, np.where(step < 0, (low - a) / step, np.inf))
    at = a + np.clip(fractions.min(), 0, 1) * step
    return WayOut(at, step / np.linalg.norm(step), float(distances[furthest]), bool(inside[furthest:].any()))


def draw_way_out(ax: Axes, positions: np.ndarray, limits: Limits, episode: Episode) -> list[Artist]:
    """An arrow where the path left the view for its furthest point, and how far from the arena's centre that was."""
    out = way_out(positions, limits, center_of(episode))
    if out is None:
        return []
    span = limits[2] - limits[0]
    tail = out.at - 0.06 * span * out.direction
    arrow = FancyArrowPatch(
        (tail[0], tail[1]),
        (out.at[0], out.at[1]),
        arrowstyle="-|>",
        mutation_scale=14,
        shrinkA=0,
        shrinkB=1,
        color=look.INK,
        lw=1.6,
        zorder=7,
        gid="way out",
    )
    ax.add_patch(arrow)
    # The scale bar in the corner counts as things too.
    things = np.array(limits[:2]) + span * np.column_stack([np.linspace(0.04, 0.36, 5), np.full(5, 0.035)])
    if (scene := episode.scene) is not None:
        things = np.concatenate([things, scene.hazards, scene.vases, scene.goals])
    x, y, side = _roomy_place(out.at, positions, things, limits)
    label = ax.text(
        x,
        y,
        out.label,
        fontsize=7.5,
        color=look.INK,
        ha=side,
        va="center",
        linespacing=1.05,
        zorder=9,
        gid="way out",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": (1, 1, 1, 0.85), "edgecolor": "none"},
    )
    return [arrow, label]


_Place = tuple[float, float, Literal["left", "right"]]
"""x, y and which end of a text stands there."""


def _roomy_place(at: np.ndarray, positions: np.ndarray, things: np.ndarray, limits: Limits) -> _Place:
    """Near `at`, where a label hides least; it grows from there towards the middle, never out of view."""
    span = limits[2] - limits[0]
    positions = positions[:: -(-len(positions) // 500)]  # near enough
    width, height = 0.32 * span, 0.13 * span
    best: _Place = (float(at[0]), float(at[1]), "left")
    least = np.inf
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        for radius in (0.08, 0.14, 0.2, 0.28):
            x, y = at + radius * span * np.array([np.cos(angle), np.sin(angle)])
            x = float(np.clip(x, limits[0] + 0.03 * span, limits[2] - 0.03 * span))
            y = float(np.clip(y, limits[1] + 0.06 * span, limits[3] - 0.06 * span))
            side: Literal["left", "right"] = "left" if x < limits[0] + span / 2 else "right"
            middle = (x + (width / 2 if side == "left" else -width / 2), y)
            hidden = np.all(np.abs(positions - middle) < (width / 2, height / 2), axis=1).sum()
            # A thing is about as large as a tenth of the view; one hidden counts as much as this many steps.
            covered = np.all(
                np.abs(things - middle) < (width / 2 + 0.04 * span, height / 2 + 0.04 * span), axis=1
            ).sum()
            cost = hidden + 6 * covered + 10 * np.hypot(x - at[0], y - at[1]) / span
            if cost < least:
                best = (x, y, side)
                least = cost
    return best


def _runs(positions: np.ndarray, marked: np.ndarray) -> list[np.ndarray]:
    """One polyline for every run of marked steps, so that dots are spaced along it rather than begin anew each step."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    return [positions[start : stop + 1] for start, stop in edges.reshape(-1, 2)]
