"""Avoiding: past three rows of obstacles and over a line, by one of 24 routes.

The geometry is that of D3IL's task (Jia et al., ICLR 2024), without its robot arm: the agent moves a desired point, and
the real point follows it with a lag.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from mode_imitation.worlds.planar.batched import PlanarVectorEnv

ROWS = ((-0.1, (0.5,)), (0.08, (0.425, 0.575)), (0.26, (0.35, 0.5, 0.65)))
"""y of each row of obstacles, and the x of each obstacle in it; metres."""
OBSTACLES = np.array([(x, y) for y, xs in ROWS for x in xs])
"""(6, 2) metres."""
RADIUS = 0.0375
"""Metres from an obstacle's centre at which the agent touches it; people pass at .040 or more."""
LINE = 0.35
"""y of the line to cross, metres."""
START = (0.525, -0.28)
"""Where people start, metres; seeds move it by up to SPREAD."""
SPREAD = 0.01
REACH = 0.0125
"""Metres by which the desired point moves in a step at most, along x and along y each."""
FOLLOW = 0.28
"""Share of the way to the desired point that the real one goes in a step: the first-order lag that fits people's data
best. D3IL's arm overshoots besides."""
N_ROUTES = 24
ARENA = (0.15, -0.32, 0.85, 0.42)


def sides_of(row: int, x: np.ndarray) -> np.ndarray:
    """How many obstacles of a row lie to the left of x (...): 0 for passing left of them all."""
    return np.sum([np.asarray(x) > at for at in ROWS[row][1]], axis=0)


def route_of(positions: np.ndarray) -> int:
    """Which of the 24 routes a path took: 12 a + 4 b + c for the sides a, b, c on which it first passed the rows.

    Args:
        positions: (T + 1, 2) of the agent, metres.

    Returns:
        0 to 23; -1 where it did not pass all rows.

    Raises:
        UserError: another shape.
    """
    path = np.asarray(positions, dtype=np.float64)
    if path.ndim != 2 or path.shape[1] != 2:
        raise UserError(f"positions have shape {path.shape}; expected (T + 1, 2)")
    route = 0
    for row, (y, obstacles) in enumerate(ROWS):
        passed = np.flatnonzero((path[:-1, 1] < y) & (path[1:, 1] >= y))
        if not len(passed):
            return -1
        before, after = path[passed[0]], path[passed[0] + 1]
        route = route * (len(obstacles) + 1) + int(sides_of(row, _x_at(y, before, after)))
    return route


class AvoidingVectorEnv(PlanarVectorEnv):
    """Observations: the desired point and the real one, metres. Actions: the desired point's move, metres.

    An episode ends at the line, or at the first touch of an obstacle. The reward is 1 where the line is crossed. Infos
    hold "position" (N, 2), the real point; "success" (N,) bool; "cost" (N,), 1 at the touch; "route" (N,) int, -1 until
    all rows are passed.
    """

    single_observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    single_action_space = spaces.Box(-REACH, REACH, (2,), np.float32)
    sensors = {"desired": Sensor(0, 2), "real": Sensor(2, 4)}  # noqa: RUF012
    default_steps = 200
    start_draws = 2

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **options)
        n = self.num_envs
        self._desired, self._real = np.zeros((n, 2)), np.zeros((n, 2))
        self._sides = np.full((len(ROWS), n), -1)
        self._touched, self._crossed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)

    def _begin(self, worlds: np.ndarray, draws: np.ndarray) -> None:
        self._desired[worlds] = self._real[worlds] = np.array(START) + SPREAD * (2 * draws - 1)
        self._sides[:, worlds] = -1
        self._touched[worlds], self._crossed[worlds] = False, False

    def _move(self, actions: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = self._real
        self._desired = self._desired + actions
        self._real = before + FOLLOW * (self._desired - before)
        x, y = self._real.T
        self._touched = np.zeros(self.num_envs, dtype=bool)
        for obstacle_x, obstacle_y in OBSTACLES:
            self._touched |= (x - obstacle_x) ** 2 + (y - obstacle_y) ** 2 < RADIUS**2
        for row, (at, _) in enumerate(ROWS):
            passed = np.flatnonzero((self._sides[row] < 0) & (before[:, 1] < at) & (y >= at))
            if len(passed):
                self._sides[row, passed] = sides_of(row, _x_at(at, before[passed], self._real[passed]))
        self._crossed = (y >= LINE) & ~self._touched
        return self._crossed.astype(np.float64), self._crossed | self._touched

    def _observe(self) -> np.ndarray:
        return np.concatenate([self._desired, self._real], axis=1, dtype=np.float32)

    def _tell(self) -> dict[str, np.ndarray]:
        route = np.where((self._sides >= 0).all(axis=0), np.array([12, 4, 1]) @ self._sides, -1)
        return {
            "position": self._real.copy(),
            "success": self._crossed.copy(),
            "cost": self._touched.astype(np.float64),
            "route": route,
        }

    def scene(self, world: int) -> Scene:
        """Obstacles with the radius at which they are touched, and the line."""
        return Scene(
            goals=np.zeros((0, 2)),
            goal_steps=np.zeros(0, dtype=np.int64),
            hazards=OBSTACLES.copy(),
            hazard_radius=RADIUS,
            lines=np.array([[ARENA[0], LINE, ARENA[2], LINE]]),
            arena=ARENA,
        )


def _x_at(y: float, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """x at which the way from (..., 2) to (..., 2) reaches a height that lies between the two."""
    share = (y - before[..., 1]) / (after[..., 1] - before[..., 1])
    return before[..., 0] + share * (after[..., 0] - before[..., 0])
