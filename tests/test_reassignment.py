"""Reassignment: what holds two experts is taken apart, what belongs together comes together, and codes settle."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mode_imitation.discovery import reassignment
from mode_imitation.discovery.reassignment import (
    FEW,
    FEWEST,
    PRIOR_STEPS,
    Round,
    law_steps,
    merge_codes,
    next_round,
    reassign,
    same_partition,
    split_codes,
    two_means,
    undecided,
    unit_laws,
)
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import ModeModel
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import rich_dataset, small

CONFIG = small(codes=4, judge_iterations=150)
N_EACH = 8
N = 2 * N_EACH
DATA = two_laws(N_EACH)
TRUE = torch.arange(N) % 2
PLUS = dataclasses.replace(DATA, episodes=DATA.episodes[::2])
ONE_CODE = torch.zeros(N, dtype=torch.long)


def only(*units: int) -> Tensor:
    return torch.isin(torch.arange(N), torch.tensor(units))


def after(model: ModeModel, data: TrainingData, codes: Tensor, *, merge: bool = False, moved: Any = None) -> Round:
    return reassign(model, data, codes, CONFIG, seeded(), merge=merge, moved=moved)


def test_a_code_of_two_experts_is_taken_apart_which_reassignment_alone_would_not_do() -> None:
    model, data = prepared(DATA, CONFIG)
    assert same_partition(split_codes(model, data, ONE_CODE, seeded()), TRUE)
    assert len(after(model, data, ONE_CODE).codes.unique()) == 1


def test_experts_of_choices_are_taken_apart() -> None:
    chosen = [dataclasses.replace(one, actions=(one.actions > 0).astype(np.int64)) for one in DATA.episodes]
    space = dataclasses.replace(DATA.action_space, choices=(2,), low=(), high=())
    model, data = prepared(dataclasses.replace(DATA, episodes=tuple(chosen), action_space=space), CONFIG)
    assert same_partition(split_codes(model, data, ONE_CODE, seeded()), TRUE)
    assert same_partition(after(model, data, torch.where(only(2, 5), 1 - TRUE, TRUE)).codes, TRUE)


def test_the_halves_of_one_expert_are_joined_again() -> None:
    model, data = prepared(PLUS, CONFIG)
    draws, codes = seeded(), torch.arange(N_EACH) % 2
    for merge in (False, True):
        codes = reassign(model, data, codes, CONFIG, draws, merge=merge).codes
    assert len(codes.unique()) == 1


def test_only_free_codes_are_given_and_the_clearest_splits_come_first() -> None:
    model, data = prepared(DATA, dataclasses.replace(CONFIG, codes=3))
    # Code 2 holds both experts, code 0 only one: with one free code it is 2 that is split.
    codes = torch.where((TRUE == 0) & (torch.arange(N) < N_EACH), 0, 2)
    split = split_codes(model, data, codes, seeded())
    assert (split[codes == 0] == 0).all()
    assert set(split[codes == 2].tolist()) == {1, 2}
    full = torch.arange(N) % 3
    assert torch.equal(split_codes(model, data, full, seeded()), full)


def test_small_codes_are_left_alone_and_the_generator_decides() -> None:
    model, data = prepared(DATA, CONFIG)
    codes = (torch.arange(N) >= FEWEST - 1).long()
    split = split_codes(model, data, codes, seeded(3))
    assert (split[: FEWEST - 1] == 0).all()
    assert torch.equal(split, split_codes(model, data, codes, seeded(3)))


def test_laws_are_ridge_regressions_towards_the_law_of_all() -> None:
    model, data = prepared(DATA, CONFIG)
    laws = unit_laws(model, data, torch.arange(5), 1).reshape(5, -1)
    features, actions = [], []
    for unit in range(5):
        steps = data.trainable[data.unit_of_step[data.trainable] == unit]
        rows = model.features.rows(data.observations[data.row_of_step[steps]])
        hidden = model.actor.hidden(rows, torch.eye(4)[[1] * len(steps)]).detach().double().numpy()
        features.append(np.hstack([hidden, np.ones((len(hidden), 1))]))
        actions.append(model.features.actions(data.actions_at(steps)).double().numpy())
    everything, wanted = np.concatenate(features), np.concatenate(actions)
    typical = everything.T @ everything / len(everything)
    typical += 1e-4 * np.diag(typical).mean() * np.eye(len(typical))
    law = np.linalg.solve(typical, everything.T @ wanted / len(everything))
    left = ((wanted - everything @ law) ** 2).mean(0)
    own = [
        np.linalg.solve(f.T @ f + PRIOR_STEPS * typical, f.T @ a + PRIOR_STEPS * typical @ law)
        for f, a in zip(features, actions, strict=True)
    ]
    for first in range(5):
        for second in range(5):
            gap = own[first] - own[second]
            expected = (np.einsum("fa,fg,ga->a", gap, typical, gap) / left).sum()
            assert float(((laws[first] - laws[second]) ** 2).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_a_law_is_fitted_to_evenly_spread_undisturbed_steps_emphasised_ones_where_there_are_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reassignment, "LAW_STEPS", 6)
    _, data = prepared(rich_dataset(), small())
    data.emphasised = data.emphasised[data.unit_of_step[data.emphasised] != 3]  # where unit 3 has none
    for unit in range(data.n_units):
        among = data.trainable if unit == 3 else data.emphasised
        own = [step for step in among.tolist() if data.unit_of_step[step] == unit]
        steps = law_steps(data, unit).tolist()
        assert steps == own[:: len(own) // 6 or 1]
        assert min(6, len(own)) <= len(steps) < 12


def test_two_means_finds_two_heaps_and_says_how_clear_they_are() -> None:
    noise = torch.randn(20, 6, generator=seeded(), dtype=torch.double)
    side, clarity = two_means(noise + 10 * (torch.arange(20) % 2)[:, None], seeded())
    assert same_partition(side.long(), torch.arange(20) % 2)
    assert clarity > 10 * two_means(noise, seeded())[1]
    assert not two_means(torch.zeros(6, 3), seeded())[0].any()
    stray = torch.cat([noise + 10 * (torch.arange(20) % 2)[:, None], torch.full((1, 6), 1e4).double()])
    assert same_partition(two_means(stray, seeded(), fewest=2)[0][:20].long(), torch.arange(20) % 2)


def with_silent_starts() -> tuple[ModeModel, TrainingData, Tensor]:
    """Segments of 20 steps, the first one of every episode disturbed throughout; and which segments these are."""
    episodes = (dataclasses.replace(one, disturbed=np.arange(len(one)) < 20) for one in DATA.episodes)
    model, data = prepared(dataclasses.replace(DATA, episodes=tuple(episodes)), dataclasses.replace(CONFIG, segment=20))
    return model, data, torch.arange(data.n_units) % 3 == 0


def test_segments_are_split_and_those_without_a_step_to_go_by_keep_their_code() -> None:
    model, data, silent = with_silent_starts()
    codes = split_codes(model, data, torch.zeros(data.n_units, dtype=torch.long), seeded())
    assert len(codes.unique()) == 2
    assert not codes[silent].any()
    # A code that holds nothing else has nothing to be told by, either.
    assert (split_codes(model, data, silent.long(), seeded())[silent] == 1).all()


def test_what_cannot_be_judged_is_never_left_alone_with_a_code() -> None:
    model, data, silent = with_silent_starts()
    codes = torch.arange(data.n_units) // 3 % 2  # the experts
    for stray in (torch.full_like(codes, 3), codes):
        done = after(model, data, torch.where(silent, stray, codes), merge=True)
        assert done.figures["n_codes"] == 2
        assert torch.equal(done.codes[~silent], codes[~silent])
        assert torch.isin(done.codes[silent], codes).all()
        assert np.isfinite(done.figures["nll"])
    assert torch.equal(done.codes, codes)  # whose code others have, it keeps


@pytest.mark.parametrize(("unit", "offset"), [(1e-4, 0.0), (100.0, 700.0)])
def test_the_units_of_the_actions_do_not_matter(unit: float, offset: float) -> None:
    data = two_laws(N_EACH, act_dim=2)

    def done(unit: float, offset: float) -> Round:
        scaled = [
            dataclasses.replace(one, actions=(unit * one.actions + offset).astype(np.float32)) for one in data.episodes
        ]
        return after(*prepared(dataclasses.replace(data, episodes=tuple(scaled)), CONFIG), wrong, merge=True)

    wrong = torch.where(only(6, 9), 1 - TRUE, TRUE)
    plain, other = done(1.0, 0.0), done(unit, offset)
    assert torch.equal(plain.codes, TRUE)
    assert torch.equal(other.codes, TRUE)
    assert torch.equal(plain.moved, only(6, 9))
    assert other.figures == pytest.approx(plain.figures, abs=0.05)


def test_close_codes_are_merged_in_chains_and_distant_ones_are_not() -> None:
    gaps = {(0, 1): 0.3, (1, 2): 0.1, (0, 2): 0.9, (0, 3): 0.5, (1, 3): 2.0, (2, 3): 0.41}
    merged = merge_codes(torch.tensor([0, 1, 2, 3, 1]), gaps, 0.4)
    assert same_partition(merged, torch.tensor([0, 0, 0, 1, 0]))


def test_groups_are_compared_whatever_they_are_called() -> None:
    codes = torch.tensor([0, 0, 2, 2, 1])
    assert same_partition(codes, torch.tensor([3, 3, 0, 0, 2]))
    for other in ([3, 3, 0, 2, 2], [3, 3, 0, 0, 0], [0, 1, 2, 3, 4]):
        assert not same_partition(codes, torch.tensor(other))
        assert not same_partition(torch.tensor(other), codes)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_undecided_units_moved_are_few_and_leave_every_code_half_of_its_units(codes: list[int], random) -> None:
    every = torch.tensor(codes)
    moved = torch.tensor([random.random() < 0.1 for _ in codes])
    chosen = undecided(every, moved)
    if chosen is None:
        return
    assert chosen.any()
    assert not (chosen & ~moved).any()
    assert moved.double().mean() <= FEW
    for code in set(codes):
        assert (every[~chosen] == code).sum() * 2 >= (every == code).sum()


def test_nothing_is_undecided_where_nothing_or_much_moved_or_all_of_a_code() -> None:
    codes = torch.zeros(40, dtype=torch.long)
    few, many = torch.arange(40) < 4, torch.arange(40) < 5
    assert undecided(codes, few & False) is None
    assert torch.equal(undecided(codes, few), few)  # pyright: ignore[reportArgumentType]
    assert undecided(codes, many) is None
    assert undecided(few.long(), few) is None


def test_what_an_undecided_unit_does_changes_nothing_for_the_others() -> None:
    wild = dataclasses.replace(DATA.episodes[4], actions=-DATA.episodes[4].actions)
    changed = dataclasses.replace(DATA, episodes=(*DATA.episodes[:4], wild, *DATA.episodes[5:]))
    model, tame_data = prepared(DATA, CONFIG)
    _, wild_data = prepared(changed, CONFIG)
    tame, other = (after(model, data, TRUE, moved=only(4)) for data in (tame_data, wild_data))
    assert torch.equal(tame.codes, TRUE)
    assert torch.equal(other.codes, torch.where(only(4), 1 - TRUE, TRUE))  # it does as the other expert does
    nlls = {after(model, data, TRUE).figures["nll"] for data in (tame_data, wild_data)}
    assert len(nlls) == 2


def test_a_unit_keeps_its_code_where_another_explains_it_no_better() -> None:
    """Halves of one expert: which one a unit has makes no difference."""
    model, data = prepared(PLUS, CONFIG)
    parts = torch.arange(N_EACH) % 2
    at_will, settling = (after(model, data, parts, moved=moved) for moved in (None, parts < 0))
    assert at_will.figures["changed"] > settling.figures["changed"]
    assert torch.equal(at_will.moved, at_will.codes != parts)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (0, []),
        (1, ["merge"]),
        (2, ["split", "merge"]),
        (3, ["split", "merge", "merge"]),
        (6, ["split", "merge", "split", "merge", "settle", "settle"]),
    ],
)
def test_a_split_is_followed_by_sorting_out_and_merging_and_codes_settle_last(
    monkeypatch: pytest.MonkeyPatch, rounds: int, expected: list[str]
) -> None:
    """Splits come before rounds 0 and 2, where a round follows; whatever was split is not merged in the same round."""
    model, data = prepared(DATA, CONFIG)
    kinds: list[str] = []

    def split(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> Tensor:
        return torch.arange(N) % 3

    def sorted_out(model, data, codes, config, generator, *, merge: bool, moved: Tensor | None) -> Round:
        kinds.append("settle" if moved is not None else "merge" if merge else "split")
        assert merge == (kinds[-1] != "split")
        assert len(codes.unique()) == (3 if kinds[-1] == "split" else 2)
        return Round(TRUE, only(len(kinds)), {"changed": 1, "n_codes": 2})

    monkeypatch.setattr(reassignment, "split_codes", split)
    monkeypatch.setattr(reassignment, "reassign", sorted_out)
    config, done, codes, moved = small(codes=4, rounds=rounds), [], TRUE, None
    while (one := next_round(model, data, codes, config, seeded(), done, moved)) is not None:
        codes, moved = one.codes, one.moved
        done.append(one.figures)
    assert kinds == expected
    assert [figures["split"] for figures in done] == [int(kind == "split") for kind in expected]


@pytest.mark.parametrize(
    ("done", "over"),
    [
        ([(0, 3)], False),  # the first round merges nothing
        ([(0, 3), (0, 3)], False),  # another split is to come
        ([(5, 3), (0, 3), (0, 4), (0, 3)], False),  # it has just merged
        ([(5, 3), (0, 3), (2, 4), (2, 4)], False),
        ([(5, 3), (0, 3), (2, 4), (0, 4)], True),
        ([(5, 3)] * 6, True),
    ],
)
def test_reassignment_ends_where_nothing_changes_any_more(done: list[tuple[int, int]], over: bool) -> None:
    model, data = prepared(DATA, CONFIG)
    figures = [{"changed": changed, "n_codes": n_codes} for changed, n_codes in done]
    config = dataclasses.replace(CONFIG, judge_iterations=1)
    assert (next_round(model, data, TRUE, config, seeded(), figures, TRUE < 0) is None) is over
