"""Arrays of other people's, as a file, and its import."""

from pathlib import Path

import h5py
import numpy as np

from mode_imitation.data.config import ImportConfig
from mode_imitation.data.importing import ImportResult, import_arrays

LENGTHS = [4, 2, 5]


def make_arrays(lengths: list[int], final: bool) -> dict[str, np.ndarray]:
    """Observation t of episode i is (i, t); action t is 100 i + t."""
    rows = [(i, t) for i, length in enumerate(lengths) for t in range(length + final)]
    steps = [(i, t) for i, length in enumerate(lengths) for t in range(length)]
    return {
        "observations": np.array(rows, dtype=np.float64).reshape(-1, 2),
        "actions": np.array([[100 * i + t] for i, t in steps], dtype=np.float64).reshape(-1, 1),
        "rewards": np.array([t for _, t in steps], dtype=np.float64),
        "positions": np.array(rows, dtype=np.float64).reshape(-1, 2) / 10,
        "episode_lengths": np.array(lengths),
        "labels": np.array([f"expert {i % 2}" for i in range(len(lengths))]),
    }


def do_import(tmp_path: Path, arrays: dict, suffix: str = ".npz", **options) -> ImportResult:
    source = tmp_path / f"arrays{suffix}"
    if suffix == ".npz":
        np.savez(source, **arrays)
    else:
        with h5py.File(source, "w") as file:
            for key, values in arrays.items():
                file[key] = values.astype("S") if values.dtype.kind == "U" else values
    return import_arrays(ImportConfig(sources=(source,), out="other/arrays-v0", root=tmp_path, **options))
