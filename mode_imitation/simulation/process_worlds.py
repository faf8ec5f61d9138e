"""Worlds in groups, one process each: the arrays in shared memory, one short line each way per step.

The processes are plain subprocesses (`workers.py` says why) and leave when their standard input closes.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.simulation.shared_arrays import SharedArrays, map_shared, open_shared
from mode_imitation.simulation.tasks import TaskName
from mode_imitation.simulation.workers import start_process, stop_processes
from mode_imitation.simulation.world_arrays import ArraySizes, WorldArrays
from mode_imitation.simulation.world_group import MODULE, STEP


class ProcessWorlds:
    """See `Worlds`.

    Raises from every method:
        RuntimeError: a process died. The others are stopped then, and no world can be used any more.
    """

    def __init__(
        self, name: TaskName, sizes: ArraySizes, max_episode_steps: int, *, path: str, threads: int, processes: int
    ) -> None:
        """
        Args:
            name: the task.
            sizes: of the arrays of all worlds.
            max_episode_steps: steps after which the library's environments are told to end.
            path: "batched" or "library".
            threads: of each process.
            processes: at least 1, at most one a world.
        """
        if os.name != "posix":
            raise UserError(f"processes={processes} needs Linux or macOS; expected processes=1 here; use threads")
        self.builders: list[Any] = []
        self._bounds = np.linspace(0, sizes.n_worlds, processes + 1).round().astype(int).tolist()
        self._groups: list[subprocess.Popen] = []
        handle = open_shared(sizes)
        self.arrays: WorldArrays = map_shared(sizes, handle)
        try:
            job = {"env_id": name.env_id, "path": path, "threads": threads, "max_episode_steps": max_episode_steps}
            job |= {"sizes": asdict(sizes), "handle": handle}
            for _ in range(processes):
                self._groups.append(start_process(MODULE, inherited=(handle,)))
            self._ask(
                (group, job | {"first": self._bounds[group], "stop": self._bounds[group + 1]})
                for group in range(processes)
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(handle)

    @property
    def process_ids(self) -> list[int]:
        """Of the groups, in their order."""
        return [group.pid for group in self._groups]

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        orders: dict[int, list[tuple[int, int | None]]] = {}
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            group = self._group_of(world)
            orders.setdefault(group, []).append((world - self._bounds[group], seed))
        replies = self._ask(orders.items())
        return [(self._bounds[group] + world, why) for group, reply in replies.items() for world, why in reply]

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        self._check_alive()  # the arrays of those that have ended take no actions
        arrays: Any = self.arrays
        arrays.actions[:] = actions
        arrays.chosen[:] = False
        arrays.chosen[worlds] = True
        busy = [g for g in range(len(self._bounds) - 1) if arrays.chosen[self._bounds[g] : self._bounds[g + 1]].any()]
        self._ask((group, STEP) for group in busy)

    def close(self) -> None:
        stop_processes(self._groups)
        self._groups.clear()
        if isinstance(self.arrays, SharedArrays):
            self.arrays = self.arrays.copy()  # who looks at them later does not keep the shared memory

    def _group_of(self, world: int) -> int:
        return int(np.searchsorted(self._bounds, world, side="right")) - 1

    def _check_alive(self) -> None:
        if not self._groups:
            raise RuntimeError("the simulator's processes have ended; make another environment with make_vec")

    def _ask(self, orders: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
        """Give orders to groups, and wait for all of their replies."""
        self._check_alive()
        try:
            asked = []
            for group, order in orders:
                self._send(group, order)
                asked.append(group)
            return {group: self._receive(group) for group in asked}
        except BaseException:
            self.close()  # an order without its reply, after Ctrl-C say: nobody knows what the worlds show
            raise

    def _send(self, group: int, order: Any) -> None:
        pipe = self._groups[group].stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(order) + "\n")
            pipe.flush()
        except BrokenPipeError:
            self._mourn(group)

    def _receive(self, group: int) -> list[Any]:
        pipe = self._groups[group].stdout
        assert pipe is not None
        line = pipe.readline()
        return json.loads(line) if line.endswith("\n") else self._mourn(group)

    def _mourn(self, group: int) -> Any:
        status = self._groups[group].wait()
        raise RuntimeError(
            f"process {group} of the simulator, with worlds {self._bounds[group]} to {self._bounds[group + 1] - 1}, "
            f"ended with status {status}; see what it printed above"
        )
