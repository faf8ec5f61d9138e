"""The Gaussian policy pi(a | s, context)."""

import math

import torch
from torch import Tensor, nn

from mode_imitation.model.config import SigmaKind
from mode_imitation.model.layers import linear, mlp

LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
INITIAL_LOG_SIGMA = -0.5


class GaussianActor(nn.Module):
    """A multilayer perceptron over the normalised observation and the context; independent action dimensions."""

    def __init__(
        self,
        inputs: int,
        act_dim: int,
        n_codes: int,
        hidden: tuple[int, ...],
        sigma: SigmaKind,
        min_log_sigma: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.sigma = sigma
        self.min_log_sigma = min_log_sigma
        sizes = [inputs + n_codes, *hidden]
        self.trunk = nn.Sequential(*mlp(sizes, generator), nn.ReLU())
        self.mean = linear(sizes[-1], act_dim, generator)
        self.log_sigma = linear(n_codes if sigma == "mode" else sizes[-1], act_dim, generator)
        nn.init.zeros_(self.log_sigma.weight)
        nn.init.constant_(self.log_sigma.bias, INITIAL_LOG_SIGMA)

    def forward(self, states: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs) normalised, (B, K) -> mean and log sigma, each (B, act_dim), of the normalised action"""
        hidden = self.trunk(torch.cat([states, contexts], dim=-1))
        log_sigma = self.log_sigma(contexts if self.sigma == "mode" else hidden)
        return self.mean(hidden), log_sigma.clamp_min(self.min_log_sigma)


def log_density(actions: Tensor, means: Tensor, log_sigmas: Tensor) -> Tensor:
    """Log of the normal density of every action dimension, elementwise: all (B, A) -> (B, A)"""
    return -0.5 * ((actions - means) * torch.exp(-log_sigmas)) ** 2 - log_sigmas - LOG_SQRT_TAU
