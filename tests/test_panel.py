"""The panel of networks: halves of an expert become one, what experts do apart stays two, nobody judges what it saw."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.discovery import panel
from mode_imitation.discovery.evidence import evidence_of
from mode_imitation.discovery.panel import NETWORKS, RESOLUTION, Panel, Question, clarity_of, panel_of, signed_ranks
from mode_imitation.discovery.search import same_partition
from mode_imitation.model.optimiser import adam, set_gradients
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import small

N_EACH = 8
DATA = two_laws(N_EACH, disturbed=False)
TRUE = torch.arange(2 * N_EACH) % 2
HALVES = TRUE + 2 * (torch.arange(2 * N_EACH) >= N_EACH)


def panel_on(dataset: TrajectoryDataset, seed: int = 0, **changes) -> Panel:
    config = small(**changes)
    model, data = prepared(dataset, config)
    return panel_of(model, data, evidence_of(model, data, config, seeded()), config, seeded(seed))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "ITERATIONS", 200)


def of_choices(dataset: TrajectoryDataset) -> TrajectoryDataset:
    chosen = [dataclasses.replace(one, actions=(one.actions > 0).astype(np.int64)) for one in dataset.episodes]
    space = dataclasses.replace(dataset.action_space, choices=(2,), low=(), high=())
    return dataclasses.replace(dataset, episodes=tuple(chosen), action_space=space)


@pytest.mark.parametrize("dataset", [DATA, of_choices(DATA)], ids=["numbers", "choices"])
def test_halves_of_an_expert_become_one_and_two_experts_stay_two(dataset: TrajectoryDataset) -> None:
    judges = panel_on(dataset)
    assert same_partition(judges.settle(HALVES), TRUE)
    (verdict,) = judges.verdicts
    assert verdict.clarity > 1
    assert verdict.gap > 0.05


def test_a_stray_unit_goes_to_the_code_that_explains_it() -> None:
    stray = TRUE.clone()
    stray[5] = 0
    assert same_partition(panel_on(DATA).settle(stray), TRUE)


def test_one_code_stays_one_and_a_code_of_one_unit_is_given_up() -> None:
    judges = panel_on(DATA)
    assert torch.equal(judges.settle(torch.zeros(16, dtype=torch.long)), torch.zeros(16, dtype=torch.long))
    assert judges.verdicts == []
    alone, judged = TRUE.clone(), torch.ones(2 * N_EACH, dtype=torch.bool)
    alone[3] = 2
    assert same_partition(judges.without_singles(alone, judged), TRUE)
    assert same_partition(judges.settle(alone), TRUE)
    assert not judges.without_singles(torch.arange(2 * N_EACH), judged).any()


def test_of_few_trajectories_laws_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "ITERATIONS", 0)  # networks that know nothing
    few = dataclasses.replace(DATA, episodes=DATA.episodes[:8])
    judges = panel_on(few)
    assert same_partition(judges.settle(TRUE[:8]), TRUE[:8])
    (verdict,) = judges.verdicts
    assert verdict.clarity > 1


def test_no_network_judges_a_unit_that_it_saw() -> None:
    """What one unit does changes the scores of others, but not of those that are judged by the same network."""
    scores, folds = [], []
    for shift in (0.0, 3.0):
        judges = panel_on(DATA)
        (asked,) = judges.questions
        asked.answers = asked.answers + shift * (judges.unit_of_step == 4)[:, None]
        folds.append(dataclasses.replace(judges, generator=seeded(0)).folds(TRUE))
        scores.append(judges.scores(TRUE, [(0, 1)]))
    assert torch.equal(folds[0], folds[1])
    with_it = (folds[0] == folds[0][4]) & (torch.arange(16) != 4)
    assert 2 <= with_it.sum() < 15
    same = (scores[0] == scores[1]).all(1)
    assert torch.equal(same, with_it)


def test_gradients_of_any_strides_reach_the_fused_update() -> None:
    gradient = torch.arange(12.0).reshape(3, 4) - 6
    updated = []
    for handed in (gradient.T, gradient.T.contiguous()):
        weights = torch.zeros(4, 3, requires_grad=True)
        optimiser = adam([weights], 0.1)
        set_gradients([weights], [handed])
        optimiser.param_groups[0]["eps"] = 1.0
        optimiser.step()
        updated.append(weights.detach())
    assert torch.equal(*updated)


def test_every_code_is_spread_over_all_networks() -> None:
    folds = panel_on(DATA).folds(TRUE)
    for code in (0, 1):
        assert torch.bincount(folds[code == TRUE], minlength=NETWORKS).tolist() == [2] * NETWORKS


def test_units_without_a_step_to_go_by_are_never_left_alone_with_a_code() -> None:
    episodes = (dataclasses.replace(one, disturbed=np.arange(len(one)) < 20) for one in DATA.episodes)
    judges = panel_on(dataclasses.replace(DATA, episodes=tuple(episodes)), segment=20)
    units = torch.arange(48)
    silent, experts = units % 3 == 0, units // 3 % 2
    found = judges.settle(torch.where(silent, 2, experts))
    assert same_partition(found[~silent], experts[~silent])
    assert torch.isin(found[silent], found[~silent]).all()


def test_of_many_codes_only_close_ones_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    judges = panel_on(DATA)
    assert judges.close_pairs(HALVES, 4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    monkeypatch.setattr(panel, "FEW_CODES", 2)
    monkeypatch.setattr(panel, "CLOSEST", 1)
    assert judges.close_pairs(HALVES, 4) == [(0, 2), (1, 3)]


def student(expected: Tensor, log_spread: Tensor, answers: Tensor) -> Tensor:
    law = torch.distributions.StudentT(panel.FREEDOM, expected, log_spread.clamp_min(RESOLUTION).exp())
    return law.log_prob(answers[:, :, None]).sum(-1)


def test_densities_are_those_of_torch() -> None:
    expected, answers = torch.randn(4, 6, 3, 2, generator=seeded()), torch.randn(4, 6, 2, generator=seeded(1))
    log_spread = torch.tensor([0.5, -9.0]).expand(4, 1, 3, 2)
    numbers = Question(torch.zeros(0, 1), torch.zeros(0, 2))
    assert torch.allclose(
        numbers.log_density(expected, log_spread, answers), student(expected, log_spread, answers), atol=1e-5
    )
    chosen = torch.randint(2, (4, 6, 2), generator=seeded())
    logits = torch.randn(4, 6, 3, 5, generator=seeded())
    asked = Question(torch.zeros(0, 1), torch.zeros(0, 2, dtype=torch.long), (2, 3))
    parts = [torch.distributions.Categorical(logits=part) for part in logits.split((2, 3), dim=-1)]
    slow = sum(part.log_prob(chosen[:, :, None, column]) for column, part in enumerate(parts))
    assert torch.allclose(asked.log_density(logits, torch.zeros(4, 1, 3, 5), chosen), slow, atol=1e-6)  # type: ignore[arg-type]


def ranks_of(values: list[float]) -> float:
    return signed_ranks(torch.tensor(values, dtype=torch.double))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_of_few_values_it_is_enough_that_all_are_positive(count: int) -> None:
    values = torch.arange(1.0, count + 1)
    assert clarity_of(values, 1.96) >= 1
    assert clarity_of(torch.cat([values[1:], -values[:1]]), 1.96) < (1 if count < 20 else 2)
    assert clarity_of(torch.arange(1.0, 101), 1.96) > 4


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-100, 100).filter(lambda value: abs(value) > 1e-6), min_size=2, max_size=30))
def test_signed_ranks_are_wilcoxon_s(values: list[float]) -> None:
    z = ranks_of(values)
    assert ranks_of([-value for value in values]) == pytest.approx(-z)
    assert z == pytest.approx(ranks_of([7 * value for value in values]))
    if len(set(np.abs(values))) == len(values):
        found: Any = wilcoxon(values, correction=False, method="approx")
        assert abs(z) == pytest.approx(abs(found.zstatistic), rel=1e-6, abs=1e-9)
