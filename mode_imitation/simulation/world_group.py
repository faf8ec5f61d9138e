"""What one process of `ProcessWorlds` does: hold a group of the worlds, and reset and step it when told to.

Commands and replies are lines of JSON. The first says which worlds of which task; then `"step"` steps those of the
group that are chosen in the shared arrays, and `[[world, seed], ...]` resets these. A reply is a list, [world, what
the library said] of each world that could not be reset. Worlds are counted within the group.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mode_imitation.simulation.batched_worlds import BatchedWorlds
from mode_imitation.simulation.library_worlds import LibraryWorlds
from mode_imitation.simulation.shared_arrays import SharedArrays, map_shared
from mode_imitation.simulation.tasks import parse_env_id
from mode_imitation.simulation.workers import open_replies
from mode_imitation.simulation.world_arrays import ArraySizes, Worlds

MODULE = "mode_imitation.simulation.world_group"
STEP = "step"


def main() -> None:
    """Serve until standard input closes, which it does however the parent dies."""
    replies = open_replies()
    commands = iter(map(json.loads, sys.stdin))
    for reply in serve(commands):
        try:
            print(json.dumps(reply), file=replies, flush=True)
        except BrokenPipeError:
            os._exit(0)  # the parent has gone


def serve(commands: Iterator[Any]) -> Iterator[list[list[Any]]]:
    """The reply to each command; an empty one to the first, when the worlds are there."""
    job = next(commands, None)
    if job is None:
        return
    worlds = make_group(**job)
    arrays = worlds.arrays
    assert isinstance(arrays, SharedArrays)
    yield []
    for command in commands:
        if command == STEP:
            worlds.step(arrays.actions, np.flatnonzero(arrays.chosen))
            yield []
        else:
            these = np.array([world for world, _ in command])
            yield [list(failure) for failure in worlds.reset(these, [seed for _, seed in command])]


def make_group(
    *,
    env_id: str,
    path: str,
    first: int,
    stop: int,
    threads: int,
    max_episode_steps: int,
    sizes: dict[str, int],
    handle: int,
) -> Worlds:
    """Worlds `first` to `stop` - 1 of those whose arrays are behind a file descriptor."""
    arrays = map_shared(ArraySizes(**sizes), handle).part(first, stop)
    os.close(handle)
    name = parse_env_id(env_id)
    if path == "library":
        return LibraryWorlds(name, stop - first, max_episode_steps, arrays)
    return BatchedWorlds(name, stop - first, max_episode_steps, threads, arrays)


if __name__ == "__main__":
    main()
