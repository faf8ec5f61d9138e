"""Arrays of worlds that several processes see: one piece of memory without a name, which goes with its last user."""

import mmap
import os
import tempfile

import numpy as np

from mode_imitation.worlds.safety.world_arrays import ArraySizes, WorldArrays


class SharedArrays(WorldArrays):
    """The same, and what a step is told."""

    actions: np.ndarray
    chosen: np.ndarray
    """(N,) bool, worlds that are to step."""

    @classmethod
    def fields(cls, sizes: ArraySizes) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of every array, by name."""
        return super().fields(sizes) | {
            "actions": ((sizes.n_worlds, sizes.act_dim), float),
            "chosen": ((sizes.n_worlds,), bool),
        }


def open_shared(sizes: ArraySizes) -> int:
    """A file descriptor of new memory for the arrays, full of zeros; a child process may inherit it."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("worlds")
    else:
        handle, name = tempfile.mkstemp()
        os.unlink(name)
    os.ftruncate(handle, SharedArrays.nbytes(sizes))
    return handle


def map_shared(sizes: ArraySizes, handle: int) -> SharedArrays:
    """The arrays in the memory behind a file descriptor, which can be closed then."""
    return SharedArrays(sizes, mmap.mmap(handle, SharedArrays.nbytes(sizes)))
