"""What a dataset holds, expert by expert."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import in_sight, of_kind

UNLABELLED = "(no labels)"


@dataclass(frozen=True)
class ExpertSummary:
    """Means over the episodes of one expert; None where the data lacks what a figure needs."""

    expert: str
    episodes: int
    steps: int
    """In all, over the episodes."""
    goals: float | None
    """Reached per episode."""
    reward_return: float | None
    """Sum of rewards per episode."""
    cost: float | None
    """Sum of costs per episode."""
    in_arena: float | None
    """Share of the steps with something in reach of the lidar, 0 .. 1."""
    disturbed: float | None
    """Share of the steps whose action was random, 0 .. 1."""


@dataclass(frozen=True)
class DatasetSummary:
    """One row an expert, in the order in which they appear."""

    rows: tuple[ExpertSummary, ...]
    missing: tuple[str, ...]
    """What the data does not have; figures that need it are None."""


def summarise(dataset: TrajectoryDataset) -> DatasetSummary:
    """Means per expert; one row for all episodes where the data has no labels."""
    groups: dict[str, list[Episode]] = {}
    for label, episode in zip(dataset.labels or [UNLABELLED] * len(dataset), dataset.episodes, strict=True):
        groups.setdefault(label, []).append(episode)
    has_ring = bool(of_kind(dataset.sensors, "ring"))
    rows = []
    for label, episodes in groups.items():
        seen = [in_sight(episode.observations[:-1], dataset.sensors) if has_ring else None for episode in episodes]
        rows.append(
            ExpertSummary(
                expert=label,
                episodes=len(episodes),
                steps=sum(map(len, episodes)),
                goals=_mean_total([episode.goals_met for episode in episodes]),
                reward_return=_mean_total([episode.rewards for episode in episodes]),
                cost=_mean_total([episode.costs for episode in episodes]),
                in_arena=_share(seen),
                disturbed=_share([episode.disturbed for episode in episodes]),
            )
        )
    parts = {
        "labels": dataset.labels is not None,
        "goals": dataset.has("goals_met"),
        "rewards": dataset.has("rewards"),
        "costs": dataset.has("costs"),
        "a sensor of kind ring": has_ring,
        "marks of disturbed steps": dataset.has("disturbed"),
        "positions": dataset.has("positions"),
    }
    return DatasetSummary(tuple(rows), tuple(name for name, there in parts.items() if not there))


def _mean_total(arrays: Sequence[np.ndarray | None]) -> float | None:
    known = [values.sum(dtype=np.float64) for values in arrays if values is not None]
    return float(np.mean(known)) if len(known) == len(arrays) else None


def _share(arrays: Sequence[np.ndarray | None]) -> float | None:
    known = [values for values in arrays if values is not None]
    return float(np.concatenate(known).mean()) if len(known) == len(arrays) else None
