"""Which k, stride and seed to train with, from what a user without labels can judge codes by.

The rule, in this order:

1. Only cells that explain the data as well as the best one are looked at: their cross-fitted nats per step are at most
   one standard error of the difference (paired over episodes; the one-standard-error rule of Breiman et al. 1984) or
   WITHIN_NATS above the lowest. A k and stride is judged by its best seed, as that seed is what would be trained.
2. Of their (k, stride), those whose codes do not explain each other's data: with no seed is the smallest gap between
   two codes below the one at which training takes two codes for one. Where none is left, none is passed over for it.
3. Of these, those whose seeds agree: stability within WITHIN_STABILITY of the most stable one's.
4. Of these the fewest modes, then the best likelihood, then the smallest k, then the smallest stride.

A single mode is nothing to train: where it is what the rule ends with, nothing is recommended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.windows import WindowShape
from mode_imitation.discovery.evidence import code_gaps, scores_as_they_are
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.preparation import FEWEST_EPISODES, new_model, token_sizes


@dataclass(frozen=True)
class Judgement:
    """How good codes are, by policies that never saw what they judge; no label comes in."""

    nll: float
    """Cross-fitted nats per step (with something in sight, where that is known), mean over episodes; less is better."""
    episode_nll: list[float | None]
    """Of every episode that has a step to be judged by; None elsewhere."""
    smallest_gap: float | None
    """How many nats per step worse the two most similar codes explain each other's episodes; None for one code."""


class Judge:
    """Judges codes of a dataset's episodes by the same split and the same fit, whatever they were found with.

    Codes are renamed in the order in which they appear, and the fit does not know the window, k or the seed of the
    training; so equal partitions are judged equally to the last bit, and others are comparable.
    """

    def __init__(self, dataset: TrajectoryDataset, config: TrainConfig, most_codes: int, seed: int = 0) -> None:
        """A yardstick for up to `most_codes` codes; of the config, learning rate, sizes and iterations matter.

        Raises:
            UserError: there are too few episodes.
        """
        check_enough_episodes(dataset)
        self.config, self.seed = config, seed
        data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), WindowShape(1, 1, 1))
        # One yardstick for all cells, whatever their own policies are.
        sizes = TrainConfig(codes=max(2, most_codes), actor_hidden=config.actor_hidden, stride=1, horizon=1, gap=1)
        described = sizes.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
        self.model = new_model(described, data, sizes, restart=0)
        self.data = data.showing(self.model.features)

    def judge(self, codes: Sequence[int]) -> Judgement:
        """Judge (E,) codes."""
        names: dict[int, int] = {}
        named = torch.tensor([names.setdefault(int(code), len(names)) for code in codes])  # [5, 2, 5] -> [0, 1, 0]
        generator = torch.Generator().manual_seed(self.seed)
        scores, judged = scores_as_they_are(self.model, self.data, named, self.config, generator)
        own = scores.gather(1, named[:, None])[:, 0]
        gaps = code_gaps(scores[judged], named[judged])
        nll = [value if known else None for value, known in zip(own.tolist(), judged.tolist(), strict=True)]
        return Judgement(own[judged].mean().item(), nll, min(gaps.values(), default=None))


def check_enough_episodes(dataset: TrajectoryDataset) -> None:
    """Refuse, as a UserError, too few episodes for cross-fitting."""
    if len(dataset) < FEWEST_EPISODES:
        raise UserError(
            f"dataset {dataset.name} has {len(dataset)} episode{'s' * (len(dataset) != 1)}; codes are judged by "
            f"policies fitted to the other half, which takes at least {FEWEST_EPISODES}; record more episodes"
        )


WITHIN_NATS = 0.01
"""The same codes, judged by fits of other seeds, differ by less than this."""
WITHIN_STABILITY = 0.05
WHAT_TO_TRY = (
    "the data may be of one expert alone; else give more codes (--codes 8,16) and other step sizes, longer cells, or, "
    "for experts that switch in mid-episode, `mode-imitation train --segment`"
)


@dataclass(frozen=True)
class Setting:
    """What the seeds of one k and stride have in common. Nothing here knows a label."""

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

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in vars(self).items() if name != "episode_nll"}


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
        found = {"codes": chosen.codes, "stride": chosen.stride, "seed": chosen.seeds[0], "n_modes": chosen.n_modes[0]}
        return found | {"reason": self.reason}


def gather(cells: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Settings of cells as their files hold them; a setting of which every cell failed is left out."""
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for entry in cells:
        groups.setdefault((entry["cell"]["codes"], entry["cell"]["stride"]), []).append(entry)
    found = []
    for (codes, stride), members in groups.items():
        done = [entry for entry in members if entry["status"] == "done"]
        if not done:
            continue
        done.sort(key=lambda entry: (entry["criteria"]["nll"], entry["cell"]["seed"]))
        judged = [entry["criteria"] for entry in done]
        found.append(
            Setting(
                codes=codes,
                stride=stride,
                seeds=tuple(entry["cell"]["seed"] for entry in done),
                nll=tuple(criteria["nll"] for criteria in judged),
                n_modes=tuple(entry["n_modes"] for entry in done),
                gaps=tuple(criteria["smallest_gap"] for criteria in judged),
                episode_nll=np.array(judged[0]["episode_nll"], dtype=np.float64),  # None becomes NaN
                stability=stability([entry["codes"] for entry in done]),
                n_failed=len(members) - len(done),
            )
        )
    return found


def stability(partitions: Sequence[Sequence[int]]) -> float | None:
    """Mean adjusted Rand index of all pairs of seeds' codes of the same episodes; None for less than two seeds.

    It is 1 where every seed finds the same groups, whatever it calls them, and near 0 where they agree by chance.
    """
    from sklearn.metrics import adjusted_rand_score

    pairs = [adjusted_rand_score(one, other) for one, other in combinations(partitions, 2)]
    return float(np.mean(pairs)) if pairs else None


def recommend(candidates: Sequence[Setting], merge_gap: float) -> Recommendation:
    """The rule at the top of this file, among every setting of a sweep whose training merges codes below `merge_gap`.

    Raises:
        UserError: there is nothing to choose among.
    """
    if not candidates:
        raise UserError("no cell of the sweep finished, so there is nothing to recommend")
    if all(set(setting.n_modes) == {1} for setting in candidates):
        return Recommendation(None, f"every training found one mode, which is nothing to steer; {WHAT_TO_TRY}")
    best = min(candidates, key=lambda setting: setting.nll[0])
    close = [setting for setting in candidates if setting.nll[0] - best.nll[0] <= tolerance(setting, best)]
    apart = [setting for setting in close if setting.smallest_gap is None or setting.smallest_gap >= merge_gap]
    left = apart or close
    most_stable = max((setting.stability for setting in left if setting.stability is not None), default=None)
    agreeing = left
    if most_stable is not None:
        agreeing = [setting for setting in left if (setting.stability or 0.0) >= most_stable - WITHIN_STABILITY]
    chosen = min(agreeing, key=lambda setting: (setting.n_modes[0], setting.nll[0], setting.codes, setting.stride))
    if chosen.n_modes[0] == 1:
        return Recommendation(
            None,
            f"one mode (k = {chosen.codes}, stride {chosen.stride}) explains the data as well as any number does, and "
            f"is nothing to steer; {WHAT_TO_TRY}",
        )
    reason = (
        f"{len(close)} of {len(candidates)} settings explain the data as well as the best ({best.nll[0]:.3f} nats per "
        f"step by policies that never saw it){_gap_words(close, merge_gap)}"
    )
    if most_stable:
        whose = "of the others" if len(left) < len(close) else "of them"
        reason += f", {len(agreeing)} {whose} with seeds that agree (ARI {most_stable:.2f} at best)"
    reason += "; this one has the fewest modes, and of those the best likelihood"
    if (gap := chosen.smallest_gap) is not None:
        reason += f"; the smallest gap between two of its codes is {gap:.2f} nats per step"
    return Recommendation(chosen, reason)


def _gap_words(close: Sequence[Setting], merge_gap: float) -> str:
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
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else 0.0
    return max(WITHIN_NATS, error)
