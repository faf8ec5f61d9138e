"""A cell: one method trained and measured with one seed. What it depends on decides where it is kept.

out/two/cells/ours-0-3f2a91c07b5d/cell.json    what was measured, or why it failed
                                  log.txt      what the worker said
out/two/runs/ours-0-90be53d1f0aa/              the trained policy, for `modes`, `rollout` and load_policy

Policies lie apart, so that other layouts, or more of them, do not mean to train again.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mode_imitation.atomic import write_json
from mode_imitation.reports.benchmark.config import OPTIONAL
from mode_imitation.versions import digest_of_code, platform_name, versions

FORMAT = 1
"""Raised whenever the figures in a cell change their meaning."""
CELL, LOG, CODE_FILE = "cell.json", "log.txt", "code.txt"
TIME_FILE = "processor_seconds.txt"
"""In the run's folder: what its training took, where one process did it from beginning to end."""
CELLS, RUNS = "cells", "runs"
BENCHMARK = "reports/benchmark"
TRAINED_BY = ("method", "seed", "train")
"""What of a job decides the trained policy, beside the data."""
CODE = ("data", "model", "training", "steering", "worlds", "worlds/safety", "reports", "reports/baselines", BENCHMARK)
"""Rooms of the project whose code decides the figures of a cell."""


@dataclass(frozen=True)
class Cell:
    """Where the figures of one method and seed are kept, and what they depend on."""

    folder: Path
    run: Path
    """Folder of the trained policy."""
    job: dict[str, Any]
    """JSON values: all that a worker needs to know."""

    @property
    def method(self) -> str:
        return self.job["method"]

    @property
    def seed(self) -> int:
        return self.job["seed"]

    def read(self) -> dict[str, Any] | None:
        """What was measured; None where it was not, or where it failed."""
        found = self._stored()
        return found["figures"] if found and found.get("status") == "complete" else None

    def failure(self) -> str | None:
        """Why it failed, in one line; None where it did not."""
        found = self._stored()
        return found["reason"] if found and found.get("status") == "failed" else None

    def codes(self) -> set[str]:
        """Digests of the project's code that trained and measured it."""
        found = {(self._stored() or {}).get("code", "unknown")}
        with contextlib.suppress(OSError):
            found.add((self.run / CODE_FILE).read_text(encoding="utf-8"))
        return found

    def write(self, figures: dict[str, Any]) -> None:
        """Keep what was measured; the file appears as a whole or not at all."""
        self._write({"status": "complete", "figures": figures})

    def fail(self, reason: str) -> None:
        """Record a failure; the next call tries again."""
        self._write({"status": "failed", "reason": " ".join(reason.split())})

    def message(self) -> dict[str, Any]:
        """As JSON, for a worker; `from_message` reads it back."""
        return {"folder": str(self.folder), "run": str(self.run), "job": self.job}

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> "Cell":
        return cls(Path(values["folder"]), Path(values["run"]), values["job"])

    def _write(self, values: dict[str, Any]) -> None:
        write_json(self.folder / CELL, {"job": self.job, "code": code_digest(), **values})

    def _stored(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / CELL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # A file of another version or a damaged disk is no mistake of the user's: the cell is made again.
            return None
        return found if isinstance(found, dict) else None


def make_cell(root: Path, job: dict[str, Any], checksum: str | None) -> Cell:
    """The cell of a job; other settings, data or versions of packages give another one.

    Args:
        root: folder of the set.
        job: method, seed and all settings.
        checksum: of the dataset.
    """
    effective = in_effect(job)
    decides = {name: value for name, value in effective.items() if name != "dataset"}
    trains = {name: effective[name] for name in TRAINED_BY if name in job}

    def named(kind: str, what: dict[str, Any]) -> Path:
        key = {"format": FORMAT, "job": what, "dataset": checksum, "versions": versions(), "platform": platform_name()}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return root / kind / f"{job['method']}-{job['seed']}-{digest[:12]}"

    return Cell(named(CELLS, decides), named(RUNS, trains), job)


def in_effect(job: dict[str, Any]) -> dict[str, Any]:
    """The job less the settings that change nothing: cells from before there was a choice are still good.

    The original method has neither a history nor mean directions, whatever is asked for.
    """
    train = job.get("train")
    if train is None:
        return job
    idle = set(OPTIONAL)
    if job["method"] != "original":
        idle -= {"history", "history_gap"} if train.get("history") else set()
        idle -= {"lidar_directions"} if train.get("lidar_directions") else set()
    return job | {"train": {name: value for name, value in train.items() if name not in idle}}


def code_digest() -> str:
    """sha256 of the project's code that decides a cell's figures, shortened.

    It is recorded with each cell and no part of the key: that a comment has changed is no reason to train for an hour.
    """
    return digest_of_code((*(f"mode_imitation/{room}" for room in CODE), "experts"))
