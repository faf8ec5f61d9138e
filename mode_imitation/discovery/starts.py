"""Where the codes come from that the search begins with: one code for each of U units.

The default is the VQ-VAE, trained jointly with the policy: it also makes the encoder that later tells of new episodes
which mode made them. The others only need the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Objective, ObjectiveWeights, joint_objective
from mode_imitation.model.optimiser import adam, set_one_cycle

PLACED_BY = 1024
"""Windows among which the codebook is placed at first."""
CODEBOOK_DECAY = 0.99
"""Of the codebook's moving averages (van den Oord et al. 2017, appendix A.1)."""
GRADIENT_CLIP = 5.0
ASSIGNING_WINDOWS = 40
"""Of each unit, over which its distances to the codes are averaged."""
PIECE = 8192
"""Windows that are encoded at a time."""


class JointStep(NamedTuple):
    """What one iteration did."""

    objective: Objective
    revived: int
    """Dead codes that were given a new place."""
    learning_rate: float
    gradient_norm: Tensor


class JointTraining:
    """Trains VQ-VAE and policy under the joint objective, on groups of windows that share a code."""

    def __init__(
        self, model: ModeModel, data: TrainingData, config: DiscoveryConfig, generator: torch.Generator
    ) -> None:
        self.model, self.data, self.config, self.generator = model, data.showing(model.features), config, generator
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = adam(self.parameters, config.learning_rate)

    def place_codes(self) -> None:
        """Place the codebook among the encoded windows, before the first iteration."""
        units = self.data.draw_units(PLACED_BY, self.generator)
        with torch.no_grad():
            z = self.model.encode(*self.data.windows(self.data.draw_starts(units, self.generator)))
        self.model.codebook.place(z, self.generator)

    def objective(self, iteration: int) -> Objective:
        """Of a fresh batch."""
        return drawn_objective(self.model, self.data, self.config, self.generator, iteration)

    def step(self, iteration: int) -> JointStep:
        """One iteration."""
        config = self.config
        rate = set_one_cycle(self.optimiser, iteration, config.joint_iterations, config.learning_rate)
        objective = self.objective(iteration)
        self.optimiser.zero_grad()
        objective.total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
        self.optimiser.step()
        inferred = objective.inference
        revived = self.model.codebook.update(
            inferred.z.detach(), inferred.codes, CODEBOOK_DECAY, config.revive_below, self.generator
        )
        return JointStep(objective, revived, rate, norm)


def drawn_objective(
    model: ModeModel, data: TrainingData, config: DiscoveryConfig, generator: torch.Generator, iteration: int
) -> Objective:
    """The joint objective of a drawn batch of windows."""
    n_groups = max(1, config.joint_windows // config.pool)
    units = data.draw_units(n_groups, generator).repeat_interleave(config.pool)
    starts = data.draw_starts(units, generator)
    size = (len(units), min(config.joint_steps, config.window.horizon))
    places = torch.randint(config.window.horizon, size, generator=generator, device=data.device)
    steps = starts[:, None] + places * data.window.gap
    return joint_objective(
        model,
        data.windows(starts),
        data.steps(steps, model.features),
        objective_weights(config, iteration),
        group=config.pool,
    )


def objective_weights(config: DiscoveryConfig, iteration: int) -> ObjectiveWeights:
    """Of the objective's parts at an iteration; the usage balance has faded out half-way."""
    fading = max(0.0, 1 - iteration / (0.5 * config.joint_iterations))
    return ObjectiveWeights(
        kind=config.objective,
        reconstruction=config.reconstruction,
        commitment=config.commitment_weight,
        balance=config.balance_weight * fading,
        confidence=config.confidence_weight,
    )


@torch.no_grad()
def unit_distances(
    model: ModeModel, data: TrainingData, generator: torch.Generator, n_windows: int = ASSIGNING_WINDOWS
) -> Tensor:
    """Distances of every unit from every code, averaged over its windows: (U, K)"""
    units = torch.arange(data.n_units, device=data.device).repeat_interleave(n_windows)
    starts = data.draw_starts(units, generator, evaluate=True)
    # In pieces: a batch of all windows of a large dataset would not fit into memory.
    pieces = [model.codebook.distances(model.encode(*data.windows(piece))) for piece in starts.split(PIECE)]
    return torch.cat(pieces).view(data.n_units, n_windows, -1).mean(1)


def nearest_codes(model: ModeModel, distances: Tensor) -> Tensor:
    """The nearest code in use: (U, K) -> (U,)"""
    return model.masked(distances).argmin(-1)


def kmeans_codes(data: TrainingData, n_codes: int, generator: torch.Generator) -> Tensor:
    """k-means of what each unit does on average and how much that varies: (U,)"""
    from sklearn.cluster import KMeans

    statistics = unit_statistics(data).cpu().numpy()
    scaled = (statistics - statistics.mean(0)) / np.maximum(statistics.std(0), 1e-9)
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    found = KMeans(min(n_codes, len(scaled)), n_init=10, random_state=seed).fit_predict(scaled)  # type: ignore[arg-type]
    return torch.from_numpy(found.astype(np.int64)).to(data.device)


def unit_statistics(data: TrainingData) -> Tensor:
    """Means and spreads of observations, their changes over a stride and actions of each unit: (U, P) float64"""
    n_steps = len(data.unit_of_step)
    rows = data.row_of_step
    ahead = rows + torch.minimum(torch.full_like(rows, data.window.stride), data.steps_left)
    parts = []
    for first in range(0, n_steps, PIECE):
        part = slice(first, first + PIECE)
        states = data.observations[rows[part]]
        parts.append(torch.cat([states, data.observations[ahead[part]] - states, data.actions[part]], dim=1).double())
    values = torch.cat(parts)
    counts = torch.bincount(data.unit_of_step, minlength=data.n_units)[:, None]
    empty = values.new_zeros(data.n_units, values.shape[1])
    mean = empty.index_add(0, data.unit_of_step, values) / counts
    spread = empty.index_add(0, data.unit_of_step, (values - mean[data.unit_of_step]) ** 2) / counts
    return torch.cat([mean, spread.sqrt()], dim=1)


def random_codes(data: TrainingData, n_codes: int, generator: torch.Generator) -> Tensor:
    """A code for each unit by chance: (U,)"""
    return torch.randint(n_codes, (data.n_units,), generator=generator, device=data.device)


Start = Callable[[TrainingData, int, torch.Generator], Tensor]
STARTS: dict[str, Start] = {"kmeans": kmeans_codes, "random": random_codes}
"""By name: data, K and a generator -> (U,) codes. "vqvae" and "given" are no functions of the data alone."""


def check_start(name: str) -> None:
    """
    Raises:
        UserError: there is no such start.
    """
    known = ["vqvae", "given", *STARTS]
    if name not in known:
        raise UserError(f"there is no start {name!r}{near_matches(name, known)}; expected {', '.join(known)}")
