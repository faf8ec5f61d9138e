"""Vases that nobody touches may sleep: until a touch the robot cannot tell, and a touch wakes them."""

from typing import Any

import numpy as np
import pytest

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety import make_vec, vector_env
from mode_imitation.worlds.safety.sleep import can_sleep

N, STEPS = 12, 400
LIDAR_TOLERANCE = 1e-8
REACH = 0.45
"""Metres between the middles of robot and vase beyond which they surely do not touch in the next step."""
SETTLED = 50
"""Steps after which a vase has settled."""

pytestmark = pytest.mark.skipif(not can_sleep(), reason="this mujoco cannot let anything sleep")


def drive(env_id: str, towards: str, *, seeds: list[int], actions: np.ndarray | None = None, **options: Any) -> Any:
    """One episode of every world: what was shown, vases' places, awake trees, actions (noted) and slices."""
    env = make_vec(env_id, len(seeds), path="batched", **options)
    env.reset(seed=seeds)
    rng, shown, vases, awake, taken = np.random.default_rng(0), [], [], [], []
    for step in range(STEPS):
        action = actions[step] if actions is not None else steer(env, towards, rng)
        taken.append(action)
        env.step(action)
        arrays = env.arrays
        outcome = [arrays.observations, arrays.rewards, arrays.costs, arrays.goals_met, arrays.positions]
        shown.append([part.copy() for part in outcome])
        if env.processes == 1:
            vases.append(
                [[task.data.body(f"vase{i}").xpos.copy() for i in range(task.vases.num)] for task in env.tasks]
            )
            awake.append([task.data.ntree_awake for task in env.tasks])
    slices = env.observation_slices
    env.close()
    columns = [np.array(column) for column in zip(*shown, strict=True)]
    return columns, np.array(vases), np.array(awake), np.array(taken), slices


def steer(env: Any, towards: str, rng: np.random.Generator) -> np.ndarray:
    """Turn to the goal or the first vase and drive, not quite steadily."""
    arrays = env.arrays
    aim = arrays.goal_positions if towards == "goal" else arrays.vases[:, 0]
    apart = aim - arrays.positions
    angle = np.arctan2(apart[:, 1], apart[:, 0]) - arrays.headings
    angle = np.arctan2(np.sin(angle), np.cos(angle))
    push = np.stack([0.6 * np.cos(angle), 1.5 * angle], axis=1)
    return np.clip(push + 0.2 * rng.normal(size=push.shape), -1, 1)


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyPointGoal2-v0", "SafetyCarGoal1-v0"])
def test_a_robot_moves_to_the_last_bit_as_if_no_vase_slept_until_it_touches_one(env_id: str) -> None:
    seeds = list(range(N))
    (seen, *outcomes), places, awake, actions, slices = drive(env_id, "goal", seeds=seeds)
    (seen_asleep, *outcomes_asleep), _, awake_asleep, _, _ = drive(
        env_id, "goal", seeds=seeds, actions=actions, physics="sleeping"
    )
    apart = np.linalg.norm(places[..., :2] - outcomes[3][:, :, None], axis=-1).min(axis=2)  # (T, N)
    untouched = np.minimum.accumulate(apart > REACH, axis=0)
    lidar = np.zeros(seen.shape[-1], dtype=bool)
    for name, part in slices.items():
        lidar[part] = name.endswith("_lidar")
    np.testing.assert_array_equal(seen[untouched][:, ~lidar], seen_asleep[untouched][:, ~lidar])
    np.testing.assert_allclose(
        seen[untouched][:, lidar], seen_asleep[untouched][:, lidar], rtol=0, atol=LIDAR_TOLERANCE
    )
    for ours, theirs in zip(outcomes, outcomes_asleep, strict=True):
        np.testing.assert_array_equal(ours[untouched], theirs[untouched])
    goals = outcomes[2]
    if "Car" not in env_id:  # a Car takes these actions for something else
        assert goals[untouched].sum() >= N / 2, "too few goals were put elsewhere to tell anything"
    # The robot is one tree; every vase another.
    assert (awake[-1] == 1 + places.shape[2]).all()
    asleep = awake_asleep[SETTLED:][untouched[SETTLED:]] == 1
    assert asleep.mean() > 0.95, "a new goal's place wakes everything, for a moment"


def test_a_vase_that_is_pushed_wakes_moves_as_far_and_sleeps_again() -> None:
    seeds = list(range(N))
    exact = drive("SafetyPointGoal1-v0", "vase", seeds=seeds)
    sleeping = drive("SafetyPointGoal1-v0", "vase", seeds=seeds, physics="sleeping")
    ways = [np.linalg.norm(run[1][-1, :, 0] - run[1][SETTLED, :, 0], axis=1) for run in (exact, sleeping)]
    assert (ways[0] > 0.01).mean() > 0.5, "hardly a vase was pushed"
    np.testing.assert_array_equal(ways[0] > 0.01, ways[1] > 0.01)
    assert abs(ways[1].mean() - ways[0].mean()) < 0.25 * ways[0].mean()
    pushed = np.flatnonzero(ways[1] > 0.01)
    awake = sleeping[2][:, pushed] > 1
    places = sleeping[1][:, pushed, 0]  # (T, P, 3)
    moves = np.linalg.norm(np.diff(places, axis=0), axis=-1) > 1e-5
    assert awake[1:][SETTLED:][moves[SETTLED:]].all(), "one moved in its sleep"
    rested = ~moves[-SETTLED:].any(axis=0)
    assert rested.any(), "all are being pushed at the end"
    assert not awake[-1, rested].any(), "one that rests does not sleep again"


def test_vases_sleep_in_later_episodes_too() -> None:
    env = make_vec("SafetyPointGoal1-v0", 2, path="batched", physics="sleeping")
    for seed in (1, None):
        env.reset(seed=seed)
        for _ in range(SETTLED):
            env.step(np.zeros((2, 2)))
        assert [task.data.ntree_awake for task in env.tasks] == [1, 1]
    env.close()


def test_vases_may_still_sleep_where_no_place_was_found_for_a_goal() -> None:
    env = make_vec("SafetyPointGoal1-v0", 1, path="batched", physics="sleeping")
    env.tasks[0].goal.size = 10.0
    env.reset(seed=1)
    (task,) = env.tasks
    allowed = task.model.opt.enableflags
    task.random_generator.sample_goal_position = lambda: False
    env.step(np.zeros((1, 2)))
    assert env.arrays.terminations.all()
    assert task.model.opt.enableflags == allowed != 0
    env.close()


def test_sleep_is_the_same_in_other_processes() -> None:
    seeds = list(range(4))
    here = drive("SafetyPointGoal1-v0", "goal", seeds=seeds, physics="sleeping")
    spread = drive("SafetyPointGoal1-v0", "goal", seeds=seeds, actions=here[3], physics="sleeping", processes=2)
    for ours, theirs in zip(here[0], spread[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_where_vases_cannot_sleep_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="batched path only; expected physics='exact'"):
        make_vec("SafetyPointGoal1-v0", 2, path="library", physics="sleeping")
    with pytest.raises(UserError, match="unknown physics 'quick'; expected exact, sleeping, fast"):
        make_vec("SafetyPointGoal1-v0", 2, physics="quick")  # type: ignore[arg-type]
    monkeypatch.setattr(vector_env, "can_sleep", lambda: False)
    with pytest.raises(UserError, match=r"expected mujoco >= 3\.4"):
        make_vec("SafetyPointGoal1-v0", 2, physics="sleeping")
