"""Which k, stride and seed to train with, from label-free figures alone.

The rule, in this order:

1. Only cells that explain the data as well as the best one are looked at: their cross-fitted nats per step are at most
   one standard error of the difference (paired over episodes; the one-standard-error rule of Breiman et al. 1984) or
   WITHIN_NATS above the lowest. A k and stride is judged by its best seed, as that seed is what would be trained.
2. Of their (k, stride), those whose seeds agree: stability within WITHIN_STABILITY of the most stable one's.
3. Of these the fewest modes, then the best likelihood, then the smallest k, then the smallest stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.evaluation.sweep.criteria import stability

WITHIN_NATS = 0.01
"""The same codes, judged by fits of other seeds, differ by less than this."""
WITHIN_STABILITY = 0.05


@dataclass(frozen=True)
class Setting:
    """What the seeds of one objective, k and stride have in common. Nothing here knows a label."""

    objective: str
    codes: int
    stride: int
    seeds: tuple[int, ...]
    """Of the cells that finished, best likelihood first."""
    nll: tuple[float, ...]
    """Cross-fitted nats per step, in the same order."""
    n_modes: tuple[int, ...]
    gaps: tuple[float | None, ...]
    episode_nll: np.ndarray
    """(E,) of the best seed."""
    stability: float | None
    """Mean pairwise ARI of the seeds' codes; None for a single seed."""
    n_failed: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "objective": self.objective,
            "codes": self.codes,
            "stride": self.stride,
            "seeds": list(self.seeds),
            "nll": list(self.nll),
            "n_modes": list(self.n_modes),
            "smallest_gap": list(self.gaps),
            "stability": self.stability,
            "n_failed": self.n_failed,
        }


@dataclass(frozen=True)
class Recommendation:
    objective: str
    codes: int
    stride: int
    seed: int
    n_modes: int
    reason: str
    """One sentence."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def gather(cells: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Settings of cells as their files hold them; a setting of which every cell failed is left out."""
    groups: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for entry in cells:
        cell = entry["cell"]
        groups.setdefault((cell["objective"], cell["codes"], cell["stride"]), []).append(entry)
    found = []
    for (objective, codes, stride), members in groups.items():
        done = [entry for entry in members if entry["status"] == "done"]
        done.sort(key=lambda entry: (entry["criteria"]["nll"], entry["cell"]["seed"]))
        if not done:
            continue
        episode_nll = [np.nan if value is None else value for value in done[0]["criteria"]["episode_nll"]]
        found.append(
            Setting(
                objective,
                codes,
                stride,
                tuple(entry["cell"]["seed"] for entry in done),
                tuple(entry["criteria"]["nll"] for entry in done),
                tuple(entry["n_modes"] for entry in done),
                tuple(entry["criteria"]["smallest_gap"] for entry in done),
                np.array(episode_nll, dtype=np.float64),
                stability([entry["codes"] for entry in done]),
                len(members) - len(done),
            )
        )
    return found


def recommend(settings: Sequence[Setting]) -> Recommendation:
    """The rule at the top of this file, among ours where ours was swept.

    Raises:
        UserError: there is nothing to choose among.
    """
    for objective in ("ours", "original"):
        candidates = [setting for setting in settings if setting.objective == objective]
        if candidates:
            break
    else:
        raise UserError("no cell of the sweep finished, so there is nothing to recommend")
    best = min(candidates, key=lambda setting: setting.nll[0])
    close = [setting for setting in candidates if setting.nll[0] - best.nll[0] <= tolerance(setting, best)]
    most_stable = max((setting.stability for setting in close if setting.stability is not None), default=None)
    agreeing = [
        setting
        for setting in close
        if most_stable is None or (setting.stability or 0.0) >= most_stable - WITHIN_STABILITY
    ]
    chosen = min(agreeing, key=lambda setting: (setting.n_modes[0], setting.nll[0], setting.codes, setting.stride))
    agreement = (
        f", {len(agreeing)} of them with seeds that agree (ARI {most_stable:.2f} at best)" if most_stable else ""
    )
    reason = (
        f"{len(close)} of {len(candidates)} settings explain the data as well as the best ({best.nll[0]:.3f} nats per "
        f"step by policies that never saw it){agreement}; "
        "this one has the fewest modes, and of those the best likelihood"
    )
    return Recommendation(objective, chosen.codes, chosen.stride, chosen.seeds[0], chosen.n_modes[0], reason)


def tolerance(setting: Setting, best: Setting) -> float:
    """Nats per step by which a setting may be worse than the best one and still count as good."""
    difference = setting.episode_nll - best.episode_nll
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return WITHIN_NATS
    return max(WITHIN_NATS, float(difference.std(ddof=1) / np.sqrt(len(difference))))
