"""Episodes, the dataset on disk, transition windows. Needs neither torch nor a simulator."""

import importlib

_HOME = {
    "Episode": "episodes",
    "Scene": "episodes",
    "TrajectoryDataset": "dataset",
    "load_dataset": "dataset",
    "load_episode": "dataset",
    "write_dataset": "writer",
    "import_arrays": "importing",
    "summarise": "summary",
    "verify_dataset": "verify",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"mode_imitation.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
