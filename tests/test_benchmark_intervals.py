"""Intervals over seeds and layouts equal a slow definition, and hold the truth as often as they say."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from benchmarks.modes.statistics import bootstrap_crossed, draw_counts, stretched


def slow_stretch(table: np.ndarray) -> np.ndarray:
    """Each row moved away from the mean by what makes a normal interval of the rows' means Student's."""
    n = len(table)
    if n == 1:
        return table
    wider = scipy.stats.t.ppf(0.975, n - 1) / scipy.stats.norm.ppf(0.975) * math.sqrt(n / (n - 1))
    return np.array([row + (wider - 1) * (row.mean() - table.mean()) for row in table])


def slow_crossed(
    values: np.ndarray, reference: np.ndarray | None, minus: np.ndarray | None, n: int, seed: int, trained: bool
):
    """Draw how often each layout and each seed comes, then repeat them so often."""
    if trained:
        values, minus = slow_stretch(values), None if minus is None else slow_stretch(minus)
    tables = [table for table in (values, reference, minus) if table is not None]
    layouts = draw_counts(values.shape[1], n, seed)
    drawn = [draw_counts(len(table), n, seed, stream) for stream, table in enumerate(tables, start=1)]
    found = []
    for resample in range(n):
        means = []
        for table, rows in zip(tables, drawn, strict=True):
            picked = [
                table[row, column]
                for row in range(len(table))
                for _ in range(int(rows[resample][row]))
                for column in range(table.shape[1])
                for _ in range(int(layouts[resample][column]))
            ]
            means.append(sum(picked) / len(picked))
        below = means.pop(1) if reference is not None else 1.0
        found.append(means[0] / below - (means[1] / below if minus is not None else 0.0))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize(("with_reference", "with_minus", "trained"), [*itertools.product([False, True], repeat=3)])
def test_the_crossed_bootstrap_equals_a_slow_one(with_reference: bool, with_minus: bool, trained: bool) -> None:
    rng = np.random.default_rng(0)
    values, reference, minus = rng.normal(5, 1, (3, 6)), rng.normal(7, 1, (2, 6)), rng.normal(4, 1, (4, 6))
    given = reference if with_reference else None, minus if with_minus else None
    found = bootstrap_crossed(values, given[0], minus=given[1], trained=trained, n_resamples=60, seed=4)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], slow_crossed(values, *given, 60, 4, trained))
    below = reference.mean() if with_reference else 1.0
    assert found.mean == pytest.approx((values.mean() - (minus.mean() if with_minus else 0.0)) / below)
    assert found.n == values.size


def test_draws_are_as_many_as_there_are_and_differ_between_streams() -> None:
    counts = draw_counts(7, 500, 3)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.min() >= 0
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)
    assert (counts != draw_counts(7, 500, 3, 1)).any()
    assert (counts != draw_counts(7, 500, 4)).any()
    assert not counts.flags.writeable


def test_what_layouts_do_to_all_seeds_at_once_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    shared = np.tile(rng.normal(size=40), (5, 1))
    alone = bootstrap_crossed(shared[:1])
    together = bootstrap_crossed(shared)
    assert alone is not None
    assert together is not None
    # Five seeds that all do the same know no more than one.
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)
    ratio = bootstrap_crossed(shared + 9, shared[:1] + 9)
    assert ratio is not None
    assert ratio.low == pytest.approx(1.0)
    assert ratio.high == pytest.approx(1.0)


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_crossed_interval_of_few_seeds_holds_the_truth_at_least_as_often_as_it_says(n_seeds: int) -> None:
    rng = np.random.default_rng(0)
    hits = {True: 0, False: 0}
    for _ in range(400):
        table = rng.normal(size=(n_seeds, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(n_seeds, 30))
        for trained in hits:
            found = bootstrap_crossed(table, trained=trained, n_resamples=300)
            assert found is not None
            hits[trained] += found.low <= 0 <= found.high
    assert 0.93 <= hits[True] / 400 <= 0.995
    # Seeds drawn as they are would be taken for more than so few can say.
    assert hits[False] / 400 < 0.93


def test_stretching_seeds_widens_nothing_where_all_do_the_same_and_keeps_the_mean() -> None:
    table = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_allclose(stretched(table), slow_stretch(table))
    assert stretched(table).mean() == pytest.approx(table.mean())
    same = np.tile(table[0], (4, 1))
    np.testing.assert_allclose(stretched(same), same)
    np.testing.assert_array_equal(stretched(table[:1]), table[:1])


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3), np.full((1, 2), np.nan)])
def test_a_table_without_finite_values_is_an_error(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_crossed(bad)
    with pytest.raises(ValueError, match="4 layouts throughout, got 3"):
        bootstrap_crossed(np.zeros((1, 4)), np.zeros((1, 3)))
    assert bootstrap_crossed(np.ones((1, 4)), np.zeros((2, 4))) is None
