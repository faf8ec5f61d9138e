"""Which k, stride and seed to train with, from what a user without labels can judge codes by.

The rule, in this order:

1. Only cells that explain the data as well as the best one are looked at: their cross-fitted nats per step are at most
   one standard error of the difference (paired over episodes; the one-standard-error rule of Breiman et al. 1984) or
   WITHIN_NATS above the lowest. A k and stride is judged by its best seed, as that seed is what would be trained.
2. Of their (k, stride), those whose codes are told apart: with every seed each pair is, by steps that did not decide
   who has which. Where none is left, none is passed over for it.
3. Of these, those whose seeds agree: stability within WITHIN_STABILITY of the most stable one's.
4. Of these the fewest modes, then the best likelihood, then the smallest k, then the smallest stride.

A single mode is nothing to train: where it is what the rule ends with, nothing is recommended.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.discovery.evidence import evidence_of
from mode_imitation.discovery.search import pairs, score, unit_scores
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.reports.sweep.cells import Done, Judgement
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.preparation import new_model, token_sizes


class Judge:
    """Judges codes of a dataset's episodes by the same evidence, whatever they were found with.

    Codes are renamed in the order in which they appear, and the evidence does not know the window, k or the seed of the
    training; so equal partitions are judged equally to the last bit, and others are comparable.
    """

    def __init__(self, dataset: TrajectoryDataset) -> None:
        self.config = TrainConfig(evidence="policy", horizon=1, gap=1, stride=1)
        data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), self.config.window)
        sizes = self.config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
        model = new_model(sizes, data, self.config)
        self.evidence = evidence_of(model, data, self.config, torch.Generator().manual_seed(0))

    def judge(self, codes: Sequence[int]) -> Judgement:
        """Judge (E,) codes."""
        names: dict[int, int] = {}
        named = torch.tensor([names.setdefault(int(code), len(names)) for code in codes])  # [5, 2, 5] -> [0, 1, 0]
        of_each = (-unit_scores(self.evidence, named)).tolist()
        judged = (self.evidence.steps["both"] > 0).tolist()
        found = pairs(self.evidence, named, self.config.confidence)  # the least clear one first
        return Judgement(
            -score(self.evidence, named),
            [value if known else None for value, known in zip(of_each, judged, strict=True)],
            found[0]["clarity"] if found else None,
        )


WITHIN_NATS = 0.01
"""Too little to have more modes for, however sure it is."""
WITHIN_STABILITY = 0.05
WHAT_TO_TRY = (
    "the data may be of one expert alone; else give more codes (--codes 8,16) and other step sizes, longer cells, or, "
    "for experts that switch in mid-episode, `mode-imitation train --segment`"
)


@dataclass(frozen=True)
class Setting:
    """One k and stride, of which some seed finished. Nothing here knows a label."""

    cells: list[Done]
    """Of its seeds, best likelihood first."""
    stability: float | None
    """Mean pairwise ARI of the seeds' codes; None for a single seed."""

    @property
    def best(self) -> Done:
        """The seed that would be trained."""
        return self.cells[0]

    @property
    def codes(self) -> int:
        """k"""
        return self.best.cell.codes

    @property
    def stride(self) -> int:
        """In steps."""
        return self.best.cell.stride

    @property
    def nll(self) -> float:
        """Of the best seed."""
        return self.best.criteria.nll

    @property
    def smallest_clarity(self) -> float | None:
        """Of all seeds; None where each found a single code."""
        found = (done.criteria.smallest_clarity for done in self.cells)
        return min((clarity for clarity in found if clarity is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "codes": self.codes,
            "stride": self.stride,
            "seeds": [done.cell.seed for done in self.cells],
            "nll": [done.criteria.nll for done in self.cells],
            "n_modes": [done.n_modes for done in self.cells],
            "clarities": [done.criteria.smallest_clarity for done in self.cells],
            "stability": self.stability,
        }


@dataclass(frozen=True)
class Recommendation:
    """A choice, or, where there is none to make, None and why."""

    setting: Setting | None
    reason: str
    """One sentence."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        if (chosen := self.setting) is None:
            return {"reason": self.reason}
        return {**asdict(chosen.best.cell), "n_modes": chosen.best.n_modes, "reason": self.reason}


def gather(cells: Sequence[Done]) -> list[Setting]:
    """The cells by k and stride."""
    groups: dict[tuple[int, int], list[Done]] = {}
    for done in cells:
        groups.setdefault((done.cell.codes, done.cell.stride), []).append(done)
    ranked = [sorted(group, key=lambda done: (done.criteria.nll, done.cell.seed)) for group in groups.values()]
    return [Setting(group, stability([done.codes for done in group])) for group in ranked]


def stability(partitions: Sequence[Sequence[int]]) -> float | None:
    """Mean adjusted Rand index of all pairs of seeds' codes of the same episodes; None for less than two seeds.

    It is 1 where every seed finds the same groups, whatever it calls them, and near 0 where they agree by chance.
    """
    from sklearn.metrics import adjusted_rand_score

    pairs = [adjusted_rand_score(one, other) for one, other in combinations(partitions, 2)]
    return float(np.mean(pairs)) if pairs else None


def recommend(candidates: Sequence[Setting]) -> Recommendation:
    """The rule at the top of this file, among every setting of a sweep.

    Raises:
        UserError: there is nothing to choose among.
    """
    if not candidates:
        raise UserError("no cell of the sweep finished, so there is nothing to recommend")
    if all(done.n_modes == 1 for setting in candidates for done in setting.cells):
        return Recommendation(None, f"every training found one mode, which is nothing to steer; {WHAT_TO_TRY}")
    best = min(candidates, key=lambda setting: setting.nll)
    close = [setting for setting in candidates if setting.nll - best.nll <= tolerance(setting, best)]
    apart = [setting for setting in close if setting.smallest_clarity is None or setting.smallest_clarity >= 1]
    left = apart or close
    most_stable = max((setting.stability for setting in left if setting.stability is not None), default=None)
    agreeing = left
    if most_stable is not None:
        agreeing = [setting for setting in left if (setting.stability or 0.0) >= most_stable - WITHIN_STABILITY]
    chosen = min(agreeing, key=lambda setting: (setting.best.n_modes, setting.nll, setting.codes, setting.stride))
    if chosen.best.n_modes == 1:
        return Recommendation(
            None,
            f"one mode (k = {chosen.codes}, stride {chosen.stride}) explains the data as well as any number does, and "
            f"is nothing to steer; {WHAT_TO_TRY}",
        )
    steps = [f"{len(close)} of {len(candidates)} settings explain the data as well as the best"]
    if len(left) < len(close):
        steps.append(f"{len(left)} of them with codes that are told apart")
    if most_stable is not None:
        steps.append(f"{len(agreeing)} with seeds that agree")
    return Recommendation(chosen, f"{', '.join(steps)}; this one has the fewest modes")


def tolerance(setting: Setting, best: Setting) -> float:
    """Nats per step by which a setting may be worse than the best one and still count as good."""
    one, other = (np.array(each.best.criteria.episode_nll, np.float64) for each in (setting, best))  # None becomes NaN
    difference = one - other
    difference = difference[np.isfinite(difference)]
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else 0.0
    return max(WITHIN_NATS, error)
