"""A window of transitions in, a point beside the codebook out; and the way back to what is reconstructed.

Every encoder is (B, H, F) features, and a mask where windows are shorter -> (B, D), layer-normed. Each is a class here
and an entry of ENCODERS.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.layers import gru, linear, mlp


class Encoder(nn.Module):
    """What all encoders have in common.

    Args:
        feature_dim: F, numbers for each transition.
        hidden: width.
        code_dim: D.
        generator: draws the initial weights.
    """

    def __init__(self, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__()

    def summary(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, F), (B, H) bool or None -> (B, D), before the layer norm."""
        raise NotImplementedError

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, H, F), (B, H) bool where a transition exists (None: everywhere) -> (B, D)

        At least one transition of each window exists, and those that do come first.
        """
        z = self.summary(features, mask)
        return F.layer_norm(z, z.shape[-1:])


class PooledEncoder(Encoder):
    """Each transition through one network, the mean over the window, a second network: blind to their order."""

    def __init__(self, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__(feature_dim, hidden, code_dim, generator)
        self.per_transition = mlp([feature_dim, hidden, hidden], generator)
        self.per_window = mlp([hidden, hidden, code_dim], generator)

    def summary(self, features: Tensor, mask: Tensor | None) -> Tensor:
        return self.per_window(masked_mean(F.relu(self.per_transition(features)), mask))


class GRUEncoder(Encoder):
    """A gated recurrent unit over the window (Cho et al. 2014); its state after the last transition."""

    def __init__(self, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__(feature_dim, hidden, code_dim, generator)
        self.per_transition = linear(feature_dim, hidden, generator)
        self.recurrent = gru(hidden, hidden, generator)
        self.per_window = mlp([hidden, hidden, code_dim], generator)

    def summary(self, features: Tensor, mask: Tensor | None) -> Tensor:
        states, _ = self.recurrent(F.relu(self.per_transition(features)))  # (B, H, W)
        if mask is None:
            return self.per_window(states[:, -1])
        return self.per_window(states[torch.arange(len(states), device=states.device), mask.sum(1) - 1])


class AttentionEncoder(Encoder):
    """A small pre-norm transformer (Vaswani et al. 2017; Xiong et al. 2020) with rotary positions (Su et al. 2021).

    Rotary positions depend on distances alone, so windows of any length do.
    """

    LAYERS, HEADS = 2, 4

    def __init__(self, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> None:
        super().__init__(feature_dim, hidden, code_dim, generator)
        if hidden % (2 * self.HEADS):
            raise UserError(f"encoder_hidden is {hidden}; attention expects a multiple of {2 * self.HEADS}")
        self.per_transition = linear(feature_dim, hidden, generator)
        self.blocks = nn.ModuleList(AttentionBlock(hidden, self.HEADS, generator) for _ in range(self.LAYERS))
        self.per_window = mlp([hidden, hidden, code_dim], generator)

    def summary(self, features: Tensor, mask: Tensor | None) -> Tensor:
        x = self.per_transition(features)
        for block in self.blocks:
            x = block(x, mask)
        return self.per_window(masked_mean(F.layer_norm(x, x.shape[-1:]), mask))


class AttentionBlock(nn.Module):
    """Self-attention and a two-layer network, each added to what came in."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = linear(width, 3 * width, generator)
        self.out = linear(width, width, generator)
        self.network = mlp([width, 2 * width, width], generator)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, W), (B, H) bool or None -> (B, H, W)"""
        shape = (*x.shape[:2], self.heads, -1)
        parts = self.query_key_value(F.layer_norm(x, x.shape[-1:])).chunk(3, dim=-1)
        query, key, value = (part.reshape(shape).transpose(1, 2) for part in parts)  # (B, heads, H, W / heads)
        allowed = None if mask is None else mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(rotated(query), rotated(key), value, attn_mask=allowed)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.network(F.layer_norm(x, x.shape[-1:]))


def rotated(x: Tensor) -> Tensor:
    """(..., H, W) -> the same with pairs of columns turned by angles that grow with the position in the window."""
    half = x.shape[-1] // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angles = torch.arange(x.shape[-2], device=x.device, dtype=x.dtype)[:, None] * rates  # (H, W / 2)
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """(B, H, W), (B, H) bool or None -> (B, W), the mean over what exists."""
    if mask is None:
        return x.mean(1)
    weights = mask.to(x.dtype) / mask.sum(1, keepdim=True)
    return torch.einsum("bh,bhw->bw", weights, x)


ENCODERS: dict[str, type[Encoder]] = {"pooled": PooledEncoder, "gru": GRUEncoder, "attention": AttentionEncoder}


def make_encoder(kind: str, feature_dim: int, hidden: int, code_dim: int, generator: torch.Generator) -> Encoder:
    """
    Raises:
        UserError: there is no such encoder.
    """
    if kind not in ENCODERS:
        raise UserError(f"there is no encoder {kind!r}{near_matches(kind, ENCODERS)}; expected {', '.join(ENCODERS)}")
    return ENCODERS[kind](feature_dim, hidden, code_dim, generator)


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
