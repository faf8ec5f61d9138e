"""Which way of stepping worlds fits the task and the machine."""

import os
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety.batched_worlds import BatchedWorlds, is_batchable
from mode_imitation.worlds.safety.library_worlds import LibraryWorlds
from mode_imitation.worlds.safety.process_worlds import ProcessWorlds
from mode_imitation.worlds.safety.sleep import can_sleep
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS, Physics, TaskName
from mode_imitation.worlds.safety.world_arrays import Worlds, sizes_of

Path = Literal["auto", "batched", "library"]
WORLDS_PER_THREAD = 4
"""With fewer, the threads wait for the interpreter lock and for each other more than they step.

How much faster two threads or two processes are than one thread, SafetyPointGoal1-v0 on an idle machine of two cores
(medians of runs in turn, `python benchmarks/simulation.py --spread`; two halves that do not wait for each other: 1.9):

    worlds       2     4     8     16    32    64
    threads     0.8   1.1   1.3   1.4   1.5   1.4
    processes   1.0   1.4   1.6   1.4   1.5   1.4

Where other programs use the cores too, neither is faster than one thread: every step waits for the last group.
"""
WORLDS_PER_PROCESS = 2
"""See there. Where both are left open processes come first: on an idle machine they are not the slower ones."""
FEWEST_FREE = 8
"""Worlds. With fewer MuJoCo is faster than equations over arrays, which take as long for one world as for fifty."""
PATIENCE_S = 0.0005
"""How long a process stays awake for what the others send next: with 2 worlds each, two processes are 1.05 times as
fast as one thread without it and 1.4 times with it; with 32 worlds each it brings 1%."""


class Made(NamedTuple):
    """Worlds and how they are stepped."""

    path: Literal["batched", "library"]
    threads: int
    """Of each process."""
    processes: int
    """1: this one."""
    worlds: Worlds


def make_worlds(
    name: TaskName,
    builder: Any,
    n_worlds: int,
    path: str,
    threads: int | None,
    processes: int | None,
    max_episode_steps: int,
    *,
    physics: Physics = "exact",
) -> Made:
    """N worlds of a task, stepped as `make_vec` was asked to.

    Args:
        builder: one of the library's environments of this task.

    Raises:
        UserError: unknown path or physics, or one that the task does not have, or vases cannot sleep here.
    """
    if path not in ("auto", "batched", "library"):
        raise UserError(f"unknown path {path!r}; expected auto, batched or library")
    batchable = path != "library" and is_batchable(builder)
    if path == "batched" and not batchable:
        raise UserError(
            f"{name.env_id} has no batched path; expected one of {', '.join(BATCHED_ENV_IDS)}; take path='library'"
        )
    if physics not in get_args(Physics):
        raise UserError(f"unknown physics {physics!r}; expected {', '.join(get_args(Physics))}")
    if physics != "exact" and not batchable:
        raise UserError(
            f"physics={physics!r} is for the batched path only; expected physics='exact', or path='auto' and one of "
            f"{', '.join(BATCHED_ENV_IDS)}"
        )
    if physics != "exact" and not can_sleep():
        raise UserError("the installed mujoco cannot let vases sleep; expected mujoco >= 3.4, or physics='exact'")
    if physics == "fast" and n_worlds < FEWEST_FREE:
        physics = "sleeping"
    threads, processes = spread(n_worlds, threads, processes, threadable=batchable)
    kind: Literal["batched", "library"] = "batched" if batchable else "library"
    if processes > 1:
        worlds: Worlds = ProcessWorlds(
            name,
            sizes_of(builder, n_worlds),
            max_episode_steps,
            path=kind,
            threads=threads,
            physics=physics,
            processes=processes,
            patience_s=PATIENCE_S if processes <= cores() else 0.0,
        )
    elif batchable:
        worlds = BatchedWorlds(name, n_worlds, max_episode_steps, threads, physics=physics)
    else:
        worlds = LibraryWorlds(name, n_worlds, max_episode_steps)
    return Made(kind, threads, processes, worlds)


def spread(n_worlds: int, threads: int | None, processes: int | None, *, threadable: bool) -> tuple[int, int]:
    """Threads of each process, and processes, with what was left open (None) chosen for this machine."""
    if processes is None:
        processes = min(cores(), n_worlds // WORLDS_PER_PROCESS)
    processes = max(1, min(processes, n_worlds))
    if not threadable:
        return 1, processes
    if threads is None:
        threads = max(1, min(cores() // processes, n_worlds // processes // WORLDS_PER_THREAD))
    return threads, processes


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_count(what: str, count: Any) -> None:
    """Raise UserError unless `count` is a whole number of at least 1."""
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise UserError(f"{what} is {count!r}; expected a whole number of at least 1")
