"""Which numbers of a flat observation mean what, and the library's pseudo-lidar for many worlds at once."""

import math
from typing import Any

import numpy as np

from mode_imitation.data.spaces import Mirror, Sensor, Sensors
from mode_imitation.worlds.safety.light_models import build_task


def observation_slices(env_id: str) -> dict[str, slice]:
    """Part of the flat observation that each sensor and lidar takes, by name, in order.

    Args:
        env_id: a navigation task. SafetyPointGoal1-v0 gives accelerometer 0:3, velocimeter 3:6, gyro 6:9,
            magnetometer 9:12, goal_lidar 12:28, hazards_lidar 28:44, vases_lidar 44:60.

    Raises:
        UserError: unknown task, or no simulator.
    """
    return {name: sensor.columns for name, sensor in sensors_of(build_task(env_id)).items()}


def sensors_of(builder: Any) -> dict[str, Sensor]:
    """The sensors of a task that is already built, the library's lidars among them as rings."""
    sensors, start = {}, 0
    for name, space in builder.obs_space_dict.spaces.items():
        size = math.prod(space.shape)
        sensors[name] = Sensor(start, start + size, "ring" if name.endswith("_lidar") else "plain")
        start += size
    return sensors


POINT_MIRROR = {
    "accelerometer": (1, -1, 1),
    "velocimeter": (1, -1, 1),
    "gyro": (-1, 1, -1),
    "magnetometer": (1, -1, 1),
}
"""Signs of a Point's sensors with left for right. The field that the magnetometer shows lies along the world's y axis,
at which its mirror stands."""


def mirror_of(robot: str, sensors: Sensors) -> Mirror | None:
    """What a Point's observations and actions (thrust, turn) are with left for right; None for another robot.

    Bin i of a lidar covers the bearings from i to i + 1 widths to the left, so that it becomes bin n - 1 - i.
    """
    if robot != "Point" or any(sensor.kind != "ring" and name not in POINT_MIRROR for name, sensor in sensors.items()):
        return None
    order, signs = [], []
    for name, sensor in sensors.items():
        columns = list(range(sensor.start, sensor.stop))
        order += reversed(columns) if sensor.kind == "ring" else columns
        signs += [1] * len(columns) if sensor.kind == "ring" else POINT_MIRROR[name]
    return Mirror(tuple(order), tuple(signs), (0, 1), (1, -1))


def pseudo_lidar(
    agent_positions: np.ndarray,
    agent_rotations: np.ndarray,
    objects: np.ndarray,
    kinds: np.ndarray,
    n_kinds: int,
    n_bins: int,
    max_distance: float,
) -> np.ndarray:
    """How near the nearest object of each kind is in each direction, 1 at the agent and 0 from `max_distance` on.

    The formula is safety_gymnasium's `BaseTask._obs_lidar_pseudo` with aliasing: an object counts in the bin that it
    lies in and, weighted by where in it, in the two beside. Every number of a world depends on that world alone:
    elementwise formulas throughout, no matrix products, whose sums may run in another order for another number of rows.

    Args:
        agent_positions: (N, 3) metres.
        agent_rotations: (N, 9) rows of the agent's rotation matrix.
        objects: (N, K, 2) positions of all objects in the plane.
        kinds: (K,) int, kind of each object.
        n_kinds: kinds of objects.
        n_bins: directions, counterclockwise from the agent's x axis.
        max_distance: metres.

    Returns:
        (N, n_kinds, n_bins) in [0, 1].
    """
    n = len(agent_positions)
    east = objects[:, :, 0] - agent_positions[:, 0, None]  # (N, K)
    north = objects[:, :, 1] - agent_positions[:, 1, None]
    up = 0.0 - agent_positions[:, 2, None]
    rotation = agent_rotations[:, :, None]  # (N, 9, 1)
    ahead = east * rotation[:, 0] + north * rotation[:, 3] + up * rotation[:, 6]
    left = east * rotation[:, 1] + north * rotation[:, 4] + up * rotation[:, 7]

    distance = np.hypot(ahead, left)
    bin_size = 2 * np.pi / n_bins
    place = np.arctan2(left, ahead) % (2 * np.pi)
    bins = (place / bin_size).astype(np.int64)
    alias = (place - bin_size * bins) / bin_size
    nearness = np.maximum(0.0, max_distance - distance) / max_distance

    lidar = np.zeros(n * n_kinds * n_bins)
    first = (np.arange(n)[:, None] * n_kinds + kinds) * n_bins  # (N, K), where the object's kind begins
    np.maximum.at(lidar, (first + bins % n_bins).ravel(), nearness.ravel())
    np.maximum.at(lidar, (first + (bins + 1) % n_bins).ravel(), (alias * nearness).ravel())
    np.maximum.at(lidar, (first + (bins - 1) % n_bins).ravel(), ((1 - alias) * nearness).ravel())
    return lidar.reshape(n, n_kinds, n_bins)
