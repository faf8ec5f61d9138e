"""What N worlds show after a reset or a step, as arrays that a stepping path fills in place."""

from typing import Any, Protocol

import numpy as np


class WorldArrays:
    """State of N worlds as seen from outside. Positions in metres in the world's frame, headings in radians."""

    def __init__(self, n_worlds: int, obs_dim: int) -> None:
        self.observations = np.zeros((n_worlds, obs_dim))
        self.rewards = np.zeros(n_worlds)
        self.costs = np.zeros(n_worlds)
        self.goals_met = np.zeros(n_worlds, dtype=bool)
        self.terminations = np.zeros(n_worlds, dtype=bool)
        self.positions = np.zeros((n_worlds, 2))
        self.headings = np.zeros(n_worlds)
        self.goal_positions = np.full((n_worlds, 2), np.nan)

    def begin_episodes(self, worlds: np.ndarray) -> None:
        """Nothing has happened yet in these worlds (M,)."""
        self.rewards[worlds] = 0.0
        self.costs[worlds] = 0.0
        self.goals_met[worlds] = False
        self.terminations[worlds] = False


class Worlds(Protocol):
    """A way to step N worlds of one task. Both paths fill `arrays`; neither checks its arguments."""

    arrays: WorldArrays
    builders: list[Any]
    """The library's own environments, one a world."""

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, Exception]]:
        """Start new episodes in these worlds (M,); None continues a world's own random stream.

        Returns:
            (world, what the library raised) of each world whose layout could not be made.
        """
        ...

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        """One environment step of worlds (M,) under actions (N, act_dim)."""
        ...

    def close(self) -> None: ...
