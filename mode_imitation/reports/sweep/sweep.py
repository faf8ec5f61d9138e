"""The sweep itself: which cells are missing, their training in parallel, what follows from them, and its files."""

import contextlib
import shlex
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import locked, write_json, write_text
from mode_imitation.config_file import as_arguments
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.data.storage import resolve_root
from mode_imitation.errors import UserError
from mode_imitation.processes import one_line, run_tasks
from mode_imitation.progress import progress
from mode_imitation.reports.clustering import clustering_scores
from mode_imitation.reports.statistics import table
from mode_imitation.reports.sweep.cells import (
    CELLS,
    FORMAT,
    SUMMARY,
    Done,
    Failed,
    cell_file,
    check_out,
    code_digest,
    prepare,
    read_cell,
)
from mode_imitation.reports.sweep.choice import Recommendation, Setting, gather, recommend
from mode_imitation.reports.sweep.config import AS_IN_A_CELL, Cell, SweepConfig
from mode_imitation.reports.turns import take_turns
from mode_imitation.training.preparation import FEWEST_EPISODES, check, held_out_split
from mode_imitation.versions import platform_name, versions

Run = Callable[[dict[str, Any], Sequence[dict[str, Any]], int], Generator[tuple[int, Any]]]
COLUMNS = ("k", "stride", "modes", "cross-fitted NLL", "least clear pair", "stability")
WITH_LABELS = "episode NMI*"
LEGEND = (
    "Cross-fitted NLL: nats per step of each episode's actions under the law of the code that its other steps choose, "
    "a law that never saw the episode; best seed, less is better. Least clear pair: how clearly the two most similar "
    "codes of any seed are told apart by steps that did not decide who has which; 1 is what a confidence of 99% asks "
    "for. Stability: mean adjusted Rand index between the seeds' codes."
)
EVALUATION = "\\* Evaluation only, median over seeds: the recommendation knows no labels."


@dataclass(frozen=True)
class Sweep:
    """What came out."""

    config: SweepConfig
    dataset: TrajectoryDataset
    cells: list[Done | Failed]
    """In the order of the grid."""
    settings: list[Setting]
    recommendation: Recommendation
    command: str | None
    """What to type next; None where nothing is recommended."""
    notes: list[str]
    """What is to be known beside the table, a line each."""

    @property
    def failed(self) -> bool:
        """Whether some cell failed."""
        return any(isinstance(cell, Failed) for cell in self.cells)

    @property
    def labelled(self) -> bool:
        """Whether an episode's code can be compared with an expert; several in turn are no one's label."""
        return self.dataset.labels is not None and not take_turns(self.dataset)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table; the starred one knows labels and is for evaluation only."""
        return (*COLUMNS, WITH_LABELS) if self.labelled else COLUMNS

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row for each k and stride: likelihood of the best seed, least clear pair of all; `<` is the recommended."""
        found = []
        for setting in self.settings:
            modes = sorted({done.n_modes for done in setting.cells})
            known = (setting.smallest_clarity, setting.stability)
            figures = ("-" if value is None else f"{value:.2f}" for value in known)
            row = (
                f"{setting.codes}" + (" <" if setting is self.recommendation.setting else ""),
                f"{setting.stride}",
                f"{modes[0]}" if len(modes) == 1 else f"{modes[0]} to {modes[-1]}",
                f"{setting.nll:.3f}",
                *figures,
            )
            found.append((*row, f"{self.agreement(setting):.3f}") if self.labelled else row)
        return found

    def agreement(self, setting: Setting) -> float:
        """Episode NMI with the labels, the median over seeds."""
        labels = self.dataset.labels or []
        return float(np.median([clustering_scores(labels, np.array(done.codes))["nmi"] for done in setting.cells]))

    @property
    def conclusion(self) -> list[str]:
        """What is recommended, why, and what to type; or why nothing is."""
        chosen = self.recommendation.setting
        if chosen is None:
            return [f"nothing is recommended: {self.recommendation.reason}"]
        return [
            f"recommended, without labels: {chosen.best.cell}, which found {chosen.best.n_modes} modes",
            f"because {self.recommendation.reason}",
            f"next: {self.command}",
        ]


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
    if len(dataset) < FEWEST_EPISODES:
        raise UserError(
            f"dataset {dataset.name} has {len(dataset)} episode{'s' * (len(dataset) != 1)}; codes are judged by "
            f"what other episodes with the same code do, which takes at least {FEWEST_EPISODES}; record more episodes"
        )
    cells = config.cells()
    _check_some_cell(config, cells, dataset)
    check_out(config.out, dataset)
    files = {cell: cell_file(config.out, cell, dataset, config.training(cell)) for cell in cells}
    found: dict[Cell, Done | Failed | None] = {cell: read_cell(files[cell], cell) for cell in cells}
    missing = [cell for cell in cells if found[cell] is None]
    if len(missing) < len(cells):
        print(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
    if missing:
        busy = f"another sweep is at work in {config.out}; wait for it to end, or choose another --out"
        with (
            locked(config.out / CELLS, busy),
            contextlib.closing(_train_cells(config, missing, run or run_cells)) as results,
        ):
            for result in results:
                found[result.cell] = result
                write_json(files[result.cell], result.to_dict())
    tried = [result for result in found.values() if result is not None]
    done = [result for result in tried if isinstance(result, Done)]
    reasons = [result.reason for result in tried if isinstance(result, Failed)]
    if not done:
        raise UserError(f"every cell of the sweep failed; the first one: {reasons[0]}")
    settings = gather(done)
    chosen = recommend(settings)
    command = None if chosen.setting is None else _train_command(config, chosen.setting)
    return Sweep(config, dataset, tried, settings, chosen, command, _notes(config, tried, chosen))


def _check_some_cell(config: SweepConfig, cells: Sequence[Cell], dataset: TrajectoryDataset) -> None:
    """Refuse data that no cell can be trained on, before a process starts; one cell that cannot is recorded later."""
    first: UserError | None = None
    for cell in cells:
        try:
            training = config.training(cell)
            check(dataset, training, held_out_split(len(dataset), training.held_out, training.seed)[0], None)
            return
        except UserError as error:
            first = first or error
    raise UserError(f"no cell of the sweep can be trained: {first}")


def _train_cells(config: SweepConfig, missing: Sequence[Cell], run: Run) -> Generator[Done | Failed]:
    """Yield what came of each cell, with progress."""
    place, root = Path(config.dataset), resolve_root(config.root)
    job = {
        "dataset": str(place.resolve()) if place.exists() and not (root / place).exists() else config.dataset,
        "root": str(root.resolve()),
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
                result = Failed(cell, one_line(outcome) if isinstance(outcome, OSError) else str(outcome))
                failed += 1
            else:
                result = Done.of(cell, outcome)
            yield result
            status = "failed" if isinstance(result, Failed) else "done"
            bar.advance(note=f"{cell.name} {status}" + (f", {failed} failed so far" if failed else ""))


def _train_command(config: SweepConfig, chosen: Setting) -> str:
    """The command that finds the recommended cell's codes again, to the bit, and then trains the policy as long as
    `train` does; after a trial one that searches anew, with nothing of its settings."""
    out = Path("runs") / f"{Path(config.dataset).name}-k{chosen.codes}-stride{chosen.stride}"
    settings: dict[str, Any] = {} if config.root is None else {"root": config.root}
    settings |= asdict(chosen.best.cell)
    settings |= {} if config.trial else AS_IN_A_CELL
    return shlex.join(["mode-imitation", "train", config.dataset, *as_arguments(settings | {"out": out})])


def _notes(config: SweepConfig, cells: Sequence[Done | Failed], chosen: Recommendation) -> list[str]:
    """What was left out, what failed, what other code made, and what the command says."""
    lines = []
    if config.seeds < 2:
        lines.append("stability between seeds is left out: it takes at least two, --seeds 3 say")
    lines += [f"failed: {found.cell}: {found.reason}" for found in cells if isinstance(found, Failed)]
    made_by = [found.code for found in cells if isinstance(found, Done)]
    if other := sum(code != code_digest() for code in made_by):
        lines.append(
            f"{other} of {len(made_by)} cells were made by another state of this project's code; to make them again, "
            "remove the sweep's folder `cells`"
        )
    if config.trial:
        lines.append(
            "a trial: --joint-iterations is not as in `train`; the command leaves it as it is there, and searches anew"
        )
    elif chosen.setting is not None:
        lines.append(
            "in the command, --held-out 0.0 finds the codes of this cell again; leave it out to search anew and to "
            "hold episodes out"
        )
    return lines


def write_sweep(found: Sweep) -> list[Path]:
    """Write sweep.json, sweep.md and choice.png; return them."""
    from mode_imitation.plots import plot_choice, save_figure

    out, chosen = found.config.out, found.recommendation.setting
    settings = [setting.to_dict() for setting in found.settings]
    write_json(out / SUMMARY, _as_dict(found))
    title = "Nothing is recommended" if chosen is None else f"Chosen: k = {chosen.codes}, stride {chosen.stride}"
    place = None if chosen is None else (chosen.codes, chosen.stride)
    picture = save_figure(plot_choice(settings, chosen=place, title=title), out / "choice.png")
    write_text(out / "sweep.md", _markdown(found))
    return [out / SUMMARY, out / "sweep.md", picture]


def _as_dict(found: Sweep) -> dict[str, Any]:
    """What sweep.json holds: everything but the codes and likelihoods of episodes; those stay in the cells' files."""
    dataset, config = found.dataset, found.config
    options = ("codes", "strides", "seeds", "seed", "iterations", "joint_iterations")
    return {
        "format_version": FORMAT,
        "dataset": {"name": dataset.name, "checksum": dataset.checksum, "n_episodes": len(dataset)},
        "grid": {name: getattr(config, name) for name in options},
        "recommendation": found.recommendation.to_dict(),
        "command": found.command,
        "settings": [setting.to_dict() for setting in found.settings],
        "cells": [
            {name: value for name, value in cell.to_dict().items() if name not in ("codes", "criteria")}
            for cell in found.cells
        ],
        "notes": found.notes,
        "versions": versions(),
        "platform": platform_name(),
    }


def _markdown(found: Sweep) -> str:
    told, *rest = (f"{line[0].upper()}{line[1:]}" for line in found.conclusion)
    parts = [f"# Sweep of {found.dataset.name}", f"{told}." + (f"\n{rest[0]}." if rest else "")]
    parts += [f"```bash\n{found.command}\n```"] if found.command else []
    parts += [table(found.columns, found.rows), LEGEND + f"\n{EVALUATION}" * found.labelled]
    parts += ["\n".join(f"- {line}" for line in found.notes), "![What the choice goes by](choice.png)"]
    return "\n\n".join(part for part in parts if part) + "\n"
