"""How fast are the batched worlds? One table: the raw physics, the library, gymnasium over the library, and ours.

    python benchmarks/simulation.py [--env SafetyPointGoal1-v0] [--steps 1000] [--worlds 1,16,64,256] [--repeat 1]

Every row is environment steps per second of wall time, resets included (one per `--steps`), and that rate as a fraction
of the raw physics on one core, measured right before and after the row: other load on the machine slows both. The last
column is the same fraction in processor time, all processes together, which other load hardly touches. Actions are
random, but for the last rows, in which the goal-seeking expert drives and episodes are recorded.
"""

import argparse
import functools
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco as mujoco_module
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from experts.protocol import ExpertSetting
from experts.registry import make_expert
from mode_imitation.simulation import ExpertController, make_vec
from mode_imitation.simulation.light_models import build_task
from mode_imitation.simulation.rollout import rollout
from mode_imitation.versions import versions

mujoco: Any = mujoco_module

RAW_STEPS = 3000
WARM_UP_STEPS = 50


class Measured(NamedTuple):
    """What a row did and what it took."""

    steps: int
    wall_s: float
    cpu_s: float | None
    """None where other processes than this one did the work and nobody asked them."""

    @property
    def rate(self) -> float:
        return self.steps / self.wall_s

    @property
    def cpu_rate(self) -> float:
        return self.steps / self.cpu_s if self.cpu_s else np.nan


Row = Callable[[str, int], Measured]
"""(env_id, steps of an episode) -> what was measured."""


class Stopwatch:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self, steps: int, *, own_process: bool = True) -> Measured:
        cpu = time.process_time() - self.cpu if own_process else None
        return Measured(steps, time.perf_counter() - self.wall, cpu)


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


def raw_physics(env_id: str, steps: int = RAW_STEPS) -> Measured:
    """The substeps of the library's own model, in one call per environment step, and nothing else."""
    builder = build_task(env_id)
    builder.reset(seed=0)
    model, data = builder.task.model, builder.task.data
    substeps = builder.task.sim_conf.frameskip_binom_n
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, model.nu))
    watch = Stopwatch()
    for action in actions:
        data.ctrl[:] = action
        mujoco.mj_step(model, data, nstep=substeps)
    return watch.stop(steps)


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
        return drive(envs, steps)
    finally:
        envs.close()


def ours(env_id: str, steps: int, *, worlds: int, threads: int = 1) -> Measured:
    """Our vector environment, in this process."""
    envs = make_vec(env_id, worlds, threads=threads)
    try:
        return drive(envs, steps)
    finally:
        envs.close()


def drive(envs: Any, steps: int) -> Measured:
    """A reset and `steps` random steps of a vector environment."""
    rng = np.random.default_rng(0)
    shape = envs.action_space.shape
    envs.reset(seed=0)
    for _ in range(WARM_UP_STEPS):
        envs.step(rng.uniform(-1, 1, shape))
    actions = rng.uniform(-1, 1, (steps, *shape))
    watch = Stopwatch()
    envs.reset(seed=1)
    for action in actions:
        envs.step(action)
    return watch.stop(steps * shape[0], own_process=not isinstance(envs, AsyncVectorEnv))


def recorded_episodes(env_id: str, steps: int, *, worlds: int, threads: int = 1) -> Measured:
    """Scripted expert, noise and recording included; what `generate` does but for writing files."""
    envs = make_vec(env_id, worlds, threads=threads, max_episode_steps=steps)
    act_dim = int(np.prod(envs.single_action_space.shape or ()))
    setting = ExpertSetting(envs.robot, envs.observation_slices, envs.time_step, act_dim)
    controller = ExpertController(
        make_expert("goal_seeking", setting), steps, [np.random.default_rng([0, world]) for world in range(worlds)]
    )
    watch = Stopwatch()
    rollout(envs, controller, list(range(worlds)), steps)
    measured = watch.stop(steps * worlds)
    envs.close()
    return measured


def _process(row: Row, env_id: str, steps: int, start: Any, results: Any) -> None:
    row(env_id, 20)  # imports, self-test
    start.wait()
    results.put(row(env_id, steps))


def in_processes(env_id: str, steps: int, *, row: Row, processes: int) -> Measured:
    """The same in several processes at once; the slowest one's time counts."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_process, args=(row, env_id, steps, start, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    done: list[Measured] = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return Measured(
        sum(one.steps for one in done),
        max(one.wall_s for one in done),
        sum(one.cpu_s for one in done if one.cpu_s is not None),
    )


def cost_of_a_world(env_id: str, worlds: int = 64) -> tuple[float, float, float]:
    """MB of resident memory per world after a few steps, ms to make and first reset it, and ms to reset it again.

    To be called in a fresh process, whose memory nothing else has used.
    """
    first = make_vec(env_id, 1)
    first.reset(seed=0)
    before = resident_mb()
    watch = Stopwatch()
    envs = make_vec(env_id, worlds)
    envs.reset(seed=0)
    made = watch.stop(worlds)
    drive(envs, 5)
    grown = resident_mb() - before
    watch = Stopwatch()
    envs.reset(seed=worlds)
    again = watch.stop(worlds)
    return grown / worlds, 1000 / made.rate, 1000 / again.rate


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def table(env_id: str, worlds: list[int], cores: int) -> list[tuple[str, Row, int]]:
    """(name, row, share of the steps that it may take) of every row."""
    rows: list[tuple[str, Row, int]] = [
        (f"raw mj_step, {cores} processes", functools.partial(in_processes, row=raw_row, processes=cores), 1),
        ("library, one environment", untouched_library, 1),
        ("gymnasium SyncVectorEnv over it, 4", vector_row(SyncVectorEnv, 4), 2),
        (f"gymnasium AsyncVectorEnv over it, {cores}", vector_row(AsyncVectorEnv, cores), 1),
        (f"gymnasium AsyncVectorEnv over it, {4 * cores}", vector_row(AsyncVectorEnv, 4 * cores), 2),
        ("our library path, 16 worlds", functools.partial(_library_path, worlds=16), 8),
    ]
    for n in worlds:
        rows.append((f"ours, {n} world{'s' * (n > 1)}", functools.partial(ours, worlds=n), 1))
    for n in [n for n in worlds if n > 1]:
        rows.append((f"ours, {n} worlds, {cores} threads", functools.partial(ours, worlds=n, threads=cores), 1))
        split = functools.partial(ours, worlds=n // cores)
        row = functools.partial(in_processes, row=split, processes=cores)
        rows.append((f"ours, {n} worlds in {cores} processes", row, 1))
    record = functools.partial(recorded_episodes, worlds=64)
    rows.append(("episodes by goal_seeking, 64 worlds", record, 1))
    rows.append(
        (f"the same in {cores} processes", functools.partial(in_processes, row=record, processes=cores), 1),
    )
    return rows


def raw_row(env_id: str, steps: int) -> Measured:
    return raw_physics(env_id, max(steps, RAW_STEPS))


def vector_row(kind: type, worlds: int) -> Row:
    return functools.partial(gymnasium_over_the_library, kind=kind, worlds=worlds)


def _library_path(env_id: str, steps: int, *, worlds: int) -> Measured:
    envs = make_vec(env_id, worlds, path="library")
    try:
        return drive(envs, steps)
    finally:
        envs.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="SafetyPointGoal1-v0")
    parser.add_argument("--steps", type=int, default=1000, help="environment steps between resets")
    parser.add_argument("--worlds", default="1,16,64,256")
    parser.add_argument("--repeat", type=int, default=1, help="measure each row so often and keep the best fraction")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{arguments.env}: {cores} cores, {platform.machine()}, {platform.system()}, load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))

    raw_physics(arguments.env)
    rates: dict[str, float] = {}
    print(f"\n{'':44}{'steps/s':>10}{'of raw':>8}{'raw':>9}{'of raw, CPU':>13}")
    for name, row, divisor in table(arguments.env, [int(n) for n in arguments.worlds.split(",")], cores):
        tries = [measure(row, arguments.env, max(1, arguments.steps // divisor)) for _ in range(arguments.repeat)]
        fraction, cpu_fraction, measured, raw = max(tries)
        rates[name] = measured.rate
        cpu = f"{cpu_fraction:13.2f}" if np.isfinite(cpu_fraction) else ""
        print(f"{name:44}{measured.rate:10,.0f}{fraction:8.2f}{raw:9,.0f}{cpu}", flush=True)

    best_of = {start: max(rate for name, rate in rates.items() if name.startswith(start)) for start in ("gym", "ours")}
    print(f"\nours at best / gymnasium over the library at best: {best_of['ours'] / best_of['gym']:.0f}")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        memory, made, again = pool.apply(cost_of_a_world, (arguments.env,))
    print(f"memory per world {memory:.2f} MB, making a world {made:.1f} ms, resetting it {again:.1f} ms")


def measure(row: Row, env_id: str, steps: int) -> tuple[float, float, Measured, float]:
    """(fraction of the raw physics, the same in processor time, the measurement, the raw physics per second)."""
    before = raw_physics(env_id)
    measured = row(env_id, steps)
    after = raw_physics(env_id)
    raw, raw_cpu = (before.rate + after.rate) / 2, (before.cpu_rate + after.cpu_rate) / 2
    return measured.rate / raw, measured.cpu_rate / raw_cpu, measured, raw


if __name__ == "__main__":
    main()
