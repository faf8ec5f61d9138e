"""Experts of the made rows that are not the project's own."""

import numpy as np

from experts.goal_seeking import GoalSeekingExpert
from experts.lidar import RANGE
from experts.protocol import ExpertSetting

NEAR = 0.6
"""Metres from a hazard at which the cautious one turns."""


class CautiousGoalSeeking(GoalSeekingExpert):
    """Seeks goals by the same law, but turns left while a hazard is near ahead."""

    name = "CautiousGoalSeeking"

    def __init__(self, setting: ExpertSetting) -> None:
        super().__init__(setting)
        self.hazards = setting.sensor("hazards_lidar", self.name)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, 2): speed and turn."""
        actions = super().act(observations).copy()
        ahead = observations[:, self.hazards][:, [0, -1]].max(axis=1)  # the bins left and right of straight ahead
        actions[ahead > 1 - NEAR / RANGE, 1] = 1.0
        return actions


class Climb:
    """MountainCar: pushes the way the car rolls, which climbs the hill. Observations: position, velocity."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 2) -> (N,) 0 left, 1 nothing, 2 right."""
        return np.where(observations[:, 1] >= 0, 2, 0)


class Settle:
    """MountainCar: pushes against the way the car rolls, so that it comes to rest in the valley."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 2) -> (N,)"""
        return np.where(observations[:, 1] >= 0, 0, 2)


class Idle:
    """MountainCar: lets the car roll."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 2) -> (N,)"""
        return np.ones(len(observations), dtype=np.int64)
