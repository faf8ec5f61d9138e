"""Cells in a process of their own: run with `python -m`; for a line of JSON in, a line out.

The process leaves at once when its standard input closes, which it does however the parent dies.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from mode_imitation.atomic import write_text
from mode_imitation.processes import open_messages, open_replies
from mode_imitation.reports.benchmark.cells import CODE_FILE, LOG, TIME_FILE, Cell, code_digest
from mode_imitation.reports.cell_processes import one_line

MODULE = "mode_imitation.reports.benchmark.worker"
WORLDS = 200
"""Most worlds side by side: their memory is less than the episodes' that they make."""


def do_cell(cell: Cell) -> None:
    """Train what is not trained yet, measure it, and write the cell.

    Raises:
        UserError: settings or data do not allow it.
    """
    from mode_imitation.data.dataset import load_dataset
    from mode_imitation.reports.benchmark.config import REFERENCE
    from mode_imitation.reports.benchmark.measure import measure_experts, measure_policy
    from mode_imitation.reports.layouts import check_disjoint
    from mode_imitation.reports.turns import codes_of_steps
    from mode_imitation.steering.policy import load_policy
    from mode_imitation.training.run_folder import load_run
    from mode_imitation.worlds.safety import make_vec

    job = cell.job
    layouts: list[int] = job["layouts"]
    physics = job.get("physics", "exact")
    started, processor = time.monotonic(), time.process_time()
    common: dict[str, Any] = {name: job[name] for name in ("goal_expert", "switching_layouts", "seed")}
    if cell.method == REFERENCE:
        env = make_vec(job["env"], min(len(layouts), WORLDS), threads=1, physics=physics)
        try:
            figures = measure_experts(
                job["experts"], env, layouts, job["steps"], action_noise=job["action_noise"], **common
            )
        finally:
            env.close()
        times = {"evaluation": round(time.monotonic() - started, 2)}
        cell.write(figures | {"seconds": times, "processor_seconds": round(time.process_time() - processor, 2)})
        return
    from mode_imitation.reports.baselines.methods import train_method
    from mode_imitation.training.config import TrainConfig

    dataset = load_dataset(job["dataset"]["name"], job["dataset"]["root"])
    check_disjoint(layouts, dataset.layout_seeds)
    from_the_beginning = not cell.run.exists()
    trained = train_method(cell.method, dataset, TrainConfig.from_dict(job["train"]), cell.run, job["dataset"])
    if trained:
        write_text(cell.run / CODE_FILE, code_digest())
    if trained and from_the_beginning:
        write_text(cell.run / TIME_FILE, f"{time.process_time() - processor:.2f}")
    started, processor = time.monotonic(), time.process_time()
    run = load_run(cell.run)
    policy = load_policy(run)
    env = make_vec(job["env"], min(len(layouts), WORLDS), threads=1, physics=physics)
    try:
        figures = measure_policy(
            policy,
            dataset,
            env,
            layouts,
            job["steps"],
            pool=run.info["config"]["pool"],
            turn=job.get("turn"),
            codes=codes_of_steps(run.info, dataset, policy.model.config.window.span),
            held_out=run.info["held_out_episodes"],
            sampled=job["sampled"],
            **common,
        )
    finally:
        env.close()
    seconds = {
        "training": round(sum(run.info["summary"]["seconds"].values()), 2),
        "evaluation": round(time.monotonic() - started, 2),
    }
    training = time_of_training(cell.run)
    # A training that was taken up again says how long it took by the clock alone.
    spent = time.process_time() - processor + (seconds["training"] if training is None else training)
    times = {"seconds": seconds, "processor_seconds": round(spent, 2), "trained_by_the_clock": training is None}
    cell.write(figures | times)


def time_of_training(run: Path) -> float | None:
    """Seconds of processor time; None where no single process trained it from beginning to end."""
    try:
        return float((run / TIME_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def main() -> None:
    """Read cells, a line each; answer each, when it is done, with {"error": null or one line}."""
    code_digest()  # of the code that is being loaded, not of what it may become later
    replies, messages = open_replies(), open_messages()
    while True:
        cell = Cell.from_message(messages.get())
        error: str | None = None
        try:
            _log_to(cell.folder / LOG)
            do_cell(cell)
        except Exception as problem:  # recorded with the cell, so that the other cells go on
            traceback.print_exc()
            error = one_line(problem)
        print(json.dumps({"error": error}), file=replies, flush=True)


def _log_to(path: Path) -> None:
    """Send what is printed, also by libraries, to a file; nothing must get between the messages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())


if __name__ == "__main__":
    main()
