"""This project's method, and the original one in this project's network: codes alone, no policy is trained on them."""

import contextlib
import io
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset


def ours(dataset: TrajectoryDataset, classes: int, codes: int, seed: int, **settings: Any) -> np.ndarray:
    """(E,) modes, from k-means clusters on.

    Args:
        dataset: its labels are not looked at.
        classes: not used.
        codes: at most so many modes.
        seed: of everything random.
        **settings: of TrainConfig, else the defaults.
    """
    del classes
    import mode_imitation as mi

    fixed: dict[str, Any] = {"start": "kmeans", "iterations": 1, "held_out": 0.0, "device": "cpu"}
    chosen: dict[str, Any] = fixed | {"codes": codes, "seed": seed} | settings
    with quiet() as folder:
        found = mi.fit(dataset, out=folder / "run", **chosen)
    return found.assignment


def original(dataset: TrajectoryDataset, classes: int, codes: int, seed: int) -> np.ndarray:
    """(E,) codes; `classes` is not used."""
    del classes
    import mode_imitation as mi
    from benchmarks.original.method import original_method

    config = original_method(codes=codes, seed=seed, held_out=0.0, device="cpu")
    with quiet() as folder:
        return mi.fit(dataset, out=folder / "run", config=config).assignment


@contextlib.contextmanager
def quiet():
    """A folder that goes again; the progress of all cells is enough."""
    with TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Path(folder)
