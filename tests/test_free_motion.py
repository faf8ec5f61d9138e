"""Robots that touch nothing, integrated together, against MuJoCo step by step."""

import dataclasses
import gc
import weakref
from typing import Any

import numpy as np
import pytest

from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.safety.batched_worlds import AGENT, VASE, layout_of
from mode_imitation.worlds.safety.free_motion import FreeRobot, is_plain, reach_of
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.shim import import_mujoco
from mode_imitation.worlds.safety.sleep import can_sleep
from mode_imitation.worlds.safety.vector_env import FEWEST_FREE

mujoco = import_mujoco()

ENV_ID = "SafetyPointGoal1-v0"
PLACE, SPEED, FELT = 1e-11, 1e-8, 1e-6
"""Tolerances after one step: metres and radians, per second, and per second squared. The stiff servo of the turn makes
1e-16 some 1e-11 within the ten substeps; what is left out of the equations would show at once."""


def task_of(env_id: str = ENV_ID, seed: int = 0) -> Any:
    builder = build_task(env_id)
    builder.reset(seed=seed)
    return builder


def robot_of(task: Any) -> FreeRobot:
    return FreeRobot.of(task.model, task.sim_conf.frameskip_binom_n)


def base_of(model: Any) -> float:
    quaternion = model.body_quat[model.body("agent").id]
    return float(2 * np.arctan2(quaternion[3], quaternion[0]))


@pytest.mark.parametrize("env_id", ["SafetyPointGoal0-v0", ENV_ID, "SafetyPointGoal2-v0"])
def test_a_step_is_mujocos_from_any_state_under_any_action(env_id: str) -> None:
    task = task_of(env_id).task
    model, data, robot = task.model, task.data, robot_of(task)
    rng, n = np.random.default_rng(0), 200
    places = rng.normal(scale=[2, 2, 4], size=(n, 3)) + 100  # far from everything
    speeds = rng.normal(scale=[1, 1, 3], size=(n, 3))
    actions = np.clip(rng.normal(scale=0.7, size=(n, 2)) * (rng.random((n, 2)) < 0.9), -1, 1)
    actions[0] = speeds[0] = 0
    moved, faster, sensors = robot.step(places, speeds, actions, np.full(n, base_of(model)))
    for one in range(n):
        data.qpos[:3], data.qvel[:3], data.ctrl[:] = places[one], speeds[one], actions[one]
        mujoco.mj_step(model, data, nstep=robot.substeps)
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(moved[one], data.qpos[:3], rtol=0, atol=PLACE)
        np.testing.assert_allclose(faster[one], data.qvel[:3], rtol=0, atol=SPEED)
        np.testing.assert_allclose(sensors[one, :3], data.sensordata[:3], rtol=0, atol=FELT)
        np.testing.assert_allclose(sensors[one, 3:], data.sensordata[3:12], rtol=0, atol=SPEED)


def change(option: str, value: Any) -> Any:
    def apply(model: Any) -> None:
        getattr(model, option)[...] = value

    return apply


def windy(model: Any) -> None:
    model.opt.wind[:] = 1


def without_turning(model: Any) -> None:
    model.opt.disableactuator = 1


def implicit(model: Any) -> None:
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICIT


@pytest.mark.parametrize("env_id", ["SafetyPointGoal0-v0", ENV_ID, "SafetyPointGoal2-v0"])
def test_every_layout_is_plain_also_after_its_goal_has_moved(env_id: str) -> None:
    plain = layout_of(env_id).model
    for seed in range(3):
        task = task_of(env_id, seed).task
        assert is_plain(task.model, plain)
        task.update_layout()
        task.update_world()
        assert is_plain(task.model, plain)


@pytest.mark.parametrize(
    "apply",
    [
        windy,
        implicit,
        without_turning,
        change("jnt_stiffness", 1.0),
        change("dof_armature", 1e-3),
        change("dof_frictionloss", 1e-3),
        change("actuator_gainprm", 2.0),
        change("actuator_forcelimited", 0),
        change("sensor_cutoff", 1.0),
        change("jnt_limited", 1),
        change("jnt_actfrclimited", 1),
        lambda model: model.geom_contype.__setitem__(model.geom("hazard0").id, 1),
        # A robot that the floor brakes.
        lambda model: model.body_pos[model.body("agent").id].__isub__([0, 0, 1e-6]),
        lambda model: model.geom_size[model.geom("agent").id].__iadd__(1e-4),
        lambda model: model.geom_margin[model.geom("floor").id : 1].__iadd__(1e-2),
        lambda model: model.geom_quat[model.geom("floor").id].__iadd__([0, 0.1, 0, 0]),
    ],
)
def test_a_model_that_was_changed_is_left_to_mujoco(apply: Any) -> None:
    model, plain = task_of(seed=1).task.model, layout_of(ENV_ID).model
    assert is_plain(model, plain)
    apply(model)
    assert not is_plain(model, plain)


@pytest.mark.parametrize(("part", "value"), [("mass", 1.01), ("moment", 0.99), ("servo", 1.01), ("gravity", 1.01)])
def test_equations_with_another_constant_do_not_agree_with_mujoco(part: str, value: float) -> None:
    task = task_of().task
    robot = robot_of(task)
    assert robot.agrees(task.model)
    assert not dataclasses.replace(robot, **{part: value * getattr(robot, part)}).agrees(task.model)


def steer(env: Any, aim: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    apart = aim - env.arrays.positions
    angle = np.arctan2(apart[:, 1], apart[:, 0]) - env.arrays.headings
    angle = np.arctan2(np.sin(angle), np.cos(angle))
    push = np.stack([0.6 * np.cos(angle), 1.5 * angle], axis=1)
    return np.clip(push + 0.2 * rng.normal(size=push.shape), -1, 1)


needs_sleep = pytest.mark.skipif(not can_sleep(), reason="this mujoco cannot let anything sleep")


@needs_sleep
@pytest.mark.parametrize("env_id", [ENV_ID, "SafetyPointGoal2-v0"])
def test_every_free_step_of_an_episode_is_what_mujoco_makes_of_the_world(env_id: str) -> None:
    """Each step after which a robot is free is taken again by MuJoCo, from the state before, hand-overs included."""
    n, steps = FEWEST_FREE, 300
    env = make_vec(env_id, n, path="batched", physics="fast")
    env.reset(seed=list(range(n)))
    worlds: Any = env._worlds
    tasks = [builder.task for builder in worlds.builders]
    robots, layout, rng = worlds._free, worlds._layout, np.random.default_rng(0)
    scratch = [mujoco.MjData(task.model) for task in tasks]
    aims = (lambda: env.arrays.goal_positions, lambda: env.arrays.vases[:, 0])
    counts = dict.fromkeys(("free", "goals", "taken", "given back", "costly"), 0)
    for step in range(steps):
        was_free = robots.free.copy()
        before = [
            (robots._places[world].copy(), robots._speeds[world].copy())
            if was_free[world]
            else (tasks[world].data.qpos[:3].copy(), tasks[world].data.qvel[:3].copy())
            for world in range(n)
        ]
        actions = steer(env, aims[step // 100 % 2](), rng)
        goals, from_goal = env.arrays.goal_positions.copy(), worlds._last_distances.copy()
        env.step(actions)
        counts["given back"] += int((was_free & ~robots.free & ~env.arrays.goals_met).sum())
        counts["goals"] += int(env.arrays.goals_met.sum())
        counts["taken"] += int((~was_free & robots.free).sum())
        moved = np.flatnonzero(robots.free | (was_free & env.arrays.goals_met))
        for world in moved.tolist():
            counts["free"] += 1
            task, data = tasks[world], scratch[world]
            mujoco.mj_copyData(data, task.model, task.data)
            assert not data.qvel[3:].any(), "a vase moves"
            data.qpos[:3], data.qvel[:3], data.ctrl[:] = *before[world], actions[world]
            mujoco.mj_step(task.model, data, nstep=10)
            mujoco.mj_forward(task.model, data)
            place = data.xpos[layout.agent][:2]
            np.testing.assert_allclose(env.arrays.positions[world], place, rtol=0, atol=PLACE)
            heading = np.arctan2(data.xmat[layout.agent][3], data.xmat[layout.agent][0])
            np.testing.assert_allclose(np.exp(1j * (env.arrays.headings[world] - heading)), 1, rtol=0, atol=PLACE)
            for name in ("accelerometer", "velocimeter", "gyro", "magnetometer"):
                shown = env.arrays.observations[world, env.observation_slices[name]]
                where = int(task.model.sensor(name).adr[0])
                tolerance = FELT if name == "accelerometer" else SPEED
                np.testing.assert_allclose(shown, data.sensordata[where : where + 3], rtol=0, atol=tolerance)
            touching = layout.geom_codes[data.contact.geom].sum(axis=1)
            assert not (touching == AGENT + VASE).any(), "a vase was touched"
            apart = np.linalg.norm(goals[world] - place)
            assert bool(env.arrays.goals_met[world]) == (apart <= task.goal.size)
            reward = (from_goal[world] - apart) * layout.reward_distance + layout.reward_goal * (
                apart <= task.goal.size
            )
            assert env.arrays.rewards[world] == pytest.approx(reward, abs=1e-9)
            costly = np.linalg.norm(env.arrays.hazards[world] - place, axis=1).min() < task.hazards.size
            counts["costly"] += costly
            assert env.arrays.costs[world] == costly
    env.close()
    assert counts["free"] > (0.5 if env_id == ENV_ID else 0.1) * n * steps, counts
    assert min(counts.values()) >= 3, counts


@needs_sleep
@pytest.mark.parametrize("env_id", ["SafetyPointGoal0-v0", ENV_ID, "SafetyPointGoal2-v0"])
def test_worlds_do_not_depend_on_each_other_nor_on_what_they_were_before(env_id: str) -> None:
    """Some are reset in mid-episode and some stepped alone: to the bit as in worlds that have seen nothing else."""
    n, rng = FEWEST_FREE, np.random.default_rng(0)
    actions = np.clip(0.5 * rng.normal(size=(120, n, 2)) + [0.3, 0], -1, 1)
    mixed = make_vec(env_id, n, path="batched", physics="fast")
    fresh = make_vec(env_id, n + 3, path="batched", physics="fast")
    mixed.reset(seed=list(range(n)))
    for step in range(60):
        mixed.step(actions[step])
    again = np.array([5, 1, 6])
    mixed._worlds.reset(again, [20, 21, 22])
    fresh.reset(seed=[20, 21, 22, *range(3, n + 3)])
    for step in range(120):
        mixed._worlds.step(actions[step], again)
        spread = np.zeros((n + 3, 2))
        spread[:3] = actions[step, again]
        fresh._worlds.step(spread, np.arange(n + 3)[::-1])
        for shown in ("observations", "rewards", "costs", "goals_met", "positions"):
            np.testing.assert_array_equal(getattr(mixed.arrays, shown)[again], getattr(fresh.arrays, shown)[:3])
    mixed.close()
    fresh.close()


@needs_sleep
@pytest.mark.parametrize("n", [FEWEST_FREE - 1, FEWEST_FREE])
def test_processes_show_the_same_to_the_bit(n: int) -> None:
    shown = []
    for processes in (1, 2):
        env = make_vec(ENV_ID, n, path="batched", physics="fast", processes=processes)
        env.reset(seed=0)
        for step in range(80):
            env.step(np.full((n, 2), 0.3 * np.cos(step)))
        shown.append(env.arrays.observations.copy())
        env.close()
    np.testing.assert_array_equal(*shown)


@needs_sleep
def test_who_asks_for_tasks_sees_them_up_to_date_and_may_change_them() -> None:
    n = FEWEST_FREE

    def driven(change: Any = None) -> np.ndarray:
        env = make_vec(ENV_ID, n, path="batched", physics="fast")
        env.reset(seed=list(range(n)))
        for step in range(60):
            if step == 30:
                places = np.array([task.data.body("agent").xpos[:2] for task in env.tasks])
                np.testing.assert_allclose(places, env.arrays.positions, rtol=0, atol=PLACE)
                for task in env.tasks:
                    if change is not None:
                        change(task)
            env.step(np.full((n, 2), 0.05))
        ways = np.linalg.norm(env.arrays.positions - places, axis=1)
        env.close()
        return ways

    def brake(task: Any) -> None:
        task.model.dof_damping[:2] *= 20

    def shift(task: Any) -> None:
        task.data.qpos[0] += 5

    plain = driven()
    assert plain.min() > 0.1
    assert (driven(brake) < 0.3 * plain).all()
    assert (driven(shift) > 4).all()


@needs_sleep
def test_closing_frees_the_worlds() -> None:
    env = make_vec(ENV_ID, FEWEST_FREE, path="batched", physics="fast")
    env.reset(seed=0)
    env.step(np.zeros((FEWEST_FREE, 2)))
    left = [weakref.ref(task.model) for task in env.tasks]
    env.close()
    gc.collect()
    assert not any(model() for model in left)


@needs_sleep
def test_a_world_that_is_given_back_shows_what_it_showed() -> None:
    n = FEWEST_FREE
    env = make_vec(ENV_ID, n, path="batched", physics="fast")
    env.reset(seed=list(range(n)))
    rng = np.random.default_rng(0)
    for _ in range(100):
        env.step(steer(env, env.arrays.goal_positions, rng))
    worlds: Any = env._worlds
    free = np.flatnonzero(worlds._free.free)
    assert len(free) >= n / 2
    shown = env.arrays.observations.copy(), env.arrays.positions.copy(), env.arrays.headings.copy()
    for world in free.tolist():
        worlds._free.give_back(world)
        worlds._read(world)
    worlds._look(free)
    np.testing.assert_allclose(env.arrays.observations, shown[0], rtol=0, atol=FELT)
    np.testing.assert_allclose(env.arrays.positions, shown[1], rtol=0, atol=PLACE)
    np.testing.assert_allclose(env.arrays.headings, shown[2], rtol=0, atol=PLACE)
    env.close()


@needs_sleep
def test_few_worlds_and_cars_drive_as_if_only_vases_slept() -> None:
    for env_id, n in ((ENV_ID, FEWEST_FREE - 1), ("SafetyCarGoal1-v0", FEWEST_FREE)):
        shown = []
        for physics in ("sleeping", "fast"):
            env = make_vec(env_id, n, path="batched", physics=physics)
            env.reset(seed=0)
            for step in range(60):
                env.step(np.full((n, 2), 0.1 * np.cos(step)))
            shown.append(env.arrays.observations.copy())
            env.close()
        np.testing.assert_array_equal(*shown)


@needs_sleep
def test_a_vase_is_pushed_as_far_as_in_exact_physics() -> None:
    n, ways = 24, []
    for physics in ("exact", "fast"):
        env = make_vec(ENV_ID, n, path="batched", physics=physics)
        env.reset(seed=list(range(n)))
        rng = np.random.default_rng(0)
        for _ in range(300):
            env.step(steer(env, env.arrays.vases[:, 0], rng))
        now = np.array([task.data.body("vase0").xpos[:2].copy() for task in env.tasks])
        ways.append(np.linalg.norm(now - env.arrays.vases[:, 0], axis=1))
        env.close()
    exact, fast = ways
    assert (exact > 0.01).mean() > 0.5, "hardly a vase was pushed"
    np.testing.assert_array_equal(exact > 0.01, fast > 0.01)
    assert abs(fast.mean() - exact.mean()) < 0.25 * exact.mean()


@needs_sleep
def test_reach_is_beyond_any_touch() -> None:
    """Robot and vase in any turn, at the distance that counts as out of reach: nothing touches."""
    task, layout = task_of().task, layout_of(ENV_ID)
    model, data = task.model, task.data
    rng = np.random.default_rng(0)
    origin = model.body_pos[layout.agent]
    for _ in range(300):
        away, turn = rng.uniform(0, 2 * np.pi, 2)
        quaternion = rng.normal(size=4)
        data.qpos[:3] = 0, 0, turn
        data.qpos[3:5] = origin[:2] + (reach_of(layout) - 0.05) * np.array([np.cos(away), np.sin(away)])
        data.qpos[5], data.qpos[6:10] = rng.uniform(0.0, 0.2), quaternion / np.linalg.norm(quaternion)
        mujoco.mj_forward(model, data)
        codes = layout.geom_codes[data.contact.geom].sum(axis=1)
        assert not (codes == 17).any()
