"""Worlds in groups over processes show what they show in one, and leave nothing behind."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from mode_imitation.errors import UserError
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety import NavigationVectorEnv, make_vec, process_worlds, vector_env
from mode_imitation.worlds.safety.batched_worlds import BatchedWorlds
from mode_imitation.worlds.safety.process_worlds import LineReader
from tests.running import is_running

POINT = "SafetyPointGoal0-v0"
N = 5
PATIENCE_S = 30

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes as Linux shows them")


@pytest.fixture(scope="module")
def spread() -> Iterator[NavigationVectorEnv]:
    """Two processes, this one and another, with two and three worlds, and two threads each."""
    env = make_vec(POINT, N, processes=2, threads=2, max_episode_steps=60)
    yield env
    env.close()


@pytest.fixture
def single() -> Iterator[NavigationVectorEnv]:
    env = make_vec(POINT, N, processes=1, threads=1, max_episode_steps=60)
    yield env
    env.close()


class Straight:
    """An expert that drives towards what is in front of it."""

    def reset(self, observations: np.ndarray, rngs: Any) -> None:
        pass

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(len(observations)), observations[:, 12] - observations[:, 27]], axis=1)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_goals_and_resets_of_every_kind_are_the_same_to_the_bit(spread: Any, single: Any, mode: AutoresetMode) -> None:
    spread.autoreset_mode = single.autoreset_mode = mode
    rng = np.random.default_rng(3)
    np.testing.assert_equal(spread.reset(seed=11), single.reset(seed=11))
    goals = 0
    for step in range(130):
        actions = towards_goal(single) + 0.3 * rng.normal(size=(N, 2))
        ours, theirs = spread.step(actions), single.step(actions)
        for infos in (ours[4], theirs[4]):
            if "final_obs" in infos:  # an array of arrays, and None for the other worlds
                infos["final_obs"] = list(infos["final_obs"])
        np.testing.assert_equal(ours, theirs)
        goals += int(ours[4]["goal_met"].sum())
        ended = ours[2] | ours[3]
        chosen = rng.random(N) < 0.4 if step % 40 == 39 else np.zeros(N, dtype=bool)
        if mode == AutoresetMode.DISABLED:
            chosen |= ended
        if chosen.any():
            seeds = [None if rng.random() < 0.5 else int(seed) for seed in rng.integers(0, 2**32, N)]
            options = {"reset_mask": chosen}
            np.testing.assert_equal(
                spread.reset(seed=seeds, options=dict(options)), single.reset(seed=seeds, options=dict(options))
            )
        for world in range(N):
            np.testing.assert_equal(vars(spread.scene(world)), vars(single.scene(world)))
    assert goals > 2


def test_recorded_episodes_are_the_same_to_the_bit(spread: Any, single: Any) -> None:
    def record(env: NavigationVectorEnv) -> list[Any]:
        rngs = [np.random.default_rng([5, episode]) for episode in range(7)]
        return rollout(env, ExpertController(Straight(), 40, rngs), list(range(7)), 40)

    few = make_vec(POINT, 2, max_episode_steps=60)
    ours, theirs, again = record(spread), record(single), record(few)
    for one, other, third in zip(ours, theirs, again, strict=True):
        np.testing.assert_equal(vars(one) | {"scene": vars(one.scene)}, vars(other) | {"scene": vars(other.scene)})
        np.testing.assert_equal(vars(one) | {"scene": vars(one.scene)}, vars(third) | {"scene": vars(third.scene)})
    few.close()


@pytest.mark.parametrize("worlds", [[0], [1, 4], [3, 2]])
def test_only_the_worlds_that_are_asked_step(spread: Any, single: Any, worlds: list[int]) -> None:
    for env in (spread, single):
        env.reset(seed=2)
        before = env.arrays.observations.copy()
        env._worlds.step(np.ones((N, 2)), np.array(worlds))
        stepped = (env.arrays.observations != before).any(axis=1)
        np.testing.assert_array_equal(stepped, [world in worlds for world in range(N)])
    np.testing.assert_array_equal(spread.arrays.observations, single.arrays.observations)


def test_bad_actions_step_no_world(spread: Any) -> None:
    observations, _ = spread.reset(seed=2)
    for actions in (np.full((N, 2), np.nan), np.zeros((N + 1, 2))):
        with pytest.raises(UserError, match=r"action.*expected"):
            spread.step(actions)
    np.testing.assert_array_equal(spread.arrays.observations, observations)
    spread.step(np.zeros((N, 2)))


def test_the_librarys_tasks_are_elsewhere(spread: Any, single: Any) -> None:
    with pytest.raises(UserError, match="over 2 processes; expected processes=1"):
        _ = spread.tasks
    assert len(single.tasks) == N


def test_the_library_path_is_spread_too() -> None:
    envs = [make_vec("SafetyPointButton1-v0", 3, processes=processes) for processes in (2, 1)]
    assert [env.path for env in envs] == ["library"] * 2
    spread, single = envs
    np.testing.assert_equal(spread.reset(seed=4), single.reset(seed=4))
    for _ in range(5):
        np.testing.assert_equal(spread.step(np.ones((3, 2))), single.step(np.ones((3, 2))))
    np.testing.assert_equal(vars(spread.scene(2)), vars(single.scene(2)))
    for env in envs:
        env.close()


@pytest.mark.parametrize("unlucky", [0, 2])
def test_a_layout_that_cannot_be_placed_harms_no_other_world(tmp_path: Path, monkeypatch, unlucky: int) -> None:
    (tmp_path / "stubborn_group.py").write_text(
        "from mode_imitation.worlds.safety import process_worlds\n"
        "from mode_imitation.worlds.safety.batched_worlds import BatchedWorlds\n"
        "reset = BatchedWorlds.reset\n"
        "def stubborn(self, worlds, seeds):\n"
        "    good = [seed != 13 for seed in seeds]\n"
        "    reset(self, worlds[good], [seed for seed in seeds if seed != 13])\n"
        "    return [(world, 'unlucky') for world in worlds[[not one for one in good]].tolist()]\n"
        "def serve_group():\n"
        "    BatchedWorlds.reset = stubborn\n"
        "    process_worlds.serve_group()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stubborn_group = importlib.import_module("stubborn_group")
    monkeypatch.setattr(process_worlds, "serve_group", stubborn_group.serve_group)
    # Worlds 0 and 1 are stepped in this process.
    monkeypatch.setattr(BatchedWorlds, "reset", stubborn_group.stubborn)
    monkeypatch.delitem(sys.modules, "stubborn_group")
    env, single = make_vec(POINT, 3, processes=2), make_vec(POINT, 3, processes=1)
    seeds = [11, 12, 14]
    with pytest.raises(UserError, match=rf"cannot place world {unlucky} .* for seed 13 \(unlucky\)"):
        env.reset(seed=[13 if world == unlucky else seed for world, seed in enumerate(seeds)])
    with pytest.raises(UserError, match=f"world {unlucky} has no episode yet"):
        env.step(np.zeros((3, 2)))
    observations, _ = env.reset(seed=seeds, options={"reset_mask": np.arange(3) == unlucky})
    np.testing.assert_array_equal(observations, single.reset(seed=seeds)[0])
    np.testing.assert_equal(env.step(np.ones((3, 2))), single.step(np.ones((3, 2))))
    env.close()
    single.close()


def test_an_interruption_in_this_processes_group_ends_the_others(monkeypatch) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    env: Any = make_vec(POINT, 2, processes=2)
    env.reset(seed=0)
    (other,) = env._worlds.process_ids
    monkeypatch.setattr(env._worlds._own, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros((2, 2)))
    assert not is_running(other)
    with pytest.raises(RuntimeError, match="make another environment"):
        env.step(np.zeros((2, 2)))
    env.close()


@pytest.mark.parametrize("cores", [1, 2])
def test_processes_stay_awake_only_where_each_has_a_core_and_show_the_same(monkeypatch, single, cores: int) -> None:
    monkeypatch.setattr(vector_env, "cores", lambda: cores)
    env: Any = make_vec(POINT, N, processes=2, threads=1, max_episode_steps=60)
    assert (env._worlds._replies[0].patience_s > 0) == (cores == 2)
    np.testing.assert_equal(env.reset(seed=6), single.reset(seed=6))
    for _ in range(20):
        np.testing.assert_equal(env.step(np.ones((N, 2))), single.step(np.ones((N, 2))))
    env.close()


def test_who_waits_for_a_line_stays_awake_only_where_the_last_one_came_soon() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as lines:
        reader = LineReader(lines, float("inf"))
        for patience_s, awake in ((float("inf"), True), (0.0, False), (float("inf"), True)):
            reader.patience_s = patience_s
            os.write(writing, b"step\n")
            assert reader.readline() == "step\n"
            assert reader.awake == awake
        os.close(writing)
        assert reader.readline() == ""


def test_a_process_that_dies_is_named_and_close_frees_the_rest() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    env: Any = gymnasium.make_vec("mode_imitation/SafetyPointGoal0-v0", num_envs=3, processes=3)
    env.reset(seed=0)
    first, second = env.unwrapped._worlds.process_ids
    os.kill(second, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="process 2 of the simulator, with worlds 2 to 2, ended with status -9"):
        env.step(np.zeros((3, 2)))
    for again in (lambda: env.reset(seed=0), lambda: env.step(np.zeros((3, 2)))):
        with pytest.raises(RuntimeError, match="make another environment"):
            again()
    env.close()
    assert not is_running(first)
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(UserError, match="is closed"):
        env.reset(seed=0)


def test_processes_end_with_a_parent_that_is_killed_and_need_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from mode_imitation.worlds.safety import make_vec\n"
        "env = make_vec('SafetyPointGoal0-v0', 3, processes=3)\n"
        "env.reset(seed=0)\n"
        "print(*env._worlds.process_ids, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == -signal.SIGKILL
    children = [int(word) for word in done.stdout.split()]
    assert len(children) == 2
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))


@pytest.mark.parametrize("processes", [0, -1, 1.5, True])
def test_a_number_of_processes_that_makes_no_sense_is_refused(processes: Any) -> None:
    with pytest.raises(UserError, match=r"processes is .*expected a whole number"):
        make_vec(POINT, 2, processes=processes)


@pytest.mark.parametrize(
    ("n_worlds", "asked", "expected"),
    [
        (64, (None, 1), (4, 1)),
        (64, (None, None), (1, 4)),
        (64, (None, 2), (2, 2)),
        (11, (None, 1), (2, 1)),
        (11, (None, None), (1, 4)),
        (5, (None, None), (1, 2)),
        (3, (None, None), (1, 1)),
        (2, (3, 9), (3, 2)),
    ],
)
def test_what_is_left_open_follows_the_cores_and_the_worlds(monkeypatch, n_worlds, asked, expected) -> None:
    monkeypatch.setattr(vector_env, "cores", lambda: 4)
    assert vector_env.spread(n_worlds, *asked, threadable=True) == expected
    assert vector_env.spread(n_worlds, *asked, threadable=False) == (1, expected[1])


def towards_goal(env: NavigationVectorEnv) -> np.ndarray:
    """Actions (N, 2) that drive Point to its goal."""
    away = env.arrays.goal_positions - env.arrays.positions
    bearing = np.arctan2(away[:, 1], away[:, 0]) - env.arrays.headings
    bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
    return np.stack([np.where(np.abs(bearing) < 0.5, 1.0, 0.1), np.clip(3 * bearing, -1, 1)], axis=1)
