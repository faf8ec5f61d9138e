"""What the peers see of trajectories: the undisturbed steps, every column of mean 0 and spread 1.

E trajectories, S steps, D numbers of an observation, A of an action.
"""

from dataclasses import dataclass

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset

LEAST_SPREAD = 1e-6
"""Columns that vary less are constant, and stay so."""


@dataclass(frozen=True)
class Steps:
    """All steps, one after another."""

    states: np.ndarray
    """(S, D) float32"""
    changes: np.ndarray
    """(S, D) float32, until the next state."""
    actions: np.ndarray
    """(S, A) float32; of choices, a 1 in the column of the one that was taken."""
    trajectory: np.ndarray
    """(S,) int64, from 0 on, ascending; every trajectory has a step."""
    choices: tuple[int, ...]
    """How many columns of `actions` belong to each choice; empty where actions are numbers."""

    @property
    def n_trajectories(self) -> int:
        return int(self.trajectory[-1]) + 1

    def means(self, values: np.ndarray) -> np.ndarray:
        """(..., S) -> (..., E): the mean over each trajectory's steps."""
        starts = np.searchsorted(self.trajectory, np.arange(self.n_trajectories))
        return np.add.reduceat(values, starts, axis=-1) / np.bincount(self.trajectory)


def steps_of(dataset: TrajectoryDataset, most: int | None = None) -> Steps:
    """
    Args:
        dataset: its labels are not looked at.
        most: of each trajectory, evenly spaced steps; None for all.
    """
    states, changes, actions, trajectory = [], [], [], []
    space = dataset.action_space
    for index, episode in enumerate(dataset.episodes):
        kept = np.arange(len(episode))
        if episode.disturbed is not None and not np.all(episode.disturbed):
            kept = np.flatnonzero(~np.asarray(episode.disturbed, dtype=bool))
        if most is not None and len(kept) > most:
            kept = kept[np.linspace(0, len(kept) - 1, most).astype(int)]
        observations = episode.observations.astype(np.float64)
        states.append(observations[kept])
        changes.append(observations[kept + 1] - observations[kept])
        own = np.asarray(episode.actions)[kept]
        if space.discrete:
            own = np.concatenate([np.eye(n)[column] for n, column in zip(space.choices, own.T, strict=True)], axis=1)
        actions.append(own.astype(np.float64))
        trajectory.append(np.full(len(kept), index))
    acts = np.concatenate(actions)
    return Steps(
        scaled(np.concatenate(states)).astype(np.float32),
        scaled(np.concatenate(changes)).astype(np.float32),
        (acts if space.discrete else scaled(acts)).astype(np.float32),
        np.concatenate(trajectory),
        tuple(space.choices),
    )


def scaled(values: np.ndarray) -> np.ndarray:
    """(N, C) -> (N, C) of mean 0 and spread 1, a column; constant columns become 0."""
    return (values - values.mean(0)) / np.maximum(values.std(0), LEAST_SPREAD)
