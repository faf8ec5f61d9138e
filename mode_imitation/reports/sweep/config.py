"""Options of `mode-imitation sweep`; imports nothing heavy, as --help must be quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from mode_imitation.errors import UserError
from mode_imitation.options import Argument
from mode_imitation.processes import cores
from mode_imitation.training.config import TrainConfig

MOST = 1000
"""Codes, steps of a stride and seeds; more are taken for a slip of the keyboard."""
AS_IN_A_CELL: dict[str, Any] = {"held_out": 0.0}
"""What the recommended command needs to find the cell's codes again: every episode is trained on, so that all cells'
codes are judged on the same ones."""


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    codes: int
    stride: int
    seed: int

    @property
    def name(self) -> str:
        return f"k{self.codes}-stride{self.stride}-seed{self.seed}"

    def __str__(self) -> str:
        return f"k = {self.codes}, stride {self.stride}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Train a grid over the number of codes, the step size and the seed, and recommend one without labels."""

    dataset: Annotated[str, Argument("DATASET")]
    """Name below the root (namespace/name-vN), or a path."""
    codes: str = "2,3,4,8"
    """k, the entries of the codebook, to try; surplus ones are merged and pruned."""
    strides: str = "1,5,10,20"
    """Step sizes n of the transitions s[t+n] - s[t] to try."""
    seeds: int = 3
    """Trainings of every k and stride; how far they agree is what stability means."""
    seed: int = 0
    """The first training seed; the others follow it."""
    out: Path = Path("runs/sweep")
    """Folder for the cells, sweep.json, sweep.md and choice.png; what is finished there is kept."""
    jobs: int | None = None
    """Trainings at a time, each on one core; left out, one a core."""
    iterations: int = 400
    """Of a cell's second phase, which only brings encoder and codes together; train the chosen one longer."""
    joint_iterations: int = 800
    """Of a cell's first phase, which finds the codes; fewer than `train` has are for trials."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    config: Path | None = None
    """A YAML or JSON file with any of these settings; what is typed wins."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"jobs is {self.jobs}; expected at least 1")
        if not 1 <= self.seeds <= MOST:
            raise UserError(f"seeds is {self.seeds}; expected 1 to {MOST}")
        for cell in self.cells():  # the grid and every cell's settings are checked before any work is done
            self.training(cell)

    def cells(self) -> list[Cell]:
        """Every training of the grid, seeds innermost."""
        codes, strides = whole_numbers("codes", self.codes, 2), whole_numbers("strides", self.strides, 1)
        return [Cell(k, stride, self.seed + n) for stride in strides for k in codes for n in range(self.seeds)]

    def training(self, cell: Cell) -> TrainConfig:
        """Settings of a cell, which trains on one core."""
        return TrainConfig(
            codes=cell.codes,
            stride=cell.stride,
            seed=cell.seed,
            iterations=self.iterations,
            joint_iterations=self.joint_iterations,
            device="cpu",
            **AS_IN_A_CELL,
        )

    @property
    def trial(self) -> bool:
        """Whether the first phase is not as long as in `train`, which then would not find a cell's codes again."""
        return self.joint_iterations != TrainConfig().joint_iterations

    @property
    def n_jobs(self) -> int:
        """Processes to start."""
        return self.jobs or cores()


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
