"""Where a run's data came from, as run.json tells it: so that the run goes on, and is judged, on the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mode_imitation.data.arrays import join
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.storage import resolve_root
from mode_imitation.errors import UserError


def source_of(datasets: Sequence[str], root: Path | None) -> dict[str, Any]:
    """What run.json says of the datasets, names or paths; absolute, so that they are found from any folder."""
    places = [(name, Path(name)) for name in datasets]
    return {
        "root": str(resolve_root(root).resolve()),
        "datasets": [str(place.resolve()) if place.exists() else name for name, place in places],
    }


def load_joined(datasets: Sequence[str], root: Path | str | None) -> TrajectoryDataset:
    """Datasets as the one that a run is trained on.

    Raises:
        UserError: one is missing or damaged, or they do not go together.
    """
    return join([load_dataset(name, root) for name in datasets])


def load_source(info: dict[str, Any], root: Path | None = None) -> TrajectoryDataset:
    """The data that a run, of which `info` is the record, was trained on; they may have changed since.

    Args:
        info: run.json.
        root: where the datasets lie now; None: where they lay.

    Raises:
        UserError: as `load_joined`; or the record is damaged.
    """
    source = info.get("source") or {}
    datasets = source.get("datasets", [info["dataset"].get("name")]) if isinstance(source, dict) else None
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
        raise UserError("the run's record does not say what it was trained on: its source is damaged; name the dataset")
    return load_joined(datasets, root or source.get("root"))
