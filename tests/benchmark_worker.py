"""Stands in for the benchmark's worker: does at once whatever a cell's job says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.modes.cells import Cell
from mode_imitation.errors import UserError


def do(task: dict[str, Any], _: object) -> None:
    cell = Cell(Path(task["folder"]), Path(task["run"]), task["job"])
    if cell.method == "dies":
        os._exit(3)
    if cell.method == "fails":
        raise UserError("no such thing")
    cell.write({"seed": cell.seed})


def prepare(_: None) -> Callable[[dict[str, Any], object], None]:
    return do
