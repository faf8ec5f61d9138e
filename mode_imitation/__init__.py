"""Discover the modes in mixed, unlabelled expert trajectories and steer one policy through them.

import mode_imitation as mi

run = mi.fit(mi.load_dataset("pointgoal1/two-experts-v0"), codes=4)
action = run.policy.steer(mode=1).act(observation)
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mode_imitation.api import FittedRun, fit, report, rollout
    from mode_imitation.data.arrays import from_arrays
    from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
    from mode_imitation.data.spaces import Sensor
    from mode_imitation.steering.policy import Policy, load_policy
    from mode_imitation.training.config import TrainConfig

__version__ = "0.2.0.dev0"

_HOMES = {
    "FittedRun": "api",
    "Policy": "steering.policy",
    "Sensor": "data.spaces",
    "TrainConfig": "training.config",
    "TrajectoryDataset": "data.dataset",
    "fit": "api",
    "from_arrays": "data.arrays",
    "load_dataset": "data.dataset",
    "load_policy": "steering.policy",
    "report": "api",
    "rollout": "api",
}
__all__ = [
    "FittedRun",
    "Policy",
    "Sensor",
    "TrainConfig",
    "TrajectoryDataset",
    "__version__",
    "fit",
    "from_arrays",
    "load_dataset",
    "load_policy",
    "report",
    "rollout",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and `mode-imitation --help` needs none of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


if "gymnasium" in sys.modules:
    # Who has loaded gymnasium wants gymnasium.make("mode_imitation/SafetyPointGoal1-v0"); others need not wait for it.
    importlib.import_module("mode_imitation.worlds.safety")
    importlib.import_module("mode_imitation.worlds.planar")
