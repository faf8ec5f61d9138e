"""A sweep's cells: one JSON file each, written as a whole, valid for one setting, dataset and version.

`prepare` is for the processes that train them one after another, see `processes.run_tasks`.

A cell's key is part of its file's name, so that cells of other settings, data or versions stay beside.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mode_imitation.atomic import check_folder
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.processes import Advance
from mode_imitation.reports.sweep.config import Cell
from mode_imitation.training.config import TrainConfig
from mode_imitation.versions import digest_of_code, versions

FORMAT = 3
CELLS, SUMMARY = "cells", "sweep.json"
CODE = ("data", "model", "discovery", "training", "steering", "reports", "reports/sweep")
"""Rooms of the project whose code decides what is in a cell."""


@dataclass(frozen=True)
class Judgement:
    """How good codes are, by laws that never saw what they judge; no label comes in."""

    nll: float
    """Minus `discovery.search.score`: cross-fitted nats per step, mean over all steps; less is better."""
    episode_nll: list[float | None]
    """Of every episode that has a step to be judged by; None elsewhere."""
    smallest_clarity: float | None
    """How clearly the least clear pair of codes is told apart, see `discovery.search.Apart`; None for one code."""


@dataclass(frozen=True)
class Done:
    """A cell that was trained."""

    cell: Cell
    codes: list[int]
    """Of each episode."""
    n_modes: int
    criteria: Judgement
    code: str
    """The digest of the code that made it."""

    @classmethod
    def of(cls, cell: Cell, found: dict[str, Any]) -> "Done":
        """From what `prepare`'s function returned."""
        return cls(cell, found["codes"], found["n_modes"], Judgement(**found["criteria"]), found["code"])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"status": "done", **asdict(self)}


@dataclass(frozen=True)
class Failed:
    """A cell that could not be trained."""

    cell: Cell
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"status": "failed", **asdict(self)}


def code_digest() -> str:
    """sha256, shortened, of that code; recorded with each cell and no part of its key."""
    return digest_of_code(tuple(f"mode_imitation/{room}" for room in CODE))


def cell_file(out: Path, cell: Cell, dataset: TrajectoryDataset, training: TrainConfig) -> Path:
    """Where a cell lies: its name tells of everything that decides its content."""
    parts = {
        "format": FORMAT,
        "training": training.to_dict(),
        "dataset": dataset.checksum,
        "versions": versions(),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return out / CELLS / f"{cell.name}-{key[:12]}.json"


def read_cell(file: Path, cell: Cell) -> Done | None:
    """A finished cell; None where there is none, it failed, or it cannot be read."""
    try:
        return Done.of(cell, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_out(out: Path, dataset: TrajectoryDataset) -> None:
    """Make the folder ready for cells.

    Raises:
        UserError: it holds something else than a sweep, or a sweep of other data, whose results would be lost.
    """
    check_folder(out, "the sweep")
    if out.exists() and any(out.iterdir()) and not (out / CELLS).is_dir():
        raise UserError(f"{out} exists and is no sweep: it has no {CELLS} folder; choose another --out")
    try:
        before = json.loads((out / SUMMARY).read_text(encoding="utf-8"))["dataset"]
        other = before["name"] if before["checksum"] != dataset.checksum else None
    except (OSError, ValueError, KeyError, TypeError):
        other = None  # none was finished here, or it cannot be read: nothing to protect
    if other is not None:
        raise UserError(f"{out} holds a sweep of {other}, other data than {dataset.name} now; choose another --out")
    (out / CELLS).mkdir(parents=True, exist_ok=True)


def prepare(job: dict[str, Any]) -> Callable[[dict[str, Any], Advance], dict[str, Any]]:
    """The function that does one cell: {"name", "training": TrainConfig as a dict} -> what makes it `Done`."""
    code = code_digest()  # of the code that is being loaded, not of what it may become later
    from mode_imitation.data import load_dataset
    from mode_imitation.reports.sweep.choice import Judge
    from mode_imitation.training.fit import fit

    dataset, scratch = load_dataset(job["dataset"], job["root"]), Path(job["scratch"])

    def run_cell(task: dict[str, Any], _: Advance) -> dict[str, Any]:
        """Train one cell and judge what it found; no label comes in."""
        config, folder = TrainConfig.from_dict(task["training"]), scratch / task["name"]
        try:
            run = fit(dataset, config, folder, overwrite=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # of the training's own files nothing is needed
        codes = [int(code) for code in run.info["assignment"]]
        criteria = asdict(Judge(dataset).judge(codes))
        return {"codes": codes, "n_modes": run.model.n_modes, "criteria": criteria, "code": code}

    return run_cell
