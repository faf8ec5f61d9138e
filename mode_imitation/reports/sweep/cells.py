"""A sweep's cells on disk: one JSON file each, written as a whole, valid for one setting, dataset and version.

Its key is part of a file's name, so that cells of other settings, data or versions stay beside.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mode_imitation.atomic import check_folder, write_json
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.config import Cell
from mode_imitation.training.config import TrainConfig
from mode_imitation.versions import versions

FORMAT_VERSION = 1
CELLS = "cells"
SUMMARY = "sweep.json"


def cell_key(dataset: TrajectoryDataset, training: TrainConfig, most_codes: int) -> str:
    """sha256 of everything that decides a cell's content; labels count too, for the evaluation that is kept with it."""
    settings = training.to_dict()
    shown = training.model_config(dataset.obs_dim, dataset.act_dim, dataset.observation_slices).directions
    if not shown:
        del settings["lidar_directions"]  # cells from before there was a choice are still good
    parts = {
        "format": FORMAT_VERSION,
        "training": settings,
        "most_codes": most_codes,
        "dataset": dataset.checksum,
        "labels": dataset.labels,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_cell(out: Path, cell: Cell, key: str) -> dict[str, Any] | None:
    """A finished cell with this key; None where there is none, it failed, or it cannot be read."""
    try:
        found = json.loads(_path(out, cell, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("key") != key or found.get("status") != "done":
        return None
    return found


def write_cell(out: Path, cell: Cell, key: str, result: dict[str, Any]) -> dict[str, Any]:
    """Keep a cell's result, and return what was written."""
    content = {"key": key, "cell": cell.to_dict(), **result}
    write_json(_path(out, cell, key), content)
    return content


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


def other_cells(out: Path, cells: Sequence[Cell], keys: Mapping[str, str]) -> int:
    """How many files of these cells there are that other settings, data or versions made."""
    return sum(
        path != _path(out, cell, keys[cell.name])
        for cell in cells
        for path in (out / CELLS).glob(f"{cell.name}-*.json")
    )


def _path(out: Path, cell: Cell, key: str) -> Path:
    return out / CELLS / f"{cell.name}-{key[:12]}.json"
