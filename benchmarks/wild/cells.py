"""A cell: one row, one method, one number of codes, one seed. What it depends on names its file.

out/cells/pendulum/pg-kmeans-3-0-5b0c9e1f.json    what was measured, or why it failed
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.wild.methods import METHODS
from mode_imitation.atomic import write_json
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.versions import digest_of_code, platform_name, versions

FORMAT = 1
CODE = ("mode_imitation/data", "benchmarks/wild")
TRAINING = tuple(f"mode_imitation/{room}" for room in ("model", "discovery", "training"))
"""Folders whose code decides figures, the latter those of methods that train with the package: recorded with each cell,
and no part of its name."""


@dataclass(frozen=True)
class Cell:
    """What is asked of a method."""

    row: str
    method: str
    times: int | None
    """Codes for each class; None where the method is told the number of classes."""
    seed: int

    def __str__(self) -> str:
        codes = "" if self.times is None else f", {self.times} times the classes"
        return f"{self.row}, {self.method}{codes}, seed {self.seed}"

    def path(self, out: Path, checksum: str) -> Path:
        """Its file, for data of this checksum."""
        key = {
            **vars(self),
            "checksum": checksum,
            "format": FORMAT,
            "version": METHODS[self.method].version,
            "versions": versions(),
            "platform": platform_name(),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
        times = "" if self.times is None else f"-{self.times}"
        return out / "cells" / self.row / f"{self.method}{times}-{self.seed}-{digest}.json"


def read(path: Path) -> dict[str, Any] | None:
    """A finished or failed cell; None where there is none, or its file is damaged: it is made again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("status") in ("complete", "failed") else None


def make(cell: Cell, dataset: TrajectoryDataset, path: Path) -> dict[str, Any]:
    """Do what a cell asks for, and keep it; a method that refuses the data has failed, and is asked again next time."""
    began = time.monotonic()
    labels = np.unique(dataset.labels or [], return_inverse=True)[1]
    classes = len(np.unique(labels))
    codes = None if cell.times is None else max(2, min(cell.times * classes, len(labels)))
    try:
        found = METHODS[cell.method].find(dataset, classes, codes, cell.seed)
        result = {"status": "complete", **scores(labels, found)}
    except UserError as error:
        result = {"status": "failed", "reason": " ".join(str(error).split())}
    result |= {"codes": codes, "seconds": round(time.monotonic() - began, 2), "code": code_of(cell)}
    write_json(path, result)
    return result


def code_of(cell: Cell) -> str:
    """Digest of the code that decides a cell's figures, as it is now."""
    return digest_of_code(CODE + TRAINING * METHODS[cell.method].trains)


def scores(labels: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """How (E,) codes agree with (E,) labels: normalised mutual information, adjusted Rand index, codes in use."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "nmi": float(normalized_mutual_info_score(labels, codes)),
        "ari": float(adjusted_rand_score(labels, codes)),
        "modes": len(np.unique(codes)),
    }
