"""Worlds, spaces and experts that cannot be driven are refused, each in one line."""

import importlib.util
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.protocol import open_worlds
from mode_imitation.worlds.video import check_video
from tests import small_worlds
from tests.driven_worlds import FILE, drive, refused
from tests.small_worlds import Walker

CONTROLLERS = FILE.parent.parent / "docs" / "examples" / "controllers.py"


class Odd(gymnasium.Env):
    """An environment of any spaces."""

    def __init__(self, observations: spaces.Space, actions: spaces.Space) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return self.observation_space.sample(), {}


BOX = spaces.Box(-1, 1, (2,))
IMAGE = spaces.Box(0, 255, (8, 9, 3), np.uint8)


REFUSED: dict[str, tuple[spaces.Space, spaces.Space, str]] = {
    "images": (IMAGE, BOX, "has images (8 x 9 x 3) as observations; expected Box, Discrete"),
    "an image among others": (
        spaces.Dict({"eye": IMAGE, "arm": BOX}),
        BOX,
        "has images (8 x 9 x 3) as observations under",
    ),
    "Tuple": (spaces.Tuple([BOX, BOX]), BOX, "has Tuple observations; expected Box, Discrete"),
    "text": (spaces.Text(5), BOX, "has Text observations"),
    "no numbers": (spaces.Box(-1, 1, (0,)), BOX, "has observations without numbers"),
    "actions of whole numbers": (BOX, spaces.Box(0, 5, (2,), np.int64), "has Box (of whole numbers) actions; expected"),
    "actions of parts": (BOX, spaces.Dict({"arm": BOX}), "has Dict actions; expected a Box of numbers, Discrete"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_spaces_that_are_no_rows_of_numbers_are_refused_by_name(what: str) -> None:
    observations, actions, complaint = REFUSED[what]

    def odd() -> gymnasium.Env:
        return Odd(observations, actions)

    assert f"odd {complaint}" in refused(lambda: open_worlds(odd))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("CartPol-v1", "there is no environment 'CartPol-v1', did you mean 'CartPole-v1'?"),
        ("SafetyPointGoal9-v0", "did you mean 'SafetyPointGoal"),
        ("no_such_module:Walker-v0", "there is no module no_such_module"),
        ("tests.small_worlds:Walkr-v0", "there is no environment 'tests.small_worlds:Walkr-v0'"),
        (f"{FILE}:won", "has no function 'won', did you mean 'one'?"),
        (f"{FILE}", "names no function; expected path/to/file.py:function"),
        ("nowhere.py:one", "there is no file nowhere.py"),
        (f"{FILE}:neither", "returned str; expected a gymnasium.Env or a gymnasium.vector.VectorEnv"),
        (f"{FILE}:broken", "RuntimeError: the wheel is off; correct it and try again"),
        (small_worlds.neither, "returned str; expected a gymnasium.Env or a gymnasium.vector.VectorEnv"),
        (17, "17 is no environment; expected an id, a VectorEnv, or a function that returns one"),
    ],
)
def test_a_world_that_cannot_be_opened_is_one_clear_line(spec: Any, complaint: str) -> None:
    assert complaint in refused(lambda: open_worlds(spec, 2))


def test_a_path_of_the_simulators_is_refused_elsewhere() -> None:
    assert "--path library is for safety-gymnasium's tasks only" in refused(lambda: open_worlds(Walker, path="library"))


@pytest.mark.parametrize("steps", [0, 6])
def test_steps_beyond_the_time_limit_are_refused(steps: int) -> None:
    world = open_worlds("tests.small_worlds:Walker-v0", 2)
    assert f"{steps} steps; expected 1 to 5, the length" in refused(lambda: drive(world, n_steps=steps))


@pytest.mark.parametrize(
    ("env", "expert", "complaint"),
    [
        ("Pendulum-v1", "TwoNumbers", "expert TwoNumbers answered with shape (1, 2), expected (1, 1)"),
        ("CartPole-v1", "ThirdChoice", "expert ThirdChoice answered with [2.0] in world 0; expected choices by number"),
    ],
)
def test_an_expert_whose_actions_do_not_fit_is_refused_before_anything_is_written(
    env: str, expert: str, complaint: str, tmp_path: Path
) -> None:
    config = GenerateConfig(out="test/no-v0", env=env, expert=(f"{FILE}:{expert}=2",), root=tmp_path, workers=1)
    assert complaint in refused(lambda: generate(config))
    assert list(tmp_path.rglob("*")) == []


def test_too_many_steps_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = GenerateConfig(
        out="test/no-v0", env="Pendulum-v1", expert=(f"{CONTROLLERS}:Hang=2",), root=tmp_path, steps=201
    )
    assert "--steps is 201; expected 1 to 200" in refused(lambda: generate(config))
    assert list(tmp_path.rglob("*")) == []


def test_worlds_without_pictures_are_not_filmed() -> None:
    assert "blind renders no pictures (rgb_array); leave --video out" in refused(lambda: check_video(f"{FILE}:blind"))
    assert "returned SyncVectorEnv; expected one gymnasium.Env" in refused(lambda: check_video(f"{FILE}:several"))
    if importlib.util.find_spec("pygame") is None:
        assert "pygame is not installed" in refused(lambda: check_video("Pendulum-v1"))
