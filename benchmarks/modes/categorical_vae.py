"""A variational autoencoder with one categorical latent per trajectory, whose decoder is the policy.

Hsiao, Kuo and Sun, "Learning a Multi-Modal Policy via Imitating Demonstrations with Mixed Behaviors" (arXiv
1903.10304): an encoder q(y | trajectory), a policy p(a | s, y), and the evidence lower bound

    E_q[ sum over steps of log p(a | s, y) ] - KL(q(y | trajectory) || uniform).

Here the encoder has the project's own trunk and sees the same pooled windows, and the expectation is taken exactly, by
letting the actor answer under every y, where the paper samples from a Gumbel-softmax. The KL's weight is annealed (as
in deterministic annealing) from a multiple of what the bound says down to it; without that, q is certain at once, and
what it is certain of is an accident.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.modes.core import Setup
from mode_imitation.discovery.starts import GRADIENT_CLIP, PLACED_BY, nearest_codes, unit_distances
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Steps, Windows
from mode_imitation.model.optimiser import adam, set_one_cycle
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress

ANNEALED = 0.5
"""Share of the iterations after which the weight is the bound's own, 1 / steps of a trajectory."""
JUDGED_BATCHES = 8


class Schedule(NamedTuple):
    """How long the encoder is trained, and how hard it is kept from being certain at first."""

    first_kl: float
    """Weight of the KL per step at the start, in units of the action's log-likelihood of one step."""
    longer: int
    """Iterations, as a multiple of those of the project's own discovery."""
    restarts: int


SHORT, LONG = Schedule(0.01, 1, 3), Schedule(0.3, 4, 1)
MANY_CODES = 8
"""From which on the long schedule is taken.

Each takes about as long as the project's own method needs to find its codes. Tried on training seeds that the benchmark
does not use (docs/tried.md), each is the better one for its sets: with two experts and four latents SHORT finds the
two, and LONG may make three of them; with four experts and eight latents SHORT ends with two latents in use and LONG
with three.
"""


class Bound(NamedTuple):
    """Parts of the evidence lower bound of a batch, per step."""

    nll: Tensor
    """Scalar: expected negative log-likelihood of an action."""
    kl: Tensor
    """Scalar: of one trajectory, not divided by its steps."""

    def negative(self, kl_weight: float) -> Tensor:
        """To be minimised; with a weight of 1 / steps it is the negative bound per step."""
        return self.nll + kl_weight * self.kl


def trajectory_codes(setup: Setup) -> Tensor:
    """(U,) int64, the likeliest latent of each training trajectory, of the restart with the best bound."""
    best, codes = math.inf, torch.zeros(setup.data.n_units, dtype=torch.long)
    with one_thread():
        for restart in range(schedule_for(setup).restarts):
            model, bound = fit(setup, restart)
            if bound < best:
                distances = unit_distances(model, setup.data, setup.generator("vae codes", restart))
                best, codes = bound, nearest_codes(model, distances)
    return codes


def schedule_for(setup: Setup) -> Schedule:
    """The one for so many codes."""
    return LONG if setup.config.codes >= MANY_CODES else SHORT


def fit(setup: Setup, restart: int = 0) -> tuple[ModeModel, float]:
    """Maximise the bound.

    Returns:
        The model, and its negative bound per step on batches that are the same for every restart.
    """
    config, data, schedule = setup.config, setup.data, schedule_for(setup)
    # The logits -|z - e|^2 / (D tau) are affine in z, for the layer norm fixes its length: a linear head.
    setup = Setup(setup.dataset, replace(config, codebook="gradient"))
    model, generator = setup.fresh_model(restart), setup.generator("vae", restart)
    with torch.no_grad():
        starts = data.draw_starts(data.draw_units(PLACED_BY, generator), generator)
        model.codebook.place(model.encode(*data.windows(starts)), generator)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = adam(parameters, config.learning_rate)
    own = 1 / float(data.unit_lengths.mean())
    total = schedule.longer * config.joint_iterations
    with progress(f"categorical VAE {restart + 1} of {schedule.restarts}", total, "iterations") as bar:
        for iteration in range(total):
            set_one_cycle(optimizer, iteration, total, config.learning_rate)
            fading = max(0.0, 1 - iteration / (ANNEALED * total))
            loss = bound(model, setup, generator).negative(own + (schedule.first_kl - own) * fading)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, GRADIENT_CLIP)
            optimizer.step()
            bar.advance()
    judge = setup.generator("vae judge")
    with torch.no_grad():
        judged = [float(bound(model, setup, judge).negative(own)) for _ in range(JUDGED_BATCHES)]
    return model, sum(judged) / len(judged)


def bound(model: ModeModel, setup: Setup, generator: torch.Generator) -> Bound:
    """Of a fresh batch, of the size of the project's own discovery."""
    config, data = setup.config, setup.data
    units = data.draw_units(max(1, config.joint_windows // config.pool), generator)
    starts = data.draw_starts(units.repeat_interleave(config.pool), generator)
    size = (len(starts), min(config.joint_steps, config.window.horizon))
    places = torch.randint(config.window.horizon, size, generator=generator)
    steps = data.steps(starts[:, None] + places * data.window.gap, model.features)
    return bound_of(model, data.windows(starts), steps, config.pool)


def bound_of(model: ModeModel, windows: Windows, steps: Steps, pool: int) -> Bound:
    """The bound's parts for windows in groups of `pool` that come from one trajectory.

    Args:
        model: encoder, codebook and actor.
        windows: B windows.
        steps: P of each window, whose actions are predicted.
        pool: consecutive windows of one trajectory.
    """
    n_codes = model.config.n_codes
    distances = model.codebook.distances(model.encode(*windows)).view(-1, pool, n_codes).mean(1)  # (B, K) -> (G, K)
    logits = -distances / model.config.temperature
    q, log_q = logits.softmax(-1), logits.log_softmax(-1)
    n_windows, n_steps = steps.actions.shape[:2]
    rows = steps.rows.flatten(0, 1).repeat_interleave(n_codes, dim=0)  # (B P K, row_size)
    every = torch.eye(n_codes).repeat(n_windows * n_steps, 1)  # every y for every action
    actions = steps.actions.flatten(0, 1).repeat_interleave(n_codes, dim=0)
    nll = -model.log_prob(model.actor(rows, every)[:, 0], actions).sum(-1).view(n_windows, n_steps, n_codes)
    of_group = nll.mean(1).view(-1, pool, n_codes).mean(1)  # (G, K)
    kl = (q * log_q).sum(-1) + math.log(n_codes)  # (G,)
    return Bound((q * of_group).sum(-1).mean(), kl.mean())
