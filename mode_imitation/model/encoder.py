"""A window of transitions in, a point beside the codebook out; and the way back to what is reconstructed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.data.windows import WindowShape
from mode_imitation.model.layers import mlp


class Encoder(nn.Module):
    """Each transition through one network, the mean over the window, a second network, layer norm."""

    def __init__(self, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.per_transition = mlp([feature_dim, hidden, hidden], generator)
        self.per_window = mlp([hidden, hidden, code_dim], generator)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, F) -> (B, D)"""
        pooled = F.relu(self.per_transition(features)).mean(1)
        z = self.per_window(pooled)
        return F.layer_norm(z, z.shape[-1:])


class Decoder(nn.Module):
    """From a code to the mean and the spread over the window of every feature; of one transition, to the features."""

    def __init__(self, feature_dim: int, horizon: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.single = horizon == 1
        self.network = mlp([code_dim, hidden, feature_dim if self.single else 2 * feature_dim], generator)

    def target(self, features: Tensor) -> Tensor:
        """(B, H, F) -> (B, F or 2 F)"""
        mean = features.mean(1)
        if self.single:
            return mean
        # Moments: torch.std over windows took 40% of a training step.
        variance = (features * features).mean(1) - mean * mean
        return torch.cat([mean, variance.clamp_min(0).sqrt()], dim=-1)

    def error(self, codes: Tensor, features: Tensor) -> Tensor:
        """Mean squared error of the reconstruction, per window: (B, D), (B, H, F) -> (B,)"""
        return ((self.network(codes) - self.target(features)) ** 2).mean(-1)


def feature_dim(window: WindowShape, obs_dim: int, act_dim: int) -> int:
    """Numbers per transition that the encoder sees."""
    return obs_dim * (1 + window.include_state) + act_dim * window.include_action
