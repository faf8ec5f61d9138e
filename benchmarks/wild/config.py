"""Options of `python -m benchmarks.wild`; imports no torch, so that --help answers at once."""

from dataclasses import dataclass
from pathlib import Path

from mode_imitation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class WildConfig:
    """Codes of trajectories on every row of data, by every method, over seeds; labels only judge. What is finished is
    kept in --out, so that the same command goes on where it was, and another one adds rows, methods or seeds."""

    data: Path | None = None
    """Folder of .npz files, each a row: observations, actions, episode_lengths and labels, as `import` takes them."""
    rows: str | None = None
    """Names of rows, or of their groups: folder (those of --data), packages, made; with commas between. Left out, all
    that can be had here."""
    methods: str | None = None
    """Names of methods, with commas between; left out, all."""
    seeds: int = 5
    """Seeds 0, 1, ..."""
    times: str = "2,3,6"
    """Methods that are not told the number of classes get these multiples of it as codes, with commas between."""
    out: Path = Path("runs/wild")
    """Folder; every finished cell (row, method, codes, seed) and all data that are made are kept there."""
    publish: Path | None = None
    """Copy the results, one JSON, into this folder too."""
    finished: bool = False
    """Make no cells: show what is finished."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UserError(f"--seeds is {self.seeds}; expected at least 1")
        if not all(part.isdecimal() and int(part) > 0 for part in self.times.split(",")):
            raise UserError(f"--times is {self.times!r}; expected whole numbers from 1 on, with commas between")
        if self.data is not None and not self.data.is_dir():
            raise UserError(f"--data is {self.data}; expected a folder of .npz files")

    @property
    def multiples(self) -> list[int]:
        """What `times` says, each once."""
        return list(dict.fromkeys(int(part) for part in self.times.split(",")))
