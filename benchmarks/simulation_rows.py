"""What the rows of the simulator's benchmark time: the raw physics, the library, gymnasium over it, and ours."""

import functools
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mujoco as mujoco_module
import numpy as np

from experts.protocol import ExpertSetting
from experts.registry import make_expert
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.safety.light_models import build_task

mujoco: Any = mujoco_module

RAW_STEPS = 3000
WARM_UP_STEPS = 50
DATASET_EPISODES = 200


class Measured(NamedTuple):
    """What a row did and what it took."""

    steps: int
    wall_s: float
    cpu_s: float | None
    """Of all processes together; None where the system does not tell."""

    @property
    def rate(self) -> float:
        return self.steps / self.wall_s

    @property
    def cpu_rate(self) -> float:
        return self.steps / self.cpu_s if self.cpu_s else np.nan


Row = Callable[[str, int], Measured]
"""(env_id, steps of an episode) -> what was measured."""


class Stopwatch:
    """Wall time since it was made, and processor time of this process and of some that it started."""

    def __init__(self, process_ids: Sequence[int] = ()) -> None:
        self.process_ids = process_ids
        self.wall, self.cpu = time.perf_counter(), self._cpu()

    def stop(self, steps: int) -> Measured:
        cpu, wall = self._cpu(), time.perf_counter() - self.wall
        return Measured(steps, wall, cpu - self.cpu if cpu is not None and self.cpu is not None else None)

    def _cpu(self) -> float | None:
        try:
            # Linux makes the number of a process's clock of its id like this (clock_getcpuclockid).
            others = sum(time.clock_gettime((~process_id << 3) | 2) for process_id in self.process_ids)
        except OSError:
            return None
        return time.process_time() + others


class LibraryEnv:
    """Made in each process of gymnasium's vector environments: the untouched library as a gymnasium environment."""

    def __new__(cls, env_id: str) -> Any:
        import gymnasium

        class Env(gymnasium.Env):
            def __init__(self) -> None:
                self.builder = build_task(env_id, light=False)
                self.observation_space = self.builder.observation_space
                self.action_space = self.builder.action_space

            def reset(self, *, seed=None, options=None):
                return self.builder.reset(seed=seed)[0], {}

            def step(self, action):
                observation, reward, cost, terminated, truncated, _ = self.builder.step(action)
                return observation, float(reward), terminated, truncated, {"cost": cost}

        return Env()


def raw_physics(env_id: str, steps: int = RAW_STEPS, *, models: int = 1) -> Measured:
    """The substeps of the library's own models, in one call per environment step, and nothing else."""
    builders = [build_task(env_id) for _ in range(models)]
    for seed, builder in enumerate(builders):
        builder.reset(seed=seed)
    worlds = [(builder.task.model, builder.task.data) for builder in builders]
    substeps = builders[0].task.sim_conf.frameskip_binom_n
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, worlds[0][0].nu))
    watch = Stopwatch()
    for step, action in enumerate(actions):
        model, data = worlds[step % models]
        data.ctrl[:] = action
        mujoco.mj_step(model, data, nstep=substeps)
    return watch.stop(steps)


def raw_row(env_id: str, steps: int, *, models: int = 1) -> Measured:
    return raw_physics(env_id, max(10 * steps, RAW_STEPS), models=models)


def untouched_library(env_id: str, steps: int) -> Measured:
    """One environment of the library, textures and all."""
    builder = build_task(env_id, light=False)
    builder.reset(seed=0)
    builder_space: Any = builder.action_space
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, builder_space.shape[0]))
    watch = Stopwatch()
    builder.reset(seed=1)
    for action in actions:
        builder.step(action)
    return watch.stop(steps)


def gymnasium_over_the_library(env_id: str, steps: int, *, kind: type, worlds: int) -> Measured:
    """gymnasium's own vector environments, over the library."""
    envs = kind([functools.partial(LibraryEnv, env_id)] * worlds)
    try:
        return drive(envs, steps, [process.pid for process in getattr(envs, "processes", [])])
    finally:
        envs.close()


def ours(env_id: str, steps: int, *, worlds: int, **options: Any) -> Measured:
    """Our vector environment."""
    envs = make_vec(env_id, worlds, max_episode_steps=steps + WARM_UP_STEPS, **options)
    try:
        return drive(envs, steps, getattr(envs._worlds, "process_ids", []))
    finally:
        envs.close()


def drive(envs: Any, steps: int, process_ids: Sequence[int] = ()) -> Measured:
    """A reset and `steps` random steps of a vector environment."""
    rng = np.random.default_rng(0)
    shape = envs.action_space.shape
    envs.reset(seed=0)
    for _ in range(WARM_UP_STEPS):
        envs.step(rng.uniform(-1, 1, shape))
    actions = rng.uniform(-1, 1, (steps, *shape))
    watch = Stopwatch(process_ids)
    envs.reset(seed=1)
    for action in actions:
        envs.step(action)
    return watch.stop(steps * shape[0])


def recorded_episodes(env_id: str, steps: int, *, worlds: int, **options: Any) -> Measured:
    """Scripted expert, noise and recording included."""
    envs = make_vec(env_id, worlds, max_episode_steps=steps, **options)
    act_dim = int(np.prod(envs.single_action_space.shape or ()))
    setting = ExpertSetting(envs.robot, envs.observation_slices, envs.time_step, act_dim)
    controller = ExpertController(
        make_expert("goal_seeking", setting), steps, [np.random.default_rng([0, world]) for world in range(worlds)]
    )
    watch = Stopwatch(getattr(envs._worlds, "process_ids", []))
    rollout(envs, controller, list(range(worlds)), steps)
    measured = watch.stop(steps * worlds)
    envs.close()
    return measured


def generate_command(env_id: str, steps: int) -> Measured:
    """The real command, from its start to its end: imports, experts, disturbances, and a dataset on disk."""

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "mode_imitation", "generate", "--env", env_id, "--steps", str(steps)]
        command += ["--expert", f"goal_seeking={DATASET_EPISODES}", "--out", "benchmark/generate-v0", "--root", root]
        before, start = cpu(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return Measured(DATASET_EPISODES * steps, time.perf_counter() - start, cpu() - before)


def _process(row: Row, env_id: str, steps: int, start: Any, results: Any) -> None:
    row(env_id, 20)  # imports
    start.wait()
    results.put(row(env_id, steps))


def in_processes(env_id: str, steps: int, *, row: Row, processes: int) -> Measured:
    """The same in several processes at once, which know nothing of each other; the slowest one's time counts."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_process, args=(row, env_id, steps, start, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    done: list[Measured] = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return Measured(
        sum(one.steps for one in done), max(one.wall_s for one in done), sum(one.cpu_s or np.nan for one in done)
    )


def cost_of_a_world(env_id: str, worlds: int = 64) -> tuple[float, float, float, float]:
    """MB of resident memory per world after a few steps; ms to make it, to reset it first, and to reset it again.

    To be called in a fresh process, whose memory nothing else has used.
    """
    first = make_vec(env_id, 1)
    first.reset(seed=0)
    before = resident_mb()
    watch = Stopwatch()
    envs = make_vec(env_id, worlds)
    made = watch.stop(worlds)
    watch = Stopwatch()
    envs.reset(seed=0)
    reset = watch.stop(worlds)
    for _ in range(5):
        envs.step(envs.action_space.sample())
    grown = resident_mb() - before
    watch = Stopwatch()
    envs.reset(seed=worlds)
    again = watch.stop(worlds)
    return grown / worlds, 1000 / made.rate, 1000 / reset.rate, 1000 / again.rate


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
