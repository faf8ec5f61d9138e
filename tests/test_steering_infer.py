"""A demonstration's windows are pooled as training draws them."""

import dataclasses

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.data.windows import WindowShape
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.steering.infer import draw_weights, encode_windows
from mode_imitation.training.batches import TrainingData


def test_half_of_an_episodes_weight_lies_in_the_arena_as_in_training() -> None:
    """What an agent does that has lost everything says little about who drives."""
    inside = np.array([True, False, False, True, False])
    expected = np.array([0.35, 0.1, 0.1, 0.35, 0.1])
    np.testing.assert_allclose(draw_weights(inside), expected)
    for alike in (np.ones(4, bool), np.zeros(4, bool)):
        np.testing.assert_allclose(draw_weights(alike), 0.25)


def test_weights_are_the_shares_in_which_training_draws_windows() -> None:
    rng = np.random.default_rng(0)
    lidar = np.where(rng.random(61) < 0.3, rng.random(61), 0.0)[:, None]
    observations = np.concatenate([rng.normal(size=(61, 2)), np.repeat(lidar, 2, axis=1)], axis=1)
    episode = Episode(observations=observations, actions=rng.normal(size=(60, 1)), disturbed=rng.random(60) < 0.1)
    config = ModelConfig(4, 1, 3, window=WindowShape(2, 2, 1), lidars=((2, 4),))
    model = ModeModel(config)
    windows = encode_windows(model, episode)
    data = TrainingData([episode], {"some_lidar": slice(2, 4)}, config.window)
    drawn = data.draw_starts(torch.zeros(200_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    shares = np.bincount(drawn.numpy(), minlength=60) / len(drawn)
    assert set(np.flatnonzero(shares)) == set(windows.starts)
    np.testing.assert_allclose(windows.weights, shares[windows.starts], atol=0.003)
    np.testing.assert_allclose(windows.pooled, (shares[windows.starts, None] * windows.distances).sum(0), atol=0.05)
    blind = ModeModel(dataclasses.replace(config, lidars=()))
    np.testing.assert_allclose(encode_windows(blind, episode).weights, 1 / len(windows.starts))
