"""Straight ahead, out of the arena and on: the simplest mode, and the one that is learned first."""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.protocol import ExpertSetting


class ForwardMovingExpert:
    """Drives forwards."""

    robots = ROBOTS

    def __init__(self, setting: ExpertSetting) -> None:
        self.drive = make_drive(setting, "forward_moving")

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to forget."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        return self.drive.straight(observations, gear=1.0)
