"""A cell: one method trained and measured with one seed. What it depends on decides where it is kept.

out/two/cells/ours-0-3f2a91c07b5d/cell.json    what was measured, or why it failed
                                  log.txt      what the process said
out/two/runs/ours-0-90be53d1f0aa/              the trained policy, for `modes`, `rollout` and load_policy

Policies lie apart, so that other layouts, or more of them, do not mean to train again.
"""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mode_imitation.atomic import write_json
from mode_imitation.processes import Prepare, WorkerDiedError, one_line, run_tasks
from mode_imitation.versions import digest_of_code, platform_name, versions

FORMAT = 4
"""Raised whenever the figures in a cell change their meaning."""
CELL, LOG, CODE_FILE = "cell.json", "log.txt", "code.txt"
TRAINED_BY = ("method", "seed", "train")
"""What of a job decides the trained policy, beside the data."""
ROOMS = ("data", "model", "discovery", "training", "steering", "worlds", "worlds/safety", "reports")
CODE = (*(f"mode_imitation/{room}" for room in ROOMS), "experts", "benchmarks/modes", "benchmarks/original")
"""Folders of the project whose code decides the figures of a cell."""


@dataclass(frozen=True)
class Cell:
    """Where the figures of one method and seed are kept, and what they depend on."""

    folder: Path
    run: Path
    """Folder of the trained policy."""
    job: dict[str, Any]
    """JSON values: all that a process needs to know."""

    @property
    def method(self) -> str:
        return self.job["method"]

    @property
    def seed(self) -> int:
        return self.job["seed"]

    def __str__(self) -> str:
        return f"{self.method}, seed {self.seed}"

    def read(self) -> dict[str, Any] | None:
        """What was measured; None where it was not, or where it failed."""
        found = self.stored()
        return found["figures"] if found and found.get("status") == "complete" else None

    def failure(self) -> str | None:
        """Why it failed, in one line; None where it did not."""
        found = self.stored()
        return found["reason"] if found and found.get("status") == "failed" else None

    def codes(self) -> set[str]:
        """Digests of the project's code that trained and measured it."""
        found = {(self.stored() or {}).get("code", "unknown")}
        trained = self.run / CODE_FILE
        return found | ({trained.read_text(encoding="utf-8")} if trained.exists() else set())

    def write(self, figures: dict[str, Any]) -> None:
        """Keep what was measured; the file appears as a whole or not at all."""
        self._write({"status": "complete", "figures": figures})

    def fail(self, reason: str) -> None:
        """Record a failure; the next call tries again."""
        self._write({"status": "failed", "reason": " ".join(reason.split())})

    def _write(self, values: dict[str, Any]) -> None:
        write_json(self.folder / CELL, {"job": self.job, "code": code_digest(), **values})

    def stored(self) -> dict[str, Any] | None:
        """The file; None where there is none, it is damaged, or it is no cell: it is then made again."""
        try:
            found = json.loads((self.folder / CELL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def make_cell(root: Path, job: dict[str, Any], checksum: str | None) -> Cell:
    """The cell of a job; other settings, data or versions of packages give another one.

    Args:
        root: folder of the set.
        job: method, seed and all settings.
        checksum: of the dataset.
    """

    def named(kind: str, what: dict[str, Any]) -> Path:
        key = {"format": FORMAT, "job": what, "dataset": checksum, "versions": versions(), "platform": platform_name()}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return root / kind / f"{job['method']}-{job['seed']}-{digest[:12]}"

    # Where the data lie decides nothing.
    decides = {name: value for name, value in job.items() if name != "dataset"}
    trains = {name: value for name, value in job.items() if name in TRAINED_BY}
    return Cell(named("cells", decides), named("runs", trains), job)


def code_digest() -> str:
    """sha256 of the project's code that decides a cell's figures, shortened.

    It is recorded with each cell and no part of the key: that a comment has changed is no reason to train for an hour.
    """
    return digest_of_code(CODE)


def run_cells(cells: Sequence[Cell], n_jobs: int, prepare: Prepare | None = None) -> Generator[tuple[Cell, str | None]]:
    """Do every cell in a process; yield each as it ends, with the reason where it failed (it is recorded too).

    Args:
        cells: in the order in which they are begun.
        n_jobs: processes, at least 1, each on one core.
        prepare: what processes do; None for `worker.prepare`.

    Raises:
        OSError: a failure cannot be recorded (the disk is full, say).
        UserError: no process can be started.

    When the iteration is left early, Ctrl-C included, the processes end at once; what they had begun is done again, or
    gone on with, by the next call.
    """
    if prepare is None:
        from benchmarks.modes.worker import prepare

    tasks = [{"folder": str(cell.folder), "run": str(cell.run), "job": cell.job} for cell in cells]
    with closing(run_tasks(prepare, None, tasks, n_jobs)) as outcomes:
        for index, outcome in outcomes:
            cell, reason = cells[index], None
            if isinstance(outcome, WorkerDiedError):
                reason = f"{outcome}; see {cell.folder / LOG}"
            elif isinstance(outcome, Exception):
                # What is no kind of its own came over as text.
                reason = str(outcome) if type(outcome) is RuntimeError else one_line(outcome)
            if reason is not None:
                cell.fail(reason)
            yield cell, reason
