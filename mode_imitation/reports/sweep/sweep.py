"""The sweep itself: which cells are missing, their training in parallel, and what follows from them."""

import contextlib
import shlex
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mode_imitation.atomic import locked
from mode_imitation.config_file import as_arguments
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.data.storage import resolve_root
from mode_imitation.errors import UserError
from mode_imitation.processes import one_line, run_tasks
from mode_imitation.progress import progress
from mode_imitation.reports.sweep.cells import CELLS, cell_file, check_out, code_digest, prepare, read_cell, write_cell
from mode_imitation.reports.sweep.choice import Recommendation, Setting, check_enough_episodes, gather, recommend
from mode_imitation.reports.sweep.config import AS_IN_A_CELL, Cell, SweepConfig

Run = Callable[[dict[str, Any], Sequence[dict[str, Any]], int], Generator[tuple[int, Any]]]
CODES_STEP = 16


@dataclass(frozen=True)
class Sweep:
    """What came out."""

    config: SweepConfig
    dataset: TrajectoryDataset
    cells: list[dict[str, Any]]
    """As their files hold them, in the order of the grid; failed ones have "status" "failed" and a "reason"."""
    settings: list[Setting]
    recommendation: Recommendation
    command: str | None
    """What to type next; None where nothing is recommended."""
    notes: list[str]
    """What is to be known beside the table, a line each."""

    @property
    def failed(self) -> bool:
        """Whether some cell failed."""
        return any(cell["status"] == "failed" for cell in self.cells)


def run_cells(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int) -> Generator[tuple[int, Any]]:
    """Every cell in a process, see `run_tasks`."""
    return run_tasks(prepare, job, tasks, n_jobs, logs=Path(job["scratch"]))


def sweep(config: SweepConfig, run: Run | None = None) -> Sweep:
    """Train what is missing of the grid and recommend a setting.

    Args:
        config: the grid.
        run: does the cells; None in processes.

    Raises:
        UserError: the dataset is missing or too small, --out is no sweep, or every cell failed.
    """
    dataset = load_dataset(config.dataset, config.root)
    check_enough_episodes(dataset)
    cells = config.cells()
    check_some_cell(config, cells, dataset)
    check_out(config.out, dataset)
    # The same policies judge the codes of all grids of usual size, so that a grid can be extended.
    most_codes = -(-max(cell.codes for cell in cells) // CODES_STEP) * CODES_STEP
    files = {cell: cell_file(config.out, cell, dataset, config.training(cell), most_codes) for cell in cells}
    found = {cell: read_cell(files[cell]) for cell in cells}
    missing = [cell for cell in cells if found[cell] is None]
    if len(missing) < len(cells):
        print(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
    if missing:
        busy = f"another sweep is at work in {config.out}; wait for it to end, or choose another --out"
        with (
            locked(config.out / CELLS, busy),
            contextlib.closing(train_cells(config, missing, most_codes, run or run_cells)) as results,
        ):
            for cell, result in results:
                found[cell] = write_cell(files[cell], cell, result)
    done = [entry for entry in found.values() if entry is not None]
    if all(entry["status"] == "failed" for entry in done):
        raise UserError(f"every cell of the sweep failed; the first one: {done[0]['reason']}")
    settings = gather(done)
    chosen = recommend(settings, config.merge_gap)
    command = None if chosen.setting is None else train_command(config, chosen.setting)
    return Sweep(config, dataset, done, settings, chosen, command, notes_on(config, done, chosen))


def check_some_cell(config: SweepConfig, cells: Sequence[Cell], dataset: TrajectoryDataset) -> None:
    """Refuse data that no cell can be trained on before a process starts; a cell that alone cannot is recorded later.

    Raises:
        UserError: of the first cell.
    """
    from mode_imitation.training.preparation import check, held_out_split

    first: UserError | None = None
    for cell in cells:
        try:
            training = config.training(cell)
            check(dataset, training, held_out_split(len(dataset), training.held_out, training.seed)[0], None)
        except UserError as error:
            first = first or error
        else:
            return
    raise UserError(f"no cell of the sweep can be trained: {first}")


def train_cells(
    config: SweepConfig, missing: Sequence[Cell], most_codes: int, run: Run
) -> Generator[tuple[Cell, dict[str, Any]]]:
    """Yield (cell, result) as each is done, with progress; a result is {"status": "done", ...} or has a "reason"."""
    place, root = Path(config.dataset), resolve_root(config.root)
    job = {
        "dataset": str(place.resolve()) if place.exists() and not (root / place).exists() else config.dataset,
        "root": str(root.resolve()),
        "most_codes": most_codes,
    }
    tasks = [{"name": cell.name, "training": config.training(cell).to_dict()} for cell in missing]
    failed = 0
    label = f"sweep, {min(config.n_jobs, len(tasks))} at a time"
    with (
        tempfile.TemporaryDirectory(prefix="mode-imitation-", ignore_cleanup_errors=True) as scratch,
        # Closed first when something is raised, Ctrl-C above all: the processes end before their folder goes.
        contextlib.closing(run(job | {"scratch": scratch}, tasks, config.n_jobs)) as outcomes,
        progress(label, len(tasks), "cells") as bar,
    ):
        for index, outcome in outcomes:
            cell = missing[index]
            if isinstance(outcome, Exception):
                # What is no kind of its own came over as text.
                reason = one_line(outcome) if isinstance(outcome, OSError) else str(outcome)
                outcome, failed = {"status": "failed", "reason": reason}, failed + 1
            yield cell, outcome
            bar.advance(note=f"{cell.name} {outcome['status']}" + (f", {failed} failed so far" if failed else ""))


def train_command(config: SweepConfig, chosen: Setting) -> str:
    """The command that finds the recommended cell's codes again, to the bit, and then trains the policy as long as
    `train` does; after a trial one that searches anew, with nothing of its settings."""
    out = Path("runs") / f"{Path(config.dataset).name}-k{chosen.codes}-stride{chosen.stride}"
    settings: dict[str, Any] = {} if config.root is None else {"root": config.root}
    settings |= {"codes": chosen.codes, "stride": chosen.stride, "seed": chosen.seeds[0]}
    settings |= {} if config.differing else AS_IN_A_CELL
    return shlex.join(["mode-imitation", "train", config.dataset, *as_arguments(settings | {"out": out})])


def notes_on(config: SweepConfig, cells: Sequence[dict[str, Any]], chosen: Recommendation) -> list[str]:
    """What was left out, what failed, what other code made, and what the command says."""
    lines = []
    if config.seeds < 2:
        lines.append("stability between seeds is left out: it takes at least two, --seeds 3 say")
    lines += [f"failed: {Cell(**cell['cell'])}: {cell['reason']}" for cell in cells if cell["status"] == "failed"]
    done = [cell for cell in cells if cell["status"] == "done"]
    other = sum(cell["code"] != code_digest() for cell in done)
    if other:
        lines.append(
            f"{other} of {len(done)} cells were made by another state of this project's code; to make them again, "
            "remove the sweep's folder `cells`"
        )
    if config.differing:
        lines.append(
            f"a trial: {' and '.join(config.differing)} are not as in `train`; the command leaves them as they are "
            "there, and searches anew"
        )
    elif chosen.setting is not None:
        lines.append(
            "in the command, --restarts 1 and --held-out 0.0 find the codes of this cell again; leave both out to "
            "search anew and to hold episodes out"
        )
    return lines
