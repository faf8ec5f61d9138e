"""Means with bootstrap intervals: no figure of a report stands alone."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile-bootstrap interval; of a single value, the interval is that value."""

    mean: float
    low: float
    high: float
    n: int
    """How many values it rests on."""

    def as_dict(self) -> dict[str, float]:
        """{mean, low, high, n}, for JSON."""
        return asdict(self)

    def text(self, digits: int = 2) -> str:
        """`11.20 [10.90, 11.50]`; of a single value only that value."""
        mean = f"{self.mean:.{digits}f}"
        return mean if self.n < 2 else f"{mean} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def bootstrap(
    values: Sequence[float] | np.ndarray,
    *,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    strata: Sequence[int] | np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A statistic of `values` and its percentile-bootstrap interval.

    The percentile interval is slightly too narrow for a handful of values (at 20, about 93% for a nominal 95%).

    Args:
        values: (N,) finite.
        statistic: (R, N) -> (R,), applied to R resamples at once; None is the mean.
        strata: (N,) the group of each value, a training seed say; values are then drawn anew within each group, so
            that every resample holds as many of each group as the data (rliable, arXiv 2108.13264).
        confidence: the interval's nominal coverage.
        n_resamples: how often to draw anew.
        seed: of the draws; the same seed gives the same interval.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"expected at least one value and all of them finite, got {data}")
    statistic = statistic or _mean
    indices = resample_indices(len(data), strata=strata, n_resamples=n_resamples, seed=seed)
    return _interval(statistic(data[None])[0], statistic(data[indices]), len(data), confidence)


def bootstrap_ratio(
    values: Sequence[float] | np.ndarray,
    reference: Sequence[float] | np.ndarray,
    *,
    strata: Sequence[int] | np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """mean(values) / mean(reference), and its interval; layouts are drawn anew in pairs, for both faced the same ones.

    Args:
        values: (N,) a mode's figure on each layout.
        reference: (N,) the expert's figure on the same layouts.
        strata, confidence, n_resamples, seed: as in `bootstrap`.

    Returns:
        None where the reference's mean is 0, in all of the data or in a resample.
    """
    pairs = np.stack([np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)])  # (2, N)
    indices = resample_indices(pairs.shape[1], strata=strata, n_resamples=n_resamples, seed=seed)
    means = pairs[:, indices].mean(axis=2)  # (2, N), (R, N) -> (2, R)
    if (means[1] == 0).any() or pairs[1].mean() == 0:
        return None
    return _interval(pairs[0].mean() / pairs[1].mean(), means[0] / means[1], pairs.shape[1], confidence)


def resample_indices(
    n: int, *, strata: Sequence[int] | np.ndarray | None = None, n_resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """(R, n) int: rows of draws with replacement from range(n), within each stratum where strata are given."""
    rng = np.random.default_rng(seed)
    if strata is None:
        return rng.integers(0, n, size=(n_resamples, n))
    groups = np.asarray(strata)
    if groups.shape != (n,):
        raise ValueError(f"{n} values have strata of shape {groups.shape}; expected ({n},)")
    indices = np.empty((n_resamples, n), dtype=np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        indices[:, members] = members[rng.integers(0, len(members), size=(n_resamples, len(members)))]
    return indices


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
    return _interval(estimates[0], resampled[0], tables[0].size, confidence)


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


def iqm(values: np.ndarray) -> np.ndarray:
    """Interquartile mean along the last axis: the mean without the lowest and the highest quarter (scipy's rounding).

    Robust against a failed seed and yet not blind to half of the data as the median is (rliable, arXiv 2108.13264).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    cut = int(0.25 * ordered.shape[-1])
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def _mean(rows: np.ndarray) -> np.ndarray:
    return rows.mean(axis=-1)


def _interval(estimate: float, resampled: np.ndarray, n: int, confidence: float) -> Interval:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(float(estimate), float(low), float(high), n)
