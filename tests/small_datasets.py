"""Small datasets of random numbers for the tests of what lies on disk."""

import dataclasses

import numpy as np

from mode_imitation.data.episodes import ARRAY_FIELDS, Episode, Scene
from mode_imitation.data.spaces import Sensor

NAME = "test/two-experts-v0"
SENSORS = {"gyro": Sensor(0, 3), "goal_lidar": Sensor(3, 5, "ring")}
SLICES = {name: sensor.columns for name, sensor in SENSORS.items()}


def make_episode(seed: int, steps: int = 12, expert: str | None = "seeker", **changes) -> Episode:
    rng = np.random.default_rng(seed)
    scene = Scene(
        goals=rng.normal(size=(2, 2)), goal_steps=np.array([0, 7]), hazards=rng.normal(size=(3, 2)), goal_radius=0.25
    )
    episode = Episode(
        observations=rng.random((steps + 1, 5), dtype=np.float32),
        actions=rng.random((steps, 2), dtype=np.float32),
        rewards=rng.random(steps, dtype=np.float32),
        costs=rng.random(steps, dtype=np.float32),
        goals_met=rng.random(steps) < 0.3,
        successes=np.arange(steps) % 3 == 1,
        positions=rng.random((steps + 1, 2), dtype=np.float32),
        headings=rng.random(steps + 1, dtype=np.float32),
        disturbed=rng.random(steps) < 0.2,
        layout_seed=seed,
        expert=expert,
        scene=scene,
    )
    return dataclasses.replace(episode, **changes)


def bare_episode(seed: int, steps: int = 6) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(observations=rng.normal(size=(steps + 1, 5)), actions=rng.normal(size=(steps, 2)))


def assert_same_episode(one: Episode, other: Episode) -> None:
    for key in (*ARRAY_FIELDS, "terminated", "layout_seed", "expert"):
        first, second = getattr(one, key), getattr(other, key)
        assert (first is None) == (second is None), key
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=key)
            if isinstance(first, np.ndarray):
                assert first.dtype == second.dtype, key
    assert (one.scene is None) == (other.scene is None)
    if one.scene is not None and other.scene is not None:
        for item in dataclasses.fields(Scene):
            np.testing.assert_array_equal(getattr(one.scene, item.name), getattr(other.scene, item.name))
