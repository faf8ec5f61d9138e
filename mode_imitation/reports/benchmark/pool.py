"""Cells in a few processes side by side; a cell that fails, or whose process dies, stops no other."""

from collections.abc import Generator, Sequence
from contextlib import closing

from mode_imitation.reports.benchmark.cells import LOG, Cell
from mode_imitation.reports.benchmark.worker import MODULE
from mode_imitation.reports.cell_processes import Death, run_tasks


def run_cells(cells: Sequence[Cell], n_jobs: int, module: str = MODULE) -> Generator[tuple[Cell, str | None]]:
    """Do every cell; yield each as it ends, with the reason where it failed (which is recorded in the cell too).

    Args:
        cells: in the order in which they are begun.
        n_jobs: processes, at least 1, each on one core.
        module: run with `python -m`; see `worker`.

    Raises:
        OSError: no process can be started, or a failure cannot be recorded (the disk is full, say).

    When the iteration is left early, Ctrl-C included, the processes end at once; what they had begun is done again, or
    gone on with, by the next call.
    """
    with closing(run_tasks(module, [cell.message() for cell in cells], n_jobs)) as outcomes:
        for index, outcome in outcomes:
            cell = cells[index]
            if isinstance(outcome, OSError):
                raise outcome
            if isinstance(outcome, Death):
                reason = f"its process ended with status {outcome.status}; see {cell.folder / LOG}"
            else:
                reason = outcome["error"]
            if reason is not None:
                cell.fail(reason)
            yield cell, reason
