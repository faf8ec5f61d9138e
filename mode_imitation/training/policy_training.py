"""The policy on settled codes: the actor is told the context of each trajectory's mode, exactly as steering tells it.

A little cross-entropy keeps the encoder in agreement: it learns to give each trajectory's windows the code that the
likelihood gave the trajectory. B batch, C actions at once, K codes, T steps in a sequence.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mode_imitation.discovery.starts import PIECE, nearest_codes, unit_distances
from mode_imitation.model.batches import TrainingData, rows_of
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.optimiser import adam, set_gradients, set_one_cycle
from mode_imitation.model.threads import side_by_side
from mode_imitation.training.config import TrainConfig

AGREEMENT_EVERY = 4
AGREEMENT_GROUPS, AGREEMENT_WINDOWS = 16, 8
AGREEMENT_WEIGHT = 0.1
SEQUENCE, BURN_IN = 64, 16
"""Steps of a sequence that an actor with a memory is shown, and how many of them only fill its memory."""
COUNTED_GROUPS = 4096
RARE = 0.01
"""Share of the windows below which a code of the joint objective alone is no mode."""


class PolicyStep(NamedTuple):
    """What one iteration did."""

    action_nll: Tensor
    learning_rate: float
    agreement: Tensor | None
    """Cross-entropy of the encoder's code against the settled one, where this iteration had such a batch."""
    reconstruction: Tensor | None


class PolicyTraining:
    """Trains actor and encoder on fixed codes."""

    def __init__(
        self, model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator
    ) -> None:
        """
        Args:
            model: with pruned codes (`settle`).
            data: U units.
            codes: (U,) int, of every unit.
            config: settings.
            generator: on the data's device.
        """
        self.model, self.codes, self.config, self.generator = model, codes, config, generator
        self.data = data.showing(model.features)
        self.contexts = model.mode_contexts().detach()
        moving = config.context == "assignment"  # else contexts are distances to codes that must stay where they are
        model.codebook.entries.requires_grad_(moving)
        self.of_actor = list(model.actor.parameters())
        self.n_threads = config.workers if data.device.type == "cpu" else 1
        trained = [weights for weights in model.parameters() if weights.requires_grad]
        self.optimiser = adam(trained, config.learning_rate)

    def step(self, iteration: int) -> PolicyStep:
        """One iteration."""
        rate = set_one_cycle(self.optimiser, iteration, self.config.iterations, self.config.learning_rate)
        self.optimiser.zero_grad()
        # Halves of a batch, side by side where there are two cores; one after the other they give the same bits.
        pieces: list[Callable[[], Any]] = [partial(self.gradients, half) for half in self.draw().chunk(2)]
        if (iteration + 1) % AGREEMENT_EVERY == 0:
            pieces.append(self.agree)
        halves = side_by_side(lambda piece: piece(), pieces, self.n_threads)
        agreement, reconstruction = halves.pop() if pieces[-1] == self.agree else (None, None)
        of_halves = zip(*(gradients for _, gradients in halves), strict=True)
        set_gradients(self.of_actor, (torch.stack(of_one).mean(0) for of_one in of_halves))
        self.optimiser.step()
        return PolicyStep(torch.stack([nll for nll, _ in halves]).mean(), rate, agreement, reconstruction)

    def gradients(self, batch: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A batch's NLL, and the gradient of each of the actor's weights."""
        nll = self.action_nll(batch)
        return nll.detach(), torch.autograd.grad(nll, self.of_actor, materialize_grads=True)

    def draw(self) -> Tensor:
        """A fresh batch: steps, or for an actor with a memory the first step of each sequence."""
        data, config = self.data, self.config
        if not self.model.config.memory:
            return data.draw_training_steps(config.policy_batch, self.generator)
        n_sequences = max(1, config.policy_batch // (SEQUENCE - BURN_IN))
        last = data.draw_training_steps(n_sequences, self.generator)
        back = torch.randint(BURN_IN, SEQUENCE, (n_sequences,), generator=self.generator, device=data.device)
        return last - torch.minimum(back, data.begun_at(last))

    def action_nll(self, batch: Tensor) -> Tensor:
        """Of what `draw` gave, nats per action."""
        data, model = self.data, self.model
        if model.config.memory:
            return self.sequence_nll(batch)
        parameters = model.actor(data.rows_at(batch, model.features), self.contexts_at(batch))  # (B, C, P)
        if model.config.chunk == 1:
            return -model.log_prob(parameters[:, 0], data.actions_at(batch)).sum(-1).mean()
        actions, meant = data.chunks_at(batch, model.config.chunk)
        return -model.log_prob(parameters, actions).sum(-1)[meant].mean()

    def sequence_nll(self, first: Tensor) -> Tensor:
        """The same of sequences from these steps on, for an actor with a memory: what lies in their first steps only
        fills it, but where an episode begins there."""
        data, model = self.data, self.model
        ahead = torch.arange(SEQUENCE, device=data.device)
        exists = ahead < data.steps_left[first][:, None]
        steps = first[:, None] + torch.where(exists, ahead, 0)  # (B, T)
        filling = (ahead < BURN_IN) & (data.begun_at(first) > 0)[:, None]
        counted = (exists & ~filling & data.usable[steps]).flatten()
        flat = steps.flatten()
        contexts = self.contexts_at(flat)
        rows = data.rows_at(steps, model.features)
        parameters, _ = model.actor.recall(rows, contexts.view(*steps.shape, -1), None)  # (B * T, C, P)
        actions, meant = data.chunks_at(flat, model.config.chunk)
        return -model.log_prob(parameters, actions).sum(-1)[meant & counted[:, None]].mean()

    def contexts_at(self, steps: Tensor) -> Tensor:
        """(B,) steps -> (B, K), the context of the mode that each step's unit has."""
        return rows_of(self.contexts, self.codes[self.data.unit_of_step[steps]])

    def agree(self) -> tuple[Tensor, Tensor]:
        """The parts of `agreement`, whose gradients the encoder and the decoder then have."""
        agreement, reconstruction = self.agreement()
        (AGREEMENT_WEIGHT * agreement + self.config.reconstruction * reconstruction).backward()
        return agreement, reconstruction

    def agreement(self) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the encoder against the settled codes, and the reconstruction from those codes."""
        data, model = self.data, self.model
        units = data.draw_units(AGREEMENT_GROUPS, self.generator).repeat_interleave(AGREEMENT_WINDOWS)
        features = model.features.window(*data.windows(data.draw_starts(units, self.generator)))
        z = model.encoder(features)
        codes = self.codes[units]
        logits = -model.masked(model.codebook.distances(z)) / model.config.temperature
        entries = model.codebook.entries[codes].detach()
        quantised = z + (entries - z).detach()
        return F.cross_entropy(logits, codes), model.decoder.error(quantised, features).mean()


@torch.no_grad()
def settle(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> Tensor:
    """Prune the codes that no unit has, record shares and typical distances, and renumber codes by decreasing share.

    Args:
        codes: (U,) int.

    Returns:
        (U,) the codes by their new numbers.
    """
    steps = torch.from_numpy(data.unit_lengths).to(data.device, torch.float32)
    shares = torch.zeros(model.config.n_codes, device=data.device).index_add_(0, codes, steps) / steps.sum()
    model.alive.copy_(shares > 0)
    model.mode_shares.copy_(shares)
    record_typical_distances(model, codes, unit_distances(model, data, generator))
    return order_by_share(model, codes)


@torch.no_grad()
def settle_joint(model: ModeModel, data: TrainingData, pool: int, generator: torch.Generator) -> Tensor:
    """The same where the joint objective alone was trained: what hardly any group of windows is given is pruned.

    Returns:
        (U,) the nearest code in use of every unit.
    """
    units = data.draw_units(COUNTED_GROUPS, generator).repeat_interleave(pool)
    starts = data.clean.draw(units, generator)
    distances = torch.cat(
        [model.codebook.distances(model.encode(*data.windows(piece))) for piece in starts.split(PIECE)]
    )
    distances = distances.view(COUNTED_GROUPS, pool, -1).mean(1)
    codes = distances.argmin(-1)
    shares = torch.bincount(codes, minlength=model.config.n_codes) / COUNTED_GROUPS
    model.alive.copy_(shares >= min(RARE, float(shares.max())))
    model.mode_shares.copy_(shares)
    record_typical_distances(model, codes, distances)
    return order_by_share(model, nearest_codes(model, unit_distances(model, data, generator)))


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
