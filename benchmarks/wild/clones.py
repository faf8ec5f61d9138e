"""K small policies that are cloned at once: one network each, all in one product. K clones, B steps of a batch."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from benchmarks.wild.steps import Steps

HIDDEN = (32, 32)
BATCH = 64
"""Steps of each clone, a gradient step."""
RATE = 3e-3
FLOOR = -3.0
"""Nats a number of an action: a step that a policy cannot explain says no more than this against it (as the original
PG-Kmeans clips a step's log-likelihood)."""


class Clones(nn.Module):
    """A Gaussian for numbers, with a spread that is the same in all states; a categorical for choices."""

    def __init__(self, n: int, inputs: int, steps: Steps, generator: torch.Generator) -> None:
        """
        Args:
            n: clones.
            inputs: numbers that each sees.
            steps: whose actions they imitate.
            generator: draws the first weights.
        """
        super().__init__()
        sizes = (inputs, *HIDDEN, steps.actions.shape[1])
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for size, width in pairwise(sizes):
            drawn = torch.randn(n, size, width, generator=generator) * (2 / size) ** 0.5
            self.weights.append(nn.Parameter(drawn))
            self.biases.append(nn.Parameter(torch.zeros(n, 1, width)))
        self.log_spread = nn.Parameter(torch.zeros(n, 1, sizes[-1]))
        self.choices = steps.choices

    def log_prob(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """(K, B, inputs), (K, B, A) -> (K, B) nats; (1, B, ..) is shown to all clones."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = inputs @ weight + bias
            inputs = torch.relu(inputs) if layer < last else inputs
        if self.choices:
            blocks = [log_softmax(block, dim=-1) for block in inputs.split(self.choices, dim=-1)]
            return (torch.cat(blocks, dim=-1) * actions).sum(-1)
        spread = self.log_spread.clamp(-3.0, 1.0)
        errors = (actions - inputs) * torch.exp(-spread)
        return (-0.5 * errors**2 - spread - 0.919).sum(-1)  # log(2 pi) / 2


def clone(clones: Clones, steps: Steps, owners: Tensor, iterations: int, generator: torch.Generator) -> None:
    """Train every clone on its own steps; one that has none stays as it is.

    Args:
        clones: K of them.
        steps: S steps.
        owners: (S,) int64, the clone of each step; or (R, S), the R clones that each step belongs to.
        iterations: gradient steps.
        generator: draws batches.
    """
    states, actions = torch.from_numpy(steps.states), torch.from_numpy(steps.actions)
    n = len(clones.log_spread)
    counts = torch.bincount(owners.flatten(), minlength=n)
    order, starts = owners.flatten().argsort(stable=True) % len(states), counts.cumsum(0) - counts
    has = (counts > 0).float()[:, None]
    optimiser = torch.optim.Adam(clones.parameters(), lr=RATE, fused=True)
    for _ in range(iterations):
        draws = (torch.rand(n, BATCH, generator=generator) * counts[:, None]).long() + starts[:, None]
        rows = order[draws.clamp(max=len(order) - 1)]  # (K, B)
        loss = -(clones.log_prob(states[rows], actions[rows]) * has).mean(1).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def explained(clones: Clones, steps: Steps) -> Tensor:
    """(K, E): mean log-likelihood a step of each trajectory under each clone, clipped from below; nats."""
    states, actions = torch.from_numpy(steps.states)[None], torch.from_numpy(steps.actions)[None]
    floor = FLOOR * (len(steps.choices) or steps.actions.shape[1])
    densities = clones.log_prob(states, actions).clamp(min=floor)  # (K, S)
    return torch.from_numpy(steps.means(densities.double().numpy()))
