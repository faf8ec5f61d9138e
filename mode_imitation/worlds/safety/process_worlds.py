"""Worlds in groups, one process each: what they show in shared memory, one short line each way per step.

This process steps the first group itself: it would only wait for the others, and wake up on a core that one of them
is using. The others are plain subprocesses (`processes.py` says why) and leave when their standard input closes.

Commands and replies are JSON. The first says which worlds of which task; then `"step"` steps those of the group that
are chosen in the shared arrays, and `[[world, seed], ...]` resets these. A reply is a list, [world, what the library
said] of each world that could not be reset. Worlds are counted within the group.
"""

import json
import mmap
import os
import select
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.processes import Process, open_replies
from mode_imitation.worlds.safety.batched_worlds import BatchedWorlds
from mode_imitation.worlds.safety.tasks import Physics
from mode_imitation.worlds.safety.worlds import WorldArrays, Worlds, record_of

STEP = "step"


class ProcessWorlds:
    """See `Worlds`.

    Raises from every method:
        RuntimeError: a process died. The others are stopped then, and no world can be used any more.
    """

    def __init__(
        self,
        env_id: str,
        n_worlds: int,
        sizes: tuple[int, int, int, int],
        *,
        max_episode_steps: int,
        path: str,
        threads: int,
        processes: int,
        physics: Physics = "exact",
        patience_s: float = 0.0,
    ) -> None:
        """
        Args:
            env_id: of the task.
            n_worlds: in all processes together.
            sizes: see `sizes_of`.
            max_episode_steps: steps after which the library's environments are told to end.
            path: "batched" or "library".
            threads: of each process.
            processes: this one included; at most one a world.
            physics: see `make_vec`.
            patience_s: see `LineReader`; only where each process has a core.
        """
        if os.name != "posix":
            raise UserError(f"processes={processes} needs Linux or macOS; expected processes=1 here; use threads")
        self.builders: list[Any] = []
        self._bounds = np.linspace(0, n_worlds, processes + 1).round().astype(int).tolist()
        self._groups: list[Process] = []
        self._replies: list[LineReader] = []
        self._own: Worlds | None = None
        memory = _new_memory()
        os.ftruncate(memory, n_worlds * record_of(*sizes).itemsize)
        self.arrays = WorldArrays(map_records(sizes, memory))
        job: dict[str, Any] = {"env_id": env_id, "path": path, "threads": threads, "physics": physics}
        job["max_episode_steps"] = max_episode_steps
        try:
            for number, (first, stop) in enumerate(pairwise(self._bounds[1:]), start=1):
                group = Process(serve_group, inherited=(memory,))
                self._groups.append(group)
                self._replies.append(LineReader(group.output, patience_s))
                where = {"sizes": sizes, "memory": memory, "first": first, "stop": stop}
                self._send(number, {"job": job, "where": where, "patience_s": patience_s})
            self._own = make_group(**job, records=self.arrays.records[: self._bounds[1]])
            for number in range(1, processes):
                self._receive(number)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)

    @property
    def process_ids(self) -> list[int]:
        """Of the other processes, in the order of their groups."""
        return [group.pid for group in self._groups]

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        orders: dict[int, list[tuple[int, int | None]]] = {}
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            group = int(np.searchsorted(self._bounds, world, side="right")) - 1
            orders.setdefault(group, []).append((world - self._bounds[group], seed))
        replies = self._ask(orders)
        return [(self._bounds[group] + world, why) for group, reply in replies.items() for world, why in reply]

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        arrays = self.arrays
        arrays.actions[:] = actions
        arrays.chosen[:] = False
        arrays.chosen[worlds] = True
        busy = [group for group, (a, b) in enumerate(pairwise(self._bounds)) if arrays.chosen[a:b].any()]
        self._ask(dict.fromkeys(busy, STEP))

    def catch_up(self) -> None:
        """Nothing: there are no tasks to look at."""

    def close(self) -> None:
        for group in self._groups:
            group.end()
        self._groups.clear()
        self._replies.clear()
        if self._own is not None:
            self._own.close()
            self._own = None
        self.arrays = WorldArrays(self.arrays.records.copy())  # who looks at them later does not keep the shared memory

    def _ask(self, orders: Mapping[int, Any]) -> dict[int, list[Any]]:
        """Give orders to groups, do what is to be done here, and wait for all replies."""
        if self._own is None:
            raise RuntimeError("the simulator's processes have ended; make another environment with make_vec")
        try:
            for group, order in orders.items():
                if group:
                    self._send(group, order)
            own = obey(self._own, orders[0]) if 0 in orders else []
            return {group: self._receive(group) if group else own for group in orders}
        except BaseException:
            self.close()  # an order without its reply, after Ctrl-C say: nobody knows what the worlds show
            raise

    def _send(self, group: int, order: Any) -> None:
        if not self._groups[group - 1].send(order):
            raise self._death(group)

    def _receive(self, group: int) -> list[Any]:
        line = self._replies[group - 1].readline()
        if not line.endswith("\n"):
            raise self._death(group)
        return json.loads(line)

    def _death(self, group: int) -> RuntimeError:
        status = self._groups[group - 1].end(grace_s=float("inf"))
        return RuntimeError(
            f"process {group} of the simulator, with worlds {self._bounds[group]} to {self._bounds[group + 1] - 1}, "
            f"ended with status {status}; see what it printed above"
        )


class LineReader:
    """Reads lines, and stays awake for the next one where that pays: a core that sleeps takes 50 microseconds to wake.

    It pays for what comes soon. Who waited long the last time waits for something slow, or for a core that other
    programs use too, and staying awake would only slow those down.

    Args:
        pipe: to read from; never more than one line at a time is on its way.
        patience_s: what "soon" means; 0 to sleep at once, always.
    """

    def __init__(self, pipe: IO[str], patience_s: float) -> None:
        self._pipe = pipe
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self.patience_s = patience_s
        self.awake = patience_s > 0

    def readline(self) -> str:
        """The next line, or "" at the end."""
        start = time.perf_counter()
        if self.awake:
            while not self._poll.poll(0) and time.perf_counter() - start < self.patience_s:
                pass
        line = self._pipe.readline()
        self.awake = time.perf_counter() - start < self.patience_s
        return line


def serve_group() -> None:
    """What the process of a group does until standard input closes, which it does however the parent dies."""
    reply, lines = open_replies(), LineReader(sys.stdin, patience_s=0.0)
    start = lines.readline()
    if not start:
        return
    first = json.loads(start)
    lines.patience_s, where = first["patience_s"], first["where"]
    records = map_records(where["sizes"], where["memory"])[where["first"] : where["stop"]]
    os.close(where["memory"])
    worlds = make_group(**first["job"], records=records)
    reply([])
    while line := lines.readline():
        reply(obey(worlds, json.loads(line)))


def obey(worlds: Worlds, command: Any) -> list[Any]:
    """Step or reset worlds whose arrays are shared; [world, why] of each that could not be reset."""
    if command == STEP:
        worlds.step(worlds.arrays.actions, np.flatnonzero(worlds.arrays.chosen))
        return []
    these = np.array([world for world, _ in command], dtype=np.int64)
    return [list(failure) for failure in worlds.reset(these, [seed for _, seed in command])]


def map_records(sizes: Sequence[int], memory: int) -> np.ndarray:
    """(N,) records in the shared memory behind a file descriptor, which can be closed then."""
    return np.frombuffer(mmap.mmap(memory, 0), record_of(*sizes))


def _new_memory() -> int:
    """A file descriptor of memory that has no name and goes with its last user; a child process may inherit it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("worlds")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def make_group(
    *, env_id: str, path: str, threads: int, max_episode_steps: int, physics: Physics, records: np.ndarray
) -> Worlds:
    """As many worlds as there are records."""
    if path == "library":
        return Worlds(env_id, records, max_episode_steps)
    return BatchedWorlds(env_id, records, max_episode_steps, threads=threads, physics=physics)
