"""Layers whose weights are drawn from an explicit generator."""

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def linear(n_in: int, n_out: int, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    """A linear layer with torch's usual initial weights, U(-1/sqrt(n_in), 1/sqrt(n_in)), from `generator`."""
    # skip_init draws nothing from torch's global generator.
    layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, n_in, n_out, bias=bias))
    return draw_weights(layer, n_in, generator)


def gru(n_in: int, n_out: int, generator: torch.Generator) -> nn.GRU:
    """A gated recurrent unit over (B, T, n_in), with torch's usual initial weights, from `generator`."""
    return draw_weights(nn.GRU(n_in, n_out, batch_first=True, device="meta").to_empty(device="cpu"), n_out, generator)


def draw_weights(module: Module, n_in: int, generator: torch.Generator) -> Module:
    """Draw every parameter anew, in order, from U(-1/sqrt(n_in), 1/sqrt(n_in)), as torch does for linear and GRU."""
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
    return module


def mlp(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        layers.append(linear(n_in, n_out, generator))
        if index < len(sizes) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
