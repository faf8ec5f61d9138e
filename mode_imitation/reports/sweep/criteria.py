"""What a user without labels can judge codes by: cross-fitted likelihood, merge gaps, agreement between seeds."""

from collections.abc import Sequence
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
