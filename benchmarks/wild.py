"""`python -m benchmarks.wild --data FOLDER`: modes in data that nobody made for this project."""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.command import run_command
from mode_imitation.atomic import write_text
from mode_imitation.errors import UserError

KINDS = ("policy", "behaviour")
SHORT = 44
"""Episodes from so many steps on are looked at as `train` does by default, shorter ones step by step."""


@dataclass(frozen=True)
class WildConfig:
    """Codes of trajectories, label-free, on every set of a folder, beside k-means that is told how many classes there
    are. A set is an .npz file with observations, actions, episode_lengths and labels (for evaluation only). What is
    finished is kept in --out, so that the same command goes on where it was."""

    data: Path | None = None
    """Folder of .npz files. (required)"""
    sets: str | None = None
    """File names without .npz, with commas between them; left out, all of the folder."""
    seeds: int = 5
    """Training seeds 0, 1, ..."""
    times: str = "2,3,6"
    """Codes are given as these multiples of the number of classes, with commas between them."""
    evidence: str = "policy,behaviour"
    """What tells modes apart, see `train`; behaviour with the middle one of the multiples alone."""
    out: Path = Path("runs/wild")
    """Folder; every finished cell is kept there."""


@dataclass(frozen=True)
class Cell:
    """One training of one set."""

    name: str
    evidence: str
    times: int
    seed: int

    @property
    def file(self) -> str:
        return f"{self.name}-{self.evidence}-{self.times}-{self.seed}.json"


def run(config: WildConfig) -> int:
    """Every cell, then the table."""
    from mode_imitation.commands.tables import print_table
    from mode_imitation.progress import progress

    files = sets_of(config)
    times = [int(part) for part in config.times.split(",")]
    evidence = config.evidence.split(",")
    cells = list(grid(list(files), evidence, times, config.seeds))
    config.out.mkdir(parents=True, exist_ok=True)
    found: dict[Cell, dict[str, Any]] = {}
    with progress("wild", len(cells), "cells") as bar:
        for cell in cells:
            bar.advance(0, note=f"{cell.name}, {cell.evidence}, seed {cell.seed}")
            path = config.out / cell.file
            if not path.exists():
                write_text(path, json.dumps(train(files[cell.name], cell)))
            found[cell] = json.loads(path.read_text(encoding="utf-8"))
            bar.advance()
    rows = [row(name, files[name], found) for name in files]
    columns = ("set", "episodes", "classes", "k-means, told k", *(f"{kind}: modes; NMI" for kind in evidence))
    seeds = f"{config.seeds} seed{'s' * (config.seeds != 1)}"
    print_table(f"Episode NMI, means over {seeds} and multiples {config.times} [least, largest]", columns, rows)
    return 0


def grid(names: list[str], evidence: list[str], times: list[int], seeds: int) -> Iterator[Cell]:
    """Every cell; behaviour with the middle multiple alone."""
    for name in names:
        for kind in evidence:
            for multiple in times if kind == "policy" else times[len(times) // 2 : len(times) // 2 + 1]:
                for seed in range(seeds):
                    yield Cell(name, kind, multiple, seed)


def sets_of(config: WildConfig) -> dict[str, Path]:
    """
    Raises:
        UserError: there is no such folder or set, or an option is wrong.
    """
    if config.data is None or not config.data.is_dir():
        raise UserError(f"data is {config.data}; expected a folder of .npz files")
    files = {path.stem: path for path in sorted(config.data.glob("*.npz"))}
    wanted = config.sets.split(",") if config.sets else list(files)
    unknown = [name for name in wanted if name not in files]
    if unknown or not files:
        raise UserError(f"{config.data} has no set {unknown[0] if unknown else '*.npz'}; it has {', '.join(files)}")
    if any(kind not in KINDS for kind in config.evidence.split(",")):
        raise UserError(f"evidence is {config.evidence!r}; expected {' or '.join(KINDS)}, with a comma between them")
    if config.seeds < 1 or not all(part.isdecimal() and int(part) > 0 for part in config.times.split(",")):
        raise UserError(f"seeds is {config.seeds} and times {config.times!r}; expected whole numbers from 1 on")
    return {name: files[name] for name in wanted}


def train(path: Path, cell: Cell) -> dict[str, Any]:
    """Look for the codes of a set, as `train` does from k-means clusters; no policy is trained on them."""
    import mode_imitation as mi

    arrays = np.load(path)
    dataset = mi.from_arrays(arrays["observations"], arrays["actions"], arrays["episode_lengths"])
    labels = np.unique(arrays["labels"], return_inverse=True)[1]
    shortest, classes = int(dataset.lengths.min()), len(np.unique(labels))
    window = {} if shortest >= SHORT else {"horizon": min(8, max(1, (shortest - 1) // 2)), "gap": 1, "stride": 1}
    # One progress is enough: that of all cells.
    with TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        run = mi.fit(
            dataset,
            out=Path(folder) / "run",
            codes=max(2, min(cell.times * classes, len(labels))),
            seed=cell.seed,
            evidence=cell.evidence,
            start="kmeans",
            iterations=1,
            held_out=0.0,
            device="cpu",
            **window,  # type: ignore[arg-type]
        )
    return {"modes": run.n_modes, "nmi": agreement(labels, run.assignment), "seconds": run.info["summary"]["seconds"]}


def agreement(labels: np.ndarray, codes: np.ndarray) -> float:
    """Normalised mutual information of (E,) labels and codes."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(labels, codes))


def clusters(path: Path) -> tuple[int, int, list[float]]:
    """Episodes, classes, and the NMI of k-means (ten seeds) of means and spreads of states, differences and actions,
    told the number of classes."""
    from sklearn.cluster import KMeans

    arrays = np.load(path)
    labels = np.unique(arrays["labels"], return_inverse=True)[1]
    lengths = arrays["episode_lengths"]
    extra = len(arrays["observations"]) == lengths.sum() + len(lengths)
    statistics, row, step = [], 0, 0
    for length in lengths:
        states, actions = arrays["observations"][row : row + length + extra], arrays["actions"][step : step + length]
        parts = (states, np.diff(states, axis=0), actions)
        statistics.append(np.concatenate([f(part, axis=0) for part in parts for f in (np.mean, np.std)]))
        row, step = row + length + extra, step + length
    values = np.stack(statistics).astype(np.float64)
    scaled = (values - values.mean(0)) / np.maximum(values.std(0), 1e-9)
    classes = len(np.unique(labels))
    found = [
        agreement(labels, KMeans(classes, n_init=10, random_state=seed).fit_predict(scaled))  # pyright: ignore
        for seed in range(10)
    ]
    return len(labels), classes, found


def row(name: str, path: Path, found: dict[Cell, dict[str, Any]]) -> tuple[str, ...]:
    """Of the table."""
    episodes, classes, of_clusters = clusters(path)
    cells = [name, str(episodes), str(classes), spread(of_clusters)]
    for kind in dict.fromkeys(cell.evidence for cell in found):
        done = [result for cell, result in found.items() if (cell.name, cell.evidence) == (name, kind)]
        modes = sorted({result["modes"] for result in done})
        counts = str(modes[0]) if len(modes) == 1 else f"{modes[0]} to {modes[-1]}"
        cells.append(f"{counts}; {spread([result['nmi'] for result in done])}")
    return tuple(cells)


def spread(values: list[float]) -> str:
    """Mean [least, largest]."""
    return f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main(arguments: list[str] | None = None) -> int:
    """See `run_command`."""
    return run_command("python -m benchmarks.wild", WildConfig, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
