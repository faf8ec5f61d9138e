"""How far a context lies from the ones that the policy was trained under: only there is its behaviour known."""

from typing import NamedTuple

import numpy as np


class ContextDistance(NamedTuple):
    """Of one context, or arrays (N,) of N of them."""

    nearest: np.ndarray
    """The mode whose context is nearest."""
    distance: np.ndarray
    """Sum of absolute differences to that mode's context, in units of the one between that mode and its nearest other
    mode: 0 is a mode's own context, as in training; 0.5 is half-way to another mode; 1 as far as another mode is. A run
    of one mode is measured in units of the sum of its own context."""
    on_pruned: np.ndarray
    """Share of the weight that lies on codes that were pruned, which stand for nothing; 0 where contexts are
    distances."""

    def text(self) -> str:
        """One line for a single context."""
        where = f"{float(self.distance):.2f} from mode {int(self.nearest)}, the nearest"
        note = f"the context lies {where} (0: as in training; 1: as far as another mode)"
        if self.on_pruned > 0.005:
            note += f"; {float(self.on_pruned):.0%} of it is on pruned codes, which stand for nothing"
        return note


def context_distance(
    contexts: np.ndarray, mode_contexts: np.ndarray, modes: list[int], *, weights: bool
) -> ContextDistance:
    """How far contexts lie from those of the modes.

    Args:
        contexts: (K,) or (N, K).
        mode_contexts: (K, K), row j the context of code j.
        modes: the codes in use.
        weights: contexts are weights of the codes, rather than distances to them.
    """
    known = mode_contexts[modes].astype(np.float64)  # (M, K)
    apart = np.abs(known[:, None] - known).sum(axis=-1)  # (M, M)
    np.fill_diagonal(apart, np.inf)
    units = apart.min(axis=1) if len(modes) > 1 else np.abs(known).sum(axis=-1)  # (M,)
    away = np.abs(contexts[..., None, :] - known).sum(axis=-1)  # (..., M)
    nearest = away.argmin(axis=-1)
    # Two modes under one and the same context are no distance apart to measure by.
    units = np.where(units > 0, units, 1.0)
    distance = np.take_along_axis(away, nearest[..., None], axis=-1)[..., 0] / units[nearest]
    pruned = np.ones(contexts.shape[-1], dtype=bool)
    pruned[modes] = False
    sizes = np.abs(contexts) * weights
    share = sizes[..., pruned].sum(axis=-1) / np.maximum(sizes.sum(axis=-1), 1e-12)
    return ContextDistance(np.asarray(modes)[nearest], distance, np.asarray(share))
