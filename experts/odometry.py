"""Where the robot is, counted from where it started: the memory of the experts that have one."""

import numpy as np

from experts.lidar import heading
from experts.protocol import ExpertSetting


class Odometry:
    """Integrates the velocimeter along the magnetometer's heading: millimetres of error in a metre.

    The frame has the world's axes and its origin where the robot stood at the reset.
    """

    def __init__(self, setting: ExpertSetting, expert: str) -> None:
        self.velocimeter = setting.sensor("velocimeter", expert)
        self.magnetometer = setting.sensor("magnetometer", expert)
        self.time_step = setting.time_step

    def reset(self, observations: np.ndarray) -> None:
        """Start at the origin with (N, obs_dim)."""
        self.position = np.zeros((len(observations), 2))
        self.fresh = True
        self._sense(observations)

    def update(self, observations: np.ndarray) -> None:
        """Take in the next observations (N, obs_dim); the first are those of the reset, then one time step apart."""
        if self.fresh:
            self.fresh = False
            return
        before = self.velocity
        self._sense(observations)
        self.position = self.position + 0.5 * self.time_step * (before + self.velocity)

    def _sense(self, observations: np.ndarray) -> None:
        self.heading = heading(observations[:, self.magnetometer])  # (N,) of the body's x axis
        self.velocity = self.to_world(observations[:, self.velocimeter][:, :2])  # (N, 2) m/s

    def to_world(self, vector: np.ndarray) -> np.ndarray:
        """(N, 2) in the body's axes -> (N, 2) in the world's."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        x, y = vector[:, 0], vector[:, 1]
        return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)

    def to_body(self, vector: np.ndarray) -> np.ndarray:
        """(N, 2) in the world's axes -> (N, 2) in the body's."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        x, y = vector[:, 0], vector[:, 1]
        return np.stack([cos * x + sin * y, cos * y - sin * x], axis=1)
