"""Phase 2 alone: the same mode model, trained in the same way, on codes that came from elsewhere.

Every alternative but the original method ends here, so that all policies have had the same network, the same data, and
the same number of gradient samples. It is also the one place that the benchmark has the package's training from.
"""

import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.actor import log_density
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Asked, Windows
from mode_imitation.progress import progress
from mode_imitation.steering.threads import one_thread
from mode_imitation.training.assignment import selection_score
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.discovery import START_WINDOWS, unit_codes, unit_distances
from mode_imitation.training.preparation import check_data, describe_run, fresh_model, held_out_split, seeded_generator
from mode_imitation.training.refinement import Refinement, order_by_share, settle
from mode_imitation.training.run_folder import check_folder, load_run, read_info, save_model, start_folder, write_info
from mode_imitation.training.schedule import adam, set_one_cycle
from mode_imitation.training.segmentation import codes_by_episode, stretches_by_episode
from mode_imitation.training.trainer import train

__all__ = [
    "START_WINDOWS",
    "Asked",
    "ModeModel",
    "Setup",
    "Source",
    "TrainConfig",
    "Windows",
    "adam",
    "load_run",
    "log_density",
    "one_thread",
    "place_entries",
    "read_info",
    "selection_score",
    "set_one_cycle",
    "train",
    "train_on_codes",
    "unit_codes",
    "unit_distances",
]

Source = dict[str, Any] | None
"""Where a dataset lies: {"root": ..., "name": ...}."""


@dataclass(frozen=True)
class Setup:
    """The training episodes as the project's own training sees them: the same split, batches and first weights."""

    dataset: TrajectoryDataset
    config: TrainConfig
    given: tuple[np.ndarray, np.ndarray] | None = None
    """(U,) steps and (U,) training episode of every unit, in order; None: as the settings cut them."""

    @cached_property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the held-out episodes, those that `train` takes with the same seed."""
        return held_out_split(len(self.dataset), self.config.held_out, self.config.seed)

    @cached_property
    def data(self) -> TrainingData:
        """The training episodes, in units that get a code each; no labels."""
        chosen = [self.dataset.episodes[index] for index in self.split[0]]
        slices, config = self.dataset.observation_slices, self.config
        return TrainingData(chosen, slices, config.window, config.segment, given=self.given, memory=config.memory)

    def generator(self, purpose: str, restart: int = 0) -> torch.Generator:
        """The one that `train` has for this purpose."""
        return seeded_generator(self.config.seed, restart, purpose)

    def fresh_model(self, restart: int = 0) -> ModeModel:
        """The one that `train` begins with."""
        return fresh_model(self.dataset, self.data, self.config, restart)


def train_on_codes(
    setup: Setup, codes: Tensor, out: Path, method: str, started: float | None = None, source: Source = None
) -> None:
    """Train a fresh model on codes that are given, and save it as a run.

    Args:
        setup: data and settings; of the latter those of the second phase count.
        codes: (U,) int in [0, K), one for each unit of the training episodes.
        out: the run's folder; what is there is replaced.
        method: who gave the codes, for the record.
        started: time.monotonic() when the method began, if not now.
        source: where the dataset lies, as `train` takes it.

    Raises:
        UserError: the data does not allow it.
    """
    started = time.monotonic() if started is None else started
    check_data(setup.dataset, setup.config)
    check_folder(out, resume=False, overwrite=True)
    info = describe_run(setup.dataset, setup.config, *setup.split) | {"method": method, "source": source}
    start_folder(out, info)
    with one_thread():
        model = setup.fresh_model()
        place_entries(model, setup.generator("entries"))
        settle(model, setup.data, codes, setup.generator("settling"))
        model = model.with_history(setup.config.memory)
        stage = Refinement(model, setup.data.recalling(), codes, setup.config, setup.generator("refinement"))
        with progress(method, setup.config.iterations, "iterations") as bar:
            while stage.iteration < setup.config.iterations:
                stage.step()
                bar.advance()
        if not all(bool(torch.isfinite(weights).all()) for weights in model.parameters()):
            raise UserError(f"{method} diverged: a weight is not finite; lower the learning rate")
        ordered = order_by_share(model, codes)
    save_model(out, model)
    summary: dict[str, Any] = {
        "n_modes": model.n_modes,
        "shares": model.mode_shares[: model.n_modes].tolist(),
        "restarts": [],
        "seconds": {"training": round(time.monotonic() - started, 2)},
        "figures": {},
    }
    info |= {"status": "complete", "summary": summary}
    info["assignment"] = codes_by_episode(setup.data, ordered, setup.config.codes)
    if setup.given is not None or setup.config.segment is not None:
        info["switches"] = stretches_by_episode(setup.data, ordered)
    write_info(out, info)


@torch.no_grad()
def place_entries(model: ModeModel, generator: torch.Generator) -> None:
    """Put the codebook's entries at right angles on the sphere of the encoder's outputs, so that contexts are one-hot.

    Raises:
        ValueError: there are as many codes as a code has numbers, or more.
    """
    n_codes, code_dim = model.codebook.entries.shape
    if n_codes >= code_dim:
        raise ValueError(f"{n_codes} codes at right angles need more than {code_dim} numbers a code")
    # The encoder's layer norm leaves outputs without a mean: one direction is taken, by the vector of ones.
    axes = torch.cat([torch.ones(code_dim, 1), torch.randn(code_dim, n_codes, generator=generator)], dim=1)
    basis = torch.linalg.qr(axes).Q[:, 1:]  # (D, K) orthonormal, each column of mean 0
    model.codebook.entries.copy_(math.sqrt(code_dim) * basis.T)
