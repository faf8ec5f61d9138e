"""How fast are the batched worlds? One table: the raw physics, the library, gymnasium over the library, and ours.

    python benchmarks/simulation.py [--env SafetyPointGoal1-v0] [--steps 1000] [--worlds 1,16,64,256] [--profile]

Every row is environment steps per second of wall time, resets included (one per `--steps`, the task's own episode
length unless told otherwise), and that rate as a fraction of the raw physics of one warm model on one core, measured
right before and after the row: other load on the machine slows both. The last column is the same fraction per second
of processor time, all processes together, which other load touches less. Actions are random, but for the last rows, in
which the goal-seeking expert drives. Behind the table stands where our time goes (`--profile` prints only that).
"""

import argparse
import functools
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mujoco as mujoco_module
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from simulation_profile import print_profile

from experts.protocol import ExpertSetting
from experts.registry import make_expert
from mode_imitation.simulation import ExpertController, make_vec
from mode_imitation.simulation.light_models import build_task
from mode_imitation.simulation.rollout import rollout
from mode_imitation.simulation.tasks import parse_env_id
from mode_imitation.versions import versions

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


def table(worlds: list[int], cores: int) -> list[tuple[str, Row]]:
    """(name, row) in the order of the table."""
    partial = functools.partial
    rows: list[tuple[str, Row]] = [
        (f"raw mj_step, {max(worlds)} models in turn", partial(raw_row, models=max(worlds))),
        ("raw mj_step, 64 models in turn", partial(raw_row, models=64)),
        (f"raw mj_step, {cores} processes", partial(in_processes, row=raw_row, processes=cores)),
        ("library, one environment", untouched_library),
        ("gymnasium SyncVectorEnv over it, 4", partial(gymnasium_over_the_library, kind=SyncVectorEnv, worlds=4)),
    ]
    for n in (cores, 4 * cores):
        name = f"gymnasium AsyncVectorEnv over it, {n}"
        rows.append((name, partial(gymnasium_over_the_library, kind=AsyncVectorEnv, worlds=n)))
    path: dict[str, Any] = {"path": "library", "worlds": 16}
    rows.append(("our library path, 16 worlds", partial(ours, **path)))
    rows.append((f"our library path, 16 worlds, {cores} processes", partial(ours, processes=cores, **path)))
    for n in worlds:
        name = f"ours, {n} world{'s' * (n > 1)}"
        rows.append((name, partial(ours, worlds=n, threads=1)))
        if n >= cores > 1:
            rows.append((f"{name}, {cores} threads", partial(ours, worlds=n, threads=cores)))
            rows.append((f"{name}, {cores} processes", partial(ours, worlds=n, threads=1, processes=cores)))
    record = "recorded episodes by goal_seeking, 64 worlds"
    rows.append((record, partial(recorded_episodes, worlds=64, threads=1)))
    rows.append((f"the same, {cores} processes", partial(recorded_episodes, worlds=64, processes=cores)))
    rows.append((f"generate, {DATASET_EPISODES} episodes, all included", generate_command))
    return rows


def measure(row: Row, env_id: str, steps: int) -> tuple[float, float, Measured, float]:
    """(fraction of the raw physics, the same in processor time, the measurement, the raw physics per second)."""
    before = raw_physics(env_id)
    measured = row(env_id, steps)
    after = raw_physics(env_id)
    raw, raw_cpu = (before.rate + after.rate) / 2, (before.cpu_rate + after.cpu_rate) / 2
    return measured.rate / raw, measured.cpu_rate / raw_cpu, measured, raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="SafetyPointGoal1-v0")
    parser.add_argument("--steps", type=int, help="environment steps between resets; left out, the task's own")
    parser.add_argument("--worlds", default="1,16,64,256")
    parser.add_argument("--repeat", type=int, default=1, help="measure each row so often and keep the best fraction")
    parser.add_argument("--profile", action="store_true", help="only show where our time goes")
    arguments = parser.parse_args()
    env_id, cores = arguments.env, len(os.sched_getaffinity(0))
    steps = arguments.steps or parse_env_id(env_id).max_episode_steps
    print(f"{env_id}: {cores} cores, {platform.machine()}, {platform.system()}, load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    raw_physics(env_id)
    if not arguments.profile:
        print_table(env_id, steps, [int(n) for n in arguments.worlds.split(",")], cores, arguments.repeat)
    print_profile(env_id, steps, 64, functools.partial(raw_physics, env_id))


def print_table(env_id: str, steps: int, worlds: list[int], cores: int, repeat: int) -> None:
    rates: dict[str, float] = {}
    print(f"\n{'':46}{'steps/s':>10}{'of raw':>8}{'raw':>9}{'of raw, CPU':>13}")
    for name, row in table(worlds, cores):
        tries = [measure(row, env_id, steps) for _ in range(repeat)]
        fraction, cpu_fraction, measured, raw = max(tries)
        rates[name] = measured.rate
        cpu = f"{cpu_fraction:13.2f}" if np.isfinite(cpu_fraction) else ""
        print(f"{name:46}{measured.rate:10,.0f}{fraction:8.2f}{raw:9,.0f}{cpu}", flush=True)

    best_of = {start: max(rate for name, rate in rates.items() if name.startswith(start)) for start in ("gym", "ours")}
    print(f"\nours at best / gymnasium over the library at best: {best_of['ours'] / best_of['gym']:.1f}")
    dataset_s = next(DATASET_EPISODES * steps / rate for name, rate in rates.items() if name.startswith("generate"))
    print(f"generate: {DATASET_EPISODES} episodes of {steps} steps in {dataset_s:.1f} s, start-up and writing included")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        memory, made, reset, again = pool.apply(cost_of_a_world, (env_id,))
    print(
        f"memory per world {memory:.2f} MB; making a world {made:.1f} ms, its first reset {reset:.1f} ms, "
        f"another {again:.1f} ms"
    )


if __name__ == "__main__":
    main()
