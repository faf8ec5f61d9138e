"""One training of the experiment in a process of its own: see `processes.run_tasks`."""

import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.processes import Advance
from mode_imitation.training.config import TrainConfig

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset


def prepare(job: dict[str, Any]) -> Callable[[dict[str, Any], Advance], dict[str, Any]]:
    """The function that does one training, whose settings are the task."""
    from mode_imitation.data import load_dataset

    dataset = load_dataset(job["dataset"], job["root"])
    return lambda task, _: run_cell(dataset, TrainConfig.from_dict(task))


def run_cell(dataset: "TrajectoryDataset", config: TrainConfig) -> dict[str, Any]:
    """Train, and compare with the labels.

    Returns:
        "experts" (L names), "counts" (L, K) windows of each expert with each code, "homogeneity" of these windows,
        "episode_nmi" of the training's codes, "n_modes", and "fit", see `FitWatcher.curves`.
    """
    from benchmarks.original.fit import FitWatcher
    from mode_imitation.reports.clustering import clustering_scores, confusion_matrix, sort_dataset
    from mode_imitation.training.fit import fit

    watcher = FitWatcher(dataset, config)
    with tempfile.TemporaryDirectory() as folder:
        run = fit(dataset, config, f"{folder}/run", hook=watcher)
    labels, found = np.array(dataset.labels), sort_dataset(run.model, dataset)
    of_window = labels[found.episode_of_window]
    confusion = confusion_matrix(of_window, found.codes, found.distances.shape[1])
    return {
        "status": "done",
        "experts": confusion.labels,
        "counts": confusion.counts.tolist(),
        "homogeneity": clustering_scores(of_window, found.codes)["homogeneity"],
        "episode_nmi": clustering_scores(labels, np.array(run.info["assignment"]))["nmi"],
        "n_modes": run.model.n_modes,
        "fit": watcher.curves(),
    }
