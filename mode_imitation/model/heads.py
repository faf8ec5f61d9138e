"""Distributions of actions: parameters from what the actor makes of its inputs, densities, draws, the likeliest action.

The semantics are torch.distributions', against which each is tested. B batch, C actions at once, A numbers of an
action, K codes. Actions are normalised numbers, or choices from 0 on.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.layers import linear

LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
INITIAL_LOG_SIGMA = -0.5
MIN_LOG_SIGMA = -4.0
"""Lower bound of a log sigma, in units of the actions' spread in the data: no density grows without bound."""


class Head(nn.Module):
    """What all heads are asked for. Parameters are one tensor, (..., P), so that they can be cut and exported alike.

    Args:
        width: numbers that the actor hands over.
        n_codes: K.
        space: of the actions.
        chunk: C.
        generator: draws the initial weights.
    """

    context_layers: list[nn.Linear]
    """Those whose inputs are the context's K weights."""

    def __init__(self, width: int, n_codes: int, space: ActionSpace, chunk: int, generator: torch.Generator) -> None:
        super().__init__()
        self.space, self.chunk = space, chunk

    def forward(self, hidden: Tensor, contexts: Tensor) -> Tensor:
        """(B, width), (B, K) -> (B, C, P) parameters"""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """(..., P), (..., A) -> (..., parts): log densities of independent parts, whose sum is the action's."""
        raise NotImplementedError

    def mode(self, parameters: Tensor) -> Tensor:
        """(..., P) -> (..., A), the action to drive by at temperature 0."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """(..., P) -> (..., A): a draw; a temperature below 1 narrows the distribution around its mode."""
        raise NotImplementedError

    def spread(self, parameters: Tensor) -> Tensor:
        """(..., P) -> (..., A): how uncertain each number of the action is: its standard deviation, or its entropy."""
        raise NotImplementedError


class GaussianHead(Head):
    """Independent normal numbers; the mean from state and context, the spread from the context alone.

    A spread that depends on the state lets a policy excuse itself wherever codes are mixed up.
    """

    def __init__(self, width: int, n_codes: int, space: ActionSpace, chunk: int, generator: torch.Generator) -> None:
        super().__init__(width, n_codes, space, chunk, generator)
        self.mean = linear(width, chunk * space.size, generator)
        self.log_sigma = _constant_at_first(n_codes, chunk * space.size, generator)
        self.context_layers = [self.log_sigma]

    def forward(self, hidden: Tensor, contexts: Tensor) -> Tensor:
        log_sigma = self.log_sigma(contexts).clamp_min(MIN_LOG_SIGMA)
        return torch.cat([part.unflatten(-1, (self.chunk, -1)) for part in (self.mean(hidden), log_sigma)], dim=-1)

    def log_prob(self, parameters: Tensor, actions: Tensor) -> Tensor:
        return normal_log_prob(actions, *parameters.chunk(2, dim=-1))

    def mode(self, parameters: Tensor) -> Tensor:
        return parameters[..., : self.space.size]

    def sample(self, parameters: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        mean, log_sigma = parameters.chunk(2, dim=-1)
        return mean + temperature * log_sigma.exp() * _normal(mean, generator)

    def spread(self, parameters: Tensor) -> Tensor:
        return parameters[..., self.space.size :].exp()


class MixtureHead(Head):
    """A mixture of M Gaussians over the whole action, for experts that do one thing or another in the same state."""

    COMPONENTS = 5

    def __init__(self, width: int, n_codes: int, space: ActionSpace, chunk: int, generator: torch.Generator) -> None:
        super().__init__(width, n_codes, space, chunk, generator)
        numbers = chunk * self.COMPONENTS * space.size
        self.logits = linear(width, chunk * self.COMPONENTS, generator)
        self.means = linear(width, numbers, generator)
        with torch.no_grad():
            # Components that began alike would stay alike.
            self.means.bias.copy_(torch.randn(numbers, generator=generator))
        self.log_sigmas = _constant_at_first(n_codes, numbers, generator)
        self.context_layers = [self.log_sigmas]

    def forward(self, hidden: Tensor, contexts: Tensor) -> Tensor:
        log_sigmas = self.log_sigmas(contexts).clamp_min(MIN_LOG_SIGMA)
        parts = [self.logits(hidden), self.means(hidden), log_sigmas]
        return torch.cat([part.unflatten(-1, (self.chunk, -1)) for part in parts], dim=-1)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., P) -> log weights (..., M), means (..., M, A), log sigmas (..., M, A)"""
        numbers = self.COMPONENTS * self.space.size
        logits, means, log_sigmas = parameters.split([self.COMPONENTS, numbers, numbers], dim=-1)
        shape = (*logits.shape, self.space.size)
        return F.log_softmax(logits, dim=-1), means.reshape(shape), log_sigmas.reshape(shape)

    def log_prob(self, parameters: Tensor, actions: Tensor) -> Tensor:
        weights, means, log_sigmas = self._split(parameters)
        each = normal_log_prob(actions[..., None, :], means, log_sigmas).sum(-1)  # (..., M)
        return torch.logsumexp(weights + each, dim=-1, keepdim=True)

    def _component(self, values: Tensor, chosen: Tensor) -> Tensor:
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.space.size)
        return values.gather(-2, index)[..., 0, :]

    def mode(self, parameters: Tensor) -> Tensor:
        """The mean of the likeliest component: a compromise between two would be neither."""
        weights, means, _ = self._split(parameters)
        return self._component(means, weights.argmax(-1))

    def sample(self, parameters: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        weights, means, log_sigmas = self._split(parameters)
        chosen = _choose(weights, temperature, generator)
        mean, log_sigma = self._component(means, chosen), self._component(log_sigmas, chosen)
        return mean + temperature * log_sigma.exp() * _normal(mean, generator)

    def spread(self, parameters: Tensor) -> Tensor:
        weights, means, log_sigmas = self._split(parameters)
        shares = weights.exp()[..., None]
        mean = (shares * means).sum(-2)
        second = (shares * (means**2 + (2 * log_sigmas).exp())).sum(-2)
        return (second - mean**2).clamp_min(0).sqrt()


class CategoricalHead(Head):
    """One of a few choices in each column of the action, independently."""

    def __init__(self, width: int, n_codes: int, space: ActionSpace, chunk: int, generator: torch.Generator) -> None:
        super().__init__(width, n_codes, space, chunk, generator)
        self.logits = linear(width, chunk * sum(space.choices), generator)
        self.context_layers = []

    def forward(self, hidden: Tensor, contexts: Tensor) -> Tensor:
        return self.logits(hidden).unflatten(-1, (self.chunk, -1))

    def _columns(self, parameters: Tensor) -> list[Tensor]:
        """(..., P) -> log probabilities of each column's choices"""
        return [F.log_softmax(part, dim=-1) for part in parameters.split(list(self.space.choices), dim=-1)]

    def log_prob(self, parameters: Tensor, actions: Tensor) -> Tensor:
        columns = self._columns(parameters)
        chosen = [logs.gather(-1, actions[..., [i]].expand(*logs.shape[:-1], 1)) for i, logs in enumerate(columns)]
        return torch.cat(chosen, dim=-1)

    def mode(self, parameters: Tensor) -> Tensor:
        return torch.stack([logs.argmax(-1) for logs in self._columns(parameters)], dim=-1)

    def sample(self, parameters: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        return torch.stack([_choose(logs, temperature, generator) for logs in self._columns(parameters)], dim=-1)

    def spread(self, parameters: Tensor) -> Tensor:
        return torch.stack([-(logs.exp() * logs).sum(-1) for logs in self._columns(parameters)], dim=-1)


HEADS: dict[str, Callable[[int, int, ActionSpace, int, torch.Generator], Head]] = {
    "gaussian": GaussianHead,
    "mixture": MixtureHead,
    "categorical": CategoricalHead,
}


def make_head(kind: str, width: int, n_codes: int, space: ActionSpace, chunk: int, generator: torch.Generator) -> Head:
    """
    Raises:
        UserError: there is no such head.
    """
    if kind not in HEADS:
        raise UserError(f"there is no head {kind!r}{near_matches(kind, HEADS)}; expected {', '.join(HEADS)}")
    return HEADS[kind](width, n_codes, space, chunk, generator)


def normal_log_prob(values: Tensor, means: Tensor, log_sigmas: Tensor) -> Tensor:
    """Log of the normal density, elementwise; all of one shape, or broadcast to one."""
    return -0.5 * ((values - means) * torch.exp(-log_sigmas)) ** 2 - log_sigmas - LOG_SQRT_TAU


def _constant_at_first(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    layer = linear(n_in, n_out, generator)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, INITIAL_LOG_SIGMA)
    return layer


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn on the generator's device, so that a policy's draws are the same wherever it runs.
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)


def _choose(log_weights: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """(..., N) log probabilities -> (...) int64: a draw from them to the power of 1 / temperature (Gumbel 1954)."""
    uniform = torch.rand(log_weights.shape, generator=generator, dtype=torch.float32).clamp_min(1e-20)
    gumbel = -torch.log(-torch.log(uniform)).to(log_weights)
    return (log_weights + temperature * gumbel).argmax(-1)
