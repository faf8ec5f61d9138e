"""The sweep itself: which cells are missing, their training in parallel, and what follows from them."""

import contextlib
import shlex
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import check_folder, locked
from mode_imitation.config_file import as_arguments
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.data.storage import resolve_root
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.sweep.agreement import with_comparable_labels
from mode_imitation.reports.sweep.cells import CELLS, cell_key, check_out, other_cells, read_cell, write_cell
from mode_imitation.reports.sweep.claims import Claim, judge_claims
from mode_imitation.reports.sweep.config import Cell, SweepConfig, chosen_objectives
from mode_imitation.reports.sweep.criteria import check_enough_episodes
from mode_imitation.reports.sweep.fit import action_entropies, uninformed_fit
from mode_imitation.reports.sweep.processes import run_cells
from mode_imitation.reports.sweep.recommendation import Recommendation, Setting, gather, recommend
from mode_imitation.training.config import TrainConfig

Results = Generator[tuple[dict[str, Any], dict[str, Any]], None, None]
RunCells = Callable[[dict[str, Any], Sequence[dict[str, Any]], int], Results]
CODES_STEP = 16
NOT_TOLD = "agreement with experts, expert-to-code maps, the original's claims and the order of learning are left out"
NO_LABELS = f"the dataset names no experts: {NOT_TOLD}"
TURNING = f"experts take turns within episodes, and a sweep gives each episode one code: {NOT_TOLD}"


@dataclass(frozen=True)
class Sweep:
    """What came out."""

    config: SweepConfig
    dataset: TrajectoryDataset
    cells: list[dict[str, Any]]
    """As their files hold them, in the order of the grid; failed ones have "status" "failed" and a "reason"."""
    settings: list[Setting]
    recommendation: Recommendation
    command: str
    """What to type next."""
    claims: dict[str, list[Claim]]
    """By objective; empty without labels."""
    left_out: list[str]
    """What could not be told, one line each."""

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [cell for cell in self.cells if cell["status"] == "failed"]

    def seconds_per_cell(self) -> dict[str, float]:
        """{objective: median seconds of one cell on one core}"""
        found: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell["status"] == "done":
                found.setdefault(cell["cell"]["objective"], []).append(sum(cell["seconds"].values()))
        return {objective: float(np.median(values)) for objective, values in found.items()}


def sweep(config: SweepConfig, run: RunCells = run_cells) -> Sweep:
    """Train what is missing of the grid and recommend a setting.

    Args:
        config: the grid.
        run: does the cells; the default one in processes.

    Raises:
        UserError: the dataset is missing or too small, --out is no sweep, --publish is no folder, or every cell failed.
    """
    loaded = load_dataset(config.dataset, config.root)
    dataset = with_comparable_labels(loaded)
    check_enough_episodes(dataset)
    cells = config.cells()
    check_some_cell(config, cells, dataset)
    check_out(config.out, dataset)
    if config.publish is not None:
        check_folder(config.publish, "the results", "--publish")
    most_codes = judged_codes(max(cell.codes for cell in cells))
    keys = {cell.name: cell_key(dataset, config.training(cell), most_codes) for cell in cells}
    found = {cell.name: read_cell(config.out, cell, keys[cell.name]) for cell in cells}
    missing = [cell for cell in cells if found[cell.name] is None]
    if len(missing) < len(cells):
        print(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
    if missing and (others := other_cells(config.out, missing, keys)):
        print(f"{others} cells of other settings, data or versions, or of a sweep to a larger k, are kept beside")
    if missing:
        busy = f"another sweep is at work in {config.out}; wait for it to end, or choose another --out"
        with (
            locked(config.out / CELLS, busy),
            contextlib.closing(train_cells(config, missing, most_codes, run)) as results,
        ):
            for name, result in results:
                cell = next(cell for cell in missing if cell.name == name)
                found[name] = write_cell(config.out, cell, keys[name], result)
    done = [entry for entry in found.values() if entry is not None]
    if all(entry["status"] == "failed" for entry in done):
        raise UserError(f"every cell of the sweep failed; the first one: {done[0]['reason']}")
    settings = gather(done)
    recommendation = recommend(settings, config.merge_gap)
    return Sweep(
        config,
        dataset,
        done,
        settings,
        recommendation,
        train_command(config, recommendation),
        claims_of(config, dataset, done),
        left_out(config, dataset, turning=dataset is not loaded),
    )


def check_some_cell(config: SweepConfig, cells: Sequence[Cell], dataset: TrajectoryDataset) -> None:
    """Refuse data that no cell can be trained on before a process starts; a cell that alone cannot is recorded later.

    Raises:
        UserError: of the first cell.
    """
    from mode_imitation.training.preparation import check_data

    first: UserError | None = None
    for cell in cells:
        try:
            check_data(dataset, config.training(cell))
        except UserError as error:
            first = first or error
        else:
            return
    raise UserError(f"no cell of the sweep can be trained: {first}")


def train_cells(
    config: SweepConfig, missing: Sequence[Cell], most_codes: int, run: RunCells
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Yield (name, result) of each cell as it is done, with progress."""
    place = Path(config.dataset)
    root = resolve_root(config.root)
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
        contextlib.closing(run(job | {"scratch": scratch}, tasks, config.n_jobs)) as results,
        progress(label, len(tasks), "cells") as bar,
    ):
        for task, result in results:
            failed += result["status"] == "failed"
            yield task["name"], result
            bar.advance(note=f"{task['name']} {result['status']}" + (f", {failed} failed so far" if failed else ""))


def judged_codes(most: int) -> int:
    """Size of the policies that judge codes: the same for all grids of usual size, so that a grid can be extended."""
    return -(-most // CODES_STEP) * CODES_STEP


def train_command(config: SweepConfig, chosen: Recommendation) -> str:
    """The command that finds the recommended cell's codes again, to the bit, and then trains the policy long."""
    training = config.training(Cell(chosen.objective, chosen.codes, chosen.stride, chosen.seed))
    usual = TrainConfig().to_dict()
    settings = {name: value for name, value in training.to_dict().items() if value != usual[name]}
    # The long second phase is the default; the rest are how a cell is watched and where it runs.
    for name in ("hook_every", "device", "threads", *(["iterations"] if chosen.objective == "ours" else [])):
        settings.pop(name, None)
    out = Path("runs") / f"{Path(config.dataset).name}-{chosen.objective}-k{chosen.codes}-stride{chosen.stride}"
    words = ["mode-imitation", "train", config.dataset]
    if config.root is not None:
        words += ["--root", str(config.root)]
    always = {"codes": chosen.codes, "stride": chosen.stride, "seed": chosen.seed}
    return shlex.join([*words, *as_arguments(always | settings), "--out", str(out)])


def claims_of(
    config: SweepConfig, dataset: TrajectoryDataset, cells: Sequence[dict[str, Any]]
) -> dict[str, list[Claim]]:
    """The original's claims for each objective; nothing without labels of two experts or more."""
    if len(set(dataset.labels or [])) < 2:
        return {}
    entropies, uninformed = action_entropies(dataset), uninformed_fit(dataset)
    return {
        objective: judge_claims(cells, objective, entropies, uninformed)
        for objective in chosen_objectives(config.objectives)
    }


def left_out(config: SweepConfig, dataset: TrajectoryDataset, *, turning: bool) -> list[str]:
    """Lines on what the data or the grid cannot tell."""
    lines = []
    if turning:
        lines.append(TURNING)
    elif dataset.labels is None:
        lines.append(NO_LABELS)
    elif len(set(dataset.labels)) < 2:
        lines.append("the dataset is of one expert alone: the original's claims, which compare experts, are left out")
    if config.seeds < 2:
        lines.append("stability between seeds is left out: it takes at least two, --seeds 3 say")
    return lines
