"""Guarantees hold as often as they say, equal a slow version, and are what `--require` is judged by."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.errors import UserError
from mode_imitation.reports.guarantees import (
    N_SHARES,
    SHARE,
    Condition,
    Guarantee,
    guarantees_of,
    judge,
    layouts_needed,
    log_capital,
    lower_bound,
    parse_requirements,
    worst_of,
)
from mode_imitation.reports.layouts import BLOCK

DRAWS = 400
CASES = {
    "goals": (lambda rng, n: rng.poisson(3.0, n).astype(float), 3.0),
    "rare": (lambda rng, n: (rng.random(n) < 0.05).astype(float), 0.05),
    "heavy": (lambda rng, n: rng.pareto(2.5, n), 1 / 1.5),
    "nearly certain": (lambda rng, n: 5.0 * (rng.random(n) < 0.95), 4.75),
    "constant": (lambda rng, n: np.full(n, 7.0), 7.0),
}


@pytest.mark.parametrize("confidence", [0.6, 0.9])
@pytest.mark.parametrize("name", CASES)
def test_a_bound_is_wrong_at_most_as_often_as_it_says(name: str, confidence: float) -> None:
    draw, mean = CASES[name]
    rng = np.random.default_rng(0)
    wrong = sum(lower_bound(draw(rng, 15), confidence) > mean for _ in range(DRAWS))
    assert wrong / DRAWS <= 1 - confidence


def test_it_holds_at_every_number_of_layouts_at_once() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        values = 5.0 * (rng.random(60) < 0.7)
        wrong += any(lower_bound(values[:n], 0.8) > 3.5 for n in range(5, 61, 5))
    assert 0 < wrong <= 20, "never wrong at 80% would mean that the test sees nothing"


def test_a_bound_that_forgets_the_confidence_would_fail_the_test_of_coverage() -> None:
    draw, mean = CASES["goals"]
    rng = np.random.default_rng(0)
    wrong = sum(draw(rng, 15).mean() > mean for _ in range(DRAWS))
    assert wrong / DRAWS > 0.4


def slow_lower_bound(values: list[float], confidence: float, grid: int = 2000) -> float:
    """Play every gambler against every mean of a grid, value by value; the largest mean that is refuted."""
    best = 0.0
    top = sum(values) / len(values)
    for step in range(1, grid + 1):
        mean = top * step / grid
        total = 0.0
        for gambler in range(N_SHARES):
            share = math.sin((gambler + 0.5) * math.pi / 2 / N_SHARES) ** 2
            capital = 1.0
            for value in values:
                capital *= 1.0 - share + share * value / mean
            total += capital
        if total / N_SHARES >= 1.0 / (1.0 - confidence):
            best = mean
        else:
            break
    return best


@pytest.mark.parametrize("values", [[3.0, 4.0, 2.0, 3.0], [0.0, 0.0, 5.0], [11.0] * 6])
def test_the_bound_is_the_slow_one(values: list[float]) -> None:
    slow = slow_lower_bound(values, 0.9, 300)
    fast = lower_bound(values, 0.9)
    assert slow <= fast + 1e-9
    assert fast <= slow + np.mean(values) / 300 + 1e-9


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.999))
def test_a_bound_lies_below_the_mean_and_does_not_see_the_order(values: list[float], confidence: float) -> None:
    bound = lower_bound(values, confidence)
    assert 0 <= bound <= np.mean(values) * (1 + 1e-12)
    assert bound == pytest.approx(lower_bound(values[::-1], confidence), rel=1e-6, abs=1e-9)
    assert bound >= lower_bound(values, 1 - (1 - confidence) / 2) - 1e-9
    assert lower_bound([3.0 * value for value in values], confidence) == pytest.approx(3 * bound, rel=1e-6, abs=1e-9)


def test_the_capital_falls_as_the_mean_rises() -> None:
    values, counts = np.unique(np.random.default_rng(0).poisson(4.0, 30), return_counts=True)
    found = [log_capital(values, counts, mean) for mean in np.linspace(0.1, 6, 40)]
    assert all(a > b for a, b in pairwise(found))


def test_nothing_reached_guarantees_nothing() -> None:
    assert lower_bound(np.zeros(50)) == 0.0
    with pytest.raises(ValueError, match=">= 0"):
        lower_bound([1.0, -1.0])
    with pytest.raises(ValueError, match="at least one"):
        lower_bound([])


@pytest.mark.parametrize(
    ("n", "share", "confidence"), [(40, 0.9, 0.95), (29, 0.9, 0.95), (200, 0.9, 0.9), (60, 0.5, 0.8)]
)
def test_the_quantile_is_right_as_often_as_it_says_and_no_larger_one_is(
    n: int, share: float, confidence: float
) -> None:
    rng = np.random.default_rng(0)
    right = next_right = 0
    for _ in range(2000):
        values = np.sort(rng.random(n))  # at least 1 - x of new draws are >= x
        found, x = worst_of(values, share, confidence)
        assert found == share
        right += 1 - x >= share
        next_right += 1 - values[np.searchsorted(values, x) + 1] >= share
    assert right / 2000 >= confidence - 0.02
    assert next_right / 2000 < confidence


def test_too_few_layouts_speak_of_a_smaller_share() -> None:
    assert worst_of(np.arange(28.0), 0.9, 0.95) == pytest.approx((0.05 ** (1 / 28), 0.0))
    assert worst_of(np.arange(29.0), 0.9, 0.95) == (0.9, 0.0)


def slow_rank(n: int, share: float, confidence: float) -> int:
    """The largest k with P(Binomial(n, 1 - share) < k) <= 1 - confidence, in fractions; 0 where there is none."""
    chance, below = Fraction(1.0 - share), Fraction(0)
    for k in range(n):
        below += math.comb(n, k) * chance**k * (1 - chance) ** (n - k)
        if below > Fraction(1.0 - confidence):
            return k
    return n


@pytest.mark.parametrize(("share", "confidence"), [(0.9, 0.95), (0.9, 0.9875), (0.5, 0.6), (0.95, 0.999)])
def test_the_quantile_is_the_order_statistic_that_fractions_give(share: float, confidence: float) -> None:
    for n in range(1, 160, 3):
        rank = slow_rank(n, share, confidence)
        found, x = worst_of(np.arange(1.0, n + 1), share, confidence)
        assert (found, x) == ((share, rank) if rank else (pytest.approx((1.0 - confidence) ** (1 / n)), 1.0))


def test_many_layouts_give_the_quantile_that_the_normal_approximation_gives() -> None:
    ranks = []
    for n in (5_000, 7_000, 7_060, 7_100, 10_000, 100_000, 500_000):
        found, rank = worst_of(np.arange(1.0, n + 1), 0.9, 0.95)
        assert found == 0.9
        assert rank == pytest.approx(0.1 * n - 1.6449 * math.sqrt(0.09 * n), abs=2)
        ranks.append(rank)
    assert ranks == sorted(ranks)


def test_guarantees_of_a_mode_know_their_floors_and_share_the_confidence_among_the_modes() -> None:
    rng = np.random.default_rng(0)
    values = {
        "goals": rng.poisson(11.0, 40).astype(float),
        "return": rng.normal(23.0, 2.0, 40),
        "cost": rng.poisson(50.0, 40).astype(float),
        "straightness": None,
    }
    found = guarantees_of(values, steps=1000, robot="Point", time_step=0.02, confidence=0.9, n_modes=2)
    assert found["straightness"] is None
    goals, returns, cost = found["goals"], found["return"], found["cost"]
    assert goals is not None
    assert returns is not None
    assert cost is not None
    assert goals.bound == lower_bound(values["goals"], 0.95)
    assert returns.edge == pytest.approx(-40.0)
    assert returns.bound == pytest.approx(lower_bound(values["return"] + 40.0, 0.95) - 40.0)
    assert cost.bound == 1000.0 - lower_bound(1000.0 - values["cost"], 0.95) >= values["cost"].mean()
    assert cost.quantile == -worst_of(-values["cost"], 0.9, 0.95)[1] >= np.quantile(values["cost"], 0.9)
    assert {goals.confidence, cost.confidence} == {0.95}
    unknown = guarantees_of(values, steps=1000, robot="Ant", time_step=0.02)
    assert unknown["return"] is None
    assert unknown["goals"] is not None
    beyond = guarantees_of(values | {"cost": np.array([1001.0])}, steps=1000, robot="Point", time_step=0.02)
    assert beyond["cost"] is None


def test_requirements_are_read() -> None:
    assert parse_requirements(" goals >= 9, cost<=60 ") == [Condition("goals", 9.0), Condition("cost", 60.0)]
    assert str(parse_requirements("return>=-1e1")[0]) == "return>=-10"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'nothing' is not a condition"),
        ("goals>=9,", "'nothing' is not a condition"),
        ("goals", "'goals' is not a condition"),
        ("goals>=9 cost<=60", "is not a condition"),
        ("speed>=1", "no guarantee for 'speed'"),
        ("goals<=9", "goals has a lower bound: `goals>=...`"),
        ("cost>=9", "cost has an upper bound: `cost<=...`"),
        ("goals=9", "goals has a lower bound"),
        ("goals>=many", "'many' in 'goals>=many' is not a number"),
        ("goals>=nan", "is not a number"),
    ],
)
def test_requirements_that_make_no_sense_are_one_clear_line(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        parse_requirements(text)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mode_qualifies_by_its_bound_and_not_by_its_mean() -> None:
    values = np.full(20, 10.0)
    bound = lower_bound(values, 0.95)
    guarantee = Guarantee("at_least", bound, 0.95, 0.0, 20, SHARE, 10.0)
    for threshold, qualifies in ((bound - 1e-6, True), (bound + 1e-6, False), (9.9, False)):
        (verdict,) = judge([Condition("goals", threshold)], {3: {"goals": guarantee}}, {3: {"goals": values}})
        assert (verdict.mode, verdict.qualifies) == (3, qualifies)
    assert "might show it" in verdict.missing[0]
    (hopeless,) = judge([Condition("goals", 11.0)], {3: {"goals": guarantee}}, {3: {"goals": values}})
    assert hopeless.missing == [f"goals>=11: guaranteed is {bound:.4g}, its mean 10"]
    varied = {"goals": np.array([9.0, 12.0, 11.0, 10.0])}
    (far,) = judge([Condition("goals", 10.4999)], {3: {"goals": guarantee}}, {3: varied})
    assert far.missing[0].endswith("; 500,000 layouts, which is all, would not")
    (unknown,) = judge([Condition("cost", 11.0)], {3: {"goals": guarantee}}, {3: {"goals": values}})
    assert not unknown.qualifies


def test_as_many_layouts_as_are_said_to_be_needed_do_it() -> None:
    values = np.array([9.0, 12.0, 11.0, 10.0])
    n = layouts_needed(values, 10.0, 0.95)
    assert n is not None
    assert lower_bound(np.tile(values, n // 4 + 1), 0.95) >= 10.0 > lower_bound(np.tile(values, n // 5), 0.95)
    assert layouts_needed(values, 10.4999999, 0.95) is None


def test_no_more_layouts_are_said_to_be_needed_than_there_are() -> None:
    values = np.array([9.0, 12.0, 11.0, 10.0])
    needed = [layouts_needed(values, 10.5 - gap, 0.95) for gap in np.geomspace(0.5, 0.001, 40)]
    known = [n for n in needed if n is not None]
    assert 200_000 < max(known) <= BLOCK
    assert needed[len(known) :] == [None] * (len(needed) - len(known)) != []
