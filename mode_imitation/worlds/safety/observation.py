"""Which numbers of a flat observation mean what."""

import functools
from typing import Any

from mode_imitation.data.spaces import Sensor
from mode_imitation.worlds.safety.light_models import build_task


@functools.cache
def _sensors(env_id: str) -> tuple[tuple[str, Sensor], ...]:
    return tuple(sensors_of(build_task(env_id)).items())


def observation_slices(env_id: str) -> dict[str, slice]:
    """Part of the flat observation that each sensor and lidar takes, by name, in order.

    Args:
        env_id: a navigation task. SafetyPointGoal1-v0 gives accelerometer 0:3, velocimeter 3:6, gyro 6:9,
            magnetometer 9:12, goal_lidar 12:28, hazards_lidar 28:44, vases_lidar 44:60.

    Raises:
        UserError: unknown task, or no simulator.
    """
    return {name: sensor.columns for name, sensor in _sensors(env_id)}


def sensors_of(builder: Any) -> dict[str, Sensor]:
    """The sensors of a task that is already built, the library's lidars among them as rings."""
    sensors, start = {}, 0
    for name, space in builder.obs_space_dict.spaces.items():
        size = 1
        for length in space.shape:
            size *= length
        sensors[name] = Sensor(start, start + size, "ring" if name.endswith("_lidar") else "plain")
        start += size
    return sensors
