"""How Point and Car move over the next seconds, for many plans at once: the planner's idea of the simulator.

Headings and directions are unit vectors, so that a step needs no angle. Every array is (N, K): N worlds, K plans.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Where the robots of N worlds are, in the odometry's frame."""

    position: np.ndarray
    """(N, 2) m."""
    velocity: np.ndarray
    """(N, 2) m/s."""
    front: np.ndarray
    """(N, 2) unit vector along which the robot drives forwards."""
    backwards: np.ndarray
    """(N,) bool, its gear so far."""


class Motion(Protocol):
    """What the planner asks of a robot's model."""

    step: float
    """Seconds of a step of a plan."""
    n_steps: int
    """Steps of a plan."""
    hold_times: tuple[float, ...]
    """Seconds for which a plan may hold a direction before it seeks the goal."""
    usual_speed: float
    """m/s at which what is left after the plan's end will be driven."""
    x: np.ndarray
    y: np.ndarray
    """(N, K) m, where the plans have got to."""

    def begin(self, pose: Pose, n_plans: int) -> None:
        """K plans start from here."""
        ...

    def seek(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Direction to drive towards a goal at the offset (x, y), of any length."""
        ...

    def brake(self) -> tuple[np.ndarray, np.ndarray]:
        """Direction in which to drive in order to stop."""
        ...

    def advance(self, x: np.ndarray, y: np.ndarray, stopping: np.ndarray) -> None:
        """One step in the direction (x, y), of any length; where `stopping` only until it stands."""
        ...


class PointMotion:
    """dv/dt = 2.89 h - 1.93 v at full thrust along the heading h, or against it; turns at 3 rad/s."""

    step = 0.05
    n_steps = 40
    hold_times = (0.2, 0.5, 1.0, 1.5)
    usual_speed = 1.2
    THRUST, DRAG, TURN = 2.89, 1.93, 3.0

    def __init__(self) -> None:
        self.keep = np.exp(-self.DRAG * self.step)
        self.gain = (1.0 - self.keep) / self.DRAG

    def begin(self, pose: Pose, n_plans: int) -> None:
        every = np.ones((1, n_plans))
        self.x, self.y = pose.position[:, :1] * every, pose.position[:, 1:] * every
        self.vx, self.vy = pose.velocity[:, :1] * every, pose.velocity[:, 1:] * every
        self.front_x, self.front_y = pose.front[:, :1] * every, pose.front[:, 1:] * every

    def seek(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = 1.5 / np.sqrt(x * x + y * y + 1e-12)
        return x * scale - 0.85 * self.vx, y * scale - 0.85 * self.vy

    def brake(self) -> tuple[np.ndarray, np.ndarray]:
        return -self.vx, -self.vy

    def advance(self, x: np.ndarray, y: np.ndarray, stopping: np.ndarray) -> None:
        along = self.front_x * x + self.front_y * y
        gear = np.where(along < 0, -1.0, 1.0)
        self.front_x, self.front_y = turned(self.front_x, self.front_y, gear * x, gear * y, self.TURN * self.step)
        speed = np.sqrt(self.vx * self.vx + self.vy * self.vy)
        thrust = gear * np.where(
            stopping, self.THRUST * np.minimum(speed / (self.THRUST * self.step), 1.0), self.THRUST
        )
        vx = self.vx * self.keep + thrust * self.front_x * self.gain
        vy = self.vy * self.keep + thrust * self.front_y * self.gain
        self.x = self.x + 0.5 * self.step * (self.vx + vx)
        self.y = self.y + 0.5 * self.step * (self.vy + vy)
        self.vx, self.vy = vx, vy


class CarMotion:
    """Turns on the spot about its axle or drives straight; picks up speed faster forwards than backwards."""

    step = 0.1
    n_steps = 30
    hold_times = (0.4, 0.9, 1.6, 2.4)
    usual_speed = 0.65
    SPEED, TURN = 0.8, 1.3
    AXLE = 0.1
    """Metres from the axle to the body's centre, which is ahead of it."""
    ALIGNED = 0.15
    """Radians off the wished direction within which it drives."""
    TIMES = (0.18, 0.45, 0.15)
    """Seconds in which the speed approaches its new value: forwards, backwards, to a stand."""

    def __init__(self) -> None:
        self.gains = tuple(1.0 - float(np.exp(-self.step / time)) for time in self.TIMES)

    def begin(self, pose: Pose, n_plans: int) -> None:
        every = np.ones((1, n_plans))
        self.x, self.y = pose.position[:, :1] * every, pose.position[:, 1:] * every
        self.front_x, self.front_y = pose.front[:, :1] * every, pose.front[:, 1:] * every
        self.speed = (pose.velocity[:, :1] * pose.front[:, :1] + pose.velocity[:, 1:] * pose.front[:, 1:]) * every
        self.backwards = pose.backwards[:, None] & np.ones((1, n_plans), dtype=bool)

    def seek(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x, y

    def brake(self) -> tuple[np.ndarray, np.ndarray]:
        gear = np.where(self.backwards, -1.0, 1.0)
        return gear * self.front_x, gear * self.front_y

    def advance(self, x: np.ndarray, y: np.ndarray, stopping: np.ndarray) -> None:
        length = np.sqrt(x * x + y * y) + 1e-9
        along = (self.front_x * x + self.front_y * y) / length
        self.backwards = np.where(self.backwards, along < 0.1, along < -0.1)
        gear = np.where(self.backwards, -1.0, 1.0)
        driving = (gear * along > np.cos(self.ALIGNED)) & ~stopping
        wished = np.where(driving, gear * self.SPEED, 0.0)
        gain = np.where(driving, np.where(self.backwards, self.gains[1], self.gains[0]), self.gains[2])
        speed = self.speed + gain * (wished - self.speed)
        front_x, front_y = turned(self.front_x, self.front_y, gear * x, gear * y, self.TURN * self.step)
        front_x = np.where(driving | stopping, self.front_x, front_x)
        front_y = np.where(driving | stopping, self.front_y, front_y)
        forward = 0.5 * self.step * (speed + self.speed)
        self.x = self.x + forward * front_x + self.AXLE * (front_x - self.front_x)
        self.y = self.y + forward * front_y + self.AXLE * (front_y - self.front_y)
        self.speed, self.front_x, self.front_y = speed, front_x, front_y


def turned(
    front_x: np.ndarray, front_y: np.ndarray, x: np.ndarray, y: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """The unit vector `front` turned towards (x, y), by `most` radians at most."""
    length = np.sqrt(x * x + y * y) + 1e-9
    along = (front_x * x + front_y * y) / length
    side = np.where(front_x * y - front_y * x < 0, -np.sin(most), np.sin(most))
    there = along > np.cos(most)
    new_x = np.where(there, x / length, front_x * np.cos(most) - front_y * side)
    new_y = np.where(there, y / length, front_y * np.cos(most) + front_x * side)
    return new_x, new_y
