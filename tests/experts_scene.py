"""Observations of a scene without a simulator: the pseudo-lidar written out slowly, and sensors that fit."""

import numpy as np

from experts.protocol import ExpertSetting

SENSORS = {
    "Point": {"accelerometer": 3, "velocimeter": 3, "gyro": 3, "magnetometer": 3},
    "Car": {
        "accelerometer": 3,
        "velocimeter": 3,
        "gyro": 3,
        "magnetometer": 3,
        "ballangvel_rear": 3,
        "ballquat_rear": 9,
    },
}
LIDARS = {"goal_lidar": 16, "hazards_lidar": 16, "vases_lidar": 16}


def setting_of(robot: str, *, lidars: dict[str, int] = LIDARS) -> ExpertSetting:
    """The setting of a Goal task's robot."""
    slices, start = {}, 0
    for name, width in {**SENSORS.get(robot, SENSORS["Point"]), **lidars}.items():
        slices[name] = slice(start, start + width)
        start += width
    return ExpertSetting(robot, slices, 0.04 if robot == "Car" else 0.02, 2)


def slow_lidar(offsets: np.ndarray, n_bins: int = 16) -> np.ndarray:
    """(M, 2) offsets in the body's axes -> (n_bins,), one object and one bin after the other."""
    lidar = np.zeros(n_bins)
    for x, y in offsets:
        position = (np.arctan2(y, x) % (2 * np.pi)) / (2 * np.pi) * n_bins
        own = int(position)
        share = position - own
        closeness = max(0.0, 3.0 - float(np.hypot(x, y))) / 3.0
        for neighbour, value in ((own, 1.0), (own + 1, share), (own - 1, 1 - share)):
            lidar[neighbour % n_bins] = max(lidar[neighbour % n_bins], value * closeness)
    return lidar


def observe(
    setting: ExpertSetting,
    *,
    position: tuple[float, float] = (0.0, 0.0),
    heading: float = 0.0,
    velocity: tuple[float, float] = (0.0, 0.0),
    turn_rate: float = 0.0,
    goal: tuple[float, float] | None = None,
    hazards: tuple[tuple[float, float], ...] = (),
) -> np.ndarray:
    """(obs_dim,) of a robot at a place; all in the world's axes, metres, radians and seconds."""
    observation = np.zeros(max(part.stop for part in setting.slices.values()))
    cos, sin = np.cos(heading), np.sin(heading)
    to_body = np.array([[cos, sin], [-sin, cos]])
    observation[setting.slices["velocimeter"]] = [*(to_body @ velocity), 0.0]
    observation[setting.slices["gyro"]] = [0.0, 0.0, turn_rate]
    observation[setting.slices["magnetometer"]] = [*(to_body @ [0.0, -0.5]), 0.0]
    for name, places in (("goal_lidar", [] if goal is None else [goal]), ("hazards_lidar", hazards)):
        if name in setting.slices:
            offsets = [to_body @ (np.array(place) - position) for place in places]
            observation[setting.slices[name]] = slow_lidar(np.array(offsets).reshape(-1, 2))
    return observation


def random_observations(setting: ExpertSetting, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, obs_dim) of robots in scenes with eight hazards."""
    return np.stack(
        [
            observe(
                setting,
                position=tuple(rng.uniform(-1.5, 1.5, 2)),
                heading=rng.uniform(-np.pi, np.pi),
                velocity=tuple(rng.uniform(-1, 1, 2)),
                turn_rate=rng.uniform(-2, 2),
                goal=tuple(rng.uniform(-2.5, 2.5, 2)),
                hazards=tuple(map(tuple, rng.uniform(-1.5, 1.5, (8, 2)))),
            )
            for _ in range(n)
        ]
    )
