"""Worlds in groups, one process each: the arrays in shared memory, one short line each way per step.

This process steps the first group itself: it would only wait for the others, and wake up on a core that one of them
is using. The others are plain subprocesses (`processes.py` says why) and leave when their standard input closes.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.processes import send, start_process, stop_processes
from mode_imitation.worlds.safety.tasks import Physics, TaskName
from mode_imitation.worlds.safety.world_arrays import (
    ArraySizes,
    SharedArrays,
    WorldArrays,
    Worlds,
    map_shared,
    open_shared,
)
from mode_imitation.worlds.safety.world_group import MODULE, STEP, Ear, make_group, obey


class ProcessWorlds:
    """See `Worlds`.

    Raises from every method:
        RuntimeError: a process died. The others are stopped then, and no world can be used any more.
    """

    def __init__(
        self,
        name: TaskName,
        sizes: ArraySizes,
        max_episode_steps: int,
        *,
        path: str,
        threads: int,
        processes: int,
        physics: Physics = "exact",
        patience_s: float = 0.0,
    ) -> None:
        """
        Args:
            name: the task.
            sizes: of the arrays of all worlds.
            max_episode_steps: steps after which the library's environments are told to end.
            path: "batched" or "library".
            threads: of each process.
            processes: this one included; at most one a world.
            physics: see `make_vec`.
            patience_s: see `Ear`; only where each process has a core.
        """
        if os.name != "posix":
            raise UserError(f"processes={processes} needs Linux or macOS; expected processes=1 here; use threads")
        self.builders: list[Any] = []
        self._bounds = np.linspace(0, sizes.n_worlds, processes + 1).round().astype(int).tolist()
        self._groups: list[subprocess.Popen] = []
        self._ears: list[Ear] = []
        self._own: Worlds | None = None
        handle = open_shared(sizes)
        self.arrays: WorldArrays = map_shared(sizes, handle)
        try:
            job = {
                "env_id": name.env_id,
                "path": path,
                "threads": threads,
                "max_episode_steps": max_episode_steps,
                "physics": physics,
            }
            for first, stop in pairwise(self._bounds[1:]):
                group = start_process(MODULE, inherited=(handle,))
                self._groups.append(group)
                assert group.stdout is not None
                self._ears.append(Ear(group.stdout, patience_s))
                memory = {"sizes": asdict(sizes), "handle": handle, "first": first, "stop": stop}
                self._send(len(self._groups), {"job": job, "memory": memory, "patience_s": patience_s})
            self._own = make_group(**job, arrays=self.arrays.part(0, self._bounds[1]))
            for number in range(1, processes):
                self._receive(number)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(handle)

    @property
    def process_ids(self) -> list[int]:
        """Of the other processes, in the order of their groups."""
        return [group.pid for group in self._groups]

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        orders: dict[int, list[tuple[int, int | None]]] = {}
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            group = self._group_of(world)
            orders.setdefault(group, []).append((world - self._bounds[group], seed))
        replies = self._ask(orders)
        return [(self._bounds[group] + world, why) for group, reply in replies.items() for world, why in reply]

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        self._check_alive()  # the arrays of those that have ended take no actions
        arrays: Any = self.arrays
        arrays.actions[:] = actions
        arrays.chosen[:] = False
        arrays.chosen[worlds] = True
        busy = [group for group, (a, b) in enumerate(pairwise(self._bounds)) if arrays.chosen[a:b].any()]
        self._ask(dict.fromkeys(busy, STEP))

    def close(self) -> None:
        stop_processes(self._groups)
        self._groups.clear()
        self._ears.clear()
        if self._own is not None:
            self._own.close()
            self._own = None
        if isinstance(self.arrays, SharedArrays):
            self.arrays = self.arrays.copy()  # who looks at them later does not keep the shared memory

    def _group_of(self, world: int) -> int:
        return int(np.searchsorted(self._bounds, world, side="right")) - 1

    def _check_alive(self) -> None:
        if self._own is None:
            raise RuntimeError("the simulator's processes have ended; make another environment with make_vec")

    def _ask(self, orders: Mapping[int, Any]) -> dict[int, list[Any]]:
        """Give orders to groups, do what is to be done here, and wait for all replies."""
        self._check_alive()
        assert self._own is not None
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
        if not send(self._groups[group - 1], order):
            self._mourn(group)

    def _receive(self, group: int) -> list[Any]:
        line = self._ears[group - 1].readline()
        return json.loads(line) if line.endswith("\n") else self._mourn(group)

    def _mourn(self, group: int) -> Any:
        status = self._groups[group - 1].wait()
        raise RuntimeError(
            f"process {group} of the simulator, with worlds {self._bounds[group]} to {self._bounds[group + 1] - 1}, "
            f"ended with status {status}; see what it printed above"
        )
