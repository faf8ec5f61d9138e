"""Evidence: who explains a unit, judged by policies that never saw it."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mode_imitation.discovery import evidence
from mode_imitation.discovery.evidence import (
    STEP_LIMIT,
    Twins,
    blind_halves,
    code_gaps,
    fit_twins,
    halves,
    limited,
    scores_as_they_are,
    selection_score,
    unit_scores,
)
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import Actor, ModeModel
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import SMALL, rich_dataset, small

RAGGED = two_laws(n_each=4, act_dim=2, ragged=True)
HALF_RANGES = torch.from_numpy(np.ptp(np.concatenate([episode.actions for episode in RAGGED.episodes]), axis=0) / 2)
CODES = torch.arange(8) % 2


def test_cross_fitting_scores_each_unit_by_the_policy_that_never_saw_it() -> None:
    model, data = prepared(two_laws(n_each=4), SMALL)
    half, config = halves(CODES, seeded()), small(judge_iterations=100)
    twins = fit_twins(model, data, CODES, half, config, seeded())
    scores = unit_scores(model, data, twins, CODES.unique())
    assert torch.isinf(scores[:, 2]).all()
    assert (scores.argmin(1) == CODES).all()
    # What a unit of one half holds does not change the policy that scores it.
    _, broken = prepared(two_laws(n_each=4), SMALL)
    broken.actions[broken.unit_of_step == int(half.nonzero()[0])] = 0.9
    others = fit_twins(model, broken, CODES, half, config, seeded())
    for own, other in zip(twins.outside.parameters(), others.outside.parameters(), strict=True):
        assert torch.equal(own, other)
    assert not torch.equal(twins.inside.of_inputs.weight, others.inside.of_inputs.weight)


def test_judges_are_fitted_to_no_unit_that_is_left_out_and_to_no_disturbed_step() -> None:
    def fitted(change: Tensor | None) -> Twins:
        model, data = prepared(two_laws(n_each=4), SMALL)
        if change is not None:
            data.actions[change] = 0.9
        out = torch.zeros(8, dtype=torch.bool)
        out[3] = True
        return fit_twins(model, data, CODES, CODES == 0, small(judge_iterations=5), seeded(), out)

    _, data = prepared(two_laws(n_each=4), SMALL)
    disturbed = torch.ones(len(data.actions), dtype=torch.bool)
    disturbed[data.trainable] = False
    assert disturbed.any()
    plain, changed = fitted(None), fitted(disturbed | (data.unit_of_step == 3))
    for own, other in zip(plain[:2], changed[:2], strict=True):
        assert all(map(torch.equal, own.parameters(), other.parameters()))
    assert not torch.equal(plain.outside.of_inputs.weight, fitted(data.unit_of_step == 5).outside.of_inputs.weight)


def scored_units() -> tuple[ModeModel, TrainingData]:
    """Units of uneven lengths; the last one was disturbed throughout, and nothing can be said of it."""
    episodes = list(RAGGED.episodes)
    episodes[-1] = dataclasses.replace(episodes[-1], disturbed=np.ones(len(episodes[-1]), bool))
    model, data = prepared(dataclasses.replace(RAGGED, episodes=tuple(episodes)), SMALL)
    data.actions *= 0.05  # small actions have high densities: some steps exceed the limit, and others do not
    model.features.fit(data.observations, data.some_deltas(), data.actions)
    return model, data


def slow_nll(model: ModeModel, data: TrainingData, actor: Actor, unit: int, code: int) -> float:
    """Mean over the steps that a unit is judged by, of actions in units of half their range; each counted at most twice
    STEP_LIMIT, as actions are two numbers."""
    owners = data.unit_of_step.tolist()
    steps = [step for step in data.scored.tolist() if owners[step] == unit]
    contexts = torch.eye(3)[[code] * len(steps)]
    parameters = actor(model.features.rows(data.observations[data.row_of_step[steps]]), contexts)[:, 0]
    scale = model.features.act_scale
    density = torch.distributions.Normal(
        model.features.raw_actions(actor.head.mode(parameters)), actor.head.spread(parameters) * scale
    )
    nats = (-(density.log_prob(data.actions[steps]) + HALF_RANGES.log()).sum(-1)).tolist()
    return sum(min(max(nat, -2 * STEP_LIMIT), 2 * STEP_LIMIT) for nat in nats) / max(len(nats), 1)


def test_cross_fitted_scores_equal_a_loop_over_units(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = scored_units()
    twins = fit_twins(model, data, CODES, halves(CODES, seeded()), small(judge_iterations=5), seeded())
    data.actions[::5] += 3.0  # others exceed the limit on the other side
    monkeypatch.setattr(evidence, "PIECE", 7)
    scores = unit_scores(model, data, twins, torch.tensor([0, 2]))
    for unit in range(8):
        judge = twins.outside if twins.half[unit] else twins.inside
        expected = [slow_nll(model, data, judge, unit, 0), math.inf, slow_nll(model, data, judge, unit, 2)]
        assert scores[unit].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_one_step_counts_so_many_nats_for_each_number_of_its_action_and_no_more() -> None:
    for dataset, size, nats in ((RAGGED, 2, float(HALF_RANGES.log().sum())), (rich_dataset((3,)), 1, 0.0)):
        _, data = prepared(dataset, SMALL)
        assert data.action_nats == pytest.approx(nats, abs=1e-6)
        values = torch.tensor([-50.0, -1.0, 0.5, 50.0])
        expected = [max(-STEP_LIMIT * size, min(STEP_LIMIT * size, value + nats)) for value in values.tolist()]
        assert limited(data, values).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 121])  # 121 draws the same side for all
def test_the_selection_score_is_the_mean_over_the_units_that_have_steps_to_be_judged_by(seed: int) -> None:
    (model, data), config, draws = scored_units(), small(judge_iterations=5), seeded(seed)
    half = torch.rand(8, generator=draws) < 0.5
    assert (len(half.unique()) == 1) == (seed == 121)
    if seed == 121:
        half = torch.tensor([True, False] * 4)
    twins = fit_twins(model, data, CODES, half, config, draws)
    judges = [twins.outside if own else twins.inside for own in half.tolist()]
    slow = [slow_nll(model, data, judges[unit], unit, int(CODES[unit])) for unit in range(7)]
    assert selection_score(model, data, CODES, config, seeded(seed)) == pytest.approx(np.mean(slow), rel=1e-4)
    scores, judged = scores_as_they_are(model, data, CODES, config, seeded(seed))
    assert judged.tolist() == [True] * 7 + [False]
    assert scores[torch.arange(7), CODES[:7]].tolist() == pytest.approx(slow, rel=1e-4, abs=1e-5)


def test_the_better_codes_have_the_better_selection_score() -> None:
    model, data = prepared(two_laws(n_each=6), SMALL)
    true = torch.arange(12) % 2
    wrong = torch.arange(12) // 3 % 2
    right, mixed = (
        selection_score(model, data, codes, small(judge_iterations=100), seeded()) for codes in (true, wrong)
    )
    assert right < mixed - 0.1


@pytest.mark.parametrize("counts", [[5, 5], [1, 7], [2, 2, 3]])
def test_both_halves_know_every_code_of_two_units_or_more(counts: list[int]) -> None:
    codes = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    half = halves(codes, seeded())
    assert abs(int(half.sum()) - len(codes) / 2) <= 0.5
    for code, count in enumerate(counts):
        assert count < 2 or 0 < int(half[codes == code].sum()) < count


@given(st.integers(2, 5), st.integers(0, 1000))
def test_halves_that_do_not_heed_the_codes_are_never_empty(n_units: int, seed: int) -> None:
    assert 0 < int(blind_halves(n_units, torch.device("cpu"), seeded(seed)).sum()) < n_units


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
