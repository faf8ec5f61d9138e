"""The optimiser, and the one-cycle learning rate as a function of the iteration: nothing to save or restore."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

WARM_UP = 0.1
"""Share of the iterations in which the rate rises."""
START = 1 / 25
END = 1 / 25e4
SLOW_BETA, FAST_BETA = 0.95, 0.85


def adam(parameters, learning_rate: float) -> torch.optim.Adam:
    """Adam with one fused update for all parameters."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=(SLOW_BETA, 0.999), fused=True)


def set_gradients(parameters: Iterable[Tensor], gradients: Iterable[Tensor]) -> None:
    """Hand gradients to `adam`, whose fused update reads memory in order and looks at no strides."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.contiguous()


def set_one_cycle(optimizer: torch.optim.Optimizer, iteration: int, total: int, peak: float) -> float:
    """Set learning rate and first momentum for an iteration (Smith 2018: momentum is low where the rate is high).

    Returns:
        The learning rate.
    """
    rising = max(WARM_UP * total - 1, 1e-9)
    if iteration <= rising:
        rate = _cosine(peak * START, peak, iteration / rising)
        beta = _cosine(SLOW_BETA, FAST_BETA, iteration / rising)
    else:
        done = (iteration - rising) / max(total - 1 - rising, 1e-9)
        rate = _cosine(peak, peak * END, done)
        beta = _cosine(FAST_BETA, SLOW_BETA, done)
    for group in optimizer.param_groups:
        group["lr"] = rate
        group["betas"] = (beta, group["betas"][1])
    return rate


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(done, 1.0)))
