"""Everything that training needs to go on, in one safetensors file: it is the old one or the new one, never half."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.run_folder import FORMAT_VERSION, load_weights
from mode_imitation.training.tensor_files import read_tensors, write_tensors

Stage = Literal["discovery", "assignment", "switching", "sharpening", "refinement"]

MODEL, BEST, OPTIMIZER, GENERATOR = "model.", "best.model.", "optimizer.", "generator"
CODES, MOVED, BEST_CODES, UNITS = "codes", "moved", "best.codes", "units"


@dataclass
class TrainingState:
    """Where training stands."""

    model: ModeModel
    """The one in training."""
    stage: Stage = "discovery"
    restart: int = 0
    iteration: int = 0
    """Done in this stage."""
    codes: Tensor | None = None
    """(U,) int, of every unit, or (S,) of every step while switches are looked for; None before they are known."""
    units: Tensor | None = None
    """(2, U) int, steps and episode of every unit, where switches were found; None: as the settings cut them."""
    moved: Tensor | None = None
    """(U,) bool, of the units: which of them the last round of reassignment gave another code."""
    best: ModeModel | None = None
    """Of the restarts that are over, the one with the lowest score."""
    best_codes: Tensor | None = None
    restarts: list[dict[str, Any]] = field(default_factory=list)
    """Of every restart that is over: score, number of codes, rounds."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """Of reassignment, of this restart."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Spent in every stage that is over, by the process that ended it."""


def save_checkpoint(
    path: Path, state: TrainingState, optimizer: torch.optim.Optimizer | None, generator: torch.Generator
) -> None:
    """Write the state, the current stage's optimizer and the state of the current stage's generator."""
    tensors = {f"{MODEL}{name}": value for name, value in state.model.state_dict().items()}
    if state.best is not None:
        tensors |= {f"{BEST}{name}": value for name, value in state.best.state_dict().items()}
    own = {CODES: state.codes, MOVED: state.moved, BEST_CODES: state.best_codes, UNITS: state.units}
    for name, values in own.items():
        if values is not None:
            tensors[name] = values
    if optimizer is not None:
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{index}.{name}": value for name, value in values.items()}
    tensors[GENERATOR] = generator.get_state()
    record = {
        "format_version": FORMAT_VERSION,
        "stage": state.stage,
        "restart": state.restart,
        "iteration": state.iteration,
        "restarts": state.restarts,
        "rounds": state.rounds,
        "seconds": state.seconds,
    }
    write_tensors(path, tensors, record)


class Checkpoint:
    """A checkpoint that was read: the state, and what `restore` puts into the stage's optimizer and generator."""

    def __init__(self, path: Path, model_of_stage: Callable[[Stage], ModeModel]) -> None:
        """
        Args:
            path: the file.
            model_of_stage: makes a model of the sizes that the run has in a stage, on its device; it is filled.

        Raises:
            UserError: the file is missing, damaged, a pickle, of a newer format, or of another run.
        """
        self.path = path
        tensors, record = read_tensors(path)
        version = record.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise UserError(
                f"{path} is of format {version}, this version reads up to {FORMAT_VERSION}; upgrade mode-imitation"
            )
        try:
            self.state = self._state(tensors, record, model_of_stage(record["stage"]))
            self.generator_state = tensors[GENERATOR]
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged: {error} is missing; train again with --overwrite") from None
        self.optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(OPTIMIZER):
                index, _, key = name.removeprefix(OPTIMIZER).partition(".")
                self.optimizer_state.setdefault(int(index), {})[key] = value

    def _state(self, tensors: dict[str, Tensor], record: dict[str, Any], model: ModeModel) -> TrainingState:
        device = model.alive.device

        def fill(prefix: str, target: ModeModel) -> ModeModel:
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            load_weights(target, own, self.path)
            return target

        best = None
        if BEST_CODES in tensors:
            best = fill(BEST, ModeModel(model.config).to(device))
        return TrainingState(
            model=fill(MODEL, model),
            stage=record["stage"],
            restart=int(record["restart"]),
            iteration=int(record["iteration"]),
            codes=tensors[CODES].to(device) if CODES in tensors else None,
            units=tensors.get(UNITS),
            moved=tensors[MOVED].to(device) if MOVED in tensors else None,
            best=best,
            best_codes=tensors[BEST_CODES].to(device) if BEST_CODES in tensors else None,
            restarts=list(record["restarts"]),
            rounds=list(record["rounds"]),
            seconds=dict(record["seconds"]),
        )

    def restore(self, optimizer: torch.optim.Optimizer | None, generator: torch.Generator) -> None:
        """Put the saved values into the optimizer and the generator of the stage that was under way."""
        generator.set_state(self.generator_state)
        if optimizer is not None:
            values = optimizer.state_dict()
            values["state"] = self.optimizer_state
            optimizer.load_state_dict(values)
