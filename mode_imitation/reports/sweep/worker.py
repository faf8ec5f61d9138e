"""A process that trains cells of a sweep, one after another: run with `python -m`, see `processes.serve`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mode_imitation.processes import Advance, serve
from mode_imitation.reports.sweep.cells import code_digest
from mode_imitation.training.config import TrainConfig

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset

MODULE = "mode_imitation.reports.sweep.worker"


def prepare(job: dict[str, Any]) -> Callable[[dict[str, Any], Advance], dict[str, Any]]:
    """The function that does one cell: {"name", "training": TrainConfig as a dict}."""
    from mode_imitation.data import load_dataset

    code_digest()  # of the code that is being loaded, not of what it may become later
    dataset, scratch = load_dataset(job["dataset"], job["root"]), Path(job["scratch"])
    return lambda task, _: run_cell(dataset, task, scratch, job["most_codes"])


def run_cell(dataset: "TrajectoryDataset", task: dict[str, Any], scratch: Path, most_codes: int) -> dict[str, Any]:
    """Train one cell and judge what it found; no label comes in.

    Args:
        dataset: what is trained on.
        task: {"name", "training": TrainConfig as a dict}.
        scratch: folder for the training's own files, which are removed afterwards.
        most_codes: the largest k of the sweep.

    Returns:
        What a cell's file holds: "codes" (E,), "n_modes", "criteria" and "code" (the digest of what made it).
    """
    from mode_imitation.reports.sweep.criteria import Judge
    from mode_imitation.training.fit import fit

    config, folder = TrainConfig.from_dict(task["training"]), scratch / task["name"]
    try:
        run = fit(dataset, config, folder, overwrite=True)
        codes = [int(code) for code in run.info["assignment"]]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    judgement = Judge(dataset, config, most_codes).judge(codes)
    return {
        "status": "done",
        "codes": codes,
        "n_modes": run.model.n_modes,
        "criteria": judgement.as_dict(),
        "code": code_digest(),
    }


if __name__ == "__main__":
    serve(prepare)
