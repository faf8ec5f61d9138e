"""Small data with known modes for the tests of training: each expert is a linear law of the observation."""

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.preparation import new_model, token_sizes


def two_laws(
    n_each: int = 6,
    steps: int = 60,
    obs_dim: int = 3,
    act_dim: int = 1,
    *,
    ragged: bool = False,
    disturbed: bool = True,
    switch: bool = False,
    delay: int = 0,
    seed: int = 0,
) -> TrajectoryDataset:
    """Two experts that answer the same observations with opposite signs; no rings.

    Args:
        n_each: episodes per expert.
        steps: of the longest episode.
        obs_dim: size of an observation.
        act_dim: size of an action.
        ragged: episodes of different lengths.
        disturbed: 5% of the steps carry a random action and are marked; otherwise no marks at all.
        switch: experts change places half-way through every episode.
        delay: experts answer what they saw so many steps ago, or in the first step of the episode.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    law = rng.normal(size=(obs_dim, act_dim))
    episodes = []
    for index in range(2 * n_each):
        expert = index % 2
        length = steps - int(rng.integers(0, steps // 3)) if ragged else steps
        observations = np.zeros((length + 1, obs_dim), np.float32)
        actions = np.zeros((length, act_dim), np.float32)
        marks = rng.random(length) < 0.05
        observations[0] = rng.normal(size=obs_dim)
        for step in range(length):
            sign = 1 if (expert + (switch and step >= length // 2)) % 2 == 0 else -1
            wanted = np.tanh(3 * sign * observations[max(step - delay, 0)] @ law) + 0.05 * rng.normal(size=act_dim)
            actions[step] = rng.uniform(-1, 1, act_dim) if disturbed and marks[step] else wanted
            observations[step + 1] = 0.7 * observations[step] + 0.5 * rng.normal(size=obs_dim)
            observations[step + 1] += 0.3 * actions[step].mean()
        episodes.append(
            Episode(
                observations=observations,
                actions=actions,
                disturbed=marks if disturbed else None,
                expert=("plus", "minus")[expert],
                layout_seed=index,
            )
        )
    return TrajectoryDataset("test/two-laws-v0", tuple(episodes))


def prepared(dataset: TrajectoryDataset, config: TrainConfig) -> tuple[ModeModel, TrainingData]:
    """All of a dataset as training data, and the model that training would begin with."""
    data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), config.window, config.segment)
    sizes = config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
    return new_model(sizes, data, config), data
