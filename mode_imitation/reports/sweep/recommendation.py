"""Which k, stride and seed to train with, from label-free figures alone.

The rule, in this order:

1. Only cells that explain the data as well as the best one are looked at: their cross-fitted nats per step are at most
   one standard error of the difference (paired over episodes; the one-standard-error rule of Breiman et al. 1984) or
   WITHIN_NATS above the lowest. A k and stride is judged by its best seed, as that seed is what would be trained.
2. Of their (k, stride), those whose codes do not explain each other's data: with no seed is the smallest gap between
   two codes below the one at which training takes two codes for one. Where none is left, none is passed over for it.
3. Of these, those whose seeds agree: stability within WITHIN_STABILITY of the most stable one's.
4. Of these the fewest modes, then the best likelihood, then the smallest k, then the smallest stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.criteria import stability

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
    """Nats per step between the two most similar codes, in the same order; None for a single code."""
    episode_nll: np.ndarray
    """(E,) of the best seed."""
    stability: float | None
    """Mean pairwise ARI of the seeds' codes; None for a single seed."""
    n_failed: int

    @property
    def smallest_gap(self) -> float | None:
        """Of all seeds; None where each found a single code."""
        return min((gap for gap in self.gaps if gap is not None), default=None)

    def has_gaps_from(self, merge_gap: float) -> bool:
        """Whether no two codes of a seed are closer than this; a single code is close to none."""
        return self.smallest_gap is None or self.smallest_gap >= merge_gap

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


def recommend(settings: Sequence[Setting], merge_gap: float) -> Recommendation:
    """The rule at the top of this file, among ours where ours was swept.

    Args:
        settings: of any objective.
        merge_gap: of the training, nats per step.

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
    apart = [setting for setting in close if setting.has_gaps_from(merge_gap)]
    left = apart or close
    most_stable = max((setting.stability for setting in left if setting.stability is not None), default=None)
    agreeing = [
        setting
        for setting in left
        if most_stable is None or (setting.stability or 0.0) >= most_stable - WITHIN_STABILITY
    ]
    chosen = min(agreeing, key=lambda setting: (setting.n_modes[0], setting.nll[0], setting.codes, setting.stride))
    whose = "of the others" if len(left) < len(close) else "of them"
    agreement = (
        f", {len(agreeing)} {whose} with seeds that agree (ARI {most_stable:.2f} at best)" if most_stable else ""
    )
    own_gap = chosen.smallest_gap
    reason = (
        f"{len(close)} of {len(candidates)} settings explain the data as well as the best ({best.nll[0]:.3f} nats per "
        f"step by policies that never saw it){gap_words(close, merge_gap)}{agreement}; "
        "this one has the fewest modes, and of those the best likelihood"
        + ("" if own_gap is None else f"; the smallest gap between two of its codes is {own_gap:.2f} nats per step")
    )
    return Recommendation(objective, chosen.codes, chosen.stride, chosen.seeds[0], chosen.n_modes[0], reason)


def gap_words(close: Sequence[Setting], merge_gap: float) -> str:
    """What the gaps say of the settings that explain the data equally well; nothing where all have wide ones."""
    gaps = [gap for setting in close if (gap := setting.smallest_gap) is not None and gap < merge_gap]
    if not gaps:
        return ""
    found = (
        f"two codes explain each other's data within {merge_gap:g} nats per step (the smallest gap is {min(gaps):.2f})"
    )
    if len(gaps) == len(close):
        return f", and in every one of them {found}, so that none is passed over for it"
    return f", {len(gaps)} of them passed over because {found}"


def tolerance(setting: Setting, best: Setting) -> float:
    """Nats per step by which a setting may be worse than the best one and still count as good."""
    difference = setting.episode_nll - best.episode_nll
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return WITHIN_NATS
    return max(WITHIN_NATS, float(difference.std(ddof=1) / np.sqrt(len(difference))))
