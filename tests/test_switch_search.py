"""Experts that switch in mid-episode: the steps at which they do so are found, without labels."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mode_imitation.discovery import switches
from mode_imitation.discovery.hidden_markov import runs_of
from mode_imitation.discovery.switches import (
    BLIND_ROUNDS,
    MERGED_BEFORE,
    SIGHTED_ROUNDS,
    SWITCH_COST,
    UNION_LOSS,
    SwitchSearch,
    blinded,
    codes_by_episode,
    merge_once,
    most_probable_codes,
    next_kind,
    step_scores,
    stretches_by_episode,
    units_of_codes,
)
from mode_imitation.model.batches import FlatEpisodes, TrainingData, Units
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.fit import fit
from tests.small_models import SENSORS, draw_observations, make_model, seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import small

STEPS = 60
DATA = two_laws(n_each=4, steps=STEPS, switch=True)
TRUTH = np.concatenate([[(e + (t >= STEPS // 2)) % 2 for t in range(STEPS)] for e in range(len(DATA))])
CONFIG = small(codes=3, segment=20, find_switches=True, judge_iterations=150, judge_batch=128)
PREPARED = prepared(DATA, CONFIG)


def agreement(codes: torch.Tensor) -> float:
    """Share of the steps that are right, codes named in the better of two ways."""
    right = float((codes.numpy() == TRUTH).mean())
    return max(right, 1 - right)


def noisy_truth(share: float) -> torch.Tensor:
    flips = np.random.default_rng(0).random(len(TRUTH) // 10) < share
    return torch.from_numpy(TRUTH ^ np.repeat(flips, 10))


def test_rounds_sharpen_a_rough_start() -> None:
    model, data = PREPARED
    search, codes = SwitchSearch(model, data, CONFIG), noisy_truth(0.25)
    generator = seeded()
    before = agreement(codes)
    for _ in range(2):
        codes, figures = search.round("blind", codes, generator)
    assert before < 0.85
    assert agreement(codes) > 0.95
    assert figures["n_codes"] == 2


def test_one_expert_in_two_codes_is_merged_and_two_experts_are_not() -> None:
    model, data = PREPARED
    split = torch.from_numpy(np.where(TRUTH == 1, 1, 2 * (np.arange(len(TRUTH)) // STEPS % 4 < 2)))
    generator = seeded()
    merged, loss = merge_once(model, data, split, CONFIG, generator)
    assert loss is not None
    assert agreement((merged == 1).long()) == 1.0
    assert len(merged.unique()) == 2
    kept, loss = merge_once(model, data, merged, CONFIG, generator)
    assert torch.equal(kept, merged)
    assert loss is not None
    assert loss > 0.2
    assert merge_once(model, data, torch.zeros_like(merged), CONFIG, generator)[1] is None


RARE = 1 / 24
"""Share of the steps in which the experts of the next tests differ at all."""


def nearly_alike() -> tuple[ModeModel, TrainingData, torch.Tensor, torch.Tensor]:
    """Two experts that answer alike but in rare steps; their codes, and which steps those are."""
    dataset = two_laws(n_each=20, steps=STEPS, disturbed=False)
    plus = [episode for episode in dataset.episodes if episode.expert == "plus"]
    seen = [episode.observations[:-1, 1] for episode in plus]
    rare = [values > np.quantile(np.concatenate(seen), 1 - RARE) for values in seen]
    other = [
        replace(episode, actions=np.where(there[:, None], -episode.actions, episode.actions))
        for episode, there in zip(plus, rare, strict=True)
    ]
    model, data = prepared(replace(dataset, episodes=(*plus, *other)), CONFIG)
    codes = torch.arange(2).repeat_interleave(len(plus) * STEPS)
    return model, data, codes, torch.from_numpy(np.concatenate([*rare, *rare]))


@pytest.mark.parametrize("inside", [True, False])
def test_experts_that_differ_in_sight_alone_or_out_of_sight_alone_are_not_merged(inside: bool) -> None:
    model, data, codes, rare = nearly_alike()

    def merged() -> tuple[bool, float]:
        united, loss = merge_once(model, data, codes, CONFIG, seeded())
        assert loss is not None
        return len(united.unique()) == 1, loss

    data.emphasised = torch.arange(len(codes))[rare if inside else ~rare]
    apart, loss = merged()
    assert not apart
    assert loss > 2 * UNION_LOSS
    # Over all steps, which are judged where everything lies in one place, the difference is not seen.
    data.emphasised = data.trainable
    assert merged()[0]


@pytest.mark.parametrize(("more", "apart"), [(1.05, True), (0.95, False)])
def test_a_part_that_has_hardly_any_steps_is_not_judged_alone(
    more: float, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, codes, rare = nearly_alike()
    data.emphasised = torch.arange(len(codes))[~rare]
    monkeypatch.setattr(switches, "FEWEST_PART", float(rare.float().mean()) / more)
    united, _ = merge_once(model, data, codes, CONFIG, seeded())
    assert (len(united.unique()) == 2) is apart


def test_scores_come_from_policies_that_never_saw_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = PREPARED
    fitted: list[torch.Tensor] = []
    original = switches.fit_twins

    def watched(model, data, codes, half, config, generator):
        fitted.append(half)
        return original(model, data, codes, half, config, generator)

    monkeypatch.setattr(switches, "fit_twins", watched)
    step_scores(model, data, torch.from_numpy(TRUTH), CONFIG, seeded())
    by_episode = fitted[0].view(len(DATA), STEPS)
    assert (by_episode == by_episode[:, :1]).all()  # an episode is on one side as a whole
    assert 0 < by_episode[:, 0].sum() < len(DATA)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_the_codes_are_the_best_path_of_every_episode(seed: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(seed).normal(scale=4, size=(len(TRUTH), 2)))
    codes = most_probable_codes(PREPARED[1], scores, torch.tensor([1, 2]), 1)
    for episode in range(2):
        part = slice(episode * STEPS, (episode + 1) * STEPS)
        value = path_value(scores[part], codes[part] - 1)
        # Nothing that changes one step, or exchanges all from a step on, is better.
        for step in range(STEPS):
            for flipped in (slice(step, step + 1), slice(step, None)):
                other = (codes[part] - 1).clone()
                other[flipped] = 1 - other[flipped]
                assert path_value(scores[part], other) <= value + 1e-6


def test_a_code_lasts_as_long_as_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = PREPARED
    scores = torch.from_numpy(np.random.default_rng(0).normal(scale=30, size=(len(TRUTH), 2)))

    monkeypatch.setattr(switches, "step_scores", lambda *arguments: (scores, torch.tensor([0, 1])))

    def lengths(segment: int) -> list[int]:
        search = SwitchSearch(model, data, replace(CONFIG, segment=segment))
        codes, _ = search.round("sighted", torch.from_numpy(TRUTH), torch.Generator())
        return [last - first for row in codes.view(-1, STEPS) for first, last in runs_of(row.numpy())[1:-1]]

    assert min(lengths(1)) == 1
    assert min(lengths(20)) == 20


def path_value(scores: torch.Tensor, codes: torch.Tensor) -> float:
    return float(scores.gather(1, codes[:, None]).sum()) - SWITCH_COST * int((codes[1:] != codes[:-1]).sum())


def test_a_blind_model_is_told_of_the_rings_alone() -> None:
    model = make_model(**SENSORS)
    blind, seen = blinded(model), draw_observations(model.config, 50)
    other = seen.clone()
    other[:, [0, 1, 2, 16, 17]] += 1
    assert torch.equal(blind.features.rows(seen), blind.features.rows(other))
    assert not torch.equal(model.features.rows(seen), model.features.rows(other))
    assert blind.judge(seeded())(blind.features.rows(seen), torch.eye(4)[[0] * 50]).shape == (50, 1, 4)
    for ring in model.config.rings:
        one = seen.clone()
        one[:, ring[0]] += 0.5
        assert not torch.equal(blind.features.rows(seen), blind.features.rows(one))
    plain = make_model()
    assert blinded(plain) is plain


def test_blind_rounds_come_first_and_merging_before_each_sighted_one() -> None:
    rounds: list[dict] = []
    while (kind := next_kind(rounds, blind=True) or next_kind(rounds, blind=False)) is not None:
        rounds.append({"kind": kind, "merged": kind == "merge" and len(rounds) == BLIND_ROUNDS})
    kinds = [entry["kind"] for entry in rounds]
    started = ["blind"] * BLIND_ROUNDS + ["merge", "merge", "sighted"]
    more = ["merge", "sighted"] * (MERGED_BEFORE - 1) + ["sighted"] * (SIGHTED_ROUNDS - MERGED_BEFORE)
    assert kinds == started + more


CODES = st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=20), min_size=1, max_size=4)


@given(episodes=CODES, shortest=st.integers(1, 4))
def test_units_tile_the_episodes_and_none_is_too_short(episodes: list[list[int]], shortest: int) -> None:
    lengths = np.array([len(codes) for codes in episodes])
    (steps, of_episode), code = units_of_codes(np.concatenate(episodes), lengths, shortest)
    np.testing.assert_array_equal(np.bincount(of_episode, weights=steps), lengths)
    assert (steps >= shortest).all()
    for episode, codes in enumerate(episodes):
        mine = of_episode == episode
        assert set(code[mine]) <= set(codes)
        assert all(before != after for before, after in pairwise(code[mine].tolist()))
    if shortest == 1:
        np.testing.assert_array_equal(np.repeat(code, steps), np.concatenate(episodes))


def test_codes_of_units_are_told_by_stretch_and_by_vote() -> None:
    flat = FlatEpisodes.of(DATA, [0, 1])
    data = TrainingData(flat, CONFIG.window, units=Units(np.array([20, 15, 25, 60]), np.array([0, 0, 0, 1])))
    assert stretches_by_episode(data, torch.tensor([2, 1, 1, 0])) == [[[0, 2], [20, 1]], [[0, 0]]]
    assert codes_by_episode(data, torch.tensor([2, 1, 2, 0]), 3) == [2, 0]
    assert codes_by_episode(data, torch.tensor([2, 1, 1, 0]), 3) == [1, 0]


def test_training_finds_the_switches(tmp_path: Path) -> None:
    data = two_laws(n_each=5, steps=120, switch=True)
    info = fit(data, replace(CONFIG, segment=30, joint_iterations=100, judge_iterations=80), tmp_path / "run").info
    assert info["summary"]["n_modes"] == 2
    for index, stretches in zip(info["training_episodes"], info["switches"], strict=True):
        starts = [start for start, _ in stretches]
        assert len(starts) == 2, index
        assert starts[0] == 0
        assert abs(starts[1] - 60) <= 3
