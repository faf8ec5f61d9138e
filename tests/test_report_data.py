"""Sorting a dataset into modes, agreement with labels, the leak, and steering's NMI, each against a slow version."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.model.config import ContextKind
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.clustering import (
    SortedDataset,
    clustering_scores,
    compare_with_labels,
    exemplars,
    sort_dataset,
)
from mode_imitation.reports.leak import action_nll, measure_leak, stretches
from tests.tiny_runs import N_CODES, SLICES, WINDOW, random_dataset, random_episode, random_model


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
    agreement = compare_with_labels(found, ["a", "b"], n_modes=3, held_out=[1])
    scores = agreement.scores
    assert scores["window"] == clustering_scores(["a", "a", "b", "b"], np.array([0, 1, 1, 1]))
    assert scores["window_in_arena"] == clustering_scores(["a", "b", "b"], np.array([0, 1, 1]))
    assert (scores["window_nmi_in_arena"], scores["episode_nmi"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert scores["homogeneity"] == scores["window"]["homogeneity"]
    assert (scores["n_modes"], scores["n_experts"]) == (3, 2)
    assert scores["episode_held_out"] is None  # one label alone agrees with any code
    both = compare_with_labels(found, ["a", "b"], n_modes=3, held_out=[0, 1]).scores
    assert both["episode_held_out"] == both["episode"]
    np.testing.assert_array_equal(agreement.windows.counts, [[1, 1, 0, 0], [0, 2, 0, 0]])
    assert agreement.episodes is not None
    assert agreement.episodes.matched_labels() == ["a", "b", None, None]
    assert scores["coverage"] == 1.0
    merged = made_up([0, 0, 0, 0], [0, 0, 1, 1], [0, 0], [True] * 4)
    assert compare_with_labels(merged, ["a", "b"], n_modes=1).scores["coverage"] == 0.5


def test_without_a_window_in_the_arena_that_score_is_left_out() -> None:
    found = made_up([0, 1], [0, 1], [0, 1], [False, False])
    scores = compare_with_labels(found, ["a", "b"], n_modes=2).scores
    assert scores["window_in_arena"] is None
    assert scores["window_nmi_in_arena"] is None
    assert scores["episode_held_out"] is None


def test_shuffled_labels_change_no_code() -> None:
    model, dataset = random_model(), random_dataset()
    before = sort_dataset(model, dataset)
    relabelled = random_dataset(labels=False)
    np.testing.assert_array_equal(sort_dataset(model, relabelled).codes, before.codes)


def test_exemplars_are_the_nearest_windows_of_distinct_episodes_of_that_mode() -> None:
    found = made_up([0, 0, 0, 0, 1, 0], [0, 0, 1, 1, 2, 2], [0, 0, 1], [True] * 6)
    chosen = exemplars(found, 0, count=3)
    # Episode 2 belongs to code 1, so that its window comes last although it is the nearest.
    assert [(window["episode"], window["start"]) for window in chosen] == [(1, 3), (0, 1), (2, 5)]
    assert exemplars(found, 3) == []
    assert len(exemplars(found, 0, count=1)) == 1


def test_action_nll_is_torchs_normal_density_of_raw_actions() -> None:
    model, episode = random_model(), random_episode()
    model.features.act_scale.copy_(torch.tensor([0.5, 2.0]))
    model.features.act_mean.copy_(torch.tensor([0.1, -0.3]))
    contexts = model.mode_contexts()[[0, 1] * 20]
    parameters = model.predict(model.features.rows(torch.tensor(episode.observations[:-1])), contexts)[:, 0]
    mean, log_sigma = parameters.chunk(2, dim=-1)
    scale = torch.tensor([0.5, 2.0])
    raw = torch.distributions.Normal(mean * scale + torch.tensor([0.1, -0.3]), log_sigma.exp() * scale)
    expected = -raw.log_prob(torch.tensor(episode.actions)).sum(-1)
    found = action_nll(model, episode.observations[:-1], episode.actions, contexts.numpy())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def test_action_nll_of_choices_is_torchs_categorical_density() -> None:
    space = ActionSpace(2, (3, 4))
    model, episode = random_model(head="categorical", action_space=space), random_episode()
    actions = np.random.default_rng(0).integers(0, space.choices, size=(len(episode), 2))
    contexts = model.mode_contexts()[[0, 1] * 20]
    logits = model.predict(model.features.rows(torch.tensor(episode.observations[:-1])), contexts)[:, 0]
    columns = [
        torch.distributions.Categorical(logits=part).log_prob(torch.tensor(actions[:, index]))
        for index, part in enumerate(logits.split([3, 4], dim=-1))
    ]
    found = action_nll(model, episode.observations[:-1], actions, contexts.numpy())
    np.testing.assert_allclose(found, -sum(columns).numpy(), rtol=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize("consecutive", [False, True])
def test_a_memory_takes_up_an_episode_only_where_steps_are_said_to_be_one(consecutive: bool) -> None:
    model, episode = random_model(memory=4), random_episode()
    contexts = model.mode_contexts()[[1] * len(episode)].numpy()
    seen = episode.observations[:-1]
    whole = action_nll(model, seen, episode.actions, contexts, consecutive=consecutive)
    for step in (0, 7, 39):
        before = slice(0, step + 1) if consecutive else slice(step, step + 1)
        alone = action_nll(model, seen[before], episode.actions[before], contexts[before], consecutive=consecutive)
        assert alone[-1] == pytest.approx(whole[step], rel=1e-4)
    other = action_nll(model, seen, episode.actions, contexts, consecutive=not consecutive)
    assert other[0] == pytest.approx(whole[0], rel=1e-4)
    assert np.abs(other[1:] - whole[1:]).max() > 1e-4


@pytest.mark.parametrize("kind", ["assignment", "distances"])
@pytest.mark.parametrize(("pool", "segment", "edges"), [(1, None, [0, 40]), (8, None, [0, 40]), (8, 18, [0, 18, 40])])
def test_the_leak_equals_a_slow_count(kind: ContextKind, pool: int, segment: int | None, edges: list[int]) -> None:
    model, episodes = random_model(kind), [random_episode(seed=seed) for seed in range(2)]
    model.typical_distances.copy_(0.5 * torch.rand(N_CODES, N_CODES, generator=torch.Generator().manual_seed(1)))
    rng = np.random.default_rng(5)
    modes = model.mode_contexts().numpy()
    fixed, inferred = [], []
    for episode, (first, last) in product(episodes, pairwise(edges)):
        starts = [s for s in range(0, len(episode), 2) if first <= s and s + WINDOW.span <= last]
        distances = {start: slow_distances(model, episode, start) for start in starts}
        mode = int(np.mean(list(distances.values()), axis=0)[:3].argmin())
        order = rng.permutation(starts).tolist()
        while order and (len(order) >= pool or len(order) == len(starts)):  # a rest makes no group, a whole does
            group, order = order[:pool], order[pool:]
            shared = model.context(torch.tensor(np.mean([distances[start] for start in group], axis=0))[None]).numpy()
            for start in group:
                steps = [start + index * WINDOW.gap for index in range(WINDOW.horizon)]
                rows = episode.observations[steps], episode.actions[steps]
                inferred += action_nll(model, *rows, np.concatenate([shared] * len(steps))).tolist()
                fixed += action_nll(model, *rows, np.stack([modes[mode]] * len(steps))).tolist()
    leak = measure_leak(model, episodes, pool=pool, segment=segment, every=2, seed=5)
    assert leak.nll_inferred == pytest.approx(np.mean(inferred), rel=1e-4)
    assert leak.nll_fixed == pytest.approx(np.mean(fixed), rel=1e-4)
    assert leak.gap == pytest.approx(np.mean(fixed) - np.mean(inferred), abs=1e-3)


def test_pooling_changes_the_inferred_contexts_and_not_the_fixed_ones() -> None:
    model, episodes = random_model("distances"), [random_episode(steps=200, seed=seed) for seed in range(3)]
    n_windows = 200 - WINDOW.span + 1
    alone, pooled = (measure_leak(model, episodes, pool=pool, every=1) for pool in (1, 15))
    assert n_windows % 15 == 0
    assert pooled.nll_fixed == pytest.approx(alone.nll_fixed)
    assert pooled.nll_inferred != pytest.approx(alone.nll_inferred, abs=1e-6)


def test_windows_belong_to_the_segment_that_holds_all_of_them() -> None:
    starts = np.arange(0, 40, 3)
    for segment, edges in {None: [0, 40], 8: [0, 8, 16, 24, 32, 40], 15: [0, 15, 30, 40], 18: [0, 18, 40]}.items():
        slow = [
            [i for i, start in enumerate(starts) if first <= start and start + WINDOW.span <= last]
            for first, last in pairwise(edges)
        ]
        found = stretches(starts, 40, segment, WINDOW.span)
        assert [members.tolist() for members in found] == [members for members in slow if members]


def test_a_leak_without_a_window_in_any_segment_is_one_clear_line() -> None:
    disturbed = np.ones(12, dtype=bool)
    disturbed[3:9] = False
    with pytest.raises(UserError, match="no undisturbed window of 6 steps lies within a segment of 6"):
        measure_leak(random_model(), [random_episode(12, disturbed=disturbed)], pool=2, segment=6)


def test_segments_are_judged_by_modes_of_their_own() -> None:
    model, episodes = random_model(), [random_episode(steps=200, seed=seed) for seed in range(3)]
    whole, cut = (measure_leak(model, episodes, pool=1, segment=segment, every=1) for segment in (None, 6))
    # A segment of one window: the fixed context is the one of the window's own nearest code.
    assert cut.nll_fixed != pytest.approx(whole.nll_fixed, abs=1e-9)


def test_an_episode_of_fewer_windows_than_a_pool_is_pooled_whole() -> None:
    leak = measure_leak(random_model(), [random_episode(steps=8)], pool=50, every=1)
    assert np.isfinite([leak.nll_inferred, leak.nll_fixed]).all()
