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
    episode_nll: list[float]
    """(E,) of every episode that has a step to be judged by; NaN elsewhere."""
    smallest_gap: float | None
    """How many nats per step worse the two most similar codes explain each other's episodes; None for one code."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        episodes = [None if np.isnan(value) else value for value in self.episode_nll]
        return {"nll": self.nll, "episode_nll": episodes, "smallest_gap": self.smallest_gap}


class Judge:
    """Judges codes of a dataset's episodes by the same split and the same fit, whatever they were found with.

    Codes are renamed in the order in which they appear, and the fit does not know the window, k or the seed of the
    training; so equal partitions are judged equally to the last bit, and others are comparable.
    """

    def __init__(self, dataset: TrajectoryDataset, config: TrainConfig, most_codes: int, seed: int = 0) -> None:
        """
        Args:
            dataset: its observations, actions, disturbed marks and sensors are used.
            config: learning rate, sizes and iterations of the fits; its window and seed do not matter.
            most_codes: the largest number of codes that may be judged.
            seed: of the split and of the fit.

        Raises:
            UserError: there are too few episodes.
        """
        check_enough_episodes(dataset)
        self.config, self.seed = config, seed
        self.data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), WindowShape(1, 1, 1))
        # One yardstick for all cells, whatever their own policies are.
        sizes = TrainConfig(codes=max(2, most_codes), actor_hidden=config.actor_hidden, stride=1, horizon=1, gap=1)
        described = sizes.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
        self.model = new_model(described, self.data, sizes, restart=0)
        self.data = self.data.showing(self.model.features)

    def judge(self, codes: Sequence[int]) -> Judgement:
        """Judge (E,) codes."""
        data = self.data
        named = torch.tensor(in_order_of_appearance(codes))
        generator = torch.Generator().manual_seed(self.seed)
        scores, judged = scores_as_they_are(self.model, data, named, self.config, generator)
        own = scores.gather(1, named[:, None])[:, 0]
        gaps = code_gaps(scores[judged], named[judged])
        nll = torch.where(judged, own, torch.nan)
        return Judgement(own[judged].mean().item(), nll.tolist(), min(gaps.values(), default=None))


def check_enough_episodes(dataset: TrajectoryDataset) -> None:
    """
    Raises:
        UserError: there are too few episodes for cross-fitting.
    """
    if len(dataset) < FEWEST_EPISODES:
        raise UserError(
            f"dataset {dataset.name} has {len(dataset)} episode{'s' * (len(dataset) != 1)}; codes are judged by "
            f"policies fitted to the other half, which takes at least {FEWEST_EPISODES}; record more episodes"
        )


def in_order_of_appearance(codes: Sequence[int]) -> list[int]:
    """[5, 2, 5] -> [0, 1, 0]"""
    names: dict[int, int] = {}
    return [names.setdefault(int(code), len(names)) for code in codes]


def stability(partitions: Sequence[Sequence[int]]) -> float | None:
    """Mean adjusted Rand index of all pairs of seeds' codes of the same episodes; None for less than two seeds.

    It is 1 where every seed finds the same groups, whatever it calls them, and near 0 where they agree by chance.
    """
    from sklearn.metrics import adjusted_rand_score

    if len(partitions) < 2:
        return None
    return float(np.mean([adjusted_rand_score(one, other) for one, other in combinations(partitions, 2)]))


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

    def has_gaps_from(self, merge_gap: float) -> bool:
        """Whether no two codes of a seed are closer than this; a single code is close to none."""
        return self.smallest_gap is None or self.smallest_gap >= merge_gap

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("codes", "stride", "seeds", "nll", "n_modes", "gaps", "stability", "n_failed")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Recommendation:
    """A choice, or, where there is none to make, None and why."""

    setting: Setting | None
    reason: str
    """One sentence."""

    def to_dict(self) -> dict[str, Any] | None:
        """For JSON."""
        if self.setting is None:
            return {"reason": self.reason}
        chosen = self.setting
        return {
            "codes": chosen.codes,
            "stride": chosen.stride,
            "seed": chosen.seeds[0],
            "n_modes": chosen.n_modes[0],
            "reason": self.reason,
        }


def gather(cells: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Settings of cells as their files hold them; a setting of which every cell failed is left out."""
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for entry in cells:
        groups.setdefault((entry["cell"]["codes"], entry["cell"]["stride"]), []).append(entry)
    found = []
    for (codes, stride), members in groups.items():
        done = [entry for entry in members if entry["status"] == "done"]
        done.sort(key=lambda entry: (entry["criteria"]["nll"], entry["cell"]["seed"]))
        if not done:
            continue
        episode_nll = [np.nan if value is None else value for value in done[0]["criteria"]["episode_nll"]]
        found.append(
            Setting(
                codes=codes,
                stride=stride,
                seeds=tuple(entry["cell"]["seed"] for entry in done),
                nll=tuple(entry["criteria"]["nll"] for entry in done),
                n_modes=tuple(entry["n_modes"] for entry in done),
                gaps=tuple(entry["criteria"]["smallest_gap"] for entry in done),
                episode_nll=np.array(episode_nll, dtype=np.float64),
                stability=stability([entry["codes"] for entry in done]),
                n_failed=len(members) - len(done),
            )
        )
    return found


def recommend(candidates: Sequence[Setting], merge_gap: float) -> Recommendation:
    """The rule at the top of this file.

    Args:
        candidates: every setting of the sweep.
        merge_gap: of the training, nats per step.

    Raises:
        UserError: there is nothing to choose among.
    """
    if not candidates:
        raise UserError("no cell of the sweep finished, so there is nothing to recommend")
    if all(set(setting.n_modes) == {1} for setting in candidates):
        return Recommendation(None, f"every training found one mode, which is nothing to steer; {WHAT_TO_TRY}")
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
    if chosen.n_modes[0] == 1:
        return Recommendation(
            None,
            f"one mode (k = {chosen.codes}, stride {chosen.stride}) explains the data as well as any number does, and "
            f"is nothing to steer; {WHAT_TO_TRY}",
        )
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
    return Recommendation(chosen, reason)


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
