"""How each robot is driven: where it goes, turned into thrust and turn or into two wheels.

Offsets and velocities are in the body's axes (x, y), metres and seconds; bearings are counterclockwise. Numbers were
measured in safety-gymnasium 1.0.0 with mujoco 4.0.0.
"""

import numpy as np

from experts.lidar import wrap
from experts.protocol import ExpertSetting
from mode_imitation.errors import UserError

ROBOTS = ("Point", "Car")
HYSTERESIS = 0.1
"""Radians: a robot that has turned round keeps its gear until the other one is better by this much on either side."""


class Drive:
    """One robot's control laws; each maps (N, ...) to actions (N, 2)."""

    def __init__(self, setting: ExpertSetting, expert: str) -> None:
        self.velocimeter = setting.sensor("velocimeter", expert)

    def straight(self, observations: np.ndarray, gear: float) -> np.ndarray:
        """Straight on; gear 1 drives forwards, -1 backwards."""
        raise NotImplementedError

    def circle(self, observations: np.ndarray, radius: float) -> np.ndarray:
        """A circle to the left of about `radius` metres."""
        raise NotImplementedError

    def seek(self, observations: np.ndarray, offset: np.ndarray, top_speed: float | None = None) -> np.ndarray:
        """Forwards to `offset` (N, 2) by a law without memory that is smooth but for targets straight behind.

        `top_speed`, m/s, holds the robot back; None lets it go as fast as it can.
        """
        raise NotImplementedError

    def seek_either_way(
        self, observations: np.ndarray, offset: np.ndarray, backwards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """To `offset` (N, 2) at full speed in whichever gear needs less turning.

        Args:
            observations: (N, obs_dim).
            offset: (N, 2) of the target.
            backwards: (N,) bool, the gear so far.

        Returns:
            The actions, and the gear from now on.
        """
        raise NotImplementedError


def make_drive(setting: ExpertSetting, expert: str) -> Drive:
    """The drive of the setting's robot.

    Raises:
        UserError: it is neither Point nor Car.
    """
    drives = {"Point": PointDrive, "Car": CarDrive}
    if setting.robot not in drives:
        raise UserError(f"expert {expert} cannot drive the robot {setting.robot}, only {' and '.join(ROBOTS)}")
    return drives[setting.robot](setting, expert)


def turn_round(bearing: np.ndarray, backwards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is left to turn in the better gear, with a little inertia in the choice.

    Args:
        bearing: of the target from the robot's front, radians, any shape.
        backwards: bool, the same shape: the gear so far.

    Returns:
        The bearing of the target from the end that leads, and the gear: backwards or not.
    """
    limit = np.where(backwards, np.pi / 2 - HYSTERESIS, np.pi / 2 + HYSTERESIS)
    backwards = np.abs(bearing) > limit
    return np.where(backwards, wrap(bearing + np.pi), bearing), backwards


class PointDrive(Drive):
    """A sphere with a nose along x: action = (thrust, turn). It slides: velocity lags heading by half a second.

    A thrust of 0.05 is already full thrust; the top speed is 1.5 m/s, the fastest turn 3 rad/s.
    """

    FULL_TURN = 3.0
    """rad/s at action 1."""
    LEAD = 0.45
    PULL_POWER = 1.3
    """The wished velocity is distance ** PULL_POWER / LEAD towards the target: far targets allow speed, at near ones it
    brakes by turning against what it still slides. These two were tuned."""

    def velocity(self, observations: np.ndarray) -> np.ndarray:
        """(N, 2) in the body's axes."""
        return observations[:, self.velocimeter][:, :2]

    def straight(self, observations: np.ndarray, gear: float) -> np.ndarray:
        return np.tile([0.8 * gear, 0.0], (len(observations), 1))

    def circle(self, observations: np.ndarray, radius: float) -> np.ndarray:
        # Speed in a turn at rate w: thrust over drag, cut by what the sliding costs, 2.89 / sqrt(1.93^2 + w^2).
        squared = (np.sqrt(1.93**4 + 4 * (2.89 / radius) ** 2) - 1.93**2) / 2
        return np.tile([0.6, min(np.sqrt(squared) / self.FULL_TURN, 1.0)], (len(observations), 1))

    def seek(self, observations: np.ndarray, offset: np.ndarray, top_speed: float | None = None) -> np.ndarray:
        velocity = self.velocity(observations)
        distance = np.hypot(offset[:, 0], offset[:, 1])[:, None]
        bearing = _bearing(offset * distance ** (self.PULL_POWER - 1) - self.LEAD * velocity)
        thrust = np.clip(np.cos(bearing), 0.0, 1.0)
        if top_speed is not None:
            thrust = thrust * np.clip(2 * (top_speed - velocity[:, 0]), 0.0, 1.0)
        return np.stack([thrust, np.clip(4.0 * bearing, -1.0, 1.0)], axis=1)

    def seek_either_way(
        self, observations: np.ndarray, offset: np.ndarray, backwards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        distance = np.hypot(offset[:, 0], offset[:, 1])[:, None]
        push = 1.5 * offset / np.maximum(distance, 1e-9) - 0.7 * self.velocity(observations)
        bearing, backwards = turn_round(_bearing(push), backwards)
        thrust = np.where(backwards, -1.0, 1.0)
        return np.stack([thrust, np.clip(4.0 * bearing, -1.0, 1.0)], axis=1), backwards


class CarDrive(Drive):
    """Two driven wheels and a ball: action = (right, left) wheel. Both at 1 drive along the body's -y at 0.8 m/s.

    A wheel's torque saturates at 0.02, so in effect its sign counts; wheels in opposite directions turn on the spot at
    1.3 rad/s.
    """

    FRONT = -np.pi / 2
    """Bearing of the leading end in the body's axes."""
    TOP_SPEED = 0.8
    PASS_WITHIN = 0.2
    """Metres: it turns while driving straight on would miss the target by more than this; a goal's radius is 0.3."""

    def __init__(self, setting: ExpertSetting, expert: str) -> None:
        super().__init__(setting, expert)
        self.gyro = setting.sensor("gyro", expert)

    def forward_speed(self, observations: np.ndarray) -> np.ndarray:
        """(N,) m/s along the robot's front."""
        return -observations[:, self.velocimeter][:, 1]

    def straight(self, observations: np.ndarray, gear: float) -> np.ndarray:
        return np.tile([0.8 * gear, 0.8 * gear], (len(observations), 1))

    def circle(self, observations: np.ndarray, radius: float) -> np.ndarray:
        # Torque saturates, so an arc needs feedback: the inner wheel drives while the turn is too fast.
        wished = self.TOP_SPEED / (radius + self.TOP_SPEED / 1.3)
        inner = np.clip(2.0 * (observations[:, self.gyro][:, 2] - wished), -1.0, 1.0)
        return np.stack([np.full(len(observations), 0.8), inner], axis=1)

    def seek(self, observations: np.ndarray, offset: np.ndarray, top_speed: float | None = None) -> np.ndarray:
        bearing = wrap(_bearing(offset) - self.FRONT)
        drive = np.ones(len(observations))
        if top_speed is not None:
            drive = np.clip(4 * (top_speed - self.forward_speed(observations)), 0.0, 1.0)
        return self._wheels(drive, bearing, offset)

    def seek_either_way(
        self, observations: np.ndarray, offset: np.ndarray, backwards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        bearing, backwards = turn_round(wrap(_bearing(offset) - self.FRONT), backwards)
        return self._wheels(np.where(backwards, -1.0, 1.0), bearing, offset), backwards

    def _wheels(self, drive: np.ndarray, bearing: np.ndarray, offset: np.ndarray) -> np.ndarray:
        distance = np.maximum(np.hypot(offset[:, 0], offset[:, 1]), self.PASS_WITHIN)
        turn = np.clip(bearing / np.arcsin(self.PASS_WITHIN / distance), -2.0, 2.0)
        return np.clip(np.stack([drive + turn, drive - turn], axis=1), -1.0, 1.0)


def _bearing(vector: np.ndarray) -> np.ndarray:
    return np.arctan2(vector[:, 1], vector[:, 0])
