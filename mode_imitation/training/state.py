"""Everything that a piece of training needs to go on, in one file: it is the old one or the new one, never half."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.run_folder import check_format, load_weights
from mode_imitation.training.tensor_files import read_tensors, write_tensors

FORMAT_VERSION = 3
MODEL, OPTIMISER, GENERATOR = "model.", "optimiser.", "generator"
OWN_TENSORS = ("codes", "units")
OWN_VALUES = ("stage", "iteration", "rounds", "pairs", "score", "seconds")


@dataclass
class State:
    """Where a job stands. U units, S steps."""

    model: ModeModel
    stage: str
    """What is under way; the last one is "done"."""
    iteration: int = 0
    """Done in this stage."""
    codes: Tensor | None = None
    """(U,) int, of every unit, or (S,) of every step while switches are looked for; None before they are known."""
    units: Tensor | None = None
    """(2, U) int, steps and episode of every unit, where switches were found; None: as the settings cut them."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """Of the search for switches."""
    pairs: list[dict[str, Any]] = field(default_factory=list)
    """Of codes, and how clearly each is told apart, see `discovery.search.pairs`."""
    score: float | None = None
    """Of the codes, nats a step, see `discovery.search.score`; more is better."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Spent in every stage."""
    optimiser: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    """Of the stage that is under way."""
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of the last evaluation; not kept in the file."""
    generator: Tensor | None = None
    """The state of the stage's generator; None where the stage has not begun."""

    @property
    def name(self) -> str:
        """Another one at every save."""
        return f"{self.stage}-{self.iteration}-{len(self.rounds)}"

    def save(self, path: Path) -> None:
        """Write all of it."""
        tensors = {f"{MODEL}{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {name: getattr(self, name) for name in OWN_TENSORS if getattr(self, name) is not None}
        for index, values in self.optimiser.items():
            tensors |= {f"{OPTIMISER}{index}.{name}": value for name, value in values.items()}
        if self.generator is not None:
            tensors[GENERATOR] = self.generator
        record = {name: getattr(self, name) for name in OWN_VALUES}
        write_tensors(path, tensors, {"format_version": FORMAT_VERSION, **record})

    @classmethod
    def load(cls, path: Path, make_model: Callable[[], ModeModel]) -> "State":
        """
        Args:
            path: the file.
            make_model: makes a model of the run's sizes on its device; it is filled.

        Raises:
            UserError: the file is missing, damaged, a pickle, of another format, or of another run.
        """
        tensors, record = read_tensors(path)
        check_format(path, record, FORMAT_VERSION)
        model = make_model()
        device = model.alive.device
        own = {name.removeprefix(MODEL): value for name, value in tensors.items() if name.startswith(MODEL)}
        load_weights(model, own, path)
        optimiser: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(OPTIMISER):
                index, _, key = name.removeprefix(OPTIMISER).partition(".")
                optimiser.setdefault(int(index), {})[key] = value
        missing = [name for name in OWN_VALUES if name not in record]
        if not missing and record["stage"] != "start" and "codes" not in tensors:
            missing = ["codes"]
        if missing:
            raise UserError(f"{path} is damaged: {missing[0]} is missing; train again with --overwrite")
        state = cls(model, record["stage"], optimiser=optimiser, generator=tensors.get(GENERATOR))
        for name in OWN_VALUES:
            setattr(state, name, record[name])
        for name in OWN_TENSORS:
            if name in tensors:
                setattr(state, name, tensors[name].to(device))
        return state

    def keep(self, generator: torch.Generator, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Take up what the stage under way draws from and optimises with, to be saved."""
        self.generator = generator.get_state()
        self.optimiser = {} if optimiser is None else optimiser.state_dict()["state"]

    def restore(self, generator: torch.Generator, optimiser: torch.optim.Optimizer | None = None) -> bool:
        """Put back what `keep` took; False where the stage begins."""
        if self.generator is None:
            return False
        generator.set_state(self.generator)
        if optimiser is not None:
            values = optimiser.state_dict()
            values["state"] = self.optimiser
            optimiser.load_state_dict(values)
        return True
