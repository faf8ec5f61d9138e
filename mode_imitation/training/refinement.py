"""Phase 2: the same model goes on with settled codes, until the actor is as good as the experts.

The codebook is frozen, so the contexts that stand for the modes are too, and they are what the actor is told: steering
by mode j afterwards is exactly what was trained. A little cross-entropy keeps the encoder in agreement: it learns to
give each trajectory's windows the code that the likelihood gave the trajectory. Only from here on is an actor with a
history shown it.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mode_imitation.model.actor import log_density
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.batches import TrainingData, rows_of
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.discovery import unit_codes, unit_distances
from mode_imitation.training.schedule import adam, set_one_cycle

AGREEMENT_GROUPS, AGREEMENT_WINDOWS = 16, 8
AGREEMENT_WEIGHT = 0.1

OWN_WEIGHT = 0.995
"""A mode's context gives its own code at least this much."""
PLACES = 512

COUNTED_GROUPS = 4096
RARE = 0.01
"""Share of the windows below which a code of an unrefined model is no mode."""


class RefinementStep(NamedTuple):
    action_nll: Tensor
    learning_rate: float
    agreement: Tensor | None
    """Cross-entropy of the encoder's code against the settled one, where this iteration had such a batch."""
    reconstruction: Tensor | None


class Refinement:
    """Trains actor and encoder on fixed codes. `iteration` counts the steps that are done."""

    def __init__(
        self,
        model: ModeModel,
        data: TrainingData,
        codes: Tensor,
        config: TrainConfig,
        generator: torch.Generator,
        iteration: int = 0,
    ) -> None:
        """
        Args:
            model: with pruned codes (`settle`).
            data: U units.
            codes: (U,) int, of every unit.
            config: settings.
            generator: on the data's device.
            iteration: how many iterations the model has behind it already.
        """
        self.model, self.codes, self.config, self.generator = model, codes, config, generator
        self.data = data.showing(model.normalizer)
        self.iteration = iteration
        self.contexts = model.mode_contexts().detach()
        self.parameters = [value for name, value in model.named_parameters() if not name.startswith("codebook.")]
        self.optimizer = adam(self.parameters, config.learning_rate)

    def step(self) -> RefinementStep:
        """One iteration."""
        config, data, model = self.config, self.data, self.model
        rate = set_one_cycle(self.optimizer, self.iteration, config.iterations, config.learning_rate)
        steps = data.draw_training_steps(config.batch, config.arena_share, self.generator)
        contexts = rows_of(self.contexts, self.codes[data.unit_of_step[steps]])
        means, log_sigmas = model.distribution_of(data.actor_inputs_at(steps, model.normalizer), contexts)
        nll = -log_density(data.actions_at(steps), means, log_sigmas).sum(-1).mean()
        total, agreement, reconstruction = nll, None, None
        if config.agreement_every and (self.iteration + 1) % config.agreement_every == 0:
            agreement, reconstruction = self.agreement()
            total = nll + AGREEMENT_WEIGHT * agreement + config.reconstruction * reconstruction
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        self.iteration += 1
        return RefinementStep(nll, rate, agreement, reconstruction)

    def agreement(self) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the encoder against the settled codes, and the reconstruction from those codes."""
        data, model = self.data, self.model
        units = data.draw_units(AGREEMENT_GROUPS, self.generator).repeat_interleave(AGREEMENT_WINDOWS)
        features = model.features(*data.windows(data.draw_starts(units, self.generator)))
        z = model.encoder(features)
        codes = self.codes[units]
        logits = -model.masked(model.distances(z)) / model.config.temperature
        entries = model.codebook.entries[codes].detach()
        quantised = z + (entries - z).detach()
        return F.cross_entropy(logits, codes), model.decoder.error(quantised, features).mean()


@torch.no_grad()
def settle(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> None:
    """Prune the codes that no unit has, and record each code's share of the steps and typical distances."""
    n_codes = model.config.n_codes
    steps = torch.from_numpy(data.unit_lengths).to(data.device, torch.float32)
    shares = torch.zeros(n_codes, device=data.device).index_add_(0, codes, steps) / steps.sum()
    model.keep_codes(shares > 0)
    model.mode_shares.copy_(shares)
    if model.config.context == "assignment":
        set_apart(model, generator)
    record_typical_distances(model, codes, unit_distances(model, data, generator))


@torch.no_grad()
def set_apart(model: ModeModel, generator: torch.Generator) -> None:
    """Move entries in use that lie so close to another that the contexts of the two modes would blur.

    A code that was free until another was split has its entry anywhere. It is moved to the nearest of many random
    places where each mode's context is its own; the encoder learns the new place. The most frequent mode stays.
    """
    entries = model.codebook.entries
    order = torch.argsort(model.mode_shares, descending=True, stable=True)[: model.n_modes].tolist()
    needed = model.config.temperature * math.log(max(1, len(order) - 1) * OWN_WEIGHT / (1 - OWN_WEIGHT))
    for rank, code in enumerate(order):
        random = torch.randn(PLACES, entries.shape[1], generator=generator, device=entries.device)
        # Where the encoder's layer norm puts windows: mean 0, spread 1.
        random = random - random.mean(1, keepdim=True)
        random = random / random.std(1, correction=0, keepdim=True).clamp_min(1e-6)
        places = torch.cat([entries[code][None], random])  # (P, D)
        others = entries[order[:rank]]  # (rank, D)
        if not rank or ((others - entries[code]) ** 2).mean(1).min() >= needed:
            continue
        room = ((places[:, None] - others) ** 2).mean(-1).min(1).values  # (P,)
        moved = ((places - entries[code]) ** 2).mean(1)
        moved[room < needed] = torch.inf
        entries[code] = places[int(moved.argmin() if torch.isfinite(moved).any() else room.argmax())]


@torch.no_grad()
def settle_unrefined(model: ModeModel, data: TrainingData, pool: int, generator: torch.Generator) -> Tensor:
    """Prune what hardly any group of windows is given, where the first phase alone was run.

    Returns:
        (U,) the nearest code in use of every unit.
    """
    units = data.draw_units(COUNTED_GROUPS, generator).repeat_interleave(pool)
    starts = data.clean.draw(units, generator)
    distances = torch.cat([model.distances(model.encode(*data.windows(piece))) for piece in starts.split(8192)])
    distances = distances.view(COUNTED_GROUPS, pool, -1).mean(1)
    codes = distances.argmin(-1)
    shares = torch.bincount(codes, minlength=model.config.n_codes) / COUNTED_GROUPS
    model.keep_codes(shares >= min(RARE, float(shares.max())))
    model.mode_shares.copy_(shares)
    record_typical_distances(model, codes, distances)
    return unit_codes(model, unit_distances(model, data, generator))


@torch.no_grad()
def record_typical_distances(model: ModeModel, codes: Tensor, distances: Tensor) -> None:
    """Store the mean distances of what has each code: (N,) codes, (N, K) distances."""
    for code in range(model.config.n_codes):
        members = codes == code
        if members.any():
            model.typical_distances[code] = distances[members].mean(0)


def order_by_share(model: ModeModel, codes: Tensor) -> Tensor:
    """Renumber the model's codes, those in use first, by decreasing share: (U,) old codes -> (U,) new ones"""
    rank = model.mode_shares + model.alive.to(model.mode_shares)
    order = torch.argsort(rank, descending=True, stable=True)
    model.reorder(order)
    return torch.argsort(order)[codes]
