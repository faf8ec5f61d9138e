"""What the goal seekers head for: the goal where it is in range, otherwise where most objects stand."""

import numpy as np

from experts.lidar import centroid, single_object
from experts.protocol import ExpertSetting

TOWARDS_OBJECTS = 1.5
"""Metres: how far off the middle of the objects is taken to be when they all lie in one direction."""


class GoalSight:
    """Reads the target's offset from an observation; remembers nothing."""

    def __init__(self, setting: ExpertSetting, expert: str) -> None:
        self.goal = setting.sensor("goal_lidar", expert)
        self.others = [
            part for name, part in setting.slices.items() if name.endswith("_lidar") and name != "goal_lidar"
        ]

    def look(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where to go.

        Args:
            observations: (N, obs_dim).

        Returns:
            offset: (N, 2) metres in the body's axes: the goal's, exact, or where it is out of range that of the
                middle of the other objects, rough.
            anything: (N,) bool; False where nothing is in range and the offset means nothing.
        """
        offset, seen = single_object(observations[:, self.goal])
        for lidar in self.others:
            direction, some = centroid(observations[:, lidar])
            offset = np.where((some & ~seen)[:, None], TOWARDS_OBJECTS * direction, offset)
            seen = seen | some
        return offset, seen
