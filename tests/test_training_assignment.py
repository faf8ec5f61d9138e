"""Reassignment: who explains a unit, judged by policies that never saw it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mode_imitation.model.actor import GaussianActor
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.assignment import (
    STEP_LIMIT,
    code_gaps,
    cross_fitted_scores,
    fit_twins,
    merge_codes,
    reassign,
    selection_score,
    split_in_halves,
)
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.trainer import settled
from tests.synthetic import two_laws
from tests.test_training import SMALL, fitted_model, generator, small


def test_cross_fitting_scores_each_unit_by_the_policy_that_never_saw_it() -> None:
    data = TrainingData(two_laws(n_each=4).episodes, None, SMALL.window)
    model = fitted_model(data)
    codes = torch.arange(8) % 2
    half = split_in_halves(codes, generator())
    config = small(scoring_iterations=100)
    twins = fit_twins(model, data, codes, half, config, generator())
    scores = cross_fitted_scores(model, data, twins, half, codes.unique())
    assert torch.isinf(scores[:, 2]).all()
    assert (scores.argmin(1) == codes).all()
    # What a unit of one half holds does not change the policy that scores it.
    broken = TrainingData(two_laws(n_each=4).episodes, None, SMALL.window)
    broken.actions[broken.unit_of_step == int(half.nonzero()[0])] = 0.9
    others = fit_twins(model, broken, codes, half, config, generator())
    for own, other in zip(twins[0].parameters(), others[0].parameters(), strict=True):
        assert torch.equal(own, other)
    assert not torch.equal(twins[1].mean.weight, others[1].mean.weight)


RAGGED = two_laws(n_each=4, act_dim=2, ragged=True)
HALF_RANGES = torch.from_numpy(np.ptp(np.concatenate([episode.actions for episode in RAGGED.episodes]), axis=0) / 2)


def scored_units() -> tuple[TrainingData, ModeModel, torch.Tensor]:
    """Units of uneven lengths with codes; the last one was disturbed throughout, and nothing can be said of it."""
    episodes = list(RAGGED.episodes)
    episodes[-1] = dataclasses.replace(episodes[-1], disturbed=np.ones(len(episodes[-1]), bool))
    data = TrainingData(episodes, None, SMALL.window)
    data.actions *= 0.05  # small actions have high densities: some steps exceed the limit, and others do not
    model = ModeModel(SMALL.model_config(3, 2))
    model.normalizer.fit(data.observations, data.some_deltas(), data.actions)
    return data, model, torch.arange(8) % 2


def slow_nll(model: ModeModel, data: TrainingData, actor: GaussianActor, unit: int, code: int) -> float:
    """Mean over the steps that a unit is judged by, of actions in units of half their range; each counted at most twice
    STEP_LIMIT, as actions are two numbers."""
    owners = data.unit_of_step.tolist()
    steps = [step for step in data.scored.tolist() if owners[step] == unit]
    contexts = torch.tensor([[float(other == code) for other in range(3)]] * len(steps)).reshape(-1, 3)
    mean, log_sigma = actor(model.normalizer.actor_inputs(data.observations[data.row_of_step[steps]]), contexts)
    scale = model.normalizer.act_scale
    density = torch.distributions.Normal(mean * scale + model.normalizer.act_mean, log_sigma.exp() * scale)
    nats = (-(density.log_prob(data.actions[steps]) + HALF_RANGES.log()).sum(-1)).tolist()
    return sum(min(max(nat, -2 * STEP_LIMIT), 2 * STEP_LIMIT) for nat in nats) / max(len(nats), 1)


def test_cross_fitted_scores_equal_a_loop_over_units() -> None:
    data, model, codes = scored_units()
    half = split_in_halves(codes, generator())
    twins = fit_twins(model, data, codes, half, small(scoring_iterations=5), generator())
    data.actions[::5] += 3.0  # others exceed it on the other side
    scores = cross_fitted_scores(model, data, twins, half, torch.tensor([0, 2]))
    for unit in range(8):
        judge = twins[0] if half[unit] else twins[1]
        expected = [slow_nll(model, data, judge, unit, 0), math.inf, slow_nll(model, data, judge, unit, 2)]
        assert scores[unit].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def reassigned(unit: float, offset: float) -> tuple[list[int], float]:
    """Codes after a round, and their NLL, of the two laws with actions in other units."""
    data = two_laws(n_each=4, act_dim=2)
    scaled = [
        dataclasses.replace(one, actions=(unit * one.actions + offset).astype(np.float32)) for one in data.episodes
    ]
    steps = TrainingData(scaled, None, SMALL.window)
    model = ModeModel(SMALL.model_config(3, 2))
    model.normalizer.fit(steps.observations, steps.some_deltas(), steps.actions)
    codes = torch.tensor([0, 1, 0, 1, 0, 1, 1, 0])  # of the last two each is in the other's code
    done = reassign(model, steps, codes, small(scoring_iterations=150), generator(), merge=True)
    return done.codes.tolist(), done.nll


@pytest.mark.parametrize(("unit", "offset"), [(1e-4, 0.0), (100.0, 0.0), (100.0, 700.0)])
def test_the_units_of_the_actions_do_not_matter(unit: float, offset: float) -> None:
    codes, nll = reassigned(1.0, 0.0)
    assert codes == [0, 1] * 4
    assert reassigned(unit, offset) == (codes, pytest.approx(nll, abs=0.05))


@pytest.mark.parametrize("seed", [0, 1, 121])  # 121 draws the same side for all
def test_the_selection_score_is_the_mean_over_the_units_that_have_steps_to_be_judged_by(seed: int) -> None:
    data, model, codes = scored_units()
    config, draws = small(scoring_iterations=5), torch.Generator().manual_seed(seed)
    half = torch.rand(8, generator=draws) < 0.5
    assert (len(half.unique()) == 1) == (seed == 121)
    if seed == 121:
        half = torch.tensor([True, False] * 4)
    twins = fit_twins(model, data, codes, half, config, draws)
    judges = [twins[0] if own else twins[1] for own in half.tolist()]
    slow = [slow_nll(model, data, judges[unit], unit, int(codes[unit])) for unit in range(7)]
    found = selection_score(model, data, codes, config, torch.Generator().manual_seed(seed))
    assert found == pytest.approx(np.mean(slow), rel=1e-4)


@pytest.mark.parametrize("counts", [[5, 5], [1, 7], [2, 2, 3]])
def test_both_halves_know_every_code_of_two_units_or_more(counts: list[int]) -> None:
    codes = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    half = split_in_halves(codes, generator())
    assert abs(int(half.sum()) - len(codes) / 2) <= 0.5
    for code, count in enumerate(counts):
        assert count < 2 or 0 < int(half[codes == code].sum()) < count


def test_a_gap_is_what_two_codes_lose_on_each_other_s_units() -> None:
    scores = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.5, 0.1]])
    gaps = code_gaps(scores, torch.tensor([0, 0, 1]))
    assert gaps == {(0, 1): pytest.approx((2.0 + 0.4) / 2)}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 3]), *[st.floats(-5, 5)] * 4), min_size=1, max_size=12))
def test_gaps_equal_a_loop_over_pairs_of_codes(rows: list[tuple]) -> None:
    codes, scores = [row[0] for row in rows], [row[1:] for row in rows]
    expected = {}
    for first, second in itertools.combinations(sorted(set(codes)), 2):
        one = [own[second] - own[first] for own, code in zip(scores, codes, strict=True) if code == first]
        other = [own[first] - own[second] for own, code in zip(scores, codes, strict=True) if code == second]
        expected[first, second] = (sum(one) / len(one) + sum(other) / len(other)) / 2
    found = code_gaps(torch.tensor(scores, dtype=torch.float64), torch.tensor(codes))
    assert found == pytest.approx(expected)


def test_close_codes_are_merged_in_chains_and_distant_ones_are_not() -> None:
    gaps = {(0, 1): 0.3, (1, 2): 0.1, (0, 2): 0.9, (0, 3): 0.5, (1, 3): 2.0, (2, 3): 0.41}
    merged = merge_codes(torch.tensor([0, 1, 2, 3, 1]), gaps, 0.4)
    assert len(merged[[0, 1, 2, 4]].unique()) == 1
    assert merged[3] == 3


def test_reassignment_ends_where_nothing_changes_any_more() -> None:
    def rounds(*entries: tuple[int, int]) -> list[dict]:
        return [{"changed": changed, "n_codes": n_codes} for changed, n_codes in entries]

    assert not settled(rounds((0, 3)))  # the first round merges nothing
    assert not settled(rounds((5, 4), (0, 3)))  # it has just merged
    assert not settled(rounds((0, 3), (2, 3)))
    assert settled(rounds((5, 3), (0, 3)))
