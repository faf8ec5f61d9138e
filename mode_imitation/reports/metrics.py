"""How well codes agree with labels. Labels are used here and nowhere in training.

`labels` and `codes` are always (N,) and pair up row by row: the expert and the code of each window, or of each episode.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Counts of every label with every code."""

    labels: list[str]
    """L names, sorted; the rows."""
    counts: np.ndarray
    """(L, K) int: how many items have this label and this code."""

    def matched_labels(self) -> list[str | None]:
        """The most frequent label of each code; None for a code without items. K entries."""
        best = self.counts.argmax(axis=0)
        return [self.labels[row] if total else None for row, total in zip(best, self.counts.sum(axis=0), strict=True)]

    def as_dict(self) -> dict:
        """For JSON."""
        return {"labels": self.labels, "counts": self.counts.tolist()}


def confusion_matrix(labels: Sequence[str] | np.ndarray, codes: np.ndarray, n_codes: int) -> Confusion:
    """Count every label with every code.

    Args:
        labels: (N,) names.
        codes: (N,) int in [0, n_codes).
        n_codes: K, the columns of the result, also for codes that do not occur.
    """
    names, rows = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(names), n_codes), dtype=np.int64)
    np.add.at(counts, (rows, np.asarray(codes)), 1)
    return Confusion([str(name) for name in names], counts)


def clustering_scores(labels: Sequence[str] | np.ndarray, codes: np.ndarray) -> dict[str, float]:
    """Every agreement of codes with labels, each in [0, 1] (ARI may fall below 0), 1 for perfect agreement.

    NMI, ARI, homogeneity and completeness are scikit-learn's (NMI with the arithmetic mean). NMI and completeness
    punish surplus codes, homogeneity and purity do not.

    Returns:
        nmi, ari, homogeneity, completeness, purity, hungarian_accuracy.

    Raises:
        ValueError: there is nothing to compare.
    """
    from sklearn import metrics

    if not len(codes):
        raise ValueError("no items to compare")
    truth = np.unique(np.asarray(labels), return_inverse=True)[1]
    found = np.unique(np.asarray(codes), return_inverse=True)[1]
    homogeneity, completeness, _ = metrics.homogeneity_completeness_v_measure(truth, found)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(truth, found)),
        "ari": float(metrics.adjusted_rand_score(truth, found)),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        "purity": purity(truth, found),
        "hungarian_accuracy": hungarian_accuracy(truth, found),
    }


def purity(labels: Sequence[str] | np.ndarray, codes: np.ndarray) -> float:
    """Share of items whose label is the most frequent one of their code: 1/N sum over codes of max_j n_cj."""
    counts = _counts(labels, codes)
    return float(counts.max(axis=0).sum() / counts.sum())


def hungarian_accuracy(labels: Sequence[str] | np.ndarray, codes: np.ndarray) -> float:
    """Share of items on the best one-to-one matching of codes with labels; a surplus code's items count as wrong."""
    from scipy.optimize import linear_sum_assignment

    counts = _counts(labels, codes)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / counts.sum())


def codebook_perplexity(codes: np.ndarray, n_codes: int) -> float:
    """exp of the entropy of the codes' shares: between 1 (one code has everything) and `n_codes` (all equally used)."""
    shares = np.bincount(np.asarray(codes), minlength=n_codes) / max(len(codes), 1)
    used = shares[shares > 0]
    return float(np.exp(-(used * np.log(used)).sum()))


def _counts(labels: Sequence[str] | np.ndarray, codes: np.ndarray) -> np.ndarray:
    found = np.unique(np.asarray(codes), return_inverse=True)[1]
    return confusion_matrix(labels, found, int(found.max()) + 1).counts
