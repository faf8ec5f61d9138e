"""Options of `mode-imitation sweep`; imports nothing heavy, as --help must be quick."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from mode_imitation.errors import UserError
from mode_imitation.training.config import TrainConfig

ObjectiveChoice = Literal["ours", "original"]
MOST = 1000
"""Codes, steps of a stride and seeds; more are taken for a slip of the keyboard."""
CURVE_POINTS = 40
"""About so often is a training's fit looked at."""


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    objective: str
    codes: int
    stride: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.objective}-k{self.codes}-stride{self.stride}-seed{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        return {"objective": self.objective, "codes": self.codes, "stride": self.stride, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Train a grid over the number of codes, the step size and the seed, and recommend one without labels."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name below the root (namespace/name-vN), or a path."""
    codes: str = "2,3,4,8"
    """k, the entries of the codebook, to try; surplus ones are merged and pruned."""
    strides: str = "1,5,10,20"
    """Step sizes n of the transitions s[t+n] - s[t] to try."""
    seeds: int = 3
    """Trainings of every k and stride; how far they agree is what stability means."""
    seed: int = 0
    """The first training seed; the others follow it."""
    objectives: str = "ours"
    """ours, original, or ours,original: the original method beside this one, for the experiment of its paper."""
    out: Path = Path("runs/sweep")
    """Folder for the cells, sweep.json, sweep.md and the pictures; what is finished there is kept."""
    jobs: int | None = None
    """Trainings at a time, each on one core; left out, one a core."""
    iterations: int = 400
    """Of a cell's second phase, which only brings encoder and codes together; train the chosen one longer."""
    discovery_iterations: int = 800
    """Of a cell's first phase, which finds the codes."""
    original_iterations: int = 3000
    """Of the original method, which has one phase; its codes change little after that."""
    scoring_iterations: int = 1000
    """Of each fit that judges codes; under-trained ones merge too much."""
    lidar_directions: bool = True
    """Show the actor of our own objective the mean direction of what each lidar sees, see `train`."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    publish: Path | None = None
    """Copy the small results (JSON, Markdown, PNG) into this folder too, as sweep.json, sweep.md and sweep-*.png."""
    pictures: bool = True
    """Draw the figures; --no-pictures writes only the tables."""
    config: Path | None = None
    """A YAML or JSON file with any of these settings; what is typed wins."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"jobs is {self.jobs}; expected at least 1")
        if not 1 <= self.seeds <= MOST:
            raise UserError(f"seeds is {self.seeds}; expected 1 to {MOST}")
        self.cells()  # the grid and every cell's settings are checked before any work is done
        for cell in self.cells():
            self.training(cell)

    def cells(self) -> list[Cell]:
        """Every training of the grid, seeds innermost.

        Raises:
            UserError: a list is empty or holds something else than whole numbers in reason or known objectives.
        """
        codes, strides = whole_numbers("codes", self.codes, 2), whole_numbers("strides", self.strides, 1)
        return [
            Cell(objective, k, stride, self.seed + index)
            for objective in chosen_objectives(self.objectives)
            for stride in strides
            for k in codes
            for index in range(self.seeds)
        ]

    def training(self, cell: Cell) -> TrainConfig:
        """Settings of a cell: one restart, as the seeds are the restarts, on one core, and every episode trained on,
        so that all cells' codes are judged on the same ones."""
        common: dict[str, Any] = {
            "codes": cell.codes,
            "stride": cell.stride,
            "seed": cell.seed,
            "scoring_iterations": self.scoring_iterations,
            "restarts": 1,
            "held_out": 0.0,
            "threads": 1,
            "device": "cpu",
        }
        if cell.objective == "original":
            every = max(1, self.original_iterations // CURVE_POINTS)
            return TrainConfig.original_method(
                **common, discovery_iterations=self.original_iterations, hook_every=every
            )
        every = max(1, (self.discovery_iterations + self.iterations) // CURVE_POINTS)
        return TrainConfig(
            **common,
            iterations=self.iterations,
            discovery_iterations=self.discovery_iterations,
            lidar_directions=self.lidar_directions,
            hook_every=every,
        )

    @property
    def merge_gap(self) -> float:
        """Nats per step below which training takes two codes for one; the same in every cell."""
        return self.training(self.cells()[0]).merge_gap

    @property
    def n_jobs(self) -> int:
        """Processes to start."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.jobs or cores


def whole_numbers(name: str, text: str, least: int) -> list[int]:
    """'2,3, 8' -> [2, 3, 8], ascending and each once.

    Raises:
        UserError: it is no such list, or a number is below `least` or above MOST.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"{name} is {text!r}; expected whole numbers with commas between them, such as 2,4,8")
    numbers = sorted({int(part) for part in parts})
    for number in (numbers[0], numbers[-1]):
        if not least <= number <= MOST:
            raise UserError(f"{name} holds {number}; expected numbers from {least} to {MOST}")
    return numbers


def chosen_objectives(text: str) -> list[str]:
    """'original,ours' -> ['ours', 'original'].

    Raises:
        UserError: a name is unknown.
    """
    known = get_args(ObjectiveChoice)
    asked = {part.strip() for part in text.split(",")}
    for name in sorted(asked - set(known)):
        raise UserError(f"there is no objective {name!r}; expected {' or '.join(known)}, or both with a comma")
    return [name for name in known if name in asked]
