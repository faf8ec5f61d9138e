"""Circle2D: an agent that steers around a centre; radius, direction, speed and steadiness are a matter of style.

After the description of Circle2D in Petitbois et al., arXiv 2601.22823, 2026, with rules of our own.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import Sensor
from mode_imitation.worlds.planar.batched import PlanarVectorEnv

FASTEST = 0.08
"""Metres a step under the action 1 for speed; 0 under -1."""
SHARPEST = 0.5
"""Radians a step under the action 1 for turning, to the left."""
CENTERS = 0.3
"""Centres lie within so many metres of the origin, along x and along y."""
NEAREST, FURTHEST = 0.2, 0.5
"""Metres from the centre at which an agent starts."""
ARENA = (-1.0, -1.0, 1.0, 1.0)


def style_of(positions: np.ndarray, center: np.ndarray) -> tuple[float, float]:
    """How a path goes around a centre, over its second half.

    Args:
        positions: (T + 1, 2) of the agent, metres.
        center: (2,) metres.

    Returns:
        Mean distance from the centre, metres, and mean way around it, radians a step, counterclockwise.
    """
    offsets = np.asarray(positions, dtype=np.float64)[len(positions) // 2 :] - center
    turned = np.diff(np.unwrap(np.arctan2(offsets[:, 1], offsets[:, 0])))
    return float(np.linalg.norm(offsets, axis=1).mean()), float(turned.mean())


class CircleVectorEnv(PlanarVectorEnv):
    """Observations: the centre as seen from the agent (2), metres, in the world's axes; cosine and sine of the heading.
    Actions: turning and speed, -1 to 1.

    The reward is the angle by which the agent went around the centre, radians, whichever way. No episode ends before
    its limit of steps. Infos hold "position" (N, 2), metres, and "heading" (N,), radians.
    """

    single_observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    single_action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    sensors = {"center": Sensor(0, 2), "heading": Sensor(2, 4)}  # noqa: RUF012
    default_steps = 200
    start_draws = 5

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **options)
        n = self.num_envs
        self._center, self._position, self._heading = np.zeros((n, 2)), np.zeros((n, 2)), np.zeros(n)

    def _begin(self, worlds: np.ndarray, draws: np.ndarray) -> None:
        self._center[worlds] = CENTERS * (2 * draws[:, :2] - 1)
        distance, bearing = NEAREST + (FURTHEST - NEAREST) * draws[:, 2], 2 * np.pi * draws[:, 3]
        self._position[worlds] = self._center[worlds] + distance[:, None] * _direction(bearing)
        self._heading[worlds] = 2 * np.pi * draws[:, 4]

    def _move(self, actions: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = self._position - self._center
        self._heading = (self._heading + SHARPEST * actions[:, 0]) % (2 * np.pi)
        speed = FASTEST * (actions[:, 1:] + 1) / 2
        self._position = self._position + speed * _direction(self._heading)
        after = self._position - self._center
        across = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        along = before[:, 0] * after[:, 0] + before[:, 1] * after[:, 1]
        return np.abs(np.arctan2(across, along)), np.zeros(self.num_envs, dtype=bool)

    def _observe(self) -> np.ndarray:
        return np.concatenate([self._center - self._position, _direction(self._heading)], axis=1, dtype=np.float32)

    def _tell(self) -> dict[str, np.ndarray]:
        return {"position": self._position.copy(), "heading": self._heading.copy()}

    def scene(self, world: int) -> Scene:
        """The centre, as a small goal."""
        goals = self._center[world : world + 1].copy()
        return Scene(goals=goals, goal_steps=np.zeros(1, dtype=np.int64), goal_radius=0.05, arena=ARENA)


def _direction(angle: np.ndarray) -> np.ndarray:
    """(N,) radians -> (N, 2)"""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
