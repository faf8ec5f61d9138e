"""Evidence in closed form, against the obvious slow versions."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from mode_imitation.discovery import evidence as module
from mode_imitation.discovery.evidence import (
    SHAPE,
    Evidence,
    Moments,
    Side,
    View,
    beyond_the_common_law,
    evidence_of,
    log_evidence,
    moments_of,
    numbers_of,
    odd_blocks,
    phase_of,
    random_directions,
    random_features,
    seen_of,
)
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import SMALL, rich_dataset, small

PRECISION = 0.7


def drawn(
    n_units: int, steps: int = 12, features: int = 4, numbers: int = 2, seed: int = 0
) -> tuple[torch.Tensor, ...]:
    """Features, numbers and units of some steps; the last unit has none."""
    draws = seeded(seed)
    units = torch.randint(max(1, n_units - 1), (steps * n_units,), generator=draws).sort().values
    shape = (len(units), features)
    return (
        torch.randn(shape, generator=draws).double(),
        torch.randn(len(units), numbers, generator=draws).double(),
        units,
    )


def view(n_units: int, seed: int = 0, weight: float = 1.0) -> View:
    features, numbers, units = drawn(n_units, seed=seed)
    odd = torch.arange(len(units)) % 3 > 0
    of_odd, of_even = (moments_of(features, numbers, units, side, n_units) for side in (odd, ~odd))
    return View(of_odd, of_even, PRECISION, weight)


def test_the_evidence_of_a_law_is_the_density_of_student_s_t_that_integrating_it_out_leaves() -> None:
    features, numbers, units = drawn(4)
    moments = moments_of(features, numbers, units, torch.ones_like(units, dtype=torch.bool), 4)
    found = log_evidence(moments, PRECISION)
    for unit in range(4):
        own, done = features[units == unit].numpy(), numbers[units == unit].numpy()
        expected = 0.0
        for column in done.T if len(done) else ():
            spread = np.eye(len(own)) + own @ own.T / PRECISION
            expected += multivariate_t(np.zeros(len(own)), spread, df=2 * SHAPE).logpdf(column)  # pyright: ignore
        constant = -0.5 * math.log(2 * math.pi) * done.size
        assert float(found[unit]) + constant == pytest.approx(expected, abs=1e-9)


def test_moments_add_and_subtract_and_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    of = view(7)
    both = of.odd + of.even
    for part, odd, even in zip((both - of.even).parts(), of.odd.parts(), of.even.parts(), strict=True):
        torch.testing.assert_close(part, odd)
        assert part.shape == even.shape
    codes = torch.tensor([1, 0, 1, 1, 0, 2, 2])
    summed = both.summed(codes, 4)
    for part, whole in zip(both.parts(), summed.parts(), strict=True):
        torch.testing.assert_close(whole[1], part[[0, 2, 3]].sum(0))
        assert not whole[3].any()
    whole = log_evidence(both, PRECISION)
    monkeypatch.setattr(module, "PIECE", 2)
    torch.testing.assert_close(log_evidence(both, PRECISION), whole, rtol=1e-12, atol=1e-12)


def slow_predictive(views: list[View], codes: torch.Tensor, side: str, unit: int, code: int) -> float:
    total = 0.0
    for each in views:
        both = each.odd + each.even
        others = (codes == code) & (torch.arange(len(codes)) != unit)
        law = Moments(*(part[others].sum(0, keepdim=True) for part in both.parts()))
        judged = both if side == "both" else getattr(each, side)
        joined = law + judged.take(torch.tensor([unit]))
        total += each.weight * float(log_evidence(joined, PRECISION) - log_evidence(law, PRECISION))
    return total


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=9), st.sampled_from(["odd", "even", "both"]))
def test_every_unit_is_judged_by_laws_of_the_others_alone(codes: list[int], side) -> None:
    of_units = torch.tensor(codes)
    views = [view(len(codes), 1, 0.5), view(len(codes), 2)]
    found = Evidence(views).predictive(of_units, side)
    for unit in range(len(codes)):
        for code in range(max(codes) + 1):
            if code not in codes:
                assert found[unit, code] == -torch.inf
            else:
                assert float(found[unit, code]) == pytest.approx(
                    slow_predictive(views, of_units, side, unit, code), abs=1e-8
                )


def test_some_units_are_judged_as_among_all() -> None:
    of, codes = Evidence([view(7), view(7, 3)]), torch.tensor([0, 1, 1, 0, 2, 1, 0])
    who = torch.tensor([6, 1, 2])
    sides: tuple[Side, ...] = ("odd", "even", "both")
    for side in sides:
        torch.testing.assert_close(of.predictive(codes, side, who), of.predictive(codes, side)[who])


def test_some_units_alone_have_the_evidence_that_they_have_among_all() -> None:
    views, units = [view(6), view(6, 3)], torch.tensor([4, 1, 2])
    few, codes = Evidence(views).take(units), torch.tensor([0, 1, 1])
    slow = [View(each.odd.take(units), each.even.take(units), PRECISION, 1.0) for each in views]
    torch.testing.assert_close(few.predictive(codes), Evidence(slow).predictive(codes))


def test_the_law_of_all_is_taken_off_and_surprises_are_limited() -> None:
    inputs, directions = torch.randn(500, 2, generator=seeded()), random_directions(2, 8, seeded(), torch.device("cpu"))
    features = random_features(inputs, directions, 1.0)
    law = torch.randn(9, 2, generator=seeded(1)).double() / 10
    noise = torch.randn(500, 2, generator=seeded(2)).double() * torch.tensor([0.1, 0.3])
    calm, spread = beyond_the_common_law(features, features @ law + noise)
    assert ((calm.std(0) - 1).abs() < 0.01).all()
    assert spread.tolist() == pytest.approx([0.1, 0.3], rel=0.1)
    noise[7] = 1e6
    left, _ = beyond_the_common_law(features, features @ law + noise)
    assert (left[7] == module.FAR).all()
    assert left.abs().max() == module.FAR
    assert (left[8:].std(0) > 0.1).all()
    constant, _ = beyond_the_common_law(features, torch.full((500, 1), 3.0))
    assert constant.abs().max() < 1e-3


def test_features_are_of_mean_square_one_and_the_last_is_constant() -> None:
    inputs = torch.randn(200, 3, generator=seeded())
    features = random_features(inputs, random_directions(3, 16, seeded(), torch.device("cpu")), 3.0)
    assert features.shape == (200, 17)
    used = features.square().mean(0)
    torch.testing.assert_close(used, torch.ones_like(used))
    assert (features[:, -1] == 1).all()


def test_choices_are_numbers_for_all_but_the_last_and_names_are_quantities_for_each() -> None:
    dataset = rich_dataset((3,))
    model, data = prepared(dataset, small())
    steps = data.telling[:20]
    numbers = numbers_of(model, data, steps)
    chosen = data.actions[steps, 0]
    assert numbers.shape == (20, 2)
    assert torch.equal(numbers[:, 0] == 1, chosen == 0)
    assert torch.equal(numbers[:, 1] == 1, chosen == 1)
    seen = seen_of(model, data, steps)
    tokens = [kind for kind in model.features.kinds if type(kind).__name__ == "TokenEmbedding"]
    width = sum(kind.n_rows for kind in model.features.kinds)
    named = sum((columns.stop - columns.start) * (columns.size - 1) for kind in tokens for columns in kind.sensors)
    assert tokens
    assert seen.shape == (20, width + named)
    assert set(seen[:, -3:].unique().tolist()) <= {0.0, 1.0}


def test_blocks_alternate_within_a_unit_and_phases_run_through_it() -> None:
    _, data = prepared(two_laws(n_each=3, steps=120, disturbed=False), SMALL)
    steps = torch.arange(360)
    odd = odd_blocks(data, steps)
    assert torch.equal(odd, steps % 120 // 20 % 2 == 1)
    phase = phase_of(data, steps)[:, 0]
    assert phase[0] == phase[120] == -math.sqrt(12) / 2
    assert (phase[:119].diff() > 0).all()
    _, short = prepared(two_laws(n_each=3, steps=12, disturbed=False), small(horizon=2))
    assert torch.equal(odd_blocks(short, torch.arange(12)), torch.arange(12) % 4 > 1)


def test_disturbed_steps_and_units_of_the_actions_do_not_matter() -> None:
    dataset = two_laws(n_each=4, act_dim=2)
    plain = evidence_of(*prepared(dataset, SMALL), SMALL, seeded())
    harmed = []
    for episode in dataset.episodes:
        actions = episode.actions.copy()
        actions[episode.disturbed] = 0.9
        harmed.append(dataclasses.replace(episode, actions=(100 * actions + 700).astype(np.float32)))
    other = evidence_of(*prepared(dataclasses.replace(dataset, episodes=tuple(harmed)), SMALL), SMALL, seeded())
    codes = torch.arange(8) % 2
    torch.testing.assert_close(other.predictive(codes), plain.predictive(codes), rtol=1e-2, atol=0.5)
    assert torch.equal(
        plain.steps["both"],
        torch.bincount(prepared(dataset, SMALL)[1].unit_of_step[prepared(dataset, SMALL)[1].trainable]).double(),
    )


def test_behaviour_counts_the_states_too() -> None:
    dataset = two_laws(n_each=4)
    policy = evidence_of(*prepared(dataset, SMALL), SMALL, seeded())
    both = evidence_of(*prepared(dataset, SMALL), small(evidence="behaviour"), seeded())
    assert len(both.views) == len(policy.views) + 1
    assert sum(each.weight for each in policy.views) == pytest.approx(1)
    assert both.views[-1].odd.products.shape[-1] == dataset.obs_dim
