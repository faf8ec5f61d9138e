"""Experts are found by name, file or module; what is wrong with one is said in one line."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import experts.protocol
from experts.registry import check_labels, expert_label, expert_names, find_class, make_expert
from mode_imitation.errors import UserError
from tests.experts_scene import random_observations, setting_of

OBSERVATIONS = random_observations(setting_of("Point"), 3, np.random.default_rng(0))
RNGS = [np.random.default_rng(i) for i in range(3)]

FILE = """
from dataclasses import dataclass
import numpy as np

@dataclass
class Bare:
    def act(self, observations):
        return np.full((len(observations), 2), 0.5)

class Told:
    robots = "Point"
    def __init__(self, setting):
        self.act_dim = setting.act_dim
    def reset(self, observations, rngs):
        self.rngs = rngs
    def act(self, observations):
        return [rng.uniform(-1, 1, self.act_dim) for rng in self.rngs]

class OneWorld:
    batched = False
    made = 0
    def __init__(self):
        self.steps = 0
    def reset(self, observation, rng):
        self.start = observation[0]
        self.rng = rng
    def act(self, observation):
        self.steps += 1
        return np.array([self.steps / 10, self.rng.uniform(-1, 1)])

class NoAct: pass
class TwoArguments:
    def __init__(self, setting, other): pass
    def act(self, observations): pass
class OddReset:
    def reset(self): pass
    def act(self, observations): pass
class Shape:
    def act(self, observations): return np.zeros(2)
class OneShape:
    batched = False
    def act(self, observation): return np.zeros((1, 2))
class Infinite:
    def act(self, observations):
        actions = np.zeros((len(observations), 2)); actions[1, 0] = np.inf
        return actions
class Nothing:
    def act(self, observations): return None
class Words:
    def act(self, observations): return "left"
class Raises:
    def act(self, observations): return observations[:, 1000]
class RaisesAtOnce:
    def __init__(self): raise ValueError("not today")
    def act(self, observations): return observations
not_a_class = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_experts.py"
    path.write_text(FILE)
    return path


def act(spec: str, robot: str = "Point") -> np.ndarray:
    expert = make_expert(spec, setting_of(robot))
    expert.reset(OBSERVATIONS, [np.random.default_rng(i) for i in range(3)])
    expert.act(OBSERVATIONS)
    return expert.act(OBSERVATIONS)


def test_every_name_makes_an_expert_that_drives_both_robots() -> None:
    assert {"goal_seeking", "forward_moving"} <= set(expert_names())
    for name in expert_names():
        assert make_expert(name, setting_of("Point")).robots == ("Point", "Car")
        assert expert_label(name) == name


def test_two_experts_of_one_name_are_refused_and_one_expert_twice_is_not() -> None:
    check_labels(["a.py:Mine", "b.py:Other", "goal_seeking", "a.py:Mine"])
    for first, second in (("a.py:Mine", "b.py:Mine"), ("a.py:Mine+goal_seeking@5", "b:Mine+goal_seeking@5")):
        with pytest.raises(UserError) as error:
            check_labels(["goal_seeking", first, second])
        assert f"the experts {first} and {second} would have the same name" in str(error.value)


def test_the_example_of_the_protocol_drives(tmp_path: Path) -> None:
    """The ten lines in the protocol's docstring are a file that works as it is written."""
    code = re.search(r"import numpy as np\n.*?axis=1\)\n", experts.protocol.__doc__ or "", re.DOTALL)
    assert code
    path = tmp_path / "spinning.py"
    path.write_text("\n".join(line.removeprefix("    ") for line in code.group().splitlines()))
    assert act(f"{path}:SpinningTop").shape == (3, 2)


def test_a_class_in_a_file_drives_without_a_reset_or_with_one(file: Path) -> None:
    np.testing.assert_array_equal(act(f"{file}:Bare"), 0.5)
    np.testing.assert_array_equal(act(f"{file}:Told"), act(f"{file}:Told"))
    assert expert_label(f"{file}:Told") == "Told"


def test_a_class_in_a_module_of_the_working_folder_drives(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = file.parent / "some_package_of_experts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(FILE)
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    np.testing.assert_array_equal(act("some_package_of_experts.mine:Bare"), 0.5)


def test_a_one_world_expert_has_an_instance_for_each_world(file: Path) -> None:
    actions = act(f"{file}:OneWorld")
    np.testing.assert_allclose(actions[:, 0], 0.2)
    second_draw = [np.random.default_rng(i).uniform(-1, 1, 2)[1] for i in range(3)]
    np.testing.assert_array_equal(actions[:, 1], second_draw)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            "goal_seekin",
            r"no expert 'goal_seekin', did you mean 'goal_seeking'.*file.py:Class",
        ),
        ("", "no expert ''"),
        ("{file}", "no expert .*file.py:Class"),
        ("{file}:", "no expert"),
        ("missing.py:Bare", "no file missing.py"),
        ("{file}:Bar", "no class 'Bar', did you mean 'Bare'\\?; expected one of those that it has: Bare, Told"),
        ("{file}:not_a_class", "no class 'not_a_class'"),
        ("no.such.module:Bare", "no module no.such.module"),
        ("{file}:NoAct", "no method act"),
        ("{file}:TwoArguments", "constructor that takes nothing or one argument"),
        ("{file}:OddReset", r"expected reset\(observations, rngs\)"),
        ("{file}:Shape", r"answered with shape \(2,\), expected \(3, 2\)"),
        ("{file}:OneShape", r"batched = False, expected \(act_dim,\)"),
        ("{file}:Infinite", r"answered with \[inf, 0.0\] in world 1; expected finite"),
        ("{file}:Nothing", "Nothing answered with"),
        ("{file}:Words", "Words answered with str; expected an array of numbers"),
        ("{file}:Raises", r":Raises fails in line \d+: IndexError: index 1000 is out of bounds.*; correct it"),
        ("{file}:RaisesAtOnce", r":RaisesAtOnce fails in line \d+: ValueError: not today; correct it"),
    ],
)
def test_a_mistake_is_one_clear_line(spec: str, complaint: str, file: Path) -> None:
    with pytest.raises(UserError, match=complaint) as raised:
        act(spec.format(file=file))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("class Broken(:\n    pass\n", r"does not load \(line 1\): SyntaxError"),
        ("import a_library_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_file_that_does_not_load_says_why(source: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(UserError, match=complaint):
        make_expert(f"{path}:Broken", setting_of("Point"))


def test_an_expert_that_cannot_drive_a_robot_says_so(file: Path) -> None:
    with pytest.raises(UserError, match="goal_seeking cannot drive the robot Ant, only Point and Car"):
        make_expert("goal_seeking", setting_of("Ant"))
    with pytest.raises(UserError, match="Told cannot drive the robot Car, only Point"):
        make_expert(f"{file}:Told", setting_of("Car"))
    assert make_expert(f"{file}:Bare", setting_of("Ant")).robots == ()


@pytest.mark.parametrize("name", ["goal_seeking", "agile_goal_seeking", "hazard_avoiding", "careful"])
def test_an_expert_names_the_sensor_that_it_misses(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} needs the sensor goal_lidar, this environment has accelerometer"):
        make_expert(name, setting_of("Point", lidars={"circle_lidar": 16}))


def test_goal_seeking_needs_no_hazards() -> None:
    setting = setting_of("Point", lidars={"goal_lidar": 16})
    expert = make_expert("goal_seeking", setting)
    assert expert.act(np.zeros((2, 28))).shape == (2, 2)
    with pytest.raises(UserError, match="hazard_avoiding needs the sensor hazards_lidar"):
        make_expert("hazard_avoiding", setting)


def test_a_name_of_ours_is_found_whatever_lies_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert find_class("goal_seeking").__module__ == "experts.goal_seeking"
    assert sys.path == before
