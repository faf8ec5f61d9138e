"""Straight to the goal and on to the next one; hazards do not matter.

By a smooth law without memory, or in both gears, with a memory that finds the way back.
"""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.lidar import GoalSight, Odometry
from experts.protocol import ExpertSetting

TURN_BACK_RADIUS = 1.5
"""Metres. With nothing in range the way back is not known; a wide circle ends where the arena was last seen."""


class GoalSeekingExpert:
    """Seeks goals, forwards only."""

    robots = ROBOTS
    name = "goal_seeking"
    top_speed: float | None = None
    """m/s; None: as fast as the robot can."""

    def __init__(self, setting: ExpertSetting) -> None:
        self.drive = make_drive(setting, self.name)
        self.sight = GoalSight(setting, self.name)

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to forget."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        offset, anything = self.sight.look(observations)
        seek = self.drive.seek(observations, offset, self.top_speed)
        return np.where(anything[:, None], seek, self.drive.circle(observations, TURN_BACK_RADIUS))


class SlowGoalSeekingExpert(GoalSeekingExpert):
    """Seeks goals at about half the speed: a second expert that is hard to tell from the first."""

    name = "slow_goal_seeking"

    def __init__(self, setting: ExpertSetting) -> None:
        super().__init__(setting)
        self.top_speed = 0.7 if setting.robot == "Point" else 0.4


class AgileGoalSeekingExpert(GoalSeekingExpert):
    """Reverses too: whichever end is nearer to the goal's direction leads.

    It remembers its gear, and where it was heading when everything went out of range, so that it finds its way back.
    """

    name = "agile_goal_seeking"

    def __init__(self, setting: ExpertSetting) -> None:
        super().__init__(setting)
        self.odometry = Odometry(setting, self.name)

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
