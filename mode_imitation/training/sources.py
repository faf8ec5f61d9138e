"""Where a run's data came from, as run.json tells it: so that the run goes on, and is judged, on the same."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mode_imitation.data.arrays import join
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.storage import data_folder, resolve_root
from mode_imitation.errors import UserError

DAMAGED = "the run's record does not say what it was trained on: its source is damaged; name the dataset"


def source_of(datasets: Sequence[str | os.PathLike], root: Path | None = None) -> dict[str, Any]:
    """What run.json says of the datasets, names or paths; names as they are of what is in memory only."""
    base = resolve_root(root).resolve()
    return {"root": str(base), "datasets": [_as_recorded(os.fspath(name), base) for name in datasets]}


def _as_recorded(name: str, root: Path) -> str:
    """A name below the root, where the dataset lies there: then it is found where the root has moved to, too. Else its
    path, from the system's root, so that it is found from any folder."""
    try:
        folder = data_folder(name, root).resolve()
    except UserError:
        return name
    folder = folder.parent if folder.name == "data" else folder
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def load_joined(datasets: Sequence[str], root: Path | str | None) -> TrajectoryDataset:
    """Datasets as the one that a run is trained on.

    Raises:
        UserError: one is missing or damaged, or they do not go together.
    """
    return join([load_dataset(name, root) for name in datasets])


def recorded_root(info: dict[str, Any]) -> str | None:
    """The folder that a run's datasets lay in; None where the run was trained from Python.

    Raises:
        UserError: the record is damaged.
    """
    root = _source(info).get("root")
    if root is not None and not isinstance(root, str):
        raise UserError(DAMAGED)
    return root


def load_source(info: dict[str, Any], root: Path | None = None) -> TrajectoryDataset:
    """The data that a run, of which `info` is the record, was trained on; they may have changed since.

    Args:
        info: run.json.
        root: where the datasets lie now; None: where they lay.

    Raises:
        UserError: as `load_joined`; or the record is damaged.
    """
    datasets = _source(info).get("datasets", [info["dataset"].get("name")])
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
        raise UserError(DAMAGED)
    return load_joined(datasets, root or recorded_root(info))


def load_trained_on(info: dict[str, Any], root: Path | None = None) -> TrajectoryDataset:
    """As `load_source`; a UserError also where the data are no longer what the run was trained on."""
    dataset = load_source(info, root)
    if dataset.checksum != info["dataset"]["checksum"]:
        raise UserError(f"{info['dataset']['name']} is no longer what the run was trained on")
    return dataset


def _source(info: dict[str, Any]) -> dict[str, Any]:
    source = info.get("source")
    if source is None:
        return {}
    if not isinstance(source, dict):
        raise UserError(DAMAGED)
    return source
