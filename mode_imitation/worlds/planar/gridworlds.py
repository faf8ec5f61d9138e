"""Two rooms of 9 x 9 cells, walls included: Diagonal, across the room; Takeball, one of four balls, then to the goal.

After the gridworlds of PG-Kmeans (arXiv 2506.09202, 2025), with code of our own. A position is (column, row), rows
counted from below, one metre a cell, so that pictures show the room upright.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from mode_imitation.worlds.planar.batched import PlanarVectorEnv

SIZE = 9
"""Cells along each side; the outermost are walls."""
MOVES = np.array([(0, 1), (0, -1), (-1, 0), (1, 0), (0, 0)])
"""(5, 2) of the choices up, down, left, right, stay."""
GOAL = (7, 1)
"""In the lower right corner."""
BALLS = ((1, 7), (3, 7), (5, 7), (7, 7))
"""Along the upper wall, from left to right."""


def ball_of(positions: np.ndarray) -> int:
    """Which ball a path (T + 1, 2) of Takeball takes: 0 to 3 from left to right, -1 for none."""
    cells = np.round(np.asarray(positions)).astype(int)
    here = (cells[:, None] == np.array(BALLS)).all(axis=2)  # (T + 1, 4)
    first = np.argmax(here.any(axis=1))
    return int(np.argmax(here[first])) if here.any() else -1


class GridVectorEnv(PlanarVectorEnv):
    """Observations: column, row, and whether there are balls to take (0 or 1). Actions: up, down, left, right, stay.

    An episode ends at the goal, with the reward 1. Infos hold "position" (N, 2), "goal_met" and "success" (N,) bool,
    and "ball" (N,) int, which was taken, -1 for none.
    """

    single_observation_space = spaces.MultiDiscrete([SIZE, SIZE, 2])
    single_action_space = spaces.Discrete(len(MOVES))
    sensors = {"cell": Sensor(0, 2, "token"), "balls": Sensor(2, 3, "token")}  # noqa: RUF012
    default_steps = 60
    start_draws = 2
    step_draws = 2
    balls: tuple[tuple[int, int], ...] = ()
    first: tuple[int, int]
    last: tuple[int, int]
    """Corners of the region where episodes start, both included."""

    def __init__(self, num_envs: int = 1, *, slip: float = 0.3, **options: Any) -> None:
        """
        Args:
            num_envs: worlds, at least 1.
            slip: chance that another choice, drawn evenly from all five, is carried out in a step.
            options: see `PlanarVectorEnv`.

        Raises:
            UserError: a count below 1; slip outside of 0 to 1.
        """
        if not 0 <= slip <= 1:
            raise UserError(f"slip is {slip}; expected a number from 0 to 1")
        super().__init__(num_envs, **options)
        self.slip = float(slip)
        self._cell = np.zeros((self.num_envs, 2), dtype=np.int64)
        self._ball = np.full(self.num_envs, -1)

    def _begin(self, worlds: np.ndarray, draws: np.ndarray) -> None:
        low, high = np.array(self.first), np.array(self.last)
        self._cell[worlds] = low + np.floor((high - low + 1) * draws).astype(np.int64)
        self._ball[worlds] = -1

    def _move(self, actions: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slipped = np.floor(len(MOVES) * draws[:, 1]).astype(np.int64)
        done = np.where(draws[:, 0] < self.slip, slipped, actions)
        self._cell = np.clip(self._cell + MOVES[done], 1, SIZE - 2)
        for ball, place in enumerate(self.balls):
            self._ball[(self._ball < 0) & self._at(place)] = ball
        reached = self._at(GOAL)
        return reached.astype(np.float64), reached

    def _at(self, place: tuple[int, int]) -> np.ndarray:
        return (self._cell[:, 0] == place[0]) & (self._cell[:, 1] == place[1])

    def _observe(self) -> np.ndarray:
        there = (self._ball < 0) & bool(self.balls)
        return np.concatenate([self._cell, there[:, None]], axis=1, dtype=np.int64)

    def _tell(self) -> dict[str, np.ndarray]:
        reached = self._at(GOAL)
        position = self._cell.astype(np.float64)
        return {"position": position, "goal_met": reached, "success": reached.copy(), "ball": self._ball.copy()}

    def scene(self, world: int) -> Scene:
        """The room within its walls; balls are drawn as vases."""
        return Scene(
            goals=np.array([GOAL], dtype=np.float64),
            goal_steps=np.zeros(1, dtype=np.int64),
            goal_radius=0.4,
            vases=np.array(self.balls, dtype=np.float64).reshape(-1, 2),
            vase_half_width=0.25,
            arena=(0.5, 0.5, SIZE - 1.5, SIZE - 1.5),
        )


class DiagonalVectorEnv(GridVectorEnv):
    """From one of the upper left cells to the goal."""

    first, last = (1, 4), (4, 7)


class TakeballVectorEnv(GridVectorEnv):
    """From the lower left to one of the balls; taking one removes all, and then to the goal."""

    balls = BALLS
    first, last = (1, 1), (3, 1)
