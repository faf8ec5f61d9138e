"""Goal seeking that keeps out of hazards: it maps them, plans a few seconds ahead, and changes its mind seldom.

It remembers a map, its last plan and where it has been. Going by one observation alone it would hardly drive worse, see
benchmarks/forgetful.py; yet policies that imitate either take over its pace and not its caution (docs/tried.md).
"""

from collections.abc import Sequence

import numpy as np

from experts.drives import ROBOTS, turn_round
from experts.hazard_map import HazardMap
from experts.lidar import Odometry, single_object, wrap
from experts.planner import CarMotion, Planner, PointMotion, Pose
from experts.protocol import ExpertSetting

REPLAN_EVERY = 2
"""Steps between two choices of a plan."""
_FAR = 1e3
_NAME = "hazard_avoiding"


class HazardAvoidingExpert:
    """Seeks goals around hazards, in both gears."""

    robots = ROBOTS

    def __init__(self, setting: ExpertSetting) -> None:
        self.is_car = setting.robot == "Car"
        self.goal_lidar = setting.sensor("goal_lidar", _NAME)
        self.hazard_lidar = setting.sensor("hazards_lidar", _NAME)
        self.odometry = Odometry(setting, _NAME)
        self.map = HazardMap()
        self.planner = Planner(CarMotion() if self.is_car else PointMotion())
        self.elapsed = REPLAN_EVERY * setting.time_step

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """N new episodes."""
        n = len(observations)
        self.step = 0
        self.odometry.reset(observations)
        self.map.reset(n)
        self.planner.reset(n)
        self.goal = np.zeros((n, 2))
        self.backwards = np.zeros(n, dtype=bool)
        self.direction, self.stopping = np.zeros((n, 2)), np.zeros(n, dtype=bool)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        self.odometry.update(observations)
        here = self.odometry
        self.map.update(observations[:, self.hazard_lidar], here.position, here.heading)
        self._locate_goal(observations[:, self.goal_lidar])
        front = here.heading + (-np.pi / 2 if self.is_car else 0.0)
        if self.step % REPLAN_EVERY == 0:
            facing = np.stack([np.cos(front), np.sin(front)], axis=1)
            pose = Pose(here.position, here.velocity, facing, self.backwards)
            hazards = np.where(self.map.known[..., None], self.map.positions, _FAR)
            self.direction, self.stopping = self.planner.choose(pose, self.goal, hazards, self.elapsed)
        self.step += 1

        bearing = wrap(np.arctan2(self.direction[:, 1], self.direction[:, 0]) - front)
        bearing, self.backwards = turn_round(bearing, self.backwards)
        speed = np.hypot(here.velocity[:, 0], here.velocity[:, 1])
        drive = np.where(self.backwards, -1.0, 1.0)
        return self._car(bearing, drive, observations) if self.is_car else self._point(bearing, drive, speed)

    def _point(self, bearing: np.ndarray, drive: np.ndarray, speed: np.ndarray) -> np.ndarray:
        thrust = np.where(self.stopping, np.minimum(speed / 0.1, 1.0), 1.0)
        return np.stack([drive * thrust, np.clip(8.0 * bearing, -1.0, 1.0)], axis=1)

    def _car(self, bearing: np.ndarray, drive: np.ndarray, observations: np.ndarray) -> np.ndarray:
        along = self.odometry.to_body(self.odometry.velocity)[:, 1]  # its front is -y
        drive = np.where(self.stopping, np.clip(4.0 * along, -1.0, 1.0), drive)
        turn = np.where(self.stopping, 0.0, np.clip(bearing / CarMotion.ALIGNED, -2.0, 2.0))
        return np.clip(np.stack([drive + turn, drive - turn], axis=1), -1.0, 1.0)

    def _locate_goal(self, lidar: np.ndarray) -> None:
        """The goal where it is seen, otherwise the middle of the known hazards: from there it will be in range."""
        offset, seen = single_object(lidar)
        goal = self.odometry.position + self.odometry.to_world(offset)
        known = self.map.known.astype(float)
        count = np.zeros(len(known))
        middle = np.zeros((len(known), 2))
        for track in range(known.shape[1]):  # one after the other: a sum's order must not depend on the shape
            count += known[:, track]
            middle += known[:, track, None] * self.map.positions[:, track]
        middle /= np.maximum(count, 1.0)[:, None]
        self.goal = np.where(seen[:, None], goal, middle)
