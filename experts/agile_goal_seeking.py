"""Goal seeking that reverses too: whichever end is nearer to the goal's direction leads.

It remembers its gear, and where it was heading when everything went out of range, so that it finds its way back.
"""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.lidar import GoalSight
from experts.odometry import Odometry
from experts.protocol import ExpertSetting


class AgileGoalSeekingExpert:
    """Seeks goals forwards and backwards."""

    robots = ROBOTS

    def __init__(self, setting: ExpertSetting) -> None:
        self.drive = make_drive(setting, "agile_goal_seeking")
        self.sight = GoalSight(setting, "agile_goal_seeking")
        self.odometry = Odometry(setting, "agile_goal_seeking")

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """N new episodes."""
        self.odometry.reset(observations)
        self.backwards = np.zeros(len(observations), dtype=bool)
        self.target = np.zeros((len(observations), 2))  # in the odometry's frame; its origin, to begin with

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        self.odometry.update(observations)
        offset, anything = self.sight.look(observations)
        seen = self.odometry.position + self.odometry.to_world(offset)
        self.target = np.where(anything[:, None], seen, self.target)
        offset = self.odometry.to_body(self.target - self.odometry.position)
        actions, self.backwards = self.drive.seek_either_way(observations, offset, self.backwards)
        return actions
