"""Experts that switch in mid-episode: the steps at which they do so are found, without labels and resumably."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training import segmentation, session
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.hidden_markov import runs_of
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.segmentation import (
    BLIND_ROUNDS,
    MERGED_BEFORE,
    SIGHTED_ROUNDS,
    SWITCH_COST,
    UNION_LOSS,
    SwitchSearch,
    blinded,
    lidar_columns,
    merge_once,
    most_probable_codes,
    next_round,
    step_scores,
    units_of_codes,
)
from mode_imitation.training.trainer import train
from tests.synthetic import two_laws
from tests.test_training import same_weights, small

STEPS = 60
DATA = two_laws(n_each=4, steps=STEPS, switch=True)
TRUTH = np.concatenate([[(e + (t >= STEPS // 2)) % 2 for t in range(STEPS)] for e in range(len(DATA))])
CONFIG = small(codes=3, segment=20, find_switches=True, scoring_iterations=150, learning_rate=1e-2, scoring_batch=128)


def prepared(config=CONFIG, dataset: TrajectoryDataset = DATA) -> tuple[ModeModel, TrainingData]:
    data = TrainingData(dataset.episodes, dataset.observation_slices, config.window, config.segment)
    model = ModeModel(config.model_config(dataset.obs_dim, dataset.act_dim), torch.Generator().manual_seed(0))
    model.normalizer.fit(data.observations, data.some_deltas(), data.actions[data.trainable])
    return model, data


def agreement(codes: torch.Tensor) -> float:
    """Share of the steps that are right, codes named in the better of two ways."""
    right = float((codes.numpy() == TRUTH).mean())
    return max(right, 1 - right)


def noisy_truth(share: float) -> torch.Tensor:
    flips = np.random.default_rng(0).random(len(TRUTH) // 10) < share
    return torch.from_numpy(TRUTH ^ np.repeat(flips, 10))


def test_rounds_sharpen_a_rough_start() -> None:
    model, data = prepared()
    search, codes = SwitchSearch(model, data, None, CONFIG), noisy_truth(0.25)
    generator = torch.Generator().manual_seed(0)
    before = agreement(codes)
    for _ in range(2):
        codes, figures = search.round("blind", codes, generator)
    assert before < 0.85
    assert agreement(codes) > 0.95
    assert figures["n_codes"] == 2


def test_one_expert_in_two_codes_is_merged_and_two_experts_are_not() -> None:
    model, data = prepared()
    split = torch.from_numpy(np.where(TRUTH == 1, 1, 2 * (np.arange(len(TRUTH)) // STEPS % 4 < 2)))
    generator = torch.Generator().manual_seed(0)
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
    model, data = prepared(dataset=replace(dataset, episodes=(*plus, *other)))
    codes = torch.arange(2).repeat_interleave(len(plus) * STEPS)
    return model, data, codes, torch.from_numpy(np.concatenate([*rare, *rare]))


@pytest.mark.parametrize("inside", [True, False])
def test_experts_that_differ_in_the_arena_alone_or_outside_of_it_alone_are_not_merged(inside: bool) -> None:
    model, data, codes, rare = nearly_alike()

    def merged() -> tuple[bool, float]:
        united, loss = merge_once(model, data, codes, CONFIG, torch.Generator().manual_seed(0))
        assert loss is not None
        return len(united.unique()) == 1, loss

    data.trainable_in_arena = torch.arange(len(codes))[rare if inside else ~rare]
    apart, loss = merged()
    assert not apart
    assert loss > 2 * UNION_LOSS
    # Over all steps, which are judged where everything lies in one place, the difference is not seen.
    data.trainable_in_arena = data.trainable
    assert merged()[0]


@pytest.mark.parametrize(("more", "apart"), [(1.05, True), (0.95, False)])
def test_a_part_that_has_hardly_any_steps_is_not_judged_alone(
    more: float, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, codes, rare = nearly_alike()
    data.trainable_in_arena = torch.arange(len(codes))[~rare]
    monkeypatch.setattr(segmentation, "FEWEST_PART", float(rare.float().mean()) / more)
    united, _ = merge_once(model, data, codes, CONFIG, torch.Generator().manual_seed(0))
    assert (len(united.unique()) == 2) is apart


def test_scores_come_from_policies_that_never_saw_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = prepared()
    fitted: list[torch.Tensor] = []
    original = segmentation.fit_twins

    def watched(model, data, codes, half, config, generator):
        fitted.append(half)
        return original(model, data, codes, half, config, generator)

    monkeypatch.setattr(segmentation, "fit_twins", watched)
    step_scores(model, data, torch.from_numpy(TRUTH), CONFIG, torch.Generator().manual_seed(0))
    by_episode = fitted[0].view(len(DATA), STEPS)
    assert (by_episode == by_episode[:, :1]).all()  # an episode is on one side as a whole
    assert 0 < by_episode[:, 0].sum() < len(DATA)


@given(seed=st.integers(0, 1000))
def test_the_codes_are_the_best_path_of_every_episode(seed: int) -> None:
    _, data = prepared()
    scores = torch.from_numpy(np.random.default_rng(seed).normal(scale=4, size=(len(TRUTH), 2)))
    codes = most_probable_codes(data, scores, torch.tensor([1, 2]), 1)
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
    model, data = prepared()
    scores = torch.from_numpy(np.random.default_rng(0).normal(scale=30, size=(len(TRUTH), 2)))

    monkeypatch.setattr(segmentation, "step_scores", lambda *arguments: (scores, torch.tensor([0, 1])))

    def lengths(segment: int) -> list[int]:
        search = SwitchSearch(model, data, None, replace(CONFIG, segment=segment))
        codes, _ = search.round("sighted", torch.from_numpy(TRUTH), torch.Generator())
        return [last - first for row in codes.view(-1, STEPS) for first, last in runs_of(row.numpy())[1:-1]]

    assert min(lengths(1)) == 1
    assert min(lengths(20)) == 20


def path_value(scores: torch.Tensor, codes: torch.Tensor) -> float:
    return float(scores.gather(1, codes[:, None]).sum()) - SWITCH_COST * int((codes[1:] != codes[:-1]).sum())


def test_a_blind_model_is_told_nothing_of_what_it_may_not_see() -> None:
    seen = lidar_columns({"gyro": slice(0, 2), "goal_lidar": slice(2, 3)}, 3)
    assert seen is not None
    assert seen.tolist() == [False, False, True]
    assert lidar_columns({"gyro": slice(0, 3)}, 3) is None
    assert lidar_columns(None, 3) is None
    model, _ = prepared()
    blind = blinded(model, seen)
    observations = torch.randn(5, 3)
    told = blind.normalizer.states(observations)
    assert (told[:, :2] == 0).all()
    assert torch.equal(told[:, 2], model.normalizer.states(observations)[:, 2])


def test_blind_rounds_come_first_and_merging_before_each_sighted_one() -> None:
    rounds: list[dict] = []
    while (kind := next_round(rounds, blind=True) or next_round(rounds, blind=False)) is not None:
        rounds.append({"kind": kind, "merged": kind == "merge" and len(rounds) == BLIND_ROUNDS})
    kinds = [entry["kind"] for entry in rounds]
    started = ["blind"] * BLIND_ROUNDS + ["merge", "merge", "sighted"]
    more = ["merge", "sighted"] * (MERGED_BEFORE - 1) + ["sighted"] * (SIGHTED_ROUNDS - MERGED_BEFORE)
    assert kinds == started + more
    # A search that an earlier version began with fewer blind rounds goes on all the same.
    assert next_round(rounds[: BLIND_ROUNDS - 2], blind=False) == "merge"


CODES = st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=20), min_size=1, max_size=4)


@given(episodes=CODES, shortest=st.integers(1, 4))
def test_units_tile_the_episodes_and_none_is_too_short(episodes: list[list[int]], shortest: int) -> None:
    lengths = np.array([len(codes) for codes in episodes])
    steps, of_episode, code = units_of_codes(np.concatenate(episodes), lengths, shortest)
    np.testing.assert_array_equal(np.bincount(of_episode, weights=steps), lengths)
    assert (steps >= shortest).all()
    for episode, codes in enumerate(episodes):
        mine = of_episode == episode
        assert set(code[mine]) <= set(codes)
        assert all(before != after for before, after in pairwise(code[mine].tolist()))
    if shortest == 1:
        np.testing.assert_array_equal(np.repeat(code, steps), np.concatenate(episodes))


def test_training_finds_the_switches(tmp_path: Path) -> None:
    data = two_laws(n_each=5, steps=120, switch=True)
    train(data, replace(CONFIG, segment=30, discovery_iterations=100), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.info["summary"]["n_modes"] == 2
    for index, stretches in zip(run.info["training_episodes"], run.info["switches"], strict=True):
        starts = [start for start, _ in stretches]
        assert len(starts) == 2, index
        assert starts[0] == 0
        assert abs(starts[1] - 60) <= 3


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    train(DATA, RESUMED, path)
    return path


RESUMED = small(
    codes=3,
    segment=20,
    find_switches=True,
    restarts=2,
    checkpoint_every=7,
    iterations=20,
    discovery_iterations=14,
    scoring_iterations=10,
)


class Killed(Exception):
    """Stands for the end of the process."""


AFTER_BLIND = BLIND_ROUNDS
MOMENTS = [
    ("switching", 0, 0, True),
    ("switching", 0, 1, False),
    ("switching", 0, 1, True),
    ("switching", 0, AFTER_BLIND, True),
    ("discovery", 1, AFTER_BLIND, True),
    ("switching", 1, 2, False),
    ("switching", 1, AFTER_BLIND, False),
    ("sharpening", 1, AFTER_BLIND, True),
    ("sharpening", 1, AFTER_BLIND + 1, False),
    ("sharpening", 1, AFTER_BLIND + 1, True),
    ("sharpening", 1, AFTER_BLIND + 4, False),
    ("refinement", 1, AFTER_BLIND + 6, True),
]
"""Stage, restart and rounds done at a checkpoint, and whether it is still written."""


@pytest.mark.parametrize(("stage", "restart", "n_rounds", "written"), MOMENTS)
def test_a_search_that_dies_around_any_checkpoint_ends_with_the_same_weights(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage, restart, n_rounds, written
) -> None:
    original = session.save_checkpoint

    def dying(path: Path, state: session.TrainingState, *others) -> None:
        last = (state.stage, state.restart, len(state.rounds)) == (stage, restart, n_rounds)
        if written or not last:
            original(path, state, *others)
        if last:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(session, "save_checkpoint", dying)
        with pytest.raises(Killed):
            train(DATA, RESUMED, tmp_path / "run")
    train(DATA, None, tmp_path / "run", resume=True)
    assert same_weights(uninterrupted, tmp_path / "run")
    whole, resumed = load_run(uninterrupted).info, load_run(tmp_path / "run").info
    for info in (whole, resumed):
        info["summary"].pop("seconds")
    assert resumed == whole


def test_switches_without_segments_are_refused() -> None:
    with pytest.raises(UserError, match="give --segment"):
        small(find_switches=True, segment=None)
