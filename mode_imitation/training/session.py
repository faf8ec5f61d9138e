"""A run in training: its settings, data, model and log, and what every stage does with them; labels never come in."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.checkpoint import Checkpoint, Stage, TrainingState, save_checkpoint
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.diagnostics import evaluate
from mode_imitation.training.preparation import describe_run, fresh_model, held_out_split, seeded_generator
from mode_imitation.training.run_folder import CHECKPOINT, start_folder, tidy_folder
from mode_imitation.training.tensorboard import TrainingLog


@dataclass(frozen=True)
class HookCall:
    """What a hook is told: it may look at the model and add to the log, and must change neither model nor data."""

    model: ModeModel
    stage: str
    step: int
    """Iterations of the whole run so far."""
    log: TrainingLog


Hook = Callable[[HookCall], None]


class TrainingSession:
    """A run that is under way, as its stages see it.

    Attributes:
        config, out, device, hook, dataset, info: of the run; `info` is its record as it was started.
        training, held_out: (E,) int, indices of the dataset's episodes that are trained on, and of those that are not.
        data: the training episodes; cut anew once switches are found.
        unseen: the held-out episodes; None where there are none, or none with an undisturbed window.
        state: where training stands; the stages change it.
        checkpoint: the one that the run goes on from, until the stage that it interrupted is over.
        log: opened by who runs the stages.
    """

    def __init__(
        self,
        dataset: TrajectoryDataset,
        config: TrainConfig,
        out: Path,
        device: torch.device,
        hook: Hook | None,
        source: dict[str, Any] | None,
        *,
        going_on: bool,
    ) -> None:
        """Prepare the data and the run's folder, and take up the checkpoint where the folder holds one.

        Args:
            dataset: what is trained on.
            config: settings.
            out: the run's folder.
            device: where the model and the data live.
            hook: see `train`.
            source: where the dataset came from, for the record.
            going_on: the folder holds this run already; otherwise it is started, and what was there is replaced.

        Raises:
            UserError: the dataset has no window of undisturbed steps, or the checkpoint cannot be read.
        """
        self.config, self.out, self.device, self.hook = config, out, device, hook
        self.dataset = dataset
        self.training, self.held_out = held_out_split(len(dataset), config.held_out, config.seed)
        self.data = self.tensors(self.training)
        self.unseen = self.tensors(self.held_out) if len(self.held_out) else None
        if len(self.data.drawable) == 0:
            raise UserError(
                f"dataset {dataset.name} has no window of {config.window.span} undisturbed steps; "
                "lower --horizon, --gap or --stride, or record with fewer disturbances"
            )
        if self.unseen is not None and len(self.unseen.drawable) == 0:
            self.unseen = None
        self.info = describe_run(dataset, config, self.training, self.held_out) | {"source": source}
        self.checkpoint: Checkpoint | None = None
        path = out / CHECKPOINT
        if not going_on:
            # Only now that data and settings are known to fit: an old run is not lost to a mistake.
            start_folder(out, self.info)
        tidy_folder(out)
        if path.exists():
            self.checkpoint = Checkpoint(path, self.model_of_stage)
            self.state = self.checkpoint.state
        else:
            self.state = TrainingState(self.fresh_model(0))
        if self.state.units is not None:
            self.data = self.tensors(self.training, self.state.units)
        self.log: TrainingLog

    def tensors(self, episodes: np.ndarray, units: Tensor | None = None) -> TrainingData:
        """The episodes in units of the settings' segments, or in those of `units` (2, U), see TrainingState."""
        chosen = [self.dataset.episodes[index] for index in episodes]
        slices, config = self.dataset.observation_slices, self.config
        given = None if units is None else (units[0].cpu().numpy(), units[1].cpu().numpy())
        return TrainingData(chosen, slices, config.window, config.segment, self.device, given, config.memory)

    def model_of_stage(self, stage: Stage) -> ModeModel:
        """A model of the sizes that are trained in this stage: the history comes with the second phase."""
        model = self.fresh_model(0)
        return model.with_history(self.config.memory) if stage == "refinement" else model

    def fresh_model(self, restart: int) -> ModeModel:
        """A model of this restart's initial weights, its normaliser fitted to the training episodes; no history."""
        return fresh_model(self.dataset, self.data, self.config, restart)

    def generator(self, purpose: str, restart: int = 0, device: torch.device | str | None = None) -> torch.Generator:
        """A generator of its own for everything that draws, on the run's device if no other is named."""
        return seeded_generator(self.config.seed, restart, purpose, device or self.device)

    @property
    def step(self) -> int:
        """Iterations of the whole run so far, the log's axis."""
        state, config = self.state, self.config
        if state.stage == "discovery":
            return state.restart * config.discovery_iterations + state.iteration
        done = (state.restart + 1) * config.discovery_iterations
        return done + (state.iteration if state.stage == "refinement" else 0)

    def count_seconds(self, stage: str, started: float) -> None:
        """Add the seconds since `started`, on the monotonic clock, to those of the stage."""
        self.state.seconds[stage] = self.state.seconds.get(stage, 0.0) + time.monotonic() - started

    def save(self, optimizer: torch.optim.Optimizer | None, generator: torch.Generator) -> None:
        """Write the log and a checkpoint with the stage's optimizer and generator."""
        self.log.flush()
        save_checkpoint(self.out / CHECKPOINT, self.state, optimizer, generator)

    def restore(self, optimizer: torch.optim.Optimizer | None, generator: torch.Generator) -> bool:
        """Take up the stage that was under way when the process died; False where it starts."""
        if self.checkpoint is None:
            return False
        self.checkpoint.restore(optimizer, generator)
        return True

    def enter(self, stage: Stage, restart: int) -> None:
        """Go on with the beginning of a stage of a restart."""
        self.state.stage, self.state.restart, self.state.iteration = stage, restart, 0

    def log_evaluation(self, codes: Tensor | None) -> dict[str, dict[str, float]]:
        """Log and return figures on the training data and on the held-out episodes."""
        recalls = self.state.stage == "refinement"
        figures = {"train": evaluate(self.state.model, self.data.recalling(recalls), self.config, codes)}
        if self.unseen is not None:
            figures["held_out"] = evaluate(self.state.model, self.unseen.recalling(recalls), self.config)
        for name, values in figures.items():
            self.log.scalars(f"{self.state.stage}/{name}", values, self.step)
        return figures

    def check_finite(self) -> None:
        """Stop a run that has diverged before its weights are saved."""
        if all(bool(torch.isfinite(weights).all()) for weights in self.state.model.parameters()):
            return
        raise UserError(
            f"training diverged: a weight is not finite after {self.state.iteration} iterations of {self.state.stage}; "
            f"train again with --overwrite and a --learning-rate below {self.config.learning_rate:g}"
        )

    def call_hook(self) -> None:
        """Let the user's hook look at the model, where there is one."""
        if self.hook is not None:
            self.hook(HookCall(self.state.model, self.state.stage, self.step, self.log))
