"""Each clustering metric and statistic equals its slow definition."""

import itertools
from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mode_imitation.reports import clustering, statistics

pairs = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=25)


def entropy(items: list) -> float:
    shares = np.array(list(Counter(items).values())) / len(items)
    return float(-(shares * np.log(shares)).sum())


def conditional_entropy(items: list, given_items: list) -> float:
    total = 0.0
    for value in set(given_items):
        chosen = [item for item, other in zip(items, given_items, strict=True) if other == value]
        total += len(chosen) / len(items) * entropy(chosen)
    return total


def slow_scores(labels: list, codes: list) -> dict[str, float]:
    information = entropy(labels) - conditional_entropy(labels, codes)
    mean_entropy = (entropy(labels) + entropy(codes)) / 2
    same = [(a == b, c == d) for (a, c), (b, d) in itertools.combinations(list(zip(labels, codes, strict=True)), 2)]
    n_pairs = max(len(same), 1)
    both = sum(x and y for x, y in same)
    by_label, by_code = sum(x for x, _ in same), sum(y for _, y in same)
    expected, most = by_label * by_code / n_pairs, (by_label + by_code) / 2
    kinds, names = sorted(set(labels)), sorted(set(codes))
    padded = [*names, *[None] * max(0, len(kinds) - len(names))]
    best = max(
        sum(sum(x == kind and y == name for x, y in zip(labels, codes, strict=True)) for kind, name in pairing)
        for order in itertools.permutations(padded, len(kinds))
        for pairing in [list(zip(kinds, order, strict=True))]
    )
    pure = sum(max(Counter(x for x, y in zip(labels, codes, strict=True) if y == name).values()) for name in names)
    return {
        "nmi": information / mean_entropy if mean_entropy else 1.0,
        "ari": (both - expected) / (most - expected) if most != expected else 1.0,
        "homogeneity": information / entropy(labels) if entropy(labels) else 1.0,
        "completeness": information / entropy(codes) if entropy(codes) else 1.0,
        "purity": pure / len(labels),
        "hungarian_accuracy": best / len(labels),
    }


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_every_score_equals_its_slow_definition(items: list[tuple[str, int]]) -> None:
    labels, codes = [label for label, _ in items], [code for _, code in items]
    fast = clustering.clustering_scores(labels, np.array(codes))
    slow = slow_scores(labels, codes)
    assert fast.keys() == slow.keys()
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-9), name


@given(pairs)
def test_renaming_codes_changes_no_score(items: list[tuple[str, int]]) -> None:
    labels, codes = [label for label, _ in items], np.array([code for _, code in items])
    assert clustering.clustering_scores(labels, codes) == pytest.approx(
        clustering.clustering_scores(labels, np.array([7, 2, 9, 0])[codes]), abs=1e-9
    )


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no items"):
        clustering.clustering_scores([], np.array([], dtype=int))


def test_the_confusion_matrix_counts_pairs_and_names_each_codes_label() -> None:
    confusion = clustering.confusion_matrix(["b", "a", "b", "b"], np.array([0, 2, 2, 2]), 4)
    assert confusion.labels == ["a", "b"]
    np.testing.assert_array_equal(confusion.counts, [[0, 0, 1, 0], [1, 0, 2, 0]])
    assert confusion.matched_labels() == ["b", None, "b", None]


def test_the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 40)
    interval = statistics.bootstrap(values, seed=1)
    assert interval.low < interval.mean < interval.high
    assert interval.mean == pytest.approx(values.mean())
    assert interval == statistics.bootstrap(values, seed=1)


def slow_draws(n: int, n_resamples: int, seed: int) -> list[list[int]]:
    """One index at a time."""
    rng = np.random.default_rng(seed)
    return [[int(rng.integers(n)) for _ in range(n)] for _ in range(n_resamples)]


def slow_limits(replicates: list[float]) -> tuple[float, float]:
    """Where the tails begin and end, on the line through the sorted replicates."""
    ordered, tail = sorted(replicates), (1 - statistics.CONFIDENCE) / 2 * (len(replicates) - 1)
    low, high = np.interp([tail, len(replicates) - 1 - tail], range(len(replicates)), ordered)
    return low, high


tables = st.lists(st.tuples(st.floats(-100, 100), st.integers(-1, 3)), min_size=1, max_size=8)


@settings(deadline=None)
@given(tables, st.sampled_from([1, 20]), st.integers(0, 2**32 - 1))
@example([(5.0, 1), (2.0, -1)], 1, 0)  # the reference's mean is 0, in no resample though
def test_the_intervals_equal_those_of_drawing_one_index_at_a_time(
    table: list[tuple[float, int]], n: int, seed: int
) -> None:
    values, reference = (list(column) for column in zip(*table, strict=True))
    draws = slow_draws(len(table), n, seed)
    with patch.object(statistics, "RESAMPLES", n):
        found = statistics.bootstrap(values, seed=seed)
        ratio = statistics.bootstrap_ratio(values, reference, seed=seed)
    limits = slow_limits([float(np.mean([values[index] for index in row])) for row in draws])
    assert (found.low, found.high) == pytest.approx(limits, abs=1e-9)
    assert (found.mean, found.n) == (pytest.approx(float(np.mean(values)), abs=1e-9), len(values))
    below = [sum(reference[index] for index in row) for row in draws]
    assert (ratio is None) == (not all(below) or not sum(reference))
    if ratio is not None:
        over = [sum(values[index] for index in row) for row in draws]
        limits = slow_limits([one / other for one, other in zip(over, below, strict=True)])
        assert (ratio.low, ratio.high) == pytest.approx(limits, abs=1e-9)
        assert (ratio.mean, ratio.n) == (pytest.approx(sum(values) / sum(reference), abs=1e-9), len(values))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = [
        interval.low <= 0.0 <= interval.high
        for interval in (statistics.bootstrap(rng.normal(size=40)) for _ in range(400))
    ]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_a_single_value_is_its_own_interval() -> None:
    assert statistics.bootstrap([4.0]) == statistics.Interval(4.0, 4.0, 4.0, 1)
    assert statistics.bootstrap([4.0]).text(1) == "4.0"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_no_values_or_a_value_that_is_not_finite_is_an_error(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        statistics.bootstrap(values)


def test_the_ratio_is_of_means_and_draws_layouts_in_pairs() -> None:
    expert = np.random.default_rng(0).uniform(5, 15, 30)
    ratio = statistics.bootstrap_ratio(0.9 * expert, expert)
    assert ratio is not None
    # The layouts differ much, the ratio not at all: pairing must see that.
    assert ratio.low == pytest.approx(0.9)
    assert ratio.high == pytest.approx(0.9)
    assert statistics.bootstrap_ratio([1.0, 2.0], [0.0, 0.0]) is None
