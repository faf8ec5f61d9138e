"""What a group of the worlds of `ProcessWorlds` does when told to, and how a process of its own hears that.

Commands and replies are lines of JSON. The first says which worlds of which task; then `"step"` steps those of the
group that are chosen in the shared arrays, and `[[world, seed], ...]` resets these. A reply is a list, [world, what
the library said] of each world that could not be reset. Worlds are counted within the group.
"""

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from mode_imitation.processes import open_replies
from mode_imitation.worlds.safety.batched_worlds import BatchedWorlds
from mode_imitation.worlds.safety.library_worlds import LibraryWorlds
from mode_imitation.worlds.safety.tasks import Physics, parse_env_id
from mode_imitation.worlds.safety.world_arrays import ArraySizes, SharedArrays, WorldArrays, Worlds, map_shared

MODULE = "mode_imitation.worlds.safety.world_group"
STEP = "step"


def main() -> None:
    """Serve until standard input closes, which it does however the parent dies."""
    replies = open_replies()
    for reply in serve(listen()):
        try:
            print(json.dumps(reply), file=replies, flush=True)
        except BrokenPipeError:
            os._exit(0)  # the parent has gone


class Ear:
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


def listen() -> Iterator[Any]:
    """Commands, as they come; the first says how long to stay awake for the others."""
    ear = Ear(sys.stdin, 0.0)
    while line := ear.readline():
        command = json.loads(line)
        if isinstance(command, dict):
            ear.patience_s = command.pop("patience_s")
        yield command


def serve(commands: Iterator[Any]) -> Iterator[list[Any]]:
    """The reply to each command; an empty one to the first, when the worlds are there."""
    first = next(commands, None)
    if first is None:
        return
    worlds = make_group(**first["job"], arrays=open_arrays(**first["memory"]))
    yield []
    for command in commands:
        yield obey(worlds, command)


def obey(worlds: Worlds, command: Any) -> list[Any]:
    """Step or reset worlds whose arrays are shared; [world, why] of each that could not be reset."""
    arrays = worlds.arrays
    assert isinstance(arrays, SharedArrays)
    if command == STEP:
        worlds.step(arrays.actions, np.flatnonzero(arrays.chosen))
        return []
    these = np.array([world for world, _ in command], dtype=np.int64)
    return [list(failure) for failure in worlds.reset(these, [seed for _, seed in command])]


def open_arrays(*, sizes: dict[str, int], handle: int, first: int, stop: int) -> WorldArrays:
    """The arrays behind a file descriptor, of worlds `first` to `stop` - 1."""
    arrays = map_shared(ArraySizes(**sizes), handle).part(first, stop)
    os.close(handle)
    return arrays


def make_group(
    *, env_id: str, path: str, threads: int, max_episode_steps: int, physics: Physics, arrays: WorldArrays
) -> Worlds:
    """As many worlds as there are in the arrays."""
    name, n_worlds = parse_env_id(env_id), len(arrays.rewards)
    if path == "library":
        return LibraryWorlds(name, n_worlds, max_episode_steps, arrays)
    return BatchedWorlds(name, n_worlds, max_episode_steps, threads, arrays, physics=physics)


if __name__ == "__main__":
    main()
