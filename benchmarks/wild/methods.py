"""The columns: what is asked for codes of trajectories, and what it is told.

A method that is told the number of classes takes (dataset, classes, seed); the others take (dataset, classes, codes,
seed) and begin with more codes than classes. Each returns (E,) codes, a number for each trajectory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.wild import clusters
from benchmarks.wild.config import WildConfig
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError, near_matches


@dataclass(frozen=True)
class Method:
    """One column."""

    title: str
    what: str
    """For the page of results."""
    run: Callable[..., np.ndarray]
    told: bool = True
    """Whether it is told the number of classes and no number of codes."""
    trains: bool = False
    """Whether it is the package's training, whose code then decides its figures, too."""
    version: int = 1
    """Raised when it changes, so that its cells are made again."""

    def find(self, dataset: TrajectoryDataset, classes: int, codes: int | None, seed: int) -> np.ndarray:
        """(E,) codes; torch is imported by those that need it."""
        return self.run(dataset, classes, seed) if self.told else self.run(dataset, classes, codes, seed)


def lazy(module: str, name: str, **settings: Any) -> Callable[..., np.ndarray]:
    """A function of benchmarks/wild that is imported when it is called."""
    return partial(_call, module, name, settings)


def _call(module: str, name: str, settings: dict[str, Any], *arguments: Any) -> np.ndarray:
    from importlib import import_module

    return getattr(import_module(f"benchmarks.wild.{module}"), name)(*arguments, **settings)


METHODS = {
    "ours": Method("ours", "this project's method, nothing told", lazy("ours", "ours"), told=False, trains=True),
    "ours-attention": Method(
        "ours, attention",
        "the same, with attention over windows",
        lazy("ours", "ours", encoder="attention"),
        told=False,
        trains=True,
    ),
    "ours-behaviour": Method(
        "ours, behaviour",
        "the same; modes may differ in the states that they visit, too",
        lazy("ours", "ours", evidence="behaviour"),
        told=False,
        trains=True,
    ),
    "pg-kmeans": Method(
        "PG-Kmeans",
        "the best of five, joined to the number of classes",
        lazy("pg_kmeans", "pg_kmeans"),
        told=False,
        version=2,
    ),
    "kmeans": Method("k-means", "of means and spreads of states, changes and actions", clusters.kmeans_of_statistics),
    "paths": Method("k-means of paths", "of the states at ten evenly spaced times", clusters.kmeans_of_paths),
    "mixture": Method(
        "Gaussian mixture", "of ten principal components of what k-means sees", clusters.mixture_of_statistics
    ),
    "linear-experts": Method(
        "linear experts", "a mixture of linear policies by EM", lazy("linear_experts", "linear_experts")
    ),
    "zbc": Method("ZBC", "k-means of a cloned policy's vectors, one a trajectory", lazy("zbc", "zbc")),
    "original": Method(
        "the original",
        "the original method, in this project's network",
        lazy("ours", "original"),
        told=False,
        trains=True,
    ),
    "labels": Method(
        "labels given",
        "each trajectory goes to the class whose policy, cloned from others, explains it best",
        lazy("given", "labels_given"),
    ),
}


def chosen_methods(config: WildConfig) -> dict[str, Method]:
    """
    Raises:
        UserError: there is no such method.
    """
    if config.methods is None:
        return METHODS
    wanted = [part.strip() for part in config.methods.split(",")]
    for name in wanted:
        if name not in METHODS:
            raise UserError(f"there is no method {name!r}{near_matches(name, METHODS)}; expected {', '.join(METHODS)}")
    return {name: method for name, method in METHODS.items() if name in wanted}
