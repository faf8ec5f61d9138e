"""Left for right: what a world declares of it is what its scenes and its physics do, and it travels with the data."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data import load_dataset
from mode_imitation.data.arrays import join
from mode_imitation.data.spaces import Mirror, Sensor
from mode_imitation.errors import UserError
from mode_imitation.training.fit import fit
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.safety.observation import mirror_of
from tests.experts_scene import observe, setting_of
from tests.synthetic import two_laws
from tests.test_fit import small


def mirror_of_robot(robot: str) -> Mirror | None:
    slices = setting_of(robot).slices
    kinds = {name: "ring" if name.endswith("_lidar") else "plain" for name in slices}
    return mirror_of(robot, {name: Sensor(part.start, part.stop, kinds[name]) for name, part in slices.items()})


def test_a_points_mirror_shows_what_it_would_see_in_the_mirrored_scene() -> None:
    setting, rng = setting_of("Point"), np.random.default_rng(1)
    mirror = mirror_of_robot("Point")
    assert mirror
    for _ in range(20):
        places, heading, turning = rng.uniform(-1.5, 1.5, (6, 2)), rng.uniform(-np.pi, np.pi), rng.uniform(-3, 3)
        seen = []
        for side in (1.0, -1.0):  # the mirror stands at the world's y axis
            position, velocity, goal, *hazards = map(tuple, places * [side, 1.0])
            seen.append(
                observe(
                    setting,
                    position=position,
                    heading=heading if side > 0 else np.pi - heading,
                    velocity=velocity,
                    turn_rate=side * turning,
                    goal=goal,
                    hazards=tuple(hazards),
                )
            )
        np.testing.assert_allclose(mirror.observations(seen[0]), seen[1], atol=1e-9)
        np.testing.assert_array_equal(mirror.observations(mirror.observations(seen[0])), seen[0])


def test_a_point_that_is_driven_the_mirrored_way_feels_the_mirror_image() -> None:
    env = make_vec("SafetyPointGoal1-v0", 2, threads=1)
    mirror = env.mirror
    assert mirror
    felt, _ = env.reset(seed=[3, 3])
    for step in range(12):
        action = np.array([1.0, np.cos(step / 3)])
        felt = env.step(np.stack([action, mirror.actions(action)]))[0]
    motion = slice(0, 9)  # accelerometer, velocimeter, gyro
    assert np.abs(felt[0, motion] - felt[1, motion]).max() > 0.1
    np.testing.assert_allclose(mirror.observations(felt[0])[motion], felt[1, motion], atol=1e-5)
    env.close()


def test_only_a_point_declares_a_mirror() -> None:
    assert mirror_of_robot("Car") is None
    assert mirror_of("Point", {"a sensor of another kind": Sensor(0, 3)}) is None


def test_a_mirror_travels_with_the_dataset(tmp_path: Path) -> None:
    plan = ("goal_seeking=2",)
    folder = generate(GenerateConfig(expert=plan, out="test/mirrored-v0", root=tmp_path, steps=20, workers=1))
    data = load_dataset("test/mirrored-v0", tmp_path)
    assert data.mirror == mirror_of_robot("Point")
    assert data.subset([0]).mirror == join([data, data]).mirror == data.mirror
    assert join([data, dataclasses.replace(data, mirror=None)]).mirror is None
    path = Path(folder) / "data" / "metadata.json"
    damaged = json.loads(path.read_text())
    damaged["mirror"]["act_signs"] = ["left"]
    assert Mirror.from_dict(json.loads(path.read_text())["mirror"]) == data.mirror
    with pytest.raises(ValueError, match="left"):
        Mirror.from_dict(damaged["mirror"])


@pytest.mark.parametrize(
    "changes", [{"obs_order": (1, 2, 0)}, {"obs_signs": (1, 1)}, {"obs_order": (0, 2, 1), "obs_signs": (1, -1, 1)}]
)
def test_what_is_no_reflection_is_refused(changes: dict) -> None:
    with pytest.raises(UserError, match="no reflection"):
        Mirror(**{"obs_order": (0, 1, 2), "obs_signs": (1, -1, 1), "act_order": (0,), "act_signs": (-1,)} | changes)


def test_a_mirror_of_other_sizes_is_refused() -> None:
    with pytest.raises(UserError, match="mirror of other sizes"):
        dataclasses.replace(two_laws(), mirror=Mirror((0,), (1,), (0,), (1,)))


def test_images_of_data_that_declares_no_mirror_are_refused_and_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not say what it is with left for right"):
        fit(two_laws(), small(mirror=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()
