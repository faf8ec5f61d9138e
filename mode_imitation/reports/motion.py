"""One episode in a dozen numbers: what the world said of it, and, where positions are known, how the agent moved.

No label is needed. `--figure my.py:function` adds a user's own number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.data.spaces import Sensor, in_sight, of_kind
from mode_imitation.reports.statistics import Interval, bootstrap

STANDING_SPEED = 1e-6
"""Metres in a step below which there is no direction of travel."""
DRIVING_DIRECTION = {"Car": -np.pi / 2}
"""Where a robot drives, seen from its heading, radians; 0 where not listed. A Car's wheels drive it along its -y."""


@dataclass(frozen=True)
class Motion:
    """One episode's figures; None for what the episode lacks (positions, goals, costs)."""

    steps: int
    goals: float | None = None
    """Goals reached."""
    success: float | None = None
    """1 where the world said at some step that its task was done, else 0."""
    cost: float | None = None
    """Sum of costs."""
    return_: float | None = None
    """Sum of rewards."""
    arena_share: float | None = None
    """Share of steps at which some object was in sensor range."""
    path_length: float | None = None
    """Metres."""
    straightness: float | None = None
    """Net displacement over path length, in [0, 1]; 0 for a robot that never moved."""
    speed: float | None = None
    """Mean, metres per second."""
    turn_rate: float | None = None
    """Mean, radians per second, counterclockwise (to the left) positive: left and right turns cancel."""
    turning: float | None = None
    """Mean of the absolute turn rate, radians per second."""
    forward_share: float | None = None
    """Share of the path that was driven forwards, in [0, 1]; needs headings."""
    approach: float | None = None
    """Metres gained towards the goal of the moment, per metre driven, in [-1, 1]; 1 drives straight at every goal."""


FIGURES = [field.name.rstrip("_") for field in fields(Motion)]
"""Names of all figures, without the trailing underscore."""


def in_arena(observations: np.ndarray, sensors: Mapping[str, Sensor] | None) -> np.ndarray | None:
    """(..., obs_dim) -> (...) bool, whether some object was in sensor range; None where no ring sensor is known."""
    return in_sight(observations, sensors) if of_kind(sensors, "ring") else None


def measure(
    episode: Episode, *, time_step: float = 1.0, driving_direction: float = 0.0, in_arena: np.ndarray | None = None
) -> Motion:
    """Measure one episode; figures whose arrays it lacks are None.

    Args:
        time_step: seconds per step; with 1.0, speeds are per step.
        driving_direction: where the robot drives, seen from its heading, radians counterclockwise.
        in_arena: (T + 1,) or (T,) bool, whether some object was in sensor range at each step.
    """
    figures: dict[str, float | None] = {
        "goals": _total(episode.goals_met),
        "success": None if episode.successes is None else float(np.any(episode.successes)),
        "cost": _total(episode.costs),
        "return_": _total(episode.rewards),
        "arena_share": None if in_arena is None or not len(in_arena) else float(np.mean(in_arena)),
    }
    if episode.positions is not None and len(episode):
        positions = np.asarray(episode.positions, dtype=np.float64)  # (T + 1, 2)
        moves = np.diff(positions, axis=0)  # (T, 2)
        lengths = np.hypot(*moves.T)  # (T,)
        path, duration = float(lengths.sum()), len(episode) * time_step
        turns = turning_angles(moves, lengths) if episode.headings is None else _turns(episode.headings)
        figures |= {
            "path_length": path,
            "straightness": min(1.0, float(np.hypot(*(positions[-1] - positions[0]))) / path) if path else 0.0,
            "speed": path / duration,
            "turn_rate": float(turns.sum()) / duration,
            "turning": float(np.abs(turns).sum()) / duration,
        }
        if episode.headings is not None and path:
            directions = episode.headings[:-1] + driving_direction
            along = moves[:, 0] * np.cos(directions) + moves[:, 1] * np.sin(directions)  # (T,)
            figures["forward_share"] = float(lengths[along > 0].sum() / path)
        if episode.scene is not None and len(episode.scene.goals):
            figures["approach"] = approach(positions, lengths, episode.scene)
    return Motion(steps=len(episode), **figures)  # type: ignore[arg-type]


def approach(positions: np.ndarray, lengths: np.ndarray, scene: Scene) -> float:
    """Metres gained towards the current goal per metre driven, in [-1, 1]; 0 for a robot that never moved.

    A goal's reappearance elsewhere counts for nothing. Of (T + 1, 2) positions in metres and (T,) metres driven.
    """
    standing = np.searchsorted(scene.goal_steps, np.arange(len(lengths)), side="right") - 1  # (T,)
    goals = np.asarray(scene.goals, dtype=np.float64)[np.clip(standing, 0, None)]  # (T, 2)
    gained = np.linalg.norm(goals - positions[:-1], axis=1) - np.linalg.norm(goals - positions[1:], axis=1)
    path = lengths.sum()
    return float(np.clip(gained.sum() / path, -1.0, 1.0)) if path else 0.0


def turning_angles(moves: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(<= T - 1,) radians between successive moves, for episodes without headings; standing steps are left out."""
    moves = moves[lengths > STANDING_SPEED]
    return _turns(np.arctan2(moves[:, 1], moves[:, 0]))


def _turns(headings: np.ndarray) -> np.ndarray:
    """Differences of angles, each the short way round."""
    return np.angle(np.exp(1j * np.diff(np.asarray(headings, dtype=np.float64))))


def _total(values: np.ndarray | None) -> float | None:
    return None if values is None else float(np.sum(values, dtype=np.float64))


def column(motions: Sequence[Motion], figure: str) -> np.ndarray | None:
    """(N,) one figure of many episodes; None where any of them lacks it."""
    name = "return_" if figure == "return" else figure
    values = [getattr(motion, name) for motion in motions]
    if not values or any(value is None for value in values):
        return None
    return np.array(values, dtype=np.float64)


def columns(motions: Sequence[Motion], figures: Iterable[str]) -> dict[str, np.ndarray | None]:
    """The `column` of each figure."""
    return {figure: column(motions, figure) for figure in figures}


def means(motions: Sequence[Motion]) -> dict[str, float | None]:
    """The mean of every figure over many episodes; None where one lacks it."""
    found = columns(motions, FIGURES)
    return {figure: None if values is None else float(values.mean()) for figure, values in found.items()}


def intervals(
    motions: Sequence[Motion], figures: Sequence[str] = FIGURES, *, seed: int = 0
) -> dict[str, Interval | None]:
    """Mean and interval of each figure over many episodes; None where one lacks it."""
    found = columns(motions, figures)
    return {name: None if values is None else bootstrap(values, seed=seed) for name, values in found.items()}
