"""A process that trains cells of a sweep, one after another: lines of JSON in, lines of JSON out."""

import json
import shutil
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mode_imitation.errors import UserError
from mode_imitation.processes import open_messages, open_replies
from mode_imitation.reports.cell_processes import one_line
from mode_imitation.reports.sweep.provenance import code_digest
from mode_imitation.training.config import TrainConfig

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset


def main() -> None:
    """The first line says which dataset, every further one is a cell; leaves when standard input closes."""
    code_digest()  # of the code that is being loaded, not of what it may become later
    replies, messages = open_replies(), open_messages()
    from mode_imitation.data import load_dataset

    job = messages.get()
    dataset = None
    while True:
        task = messages.get()
        try:
            if dataset is None:
                dataset = load_dataset(job["dataset"], job["root"])
            reply = {"status": "done", **run_cell(dataset, task, Path(job["scratch"]), job["most_codes"])}
        except Exception as error:  # a cell that fails is recorded, and the others go on
            if not isinstance(error, UserError):
                traceback.print_exc()
            reply = {"status": "failed", "reason": one_line(error)}
        print(json.dumps(reply), file=replies, flush=True)


def run_cell(dataset: "TrajectoryDataset", task: dict[str, Any], scratch: Path, most_codes: int) -> dict[str, Any]:
    """Train one cell and judge what it found.

    Args:
        dataset: what is trained on.
        task: {"name", "training": TrainConfig as a dict}.
        scratch: folder for the training's own files, which are removed afterwards.
        most_codes: the largest k of the sweep.

    Returns:
        What a cell's file holds: "codes" (E,), "n_modes", "criteria" (nothing of it knows a label), "evaluation"
        (None without labels of whole episodes), "seconds" and "code" (the digest of what made it).
    """
    from mode_imitation.reports.sweep.agreement import agreement_with_labels, with_comparable_labels
    from mode_imitation.reports.sweep.criteria import Judge
    from mode_imitation.reports.sweep.fit import FitWatcher
    from mode_imitation.training.run_folder import load_run
    from mode_imitation.training.trainer import train

    started = time.monotonic()
    config = TrainConfig.from_dict(task["training"])
    dataset = with_comparable_labels(dataset)
    judge = Judge(dataset, config, most_codes)
    watcher = FitWatcher(dataset, config) if dataset.labels is not None else None
    folder = scratch / task["name"]
    try:
        summary = train(dataset, config, folder, overwrite=True, hook=watcher)
        run = load_run(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    codes = [int(code) for code in run.info["assignment"]]
    trained = time.monotonic()
    judgement = judge.judge(codes)
    judged = time.monotonic()
    evaluation = None
    if watcher is not None:
        evaluation = agreement_with_labels(run.model, dataset, codes) | {"fit": watcher.curves()}
    return {
        "codes": codes,
        "n_modes": summary.n_modes,
        "criteria": judgement.as_dict(),
        "evaluation": evaluation,
        "seconds": {
            "training": round(trained - started, 2),
            "judging": round(judged - trained, 2),
            "evaluation": round(time.monotonic() - judged, 2),
        },
        "code": code_digest(),
    }


if __name__ == "__main__":
    main()
