"""Phase 1: the joint objective finds the codes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Objective, ObjectiveWeights, joint_objective
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.schedule import adam, set_one_cycle

START_WINDOWS = 1024
ASSIGNING_WINDOWS = 40


def objective_weights(config: TrainConfig, iteration: int) -> ObjectiveWeights:
    """Of the objective's parts at an iteration of the first phase; the usage balance has faded out half-way."""
    fading = max(0.0, 1 - iteration / (0.5 * config.discovery_iterations))
    return ObjectiveWeights(
        kind=config.objective,
        reconstruction=config.reconstruction,
        commitment=config.commitment_weight,
        balance=config.balance_weight * fading,
        confidence=config.confidence_weight,
    )


class DiscoveryStep(NamedTuple):
    objective: Objective
    revived: int
    """Dead codes that were given a new place."""
    learning_rate: float
    gradient_norm: Tensor


class Discovery:
    """Trains a model on groups of windows that share a code. `iteration` counts the steps that are done."""

    def __init__(
        self, model: ModeModel, data: TrainingData, config: TrainConfig, generator: torch.Generator, iteration: int = 0
    ) -> None:
        self.model, self.data, self.config, self.generator = model, data, config, generator
        self.iteration = iteration
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = adam(self.parameters, config.learning_rate)

    def start(self) -> None:
        """Place the codebook among the encoded windows."""
        units = self.data.draw_units(START_WINDOWS, self.generator)
        with torch.no_grad():
            z = self.model.encode(*self.data.windows(self.data.draw_starts(units, self.generator)))
        self.model.codebook.start_from(z, self.generator)

    def objective(self) -> Objective:
        """Of a fresh batch."""
        config, data, generator = self.config, self.data, self.generator
        n_groups = max(1, config.discovery_windows // config.pool)
        units = data.draw_units(n_groups, generator).repeat_interleave(config.pool)
        starts = data.draw_starts(units, generator)
        weights = objective_weights(config, self.iteration)
        size = (len(units), min(config.asked, config.horizon))
        asked = data.asked(starts, torch.randint(config.horizon, size, generator=generator, device=data.device))
        return joint_objective(self.model, data.windows(starts), asked, weights, group=config.pool)

    def step(self) -> DiscoveryStep:
        """One iteration."""
        config = self.config
        rate = set_one_cycle(self.optimizer, self.iteration, config.discovery_iterations, config.learning_rate)
        objective = self.objective()
        self.optimizer.zero_grad()
        objective.total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip)
        self.optimizer.step()
        inferred = objective.inference
        revived = self.model.codebook.update(
            inferred.z.detach(), inferred.codes, config.codebook_decay, config.revive_below, self.generator
        )
        self.iteration += 1
        return DiscoveryStep(objective, revived, rate, norm)


@torch.no_grad()
def unit_distances(
    model: ModeModel, data: TrainingData, generator: torch.Generator, n_windows: int = ASSIGNING_WINDOWS
) -> Tensor:
    """Distances of every unit from every code, averaged over its windows: (U, K)"""
    units = torch.arange(data.n_units, device=data.device).repeat_interleave(n_windows)
    starts = data.draw_starts(units, generator, evaluate=True)
    # In pieces: a batch of all windows of a large dataset would not fit into memory.
    pieces = [model.distances(model.encode(*data.windows(piece))) for piece in starts.split(8192)]
    return torch.cat(pieces).view(data.n_units, n_windows, -1).mean(1)


def unit_codes(model: ModeModel, distances: Tensor) -> Tensor:
    """The nearest code in use: (U, K) -> (U,)"""
    return model.masked(distances).argmin(-1)
