"""Multilayer perceptrons whose weights are drawn from an explicit generator."""

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's usual initial weights, U(-1/sqrt(n_in), 1/sqrt(n_in)), from `generator`."""
    # skip_init draws nothing from torch's global generator.
    layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, n_in, n_out))
    bound = 1 / math.sqrt(n_in)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def mlp(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        layers.append(linear(n_in, n_out, generator))
        if index < len(sizes) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
