"""Small untrained models and random windows for the tests of what a mode model is built from."""

from typing import Any

import torch
from torch import Tensor

from mode_imitation.data.spaces import ActionSpace
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Windows

NUMBERS, CHOICES = ActionSpace(2), ActionSpace(2, (3, 4))
RINGS = ((3, 8), (8, 13), (13, 16))
SENSORS: dict[str, Any] = {"obs_dim": 18, "rings": RINGS, "tokens": ((16, 17, 4), (17, 18, 3))}
"""Three plain numbers, two rings of five bearings and one of three, and two tokens."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_config(**changes: Any) -> ModelConfig:
    sizes: dict[str, Any] = {
        "obs_dim": 3,
        "action_space": NUMBERS,
        "n_codes": 4,
        "actor_hidden": (16, 16),
        "encoder_hidden": 8,
        "code_dim": 6,
    }
    return ModelConfig(**(sizes | changes))


def draw_observations(config: ModelConfig, *shape: int, seed: int = 3) -> Tensor:
    """(..., obs_dim) noise; readings of rings in [0, 1], half of them 0, and whole numbers for tokens."""
    draws = seeded(seed)
    values = torch.randn(*shape, config.obs_dim, generator=draws)
    for start, stop in config.rings:
        values[..., start:stop] = (2 * torch.rand(*shape, stop - start, generator=draws) - 1).clamp_min(0)
    for start, stop, size in config.tokens:
        values[..., start:stop] = torch.randint(size, (*shape, stop - start), generator=draws).float()
    return values


def draw_actions(config: ModelConfig, *shape: int, seed: int = 4) -> Tensor:
    """(..., A) noise, or choices"""
    space, draws = config.action_space, seeded(seed)
    if not space.discrete:
        return torch.randn(*shape, space.size, generator=draws)
    return torch.stack([torch.randint(n, shape, generator=draws) for n in space.choices], dim=-1)


def make_model(**changes: Any) -> ModeModel:
    """Codes lie apart, the features' scales do something, and every weight that the context enters is at work."""
    config = model_config(**changes)
    model = ModeModel(config, seeded(1))
    draws = seeded(2)
    with torch.no_grad():
        model.codebook.entries.copy_(torch.randn(model.codebook.entries.shape, generator=draws))
        for layer, _ in model.actor.context_layers:
            layer.weight.copy_(0.3 * torch.randn(layer.weight.shape, generator=draws))
    seen = draw_observations(config, 50)
    seen[:, :3] = 2 + 3 * seen[:, :3]
    actions = draw_actions(config, 50)
    model.features.fit(seen, seen, actions if config.action_space.discrete else 0.5 * actions - 1)
    return model


def make_windows(batch: int = 8, seed: int = 0, config: ModelConfig | None = None) -> Windows:
    config = config or model_config()
    shape = (batch, config.window.horizon)
    deltas = torch.randn(*shape, config.obs_dim, generator=seeded(seed + 1))
    return Windows(draw_observations(config, *shape, seed=seed), deltas, draw_actions(config, *shape, seed=seed + 2))
