"""Seeks goals as `goal_seeking` does, at about half the speed: a second expert that is hard to tell from the first."""

from experts.goal_seeking import GoalSeekingExpert
from experts.protocol import ExpertSetting


class SlowGoalSeekingExpert(GoalSeekingExpert):
    """Seeks goals, slowly."""

    name = "slow_goal_seeking"

    def __init__(self, setting: ExpertSetting) -> None:
        super().__init__(setting)
        self.top_speed = 0.7 if setting.robot == "Point" else 0.4
