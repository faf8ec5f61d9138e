"""Reading sensors: the pseudo-lidar, and where the robot is.

The lidar has B bins around the robot, each the closeness of the nearest object in its direction.

An object at distance d and bearing b (counterclockwise from the body's x axis) falls into bin floor(b / width) with
closeness (3 m - d) / 3 m; a fraction of it, linear in the bearing, is copied into the two neighbouring bins. Where one
object stands alone, distance and bearing can be read back exactly; bins of several objects hold the largest value.
Source: `_obs_lidar_pseudo` of safety-gymnasium 1.0.0.
"""

import numpy as np

from experts.protocol import ExpertSetting

RANGE = 3.0
"""Metres; what is farther away is not seen."""
_NOTHING = 1e-6


def bin_bearings(n_bins: int) -> np.ndarray:
    """(B,) bearing of each bin's lower edge, radians, counterclockwise from the body's x axis."""
    return np.arange(n_bins) * (2 * np.pi / n_bins)


def single_object(lidar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the one object stands that a lidar shows; exact.

    Args:
        lidar: (N, B) closeness in [0, 1].

    Returns:
        offset: (N, 2) metres from the robot, in its body's axes; zero where nothing is in range.
        seen: (N,) bool, something is in range.
    """
    rows = np.arange(len(lidar))
    n_bins = lidar.shape[1]
    nearest = lidar.argmax(axis=1)
    closeness = lidar[rows, nearest]
    seen = closeness > _NOTHING
    following = lidar[rows, (nearest + 1) % n_bins] / np.where(seen, closeness, 1.0)
    bearing = (nearest + following) * (2 * np.pi / n_bins)
    distance = np.where(seen, RANGE * (1.0 - closeness), 0.0)
    return np.stack([distance * np.cos(bearing), distance * np.sin(bearing)], axis=1), seen


def centroid(lidar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction in which most objects are near: the mean of the bins' directions, weighted by closeness.

    Args:
        lidar: (N, B) closeness in [0, 1].

    Returns:
        direction: (N, 2) in the body's axes; its length is 1 where all that is seen lies in one direction, near 0
            where objects stand all around, 0 where nothing is in range.
        seen: (N,) bool, something is in range.
    """
    # An object's own bin and its copies in the neighbours lie evenly around it when bins count from their middles.
    bearings = bin_bearings(lidar.shape[1]) + np.pi / lidar.shape[1]
    total = lidar.sum(axis=1)
    seen = total > _NOTHING
    along = (lidar * np.cos(bearings)).sum(axis=1)
    across = (lidar * np.sin(bearings)).sum(axis=1)
    return np.stack([along, across], axis=1) / np.where(seen, total, 1.0)[:, None], seen


def heading(magnetometer: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N,) heading of the body's x axis, radians counterclockwise from the world's +x; exact.

    The simulator's magnetic field points along the world's -y (MuJoCo's default, (0, -0.5, 0)).
    """
    return np.arctan2(-magnetometer[:, 0], -magnetometer[:, 1])


def wrap(angle: np.ndarray) -> np.ndarray:
    """The same angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


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


class Odometry:
    """Where the robot is: integrates the velocimeter along the magnetometer's heading, millimetres of error in a metre.

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
