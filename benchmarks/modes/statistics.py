"""Intervals over training seeds and layouts, which are drawn anew together."""

import functools

import numpy as np
from scipy.special import ndtri, stdtrit

from mode_imitation.reports.statistics import CONFIDENCE, RESAMPLES, Interval, percentile_interval


def bootstrap_crossed(
    values: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    minus: np.ndarray | None = None,
    trained: bool = True,
    confidence: float = CONFIDENCE,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The mean over training seeds and layouts, or its ratio to a reference's, and its percentile-bootstrap interval.

    Every seed faced the same layouts, and so did the reference. Seeds are therefore drawn anew, and layouts too, once
    for all seeds and the reference together (Owen, "The pigeonhole bootstrap", 2007). Layouts drawn for each seed apart
    would leave out what a hard layout, or the reference's luck on it, does to all seeds at once, and give intervals
    that are too narrow. So would a handful of training seeds drawn as they are: a bootstrap of 5 values has a fifth too
    little variance and a normal's tails. Their deviations are stretched first, see `stretched`; with 5 seeds and 200
    layouts a nominal 95% is then 95% to 99%, the more the less seeds differ (89% without, where they differ most).

    Args:
        values: (S, L) finite; a row a seed, a column a layout.
        reference: (E, L) on the same layouts, a row a seed of its own; what the mean is divided by. Never stretched: a
            seed of action noise has nothing in common from layout to layout.
        minus: (M, L) on the same layouts; the mean (or ratio) of these is taken off.
        trained: whether the rows of `values` and `minus` are training seeds; not so where they are the experts' own.
        confidence, n_resamples, seed: as in `bootstrap`.

    Returns:
        None where the reference's mean is 0, in all of the data or in a resample.

    Raises:
        ValueError: a table is empty or not finite, or they differ in their layouts.
    """
    tables = [np.asarray(table, dtype=np.float64) for table in (values, reference, minus) if table is not None]
    for table in tables:
        if table.ndim != 2 or not table.size or not np.isfinite(table).all():
            raise ValueError(f"expected rows of finite values, got an array of shape {table.shape}")
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(f"expected {tables[0].shape[1]} layouts throughout, got {table.shape[1]}")
    columns = draw_counts(tables[0].shape[1], n_resamples, seed)  # (R, L)
    estimates, resampled = [], []
    for stream, table in enumerate(tables, start=1):
        rows = draw_counts(len(table), n_resamples, seed, stream)  # (R, S)
        estimates.append(table.mean())
        is_reference = reference is not None and stream == 2
        drawn = stretched(table, confidence) if trained and not is_reference else table
        resampled.append(((rows @ drawn) * columns).sum(axis=1) / table.size)  # (R, S), (S, L) -> (R,)
    if reference is not None:
        if estimates[1] == 0 or (resampled[1] == 0).any():
            return None
        for others in (estimates, resampled):
            below = others.pop(1)
            others[:] = [other / below for other in others]
    if minus is not None:
        estimates[0], resampled[0] = estimates[0] - estimates[1], resampled[0] - resampled[1]
    return percentile_interval(estimates[0], resampled[0], tables[0].size, confidence)


def stretched(table: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """Rows moved away from the mean of all, so that their percentile-bootstrap interval is as wide as Student's.

    The expanded percentile interval (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 3.4),
    with the width put into the rows, since columns are drawn with them. A single row stays as it is.

    Args:
        table: (S, L)
        confidence: of the interval.

    Returns:
        (S, L) with the same mean.
    """
    n = len(table)
    if n < 2:
        return table
    tail = 0.5 + confidence / 2
    factor = np.sqrt(n / (n - 1)) * stdtrit(n - 1, tail) / ndtri(tail)
    means = table.mean(axis=1, keepdims=True)
    return table + (factor - 1) * (means - means.mean())


@functools.lru_cache(maxsize=16)
def draw_counts(n: int, n_resamples: int, seed: int, stream: int = 0) -> np.ndarray:
    """(R, n) how often each of n is drawn when n are drawn with replacement; read-only, and another one a stream."""
    rng = np.random.default_rng([seed, stream])
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)
    counts.flags.writeable = False
    return counts
