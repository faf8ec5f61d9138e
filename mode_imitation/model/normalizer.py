"""Input normalisation as part of the model, so that it travels with the weights."""

import functools
import math

import torch
from torch import Tensor, nn

STATE_LIMIT = 10.0
DELTA_LIMIT = 5.0
RELATIVE_SCALE = 3.0
"""Brings relative lidar readings, most of which are 0, to a spread of about 1."""
DIRECTION_SCALE = 2.0
"""Does so with mean directions, which lie in the unit circle."""


class Normalizer(nn.Module):
    """Brings observations, their differences and actions to zero mean and unit spread; the actor's output back.

    Far outliers are clamped: one contact spike in an accelerometer would otherwise drown the window it lies in.
    """

    obs_mean: Tensor
    obs_scale: Tensor
    delta_scale: Tensor
    act_mean: Tensor
    act_scale: Tensor

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        lidars: tuple[tuple[int, int], ...] = (),
        history: int = 0,
        directions: bool = False,
    ) -> None:
        super().__init__()
        self.lidars = lidars
        self.directions = directions
        self.history = history
        self.register_buffer("obs_mean", torch.zeros(obs_dim))
        self.register_buffer("obs_scale", torch.ones(obs_dim))
        self.register_buffer("delta_scale", torch.ones(obs_dim))
        self.register_buffer("act_mean", torch.zeros(act_dim))
        self.register_buffer("act_scale", torch.ones(act_dim))

    @torch.no_grad()
    def fit(self, observations: Tensor, deltas: Tensor, actions: Tensor) -> None:
        """Take means and spreads from data: (N, obs_dim), (M, obs_dim) and (L, act_dim), raw."""
        self.obs_mean.copy_(observations.double().mean(0))
        self.obs_scale.copy_(_scale(observations))
        self.delta_scale.copy_(_scale(deltas))
        self.act_mean.copy_(actions.double().mean(0))
        self.act_scale.copy_(_scale(actions))

    def states(self, observations: Tensor) -> Tensor:
        """(..., obs_dim) raw -> normalised."""
        return ((observations - self.obs_mean) / self.obs_scale).clamp(-STATE_LIMIT, STATE_LIMIT)

    def actor_inputs(self, observations: Tensor) -> Tensor:
        """(..., obs_dim) raw -> (..., obs_dim + columns of the lidars): normalised, then every lidar relative to its
        largest reading; with `directions` three numbers more for each lidar, see `mean_direction`. With a history
        (..., 1 + history, obs_dim), the newest first, of which each gives as many numbers, one after another.

        Near the end of a lidar's reach all readings are close to 0, and a network can hardly tell in which direction
        the object lies; relative readings say it at any distance. Nothing in reach leaves zeros.
        """
        inputs = self.shown(observations)
        return inputs.flatten(-2) if self.history else inputs

    def shown(self, observations: Tensor) -> Tensor:
        """What each observation gives, (..., obs_dim) -> (..., columns)."""
        parts = [self.states(observations)]
        for start, stop in self.lidars:
            readings = observations[..., start:stop]
            largest = readings.amax(-1, keepdim=True)
            parts.append(RELATIVE_SCALE * readings / torch.where(largest > 0, largest, 1.0))
            if self.directions:
                parts.append(DIRECTION_SCALE * mean_direction(readings))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    @property
    def columns(self) -> int:
        """Numbers that the actor is shown for one observation."""
        return len(self.obs_mean) + sum(stop - start + 3 * self.directions for start, stop in self.lidars)

    def deltas(self, deltas: Tensor) -> Tensor:
        """(..., obs_dim) raw differences -> normalised; no mean is taken off, rest stays 0."""
        return (deltas / self.delta_scale).clamp(-DELTA_LIMIT, DELTA_LIMIT)

    def actions(self, actions: Tensor) -> Tensor:
        """(..., act_dim) raw -> normalised."""
        return (actions - self.act_mean) / self.act_scale


def mean_direction(readings: Tensor) -> Tensor:
    """(..., N) readings of a lidar -> (..., 3): where what it sees lies on average, ahead and to the left in [-1, 1],
    and whether it sees anything, 0 or 1. Nothing in reach leaves zeros.

    The N sectors go once around to the left and begin straight ahead, as safety-gymnasium's do; each counts as its
    middle, weighted with its reading. An average over sectors generalises to arrangements that the data does not show.
    """
    around = sector_directions(readings.shape[-1], readings.dtype, readings.device)
    total = readings.sum(-1, keepdim=True)
    return torch.cat([readings @ around / torch.where(total > 0, total, 1.0), (total > 0).to(readings.dtype)], dim=-1)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def sector_directions(n_sectors: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(N, 2): unit vectors to the middles of a lidar's sectors, ahead and to the left; not to be written to."""
    angles = (torch.arange(n_sectors, dtype=dtype, device=device) + 0.5) * (2 * math.pi / n_sectors)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def _scale(values: Tensor) -> Tensor:
    """Standard deviation of every column, plus 1% of the typical one, so that a constant column is not blown up."""
    spread = values.double().std(0, correction=0)
    moving = spread[spread > 1e-9]
    typical = moving.median() if len(moving) else torch.ones((), dtype=spread.dtype, device=spread.device)
    return spread + 0.01 * typical
