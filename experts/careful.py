"""Goal seeking that keeps its distance from hazards and chooses smoothly, in both gears.

It goes by one observation, as a policy does, and weighs all its plans where `hazard_avoiding` follows the best: its
action never jumps because another plan has become the best, so that a policy can learn its caution.
"""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, make_drive
from experts.goal_seeking import TURN_BACK_RADIUS
from experts.hazard_map import HazardMap
from experts.lidar import GoalSight
from experts.planner import CarMotion, Pose, SoftPlanner, SteadyPointMotion
from experts.protocol import ExpertSetting

_FAR = 1e3
_NAME = "careful"


class CarefulExpert:
    """Seeks goals with a wide berth around hazards; remembers nothing."""

    robots = ROBOTS

    def __init__(self, setting: ExpertSetting) -> None:
        self.is_car = setting.robot == "Car"
        self.drive = make_drive(setting, _NAME)
        self.sight = GoalSight(setting, _NAME)
        self.hazard_lidar = setting.sensor("hazards_lidar", _NAME)
        self.map = HazardMap()
        self.planner = SoftPlanner(CarMotion() if self.is_car else SteadyPointMotion())
        self.reverses_beyond = 0.0 if self.is_car else SteadyPointMotion.REVERSES_BEYOND
        self.front = np.array([0.0, -1.0] if self.is_car else [1.0, 0.0])
        """(2,) in the body's axes."""

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to forget."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        n = len(observations)
        offset, anything = self.sight.look(observations)
        here = np.zeros((n, 2))  # all is in the body's axes, the robot at their origin
        self.map.reset(n)
        self.map.update(observations[:, self.hazard_lidar], here, np.zeros(n))
        hazards = np.where(self.map.known[..., None], self.map.positions, _FAR)
        velocity = observations[:, self.drive.velocimeter][:, :2]
        front = np.tile(self.front, (n, 1))
        backwards = velocity[:, 0] * self.front[0] + velocity[:, 1] * self.front[1] < 0
        direction = self.planner.direction_at(Pose(here, velocity, front, backwards), offset, hazards)
        along = direction[:, 0] * self.front[0] + direction[:, 1] * self.front[1]
        across = direction[:, 1] * self.front[0] - direction[:, 0] * self.front[1]
        gear = np.where(along < -self.reverses_beyond * (np.hypot(along, across) + 1e-9), -1.0, 1.0)
        bearing = np.arctan2(gear * across, gear * along)  # of the direction, from the end that leads
        thrust = gear * np.clip(4.0 * gear * along, 0.0, 1.0)
        action = self._car(thrust, bearing) if self.is_car else self._point(thrust, bearing)
        return np.where(anything[:, None], action, self.drive.circle(observations, TURN_BACK_RADIUS))

    def _point(self, thrust: np.ndarray, bearing: np.ndarray) -> np.ndarray:
        # Half as steep as those of other experts: a full turn either way for a little more or less is hard to imitate.
        return np.stack([thrust, np.clip(2.0 * bearing, -1.0, 1.0)], axis=1)

    def _car(self, thrust: np.ndarray, bearing: np.ndarray) -> np.ndarray:
        turn = np.clip(bearing / CarMotion.ALIGNED, -2.0, 2.0)
        return np.clip(np.stack([thrust + turn, thrust - turn], axis=1), -1.0, 1.0)
