"""Cells in one-core processes, as many at a time as asked for. A process that dies costs its cell and nothing else."""

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mode_imitation.reports.cell_processes import Death, run_tasks

MODULE = "mode_imitation.reports.sweep.worker"


def run_cells(
    job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int, module: str = MODULE
) -> Generator[tuple[dict[str, Any], dict[str, Any]], None, None]:
    """Do every task, and yield (task, result) as each is done.

    Args:
        job: what every process is told first, JSON values; job["scratch"] is a folder for the processes' logs.
        tasks: JSON values, given out in this order.
        n_jobs: processes, at least 1.
        module: run with `python -m`; it reads the job and then tasks from standard input, a line each, and answers
            each task with a line.

    A result is {"status": "done", ...} or {"status": "failed", "reason": one line}. Closing the generator, as an
    exception in its user does, ends the processes.
    """
    with closing(run_tasks(module, tasks, n_jobs, job=job, logs=Path(job["scratch"]))) as outcomes:
        for index, outcome in outcomes:
            if isinstance(outcome, Death):
                quoted = f": {outcome.last_words}" if outcome.last_words else ""
                reason = f"its process ended without an answer (status {outcome.status}{quoted})"
                outcome = {"status": "failed", "reason": reason}
            elif isinstance(outcome, OSError):
                outcome = {"status": "failed", "reason": f"no process could be started: {outcome}"}
            yield tasks[index], outcome
