"""Leaving the goal mode for another one and taking it up again: modes and experts under the same schedule."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GOAL_STEPS = 250
"""Of the goal mode, before and after the other one."""
EXCURSIONS = (50, 100)
"""Steps of the other mode."""


@dataclass(frozen=True)
class Excursion:
    """The goal expert (or its mode), another one for a while, and the goal expert again."""

    other: str
    steps: int

    @property
    def name(self) -> str:
        """For JSON: "forward_moving:50"."""
        return f"{self.other}:{self.steps}"

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Steps at which the three segments begin and end."""
        return (0, GOAL_STEPS, GOAL_STEPS + self.steps, 2 * GOAL_STEPS + self.steps)

    def schedule(self, goal: int, other: int) -> np.ndarray:
        """(T,) int: who drives each step, `goal` or `other`."""
        first, left, back, end = self.edges
        return np.repeat([goal, other, goal], [left - first, back - left, end - back])

    def goals(self, goals_met: np.ndarray) -> np.ndarray:
        """Goals reached in each of the three segments: (E, T) bool -> (3, E)"""
        met = np.asarray(goals_met, dtype=np.int64)
        segments = itertools.pairwise(self.edges)
        return np.stack([met[:, start:stop].sum(axis=1) for start, stop in segments])


def excursions(experts: Sequence[str], goal: str, longest: int) -> list[Excursion]:
    """One of each length to every other expert, those that fit into `longest` steps."""
    every = [Excursion(other, steps) for other in experts if other != goal for steps in EXCURSIONS]
    return [excursion for excursion in every if excursion.edges[-1] <= longest]


class SwitchingExperts:
    """Lets several experts drive by a schedule; all see every step, so that one that remembers is up to date."""

    def __init__(
        self,
        experts: Sequence[Any],
        schedule: np.ndarray,
        rngs: Sequence[np.random.Generator],
        action_noise: float = 0.1,
    ) -> None:
        """
        Args:
            experts: see experts.protocol.
            schedule: (T,) int, which of them drives each step.
            rngs: one an episode of the rollout.
            action_noise: standard deviation of the Gaussian noise added to every action.
        """
        self.experts, self.schedule, self.rngs, self.action_noise = list(experts), schedule, list(rngs), action_noise

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        """Begin N episodes, see worlds.rollout.Controller."""
        self.group = [self.rngs[episode] for episode in episodes]
        for expert in self.experts:
            expert.reset(observations, self.group)
        self.noise: np.ndarray | None = None

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, obs_dim) -> (N, act_dim) actions and (N,) bool, False: none of them is disturbed."""
        wanted = [np.asarray(expert.act(observations), dtype=np.float64) for expert in self.experts]
        chosen = wanted[self.schedule[step]]
        if self.noise is None:
            shape = (len(self.schedule), chosen.shape[1])
            self.noise = self.action_noise * np.stack([rng.normal(size=shape) for rng in self.group], axis=1)
        return chosen + self.noise[step], np.zeros(len(observations), dtype=bool)
