"""What the benchmark has of the package's training: the same split, data, first weights and draws for every method."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.loop import seeded
from mode_imitation.training.preparation import held_out_split, new_model

Source = dict[str, Any] | None
"""Where a dataset lies: {"root": ..., "name": ...}."""


@dataclass(frozen=True)
class Setup:
    """The training episodes as the project's own training sees them; no labels."""

    dataset: TrajectoryDataset
    config: TrainConfig

    @cached_property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the held-out episodes, those that `fit` takes with the same seed."""
        return held_out_split(len(self.dataset), self.config.held_out, self.config.seed)

    @cached_property
    def data(self) -> TrainingData:
        """The training episodes, in units that get a code each."""
        return TrainingData(FlatEpisodes.of(self.dataset, self.split[0]), self.config.window, self.config.segment)

    def generator(self, purpose: str, restart: int = 0) -> torch.Generator:
        """The one that `fit` has for this purpose; a method that begins again has another one each time."""
        return seeded(self.config.seed, f"{purpose}-{restart}" if restart else purpose)

    def fresh_model(self, restart: int = 0) -> ModeModel:
        """The one that `fit` looks for codes with; a method that begins again has other first weights each time."""
        dataset, config = self.dataset, self.config
        if restart:
            config = replace(config, seed=self.generator("weights", restart).initial_seed())
        sizes = config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors).for_discovery
        return new_model(sizes, self.data, config)

    def of_episodes(self, codes: torch.Tensor) -> np.ndarray | list[np.ndarray]:
        """(U,) codes of the training units -> what `fit` takes: (E,) of all episodes, or an array of steps for each.

        What is held out has code 0, which nothing looks at."""
        if self.config.segment is None:
            every = np.zeros(len(self.dataset), dtype=np.int64)
            every[self.split[0]] = codes.numpy()
            return every
        steps = [np.zeros(len(episode), dtype=np.int64) for episode in self.dataset.episodes]
        of_step = codes[self.data.unit_of_step].numpy()
        edges = np.cumsum(self.data.episode_lengths)[:-1]
        for index, part in zip(self.split[0], np.split(of_step, edges), strict=True):
            steps[int(index)] = part
        return steps
