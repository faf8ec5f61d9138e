"""What stands still in a bird's-eye plot, to scale: arena, hazards, vases, goals; and what the axes show."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Patch, Rectangle

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


def limits_of(view: View, episodes: Sequence[Episode]) -> Limits:
    """One square view for all the episodes.

    The view "arena" has a margin that grows, up to WIDEST_MARGIN, for paths that then fit; those that go further do not
    count. Episodes without a scene have no arena; their whole path is shown.
    """
    if not isinstance(view, str):
        return view
    scenes = [episode.scene for episode in episodes if episode.scene is not None]
    paths = [positions_of(episode) for episode in episodes]
    arenas = [np.reshape(scene.arena, (2, 2)) for scene in scenes]
    if view == "all" or not arenas:
        discs = [scene.goals + sign * scene.goal_radius for scene in scenes for sign in (-1, 1)]
        return square_about(np.concatenate(arenas + paths + discs), 0.06)
    arena = np.concatenate(arenas)
    low, high = arena.min(axis=0), arena.max(axis=0)
    side = float((high - low).max())
    reaches = [float(np.abs(path - (low + high) / 2).max()) * 1.03 / side - 0.5 for path in paths]
    return square_about(arena, max([ARENA_MARGIN, *[reach for reach in reaches if reach <= WIDEST_MARGIN]]))


def square_about(points: np.ndarray, margin: float) -> Limits:
    """The smallest upright square about (N, 2) points, with a margin that is a share of its side."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-3) * (1 + 2 * margin)
    x, y = ((low + high) / 2).tolist()
    return (x - half, y - half, x + half, y + half)


def map_limits(points: np.ndarray, arena: Limits | None) -> Limits:
    """What maps of many episodes show, all to one scale: the arena and a margin; without one, 99% of the points."""
    shown = np.percentile(points, [0.5, 99.5], axis=0) if arena is None else np.reshape(arena, (2, 2))
    return square_about(shown, ARENA_MARGIN)


def beyond(paths: Sequence[np.ndarray], limits: Limits) -> str:
    """ " · 90% of the time outside", or nothing: of positions (T + 1, 2) each."""
    points = np.concatenate(paths)
    share = 1 - float(np.mean(np.all((points >= limits[:2]) & (points <= limits[2:]), axis=1)))
    return f" · {share:.0%} of the time outside" if share > 0.005 else ""


def prepare_axes(ax: Axes, limits: Limits, *, title: str | None = None) -> None:
    """Equal aspect, the given limits, no ticks, a thin frame."""
    ax.set(aspect="equal", xlim=limits[::2], ylim=limits[1::2], xticks=[], yticks=[])
    for side, spine in ax.spines.items():
        if side != "top" or spine.get_linewidth() < 3:  # there it may be a strip of colour
            spine.set(visible=True, color=look.RULE, linewidth=0.8)
    if title:
        ax.set_title(title, loc="left", pad=5)


def draw_arena(ax: Axes, arena: Limits, **looks: Any) -> None:
    """The region in which layouts are placed."""
    corner, size = arena[:2], (arena[2] - arena[0], arena[3] - arena[1])
    _put(ax, Rectangle(corner, *size, **{"fc": look.GROUND, "ec": look.RULE, "lw": 0.8, "zorder": 0, **looks}), "arena")


def draw_scene(ax: Axes, scene: Scene) -> None:
    """Arena, lines, vases and hazards, each at its true size."""
    draw_arena(ax, scene.arena)
    for x, y, to_x, to_y in scene.lines:
        ax.plot([x, to_x], [y, to_y], color=look.GOAL, lw=1.8, ls=(0, (5, 2)), zorder=2, gid="line")
    half = scene.vase_half_width
    for x, y in scene.vases:
        vase = Rectangle((x - half, y - half), 2 * half, 2 * half, facecolor=look.VASE, alpha=0.75, lw=0, zorder=2)
        _put(ax, vase, "vase")
    colors: dict[str, Any] = {"facecolor": (look.HAZARD, 0.45), "edgecolor": (look.HAZARD, 0.9)}
    for x, y in scene.hazards:
        _put(ax, Circle((x, y), scene.hazard_radius, lw=0.8, zorder=2, **colors), "hazard")


def draw_goals(ax: Axes, scene: Scene, n_reached: int) -> None:
    """The goals at their true size: the first `n_reached` of them with the number of their order, others dashed."""
    goals = np.asarray(scene.goals, dtype=np.float64)
    number_size = float(np.clip(112 * scene.goal_radius / np.ptp(ax.get_xlim()), 0, 9))
    places = _apart(goals, NUMBERS_APART, furthest=0.75 * scene.goal_radius)
    reached: dict[str, Any] = {
        "facecolor": (look.GOAL, 0.17),
        "edgecolor": (look.GOAL, 0.8),
        "lw": 0.8,
        "linestyle": "-",
    }
    waiting: dict[str, Any] = {"facecolor": "none", "edgecolor": look.GOAL, "lw": 1.4, "linestyle": (0, (3, 2))}
    for index, ((x, y), place) in enumerate(zip(goals, places, strict=True)):
        looks = reached if index < n_reached else waiting
        _put(ax, Circle((x, y), scene.goal_radius, zorder=1, **looks), "goal")
        if index < n_reached and number_size > 3:
            looks = {"color": look.GOAL, "fontsize": number_size, "fontweight": "bold", "path_effects": HALO}
            looks |= {"ha": "center", "va": "center", "clip_on": True, "zorder": 9, "gid": "goal number"}
            ax.text(place[0], place[1], str(index + 1), **looks)


def _put(ax: Axes, patch: Patch, name: str) -> None:
    patch.set_gid(name)
    ax.add_artist(patch)


def draw_scale(ax: Axes, limits: Limits, *, color: str = look.FAINT) -> None:
    """A bar of a round length of metres in the lower left corner."""
    span = limits[2] - limits[0]
    length = max((r for r in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if r <= span / 4), default=span / 4)
    x, y = limits[0] + 0.035 * span, limits[1] + 0.035 * span
    looks: dict[str, Any] = {"color": color, "path_effects": HALO, "zorder": 5}
    ax.plot([x, x + length], [y, y], lw=1.4, solid_capstyle="butt", gid="scale", **looks)
    ax.text(x + length + 0.02 * span, y, f"{length:g} m", fontsize=7.5, va="center", **looks)


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
