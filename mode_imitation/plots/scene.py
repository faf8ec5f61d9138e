"""What stands still in a bird's-eye plot, to scale: arena, hazards, vases, goals; and what the axes show."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look

Limits = tuple[float, float, float, float]
"""(x_min, y_min, x_max, y_max) in metres."""
View = Literal["arena", "all"] | Limits
"""What the axes show: the arena with a margin, everything that happened, or limits."""

ARENA_MARGIN = 0.14
"""Of the arena's longer side, on each side of it in the view "arena"; at least."""
WIDEST_MARGIN = 0.25
"""The same, at most."""
NUMBERS_APART = 0.24
"""Metres between the numbers of goals that lie on top of each other."""
HALO = [patheffects.withStroke(linewidth=2.2, foreground="white")]


def positions_of(episode: Episode) -> np.ndarray:
    """(T + 1, 2) float64 positions.

    Raises:
        UserError: there are none, or they are not finite.
    """
    if episode.positions is None:
        raise UserError(
            "this episode has no agent positions, which a bird's-eye plot is drawn from; "
            "import the data with positions, (T + 1, 2) in metres for each episode"
        )
    positions = np.asarray(episode.positions, dtype=np.float64)
    if not np.isfinite(positions).all():
        step = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise UserError(f"the agent's position is not finite at step {step}; leave that episode out")
    return positions


def n_goals_reached(episode: Episode) -> int:
    """How many of the scene's goals were reached: by `goals_met`, else all but the last that appeared."""
    if episode.goals_met is not None:
        return int(np.sum(episode.goals_met))
    return max(len(episode.scene.goals) - 1, 0) if episode.scene is not None else 0


def center_of(episode: Episode) -> np.ndarray:
    """(2,) centre of the arena, or the start where there is no scene."""
    if episode.scene is None:
        return positions_of(episode)[0]
    x_min, y_min, x_max, y_max = episode.scene.arena
    return np.array([(x_min + x_max) / 2, (y_min + y_max) / 2])


def limits_of(view: View, episodes: Sequence[Episode]) -> Limits:
    """One square view for all the episodes.

    The view "arena" has a margin that grows, up to WIDEST_MARGIN, for paths that then fit; those that go further do not
    count. Episodes without a scene have no arena; their whole path is shown.
    """
    if not isinstance(view, str):
        return view
    arenas = [np.reshape(episode.scene.arena, (2, 2)) for episode in episodes if episode.scene is not None]
    paths = [positions_of(episode) for episode in episodes]
    if view == "all" or not arenas:
        discs = [
            episode.scene.goals + sign * episode.scene.goal_radius
            for episode in episodes
            if episode.scene is not None
            for sign in (-1, 1)
        ]
        middle, half = _square(np.concatenate(arenas + paths + discs))
        half *= 1.12
    else:
        middle, half = _square(np.concatenate(arenas))
        widest = half * (1 + 2 * WIDEST_MARGIN)
        reaches = [float(np.abs(path - middle).max()) * 1.03 for path in paths]
        half = max([half * (1 + 2 * ARENA_MARGIN), *[reach for reach in reaches if reach <= widest]])
    return (float(middle[0] - half), float(middle[1] - half), float(middle[0] + half), float(middle[1] + half))


def _square(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and half the side of the smallest upright square about the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, max(float((high - low).max()) / 2, 1e-3)


def prepare_axes(ax: Axes, limits: Limits, *, title: str | None = None) -> None:
    """Equal aspect, the given limits, no ticks, a thin frame."""
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(limits[0], limits[2])
    ax.set_ylim(limits[1], limits[3])
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set(visible=True, color=look.RULE, linewidth=0.8)
    if title:
        ax.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=5)


def draw_scene(ax: Axes, scene: Scene, n_reached: int, *, n_shown: int | None = None) -> None:
    """Arena, vases, hazards and goals, each at its true size.

    Args:
        ax: prepared axes.
        scene: what stood there.
        n_reached: that many goals, from the first on, are drawn as reached, with their number.
        n_shown: goals drawn in all; all that appeared where None.
    """
    x_min, y_min, x_max, y_max = scene.arena
    arena = Rectangle(
        (x_min, y_min), x_max - x_min, y_max - y_min, facecolor=look.GROUND, edgecolor=look.RULE, lw=0.8, zorder=0
    )
    arena.set_gid("arena")
    ax.add_patch(arena)
    half = scene.vase_half_width
    for x, y in scene.vases:
        vase = Rectangle((x - half, y - half), 2 * half, 2 * half, facecolor=look.VASE, alpha=0.75, lw=0, zorder=2)
        vase.set_gid("vase")
        ax.add_patch(vase)
    for x, y in scene.hazards:
        hazard = Circle(
            (x, y), scene.hazard_radius, facecolor=(look.HAZARD, 0.45), edgecolor=(look.HAZARD, 0.9), lw=0.8, zorder=2
        )
        hazard.set_gid("hazard")
        ax.add_patch(hazard)
    draw_goals(ax, scene, n_reached, n_shown=len(scene.goals) if n_shown is None else n_shown)


def draw_goals(ax: Axes, scene: Scene, n_reached: int, *, n_shown: int) -> list[Any]:
    """Goal discs with their numbers; returns the artists."""
    artists: list[Any] = []
    goals = np.asarray(scene.goals, dtype=np.float64)[:n_shown]
    share_of_view = 2 * scene.goal_radius / np.ptp(ax.get_xlim())
    number_size = float(np.clip(56 * share_of_view, 0, 9))
    numbers = _apart(goals, NUMBERS_APART, furthest=0.75 * scene.goal_radius)
    for index, ((x, y), number) in enumerate(zip(goals, numbers, strict=True)):
        reached = index < n_reached
        goal = Circle(
            (x, y),
            scene.goal_radius,
            facecolor=(look.GOAL, 0.17) if reached else "none",
            edgecolor=(look.GOAL, 0.8 if reached else 1.0),
            linestyle="-" if reached else (0, (3, 2)),
            lw=0.8 if reached else 1.4,
            zorder=1,
        )
        goal.set_gid("goal")
        artists.append(ax.add_patch(goal))
        if reached and number_size > 3:
            artists.append(
                ax.text(
                    number[0],
                    number[1],
                    str(index + 1),
                    color=look.GOAL,
                    fontsize=number_size,
                    fontweight="bold",
                    ha="center",
                    va="center",
                    path_effects=HALO,
                    clip_on=True,
                    zorder=9,
                    gid="goal number",
                )
            )
    return artists


def draw_scale(ax: Axes, limits: Limits) -> None:
    """A bar of a round length of metres in the lower left corner."""
    span = limits[2] - limits[0]
    length = max((r for r in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if r <= span / 4), default=span / 4)
    x, y = limits[0] + 0.035 * span, limits[1] + 0.035 * span
    line = Line2D([x, x + length], [y, y], color=look.FAINT, lw=1.4, solid_capstyle="butt", zorder=5)
    line.set_gid("scale")
    ax.add_line(line)
    ax.text(x + length + 0.02 * span, y, f"{length:g} m", color=look.FAINT, fontsize=7.5, va="center", zorder=5)


def _apart(points: np.ndarray, distance: float, *, furthest: float) -> np.ndarray:
    """The points moved so that they stand `distance` apart where possible, none moved by more than `furthest`."""
    moved = points.copy()
    for _ in range(60):
        offsets = moved[:, None] - moved[None, :]  # (G, G, 2)
        gaps = np.linalg.norm(offsets, axis=-1)
        np.fill_diagonal(gaps, np.inf)
        if (gaps >= distance).all():
            break
        # Two goals in the very same place part along x, the earlier one to the left.
        order = np.sign(np.arange(len(points))[:, None] - np.arange(len(points))[None, :])
        away = np.where(gaps[..., None] > 1e-9, offsets / np.maximum(gaps, 1e-9)[..., None], order[..., None] * [1, 0])
        moved = moved + 0.5 * (np.clip(distance - gaps, 0, None)[..., None] * away).sum(axis=1)
        shift = moved - points
        lengths = np.linalg.norm(shift, axis=1, keepdims=True)
        moved = points + shift * np.minimum(1, furthest / np.maximum(lengths, 1e-9))
    return moved
