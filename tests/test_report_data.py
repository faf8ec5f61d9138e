"""Sorting a dataset into modes, and agreement with labels, each against a slow version."""

import numpy as np
import pytest
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.clustering import (
    SortedDataset,
    clustering_scores,
    compare_with_labels,
    exemplars,
    sort_dataset,
)
from tests.tiny_runs import N_CODES, SLICES, WINDOW, random_dataset, random_model


def slow_distances(model: ModeModel, episode: Episode, start: int) -> np.ndarray:
    steps = [start + i * WINDOW.gap for i in range(WINDOW.horizon)]
    states = torch.tensor(episode.observations[steps])
    deltas = torch.tensor(episode.observations[[step + WINDOW.stride for step in steps]]) - states
    z = model.encode(states[None], deltas[None], torch.tensor(episode.actions[steps])[None])
    return model.codebook.distances(z)[0].numpy()


def test_every_window_and_episode_gets_its_nearest_code_in_use() -> None:
    model, dataset = random_model(), random_dataset()
    found = sort_dataset(model, dataset, every=3)
    row = 0
    for index, episode in enumerate(dataset.episodes):
        pooled = []
        for start in range(0, len(episode) - WINDOW.span + 1, 3):
            distances = slow_distances(model, episode, start)
            pooled.append(distances)
            assert (found.episode_of_window[row], found.starts[row]) == (index, start)
            np.testing.assert_allclose(found.distances[row], distances, rtol=1e-4)
            assert found.codes[row] == distances[:3].argmin()
            assert found.in_arena is not None
            assert found.in_arena[row] == (episode.observations[start, SLICES["goal_lidar"]] > 0).any()
            row += 1
        assert found.episode_codes[index] == np.mean(pooled, axis=0)[:3].argmin()
    assert row == len(found.codes)
    assert 3 not in found.codes


def test_without_lidar_nobody_knows_what_is_in_the_arena() -> None:
    dataset = random_dataset()
    assert sort_dataset(random_model(), type(dataset)(dataset.name, dataset.episodes)).in_arena is None


def made_up(codes: list[int], episodes: list[int], episode_codes: list[int], in_arena: list[bool]) -> SortedDataset:
    distances = np.random.default_rng(0).uniform(1, 2, size=(len(codes), N_CODES))
    distances[np.arange(len(codes)), codes] = np.linspace(0.9, 0.1, len(codes))
    return SortedDataset(
        episode_of_window=np.array(episodes),
        starts=np.arange(len(codes)),
        distances=distances,
        codes=np.array(codes),
        in_arena=np.array(in_arena),
        episode_codes=np.array(episode_codes),
    )


def test_agreement_is_scored_over_windows_in_the_arena_and_episodes_apart() -> None:
    found = made_up([0, 1, 1, 1], [0, 0, 1, 1], [0, 1], [True, False, True, True])
    agreement = compare_with_labels(found, ["a", "b"], held_out=[1])
    scores = agreement.scores
    assert scores.window == clustering_scores(["a", "a", "b", "b"], np.array([0, 1, 1, 1]))
    assert scores.window_in_arena == clustering_scores(["a", "b", "b"], np.array([0, 1, 1]))
    assert scores.episode is not None
    assert scores.episode["nmi"] == pytest.approx(1.0)
    assert scores.n_experts == 2
    assert scores.episode_held_out is None  # one label alone agrees with any code
    both = compare_with_labels(found, ["a", "b"], held_out=[0, 1]).scores
    assert both.episode_held_out == both.episode
    np.testing.assert_array_equal(agreement.windows.counts, [[1, 1, 0, 0], [0, 2, 0, 0]])
    assert agreement.episodes is not None
    assert agreement.episodes.matched_labels() == ["a", "b", None, None]
    assert scores.coverage == 1.0
    merged = made_up([0, 0, 0, 0], [0, 0, 1, 1], [0, 0], [True] * 4)
    assert compare_with_labels(merged, ["a", "b"]).scores.coverage == 0.5


def test_without_a_window_in_the_arena_that_score_is_left_out() -> None:
    found = made_up([0, 1], [0, 1], [0, 1], [False, False])
    scores = compare_with_labels(found, ["a", "b"]).scores
    assert scores.window_in_arena is None
    assert scores.episode_held_out is None


def test_shuffled_labels_change_no_code() -> None:
    model, dataset = random_model(), random_dataset()
    before = sort_dataset(model, dataset)
    relabelled = random_dataset(labels=False)
    np.testing.assert_array_equal(sort_dataset(model, relabelled).codes, before.codes)


def test_exemplars_are_the_nearest_windows_of_distinct_episodes_of_that_mode() -> None:
    found = made_up([0, 0, 0, 0, 1, 0], [0, 0, 1, 1, 2, 2], [0, 0, 1], [True] * 6)
    chosen = exemplars(found, 0, count=3)
    # Episode 2 belongs to code 1, so that its window comes last although it is the nearest.
    assert [(window.episode, window.start) for window in chosen] == [(1, 3), (0, 1), (2, 5)]
    assert exemplars(found, 3) == []
    assert len(exemplars(found, 0, count=1)) == 1
