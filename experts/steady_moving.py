"""Straight ahead, straight back, and circles to the left: out of the arena and on, whatever stands there.

Forward moving is the simplest mode, and the one that is learned first.
"""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.protocol import ExpertSetting


class ForwardMovingExpert:
    """Drives forwards."""

    robots = ROBOTS
    name = "forward_moving"

    def __init__(self, setting: ExpertSetting) -> None:
        self.drive = make_drive(setting, self.name)

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to forget."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        return self.drive.straight(observations, gear=1.0)


class BackwardMovingExpert(ForwardMovingExpert):
    """Drives backwards."""

    name = "backward_moving"

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        return self.drive.straight(observations, gear=-1.0)


class CirclingExpert(ForwardMovingExpert):
    """Drives in circles of about the arena's half width."""

    name = "circling"

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        return self.drive.circle(observations, radius=0.8)
