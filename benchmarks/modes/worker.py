"""Cells in a process of their own: see `mode_imitation.processes.run_tasks`."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.modes.cells import CODE_FILE, LOG, Cell, code_digest
from mode_imitation.atomic import write_text
from mode_imitation.processes import Advance

WORLDS = 200
"""Most worlds side by side: their memory is less than the episodes' that they make."""


def do_cell(cell: Cell) -> None:
    """Train what is not trained yet, measure it, and write the cell.

    Raises:
        UserError: settings or data do not allow it.
    """
    from benchmarks.modes.config import REFERENCE
    from benchmarks.modes.measure import measure_experts, measure_policy
    from benchmarks.modes.methods import train_method
    from mode_imitation.data.dataset import load_dataset
    from mode_imitation.reports.layouts import check_disjoint
    from mode_imitation.reports.turns import codes_of_steps
    from mode_imitation.steering.policy import load_policy
    from mode_imitation.training.config import TrainConfig
    from mode_imitation.training.run_folder import load_run
    from mode_imitation.worlds.safety import make_vec

    job = cell.job
    layouts: list[int] = job["layouts"]
    driven: dict[str, Any] = {name: job[name] for name in ("goal_expert", "switching_layouts", "seed")}
    dataset, run = None, None
    if cell.method != REFERENCE:
        dataset = load_dataset(job["dataset"]["name"], job["dataset"]["root"])
        check_disjoint(layouts, dataset.layout_seeds)
        if train_method(cell.method, dataset, TrainConfig.from_dict(job["train"]), cell.run, job["dataset"]):
            write_text(cell.run / CODE_FILE, code_digest())
        run = load_run(cell.run)
    seconds: dict[str, float] = (
        {} if run is None else {"training": round(sum(run.info["summary"]["seconds"].values()), 2)}
    )
    started = time.monotonic()
    with closing(make_vec(job["env"], min(len(layouts), WORLDS), threads=1, physics=job["physics"])) as env:
        if dataset is None or run is None:
            noise = job["action_noise"]
            figures = measure_experts(job["experts"], env, layouts, job["steps"], action_noise=noise, **driven)
        else:
            policy = load_policy(run)
            figures = measure_policy(
                policy,
                dataset,
                env,
                layouts,
                job["steps"],
                pool=run.info["config"]["pool"],
                held_out=run.info["held_out_episodes"],
                turn=job["turn"],
                codes=codes_of_steps(run.info, dataset, policy.model.config.window.span),
                sampled=job["sampled"],
                **driven,
            )
    seconds["driving"] = round(time.monotonic() - started, 2)
    cell.write(figures | {"seconds": seconds})


def prepare(_: None) -> Callable[[dict[str, Any], Advance], None]:
    """The function that does one cell, told as `run_cells` tells it."""
    code_digest()  # of the code that is being loaded, not of what it may become later

    def do(task: dict[str, Any], _: Advance) -> None:
        cell = Cell(Path(task["folder"]), Path(task["run"]), task["job"])
        _log_to(cell.folder / LOG)
        do_cell(cell)

    return do


def _log_to(path: Path) -> None:
    """Send what is printed, also by libraries, to a file of the cell's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
