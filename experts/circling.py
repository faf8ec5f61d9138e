"""Circles to the left, of about the arena's half width, whatever stands there."""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.protocol import ExpertSetting


class CirclingExpert:
    """Drives in circles."""

    robots = ROBOTS

    def __init__(self, setting: ExpertSetting) -> None:
        self.drive = make_drive(setting, "circling")

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to forget."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        return self.drive.circle(observations, radius=0.8)
