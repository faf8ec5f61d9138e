"""The vector environment: shim, light models, gymnasium's rules, bad input, scenes."""

import functools
import importlib.metadata
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety import make_vec, observation_slices, shim
from mode_imitation.worlds.safety.light_models import build_task, light_xml
from mode_imitation.worlds.safety.tasks import ENV_IDS, parse_env_id

POINT = "SafetyPointGoal1-v0"


@pytest.fixture
def env():
    made = make_vec(POINT, 3)
    yield made
    made.close()


class LibraryEnv(gymnasium.Env):
    """One of the library's tasks as a plain gymnasium environment, on a light model."""

    def __init__(self, env_id: str, steps: int) -> None:
        self.builder = build_task(env_id)
        self.builder.task.num_steps = steps
        self.observation_space = self.builder.observation_space
        self.action_space = self.builder.action_space

    def reset(self, *, seed=None, options=None):
        return self.builder.reset(seed=seed)[0], {"cost": 0.0}

    def step(self, action):
        observation, reward, cost, terminated, truncated, _ = self.builder.step(action)
        return observation, float(reward), terminated, truncated, {"cost": cost}


# --- shim and light models ---


def test_the_library_imports_without_a_word_and_with_warnings_as_errors() -> None:
    code = (
        "from mode_imitation.worlds.safety.shim import load; library = load();"
        "environment = library.make('SafetyCarCircle1-v0'); environment.action_space.sample()"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("package", "version"),
    [("gymnasium", "1.0.0"), ("mujoco", "2.3.3"), ("mujoco", "5.0.0rc1"), ("safety-gymnasium", "1.2.0")],
)
def test_an_unsupported_version_is_named(monkeypatch, package: str, version: str) -> None:
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == package else installed(name))
    with pytest.raises(UserError, match=rf"{package} {version} is not supported.*expected >="):
        shim.load.__wrapped__()


def test_a_missing_simulator_is_named(monkeypatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(UserError, match=r"safety-gymnasium is not installed.*pip install"):
        shim.load.__wrapped__()


@pytest.mark.parametrize("command", [["experts"], ["generate", "--expert", "circling=1", "--out", "no/simulator-v0"]])
def test_a_command_that_needs_a_missing_mujoco_ends_in_one_line(command: list[str], tmp_path: Path) -> None:
    # In a process of its own: here mujoco is imported already.
    code = "import sys; sys.modules['mujoco'] = None; from mode_imitation.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert re.fullmatch(r"mode-imitation: error: mujoco is not installed; expected .*install the .*\n", ended.stderr)
    assert not list(tmp_path.iterdir())


def test_sorted_observation_keys_are_refused(monkeypatch) -> None:
    shim.load()
    monkeypatch.setattr(shim, "GOAL1_KEYS", tuple(sorted(shim.GOAL1_KEYS)))
    with pytest.raises(UserError, match=r"parts come as accelerometer.*permuted"):
        shim._check_key_order()


def test_observation_slices_name_every_number_once() -> None:
    slices = observation_slices("SafetyCarGoal1-v0")
    assert slices["accelerometer"] == slice(0, 3)
    assert slices["ballangvel_rear"] == slice(12, 15)
    assert slices["vases_lidar"] == slice(56, 72)
    numbers = np.concatenate([np.r_[part] for part in slices.values()])
    np.testing.assert_array_equal(numbers, np.arange(72))


def test_light_xml_drops_pictures_and_keeps_the_rest() -> None:
    tree = {
        "mujoco": {
            "size": {"@njmax": "3000"},
            "asset": {"texture": [{"@name": "a"}], "mesh": {"@name": "m"}},
            "geom": [{"@name": 'x"<', "@material": "a"}, {"@name": "y"}],
        }
    }
    assert light_xml(tree) == (
        '<mujoco><size memory="16M"></size><asset><mesh name="m"></mesh></asset>'
        '<geom name=\'x"&lt;\'></geom><geom name="y"></geom></mujoco>'
    )


@pytest.mark.parametrize("env_id", ["SafetyRacecarButton1-v0", "SafetyCarPush2-v0", "SafetyDoggoCircle2-v0"])
def test_the_library_path_shows_exactly_what_the_untouched_library_shows(env_id: str) -> None:
    ours = make_vec(env_id, 1)
    library = build_task(env_id, light=False)
    rng = np.random.default_rng(0)
    assert ours.path == "library"
    np.testing.assert_array_equal(ours.reset(seed=[5])[0][0], library.reset(seed=5)[0])
    for _ in range(25):
        action = rng.uniform(-1, 1, ours.single_action_space.shape)
        observations, rewards, terminations, _, infos = ours.step(action[None])
        observation, reward, cost, terminated, _, info = library.step(action)
        np.testing.assert_array_equal(observations[0], observation)
        assert rewards[0] == reward
        assert infos["cost"][0] == cost
        assert terminations[0] == terminated
        assert infos["goal_met"][0] == info.get("goal_met", False)
    ours.close()


# --- the vector environment ---


def test_every_environment_id_is_registered_and_parsed() -> None:
    for env_id in ENV_IDS:
        name = parse_env_id(env_id)
        assert env_id.startswith(f"Safety{name.robot}")
        assert f"mode_imitation/{env_id}" in gymnasium.registry


def test_gymnasium_makes_it_by_name() -> None:
    env = gymnasium.make_vec("mode_imitation/SafetyPointGoal1-v0", num_envs=2)
    observations, infos = env.reset(seed=3)
    assert observations.shape == (2, 60)
    assert env.observation_space.contains(observations)
    observations, rewards, terminations, truncations, infos = env.step(env.action_space.sample())
    assert env.observation_space.contains(observations)
    assert rewards.shape == terminations.shape == truncations.shape == infos["cost"].shape == (2,)
    assert infos["position"].shape == infos["goal_position"].shape == (2, 2)
    assert infos["_cost"].all()
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.close()


def test_gymnasiums_wrappers_go_around_it() -> None:
    env: Any = gymnasium.make_vec("mode_imitation/SafetyCarGoal0-v0", num_envs=2, max_episode_steps=3)
    env = DictInfoToList(RecordEpisodeStatistics(env))
    env.reset(seed=0)
    rewards = [env.step(env.action_space.sample())[1] for _ in range(2)]
    _, last, _, truncations, infos = env.step(env.action_space.sample())
    assert truncations.all()
    assert infos[1]["episode"]["l"] == 3
    np.testing.assert_allclose(infos[1]["episode"]["r"], rewards[0][1] + rewards[1][1] + last[1])
    assert infos[0]["position"].shape == (2,)
    env.close()


def test_close_frees_the_worlds() -> None:
    env = make_vec(POINT, 2)
    env.reset(seed=0)
    data = [weakref.ref(task.data) for task in env.tasks]
    env.close()
    assert [one() for one in data] == [None, None]


def test_attributes_say_what_drives_where(env) -> None:
    assert (env.env_id, env.robot, env.num_envs, env.path, env.time_step) == (POINT, "Point", 3, "batched", 0.02)
    assert env.max_episode_steps == 1000
    car = make_vec("SafetyCarCircle0-v0", 1)
    assert (car.robot, car.path, car.time_step, car.max_episode_steps) == ("Car", "library", 0.04, 500)
    car.reset(seed=0)
    assert np.isnan(car.arrays.goal_positions).all()
    assert car.scene(0).goals.shape == (0, 2)
    car.close()


@pytest.mark.parametrize("path", ["batched", "library"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_autoreset_is_gymnasiums(path: Any, mode: AutoresetMode) -> None:
    steps, rng = 4, np.random.default_rng(1)
    ours = make_vec(POINT, 2, path=path, max_episode_steps=steps, autoreset_mode=mode)
    theirs = SyncVectorEnv([functools.partial(LibraryEnv, POINT, steps)] * 2, autoreset_mode=mode)
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-12)
    close(ours.reset(seed=9)[0], theirs.reset(seed=9)[0])
    for step in range(11):
        actions = rng.uniform(-1, 1, (2, 2))
        (observations, rewards, *ends, infos), expected = ours.step(actions), theirs.step(actions)
        close(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(ends, expected[2:4])
        assert ("final_obs" in infos) == ("final_obs" in expected[4])
        if "final_obs" in infos:
            close(np.stack(infos["final_obs"]), np.stack(expected[4]["final_obs"]))
            np.testing.assert_array_equal(infos["_final_obs"], expected[4]["_final_obs"])
            np.testing.assert_array_equal(infos["final_info"]["cost"], expected[4]["final_info"]["cost"])
        if mode == AutoresetMode.DISABLED and any(np.any(end) for end in ends):
            assert step == steps - 1
            with pytest.raises(UserError, match="world 0 has ended"):
                ours.step(actions)
            mask = {"reset_mask": np.array([True, True])}
            close(ours.reset(options=dict(mask))[0], theirs.reset(options=dict(mask))[0])
            break
    ours.close()


def test_a_masked_reset_leaves_the_other_worlds_alone(env) -> None:
    env.reset(seed=0)
    before = env.step(np.ones((3, 2)))[0]
    mask = np.array([False, True, False])
    after, _ = env.reset(seed=[7, 8, 9], options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    single = make_vec(POINT, 1)
    np.testing.assert_array_equal(after[1], single.reset(seed=8)[0][0])
    np.testing.assert_array_equal(env._steps, [1, 0, 1])
    single.close()


def test_what_was_returned_does_not_change_later(env) -> None:
    observations, infos = env.reset(seed=0)
    kept, position = observations.copy(), infos["position"].copy()
    env.step(np.ones((3, 2)))
    np.testing.assert_array_equal(observations, kept)
    np.testing.assert_array_equal(infos["position"], position)


def test_positions_and_headings_are_the_robots(env) -> None:
    _, infos = env.reset(seed=4)
    for world, task in enumerate(env.tasks):
        np.testing.assert_array_equal(infos["position"][world], task.agent.pos[:2])
        np.testing.assert_array_equal(infos["goal_position"][world], task.goal.pos[:2])
        ahead = [np.cos(infos["heading"][world]), np.sin(infos["heading"][world])]
        np.testing.assert_allclose(ahead, task.agent.mat[:2, 0], atol=1e-12)


# --- bad input ---


@pytest.mark.parametrize("env_id", ["SafetyPointGoal7-v0", "PointGoal1", "", None])
def test_an_unknown_task_is_named_with_close_matches(env_id: Any) -> None:
    with pytest.raises(UserError, match=r"unknown environment.*Safety\w+-v0"):
        make_vec(env_id, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0"),
        ({"num_envs": -2}, "num_envs is -2"),
        ({"num_envs": 1.5}, "num_envs is 1.5"),
        ({"threads": 0}, "threads is 0"),
        ({"max_episode_steps": 0}, "max_episode_steps is 0"),
        ({"path": "quick"}, "unknown path 'quick'"),
        ({"env_id": "SafetyPointPush1-v0", "path": "batched"}, "no batched path"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_vec(**{"env_id": POINT, "num_envs": 1} | options)


@pytest.mark.parametrize(
    "actions",
    [np.zeros((2, 2)), np.zeros(2), np.zeros((3, 3)), "left", np.full((3, 2), np.nan), [[0, 0], [np.inf, 0], [0, 0]]],
)
def test_bad_actions_step_no_world(env, actions: Any) -> None:
    env.reset(seed=0)
    before = [task.data.time for task in env.tasks]
    with pytest.raises(UserError, match=r"action.*expected"):
        env.step(actions)
    assert [task.data.time for task in env.tasks] == before
    env.step(np.zeros((3, 2)))


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4], [1, 2, -3], [1, 2, 2**32], [1, 2, 0.5], -1])
def test_bad_seeds_reset_no_world(env, seed: Any) -> None:
    env.reset(seed=0)
    before = env.step(np.ones((3, 2)))[0]
    with pytest.raises(UserError, match=r"seed.*expected"):
        env.reset(seed=seed)
    np.testing.assert_array_equal(env.arrays.observations, before)


@pytest.mark.parametrize("mask", [np.array([True, False]), np.array([1, 0, 0]), [True] * 3, np.zeros(3, bool)])
def test_a_bad_mask_is_refused(env, mask: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(UserError, match="reset_mask is a"):
        env.reset(options={"reset_mask": mask})


def test_a_step_before_the_first_reset_and_after_the_last_close_is_refused() -> None:
    env = make_vec(POINT, 1)
    with pytest.raises(UserError, match="no episode yet"):
        env.step(np.zeros((1, 2)))
    env.reset(seed=0)
    env.close()
    env.close()
    for call in (lambda: env.step(np.zeros((1, 2))), env.reset, lambda: env.scene(0)):
        with pytest.raises(UserError, match="is closed"):
            call()


@pytest.mark.parametrize("path", ["batched", "library"])
def test_a_layout_that_cannot_be_placed_harms_no_other_world(path: Any) -> None:
    env = make_vec(POINT, 2, path=path)
    env.reset(seed=0)
    task = env.tasks[0]
    place = task.random_generator.sample_layout
    task.random_generator.sample_layout = lambda: False
    with pytest.raises(UserError, match=r"cannot place world 0 .* for seed 3"):
        env.reset(seed=[3, 4])
    with pytest.raises(UserError, match="world 0 has no episode yet"):
        env.step(np.zeros((2, 2)))
    task.random_generator.sample_layout = place
    env.reset(seed=[3, 3], options={"reset_mask": np.array([True, False])})
    env.step(np.zeros((2, 2)))
    env.close()


def test_a_scene_of_no_world_is_refused(env) -> None:
    with pytest.raises(UserError, match="world 0 has no episode"):
        env.scene(0)
    env.reset(seed=0)
    with pytest.raises(UserError, match="no world 3"):
        env.scene(3)
