"""Which expert a rollout looks like, and how evenly a policy shows all experts' behaviours (D3IL, arXiv 2402.14606)."""

from collections.abc import Mapping, Sequence

import numpy as np

LOOKS = ("goals", "cost", "straightness", "speed", "turn_rate", "turning", "forward_share", "approach")
"""Figures that behaviours are told by."""
Figures = Mapping[str, Sequence[float]]
"""Figure -> a number for each layout."""


class BehaviourClassifier:
    """The expert whose mean figures are the nearest, each measured in the spread that it has within the experts.

    Args:
        drives: expert -> its drives' figures; at least one drive each.
    """

    def __init__(self, drives: Mapping[str, Figures]) -> None:
        self.names = list(drives)
        tables = [look_of(figures) for figures in drives.values()]
        self.means = np.stack([table.mean(axis=0) for table in tables])  # (B, F)
        variance = np.mean([table.var(axis=0) for table in tables], axis=0)
        # A figure that no expert varies still must not decide by its last digits.
        self.spread = np.sqrt(variance) + 0.02 * (np.ptp(self.means, axis=0) + 1e-9)

    def __call__(self, figures: Figures) -> np.ndarray:
        """(N,) int, index of the expert that each drive looks like."""
        away = (look_of(figures)[:, None] - self.means) / self.spread  # (N, B, F)
        return (away**2).sum(axis=-1).argmin(axis=1)


def look_of(figures: Figures) -> np.ndarray:
    """(N, F) the figures that behaviours are told by."""
    return np.stack([np.asarray(figures[name], dtype=np.float64) for name in LOOKS], axis=1)


def behaviour_entropy(seen: np.ndarray, weights: np.ndarray, n_behaviours: int) -> dict[str, float]:
    """How evenly behaviours occur, 1 for all alike and 0 for a single one.

    Args:
        seen: (M, L) int, the behaviour of each mode on each layout.
        weights: (M,) how often each mode is driven; scaled to a sum of 1.
        n_behaviours: B, at least 2.

    Returns:
        entropy: of the behaviours over all layouts together, in units of log B. conditional: of those on one layout,
        averaged over the layouts: a policy without modes shows one behaviour there, whatever it does elsewhere.
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    one_hot = np.eye(n_behaviours)[seen]  # (M, L, B)
    by_layout = np.einsum("m,mlb->lb", shares, one_hot)  # (L, B)
    return {
        "entropy": float(_entropy(by_layout.mean(axis=0)) / np.log(n_behaviours)),
        "conditional": float(np.mean([_entropy(row) for row in by_layout]) / np.log(n_behaviours)),
    }


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return float(abs((positive * np.log(positive)).sum()))
