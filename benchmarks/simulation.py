"""How fast are the batched worlds? One table: the raw physics, the library, gymnasium over the library, and ours.

    python benchmarks/simulation.py [--env SafetyPointGoal1-v0] [--steps 1000] [--worlds 1,16,64,256]
    python benchmarks/simulation.py --profile | --spread

Every row is environment steps per second of wall time, resets included (one per `--steps`, the task's own episode
length unless told otherwise), and that rate as a fraction of the raw physics of one warm model on one core, measured
right before and after the row: other load on the machine slows both. The last column is the same fraction per second
of processor time, all processes together, which other load touches less. Actions are random, but for the last rows, in
which the goal-seeking expert drives. Behind the table stands where our time goes, on one core and on all of them
(`--profile` prints only that). `--spread` compares one thread, a thread a core and a process a core instead, in turn.
"""

import argparse
import functools
import multiprocessing
import os
import platform
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from simulation_profile import print_profile
from simulation_rows import (
    DATASET_EPISODES,
    Measured,
    Row,
    cost_of_a_world,
    generate_command,
    gymnasium_over_the_library,
    in_processes,
    ours,
    raw_physics,
    raw_row,
    recorded_episodes,
    untouched_library,
)
from simulation_spread import print_spread

from mode_imitation.processes import cores
from mode_imitation.versions import versions
from mode_imitation.worlds.safety.tasks import parse_env_id


def table(worlds: list[int], n_cores: int) -> list[tuple[str, Row]]:
    """(name, row) in the order of the table."""
    partial = functools.partial
    rows: list[tuple[str, Row]] = [
        (f"raw mj_step, {max(worlds)} models in turn", partial(raw_row, models=max(worlds))),
        ("raw mj_step, 64 models in turn", partial(raw_row, models=64)),
        (f"raw mj_step, {n_cores} processes", partial(in_processes, row=raw_row, processes=n_cores)),
        ("library, one environment", untouched_library),
        ("gymnasium SyncVectorEnv over it, 4", partial(gymnasium_over_the_library, kind=SyncVectorEnv, worlds=4)),
    ]
    for n in (n_cores, 4 * n_cores):
        name = f"gymnasium AsyncVectorEnv over it, {n}"
        rows.append((name, partial(gymnasium_over_the_library, kind=AsyncVectorEnv, worlds=n)))
    path: dict[str, Any] = {"path": "library", "worlds": 16}
    rows.append(("our library path, 16 worlds", partial(ours, **path)))
    rows.append((f"our library path, 16 worlds, {n_cores} processes", partial(ours, processes=n_cores, **path)))
    for n in worlds:
        name = f"ours, {n} world{'s' * (n > 1)}"
        rows.append((name, partial(ours, worlds=n, threads=1)))
        if n >= n_cores > 1:
            rows.append((f"{name}, {n_cores} threads", partial(ours, worlds=n, threads=n_cores)))
            rows.append((f"{name}, {n_cores} processes", partial(ours, worlds=n, threads=1, processes=n_cores)))
    record = "recorded episodes by goal_seeking, 64 worlds"
    rows.append((record, partial(recorded_episodes, worlds=64, threads=1)))
    rows.append((f"the same, {n_cores} processes", partial(recorded_episodes, worlds=64, processes=n_cores)))
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
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--profile", action="store_true", help="only show where our time goes")
    only.add_argument("--spread", action="store_true", help="only compare threads and processes with one thread")
    arguments = parser.parse_args()
    env_id, n_cores = arguments.env, cores()
    steps = arguments.steps or parse_env_id(env_id).max_episode_steps
    print(f"{env_id}: {n_cores} cores, {platform.machine()}, {platform.system()}, load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    if arguments.spread:
        print_spread(env_id, n_cores)
        return
    raw_physics(env_id)
    if not arguments.profile:
        print_table(env_id, steps, [int(n) for n in arguments.worlds.split(",")], n_cores, arguments.repeat)
    for processes in sorted({1, n_cores}):
        print_profile(env_id, steps, 64, processes, functools.partial(raw_physics, env_id))


def print_table(env_id: str, steps: int, worlds: list[int], n_cores: int, repeat: int) -> None:
    rates: dict[str, float] = {}
    print(f"\n{'':46}{'steps/s':>10}{'of raw':>8}{'raw':>9}{'of raw, CPU':>13}")
    for name, row in table(worlds, n_cores):
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
