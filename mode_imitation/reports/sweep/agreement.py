"""Evaluation only: how the codes of a sweep's cell agree with labels that training never saw."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.reports.clustering import sort_dataset
from mode_imitation.reports.metrics import clustering_scores, confusion_matrix
from mode_imitation.reports.turns import take_turns

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel

SCORES = ("nmi", "ari", "homogeneity", "completeness")


def with_comparable_labels(dataset: TrajectoryDataset) -> TrajectoryDataset:
    """The dataset without its labels where experts take turns within an episode: a sweep gives each episode one code,
    and several experts in turn are no one's label."""
    if not take_turns(dataset):
        return dataset
    return replace(dataset, episodes=tuple(replace(episode, expert=None) for episode in dataset.episodes))


def agreement_with_labels(model: "ModeModel", dataset: TrajectoryDataset, codes: Sequence[int]) -> dict[str, Any]:
    """Scores of the encoder's window codes and of the training's episode codes.

    Args:
        model: as it was trained.
        dataset: with labels.
        codes: (E,) the training's code of every episode.

    Returns:
        experts (L names), counts (L, K) windows of each expert with each code, and under "window", "window_in_arena"
        (None where no lidar is known) and "episode" the scores.
    """
    labels = np.array(dataset.labels)
    found = sort_dataset(model, dataset)
    of_window = labels[found.episode_of_window]
    confusion = confusion_matrix(of_window, found.codes, found.n_codes)
    arena = found.in_arena
    in_arena = arena is not None and bool(arena.any())
    return {
        "experts": confusion.labels,
        "counts": confusion.counts.tolist(),
        "window": _chosen(clustering_scores(of_window, found.codes)),
        "window_in_arena": _chosen(clustering_scores(of_window[arena], found.codes[arena])) if in_arena else None,
        "episode": _chosen(clustering_scores(labels, np.asarray(codes))),
    }


def _chosen(scores: dict[str, float]) -> dict[str, float]:
    return {name: scores[name] for name in SCORES}
