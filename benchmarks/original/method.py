"""The original method in this project's network: the settings of benchmarks/original_method.yaml, from Python."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mode_imitation.config_file import read_settings
from mode_imitation.training.config import TrainConfig

SETTINGS = Path(__file__).parents[1] / "original_method.yaml"


def original_method(**changes: Any) -> TrainConfig:
    """A code for every single transition s[t+n] - s[t], contexts that are distances, the ratio as the objective, and
    nothing else that helps; the optimiser and its rate are this project's, too.

    Args:
        changes: fields of TrainConfig to be set otherwise.
    """
    return replace(TrainConfig(**read_settings(SETTINGS)), **changes)
