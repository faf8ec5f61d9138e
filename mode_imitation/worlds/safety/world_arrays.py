"""What N worlds show after a reset or a step, as arrays that a stepping path fills in place."""

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

ALIGNMENT = 64
"""Bytes: every array begins on a cache line of its own."""


@dataclass(frozen=True)
class ArraySizes:
    """Everything that decides the arrays' shapes."""

    n_worlds: int
    obs_dim: int
    act_dim: int
    n_hazards: int
    n_vases: int


class WorldArrays:
    """State of N worlds as seen from outside. Positions in metres in the world's frame, headings in radians.

    Args:
        sizes: of the arrays.
        memory: a writable buffer of `nbytes(sizes)` zeros to keep them in; None for memory of their own.
    """

    observations: np.ndarray
    rewards: np.ndarray
    costs: np.ndarray
    goals_met: np.ndarray
    terminations: np.ndarray
    positions: np.ndarray
    headings: np.ndarray
    goal_positions: np.ndarray
    """(N, 2), NaN in a task without a goal."""
    hazards: np.ndarray
    """(N, H, 2) at the last reset."""
    vases: np.ndarray
    """(N, V, 2) at the last reset."""

    def __init__(self, sizes: ArraySizes, memory: Any = None) -> None:
        self.sizes = sizes
        memory = bytearray(self.nbytes(sizes)) if memory is None else memory
        end = 0
        for name, (shape, kind) in self.fields(sizes).items():
            array = np.ndarray(shape, kind, memory, offset=end)
            setattr(self, name, array)
            end += _padded(array.nbytes)

    @classmethod
    def fields(cls, sizes: ArraySizes) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of every array, by name."""
        n = sizes.n_worlds
        return {
            "observations": ((n, sizes.obs_dim), float),
            "rewards": ((n,), float),
            "costs": ((n,), float),
            "goals_met": ((n,), bool),
            "terminations": ((n,), bool),
            "positions": ((n, 2), float),
            "headings": ((n,), float),
            "goal_positions": ((n, 2), float),
            "hazards": ((n, sizes.n_hazards, 2), float),
            "vases": ((n, sizes.n_vases, 2), float),
        }

    @classmethod
    def nbytes(cls, sizes: ArraySizes) -> int:
        """Bytes that all arrays take together."""
        return sum(_padded(int(np.prod(shape)) * np.dtype(kind).itemsize) for shape, kind in cls.fields(sizes).values())

    def part(self, first: int, stop: int) -> "WorldArrays":
        """The same memory, worlds `first` to `stop` - 1 only."""
        part = object.__new__(type(self))
        part.sizes = self.sizes
        for name in self.fields(self.sizes):
            setattr(part, name, getattr(self, name)[first:stop])
        return part

    def copy(self) -> "WorldArrays":
        """The same values in memory of their own."""
        copy = WorldArrays(self.sizes)
        for name in WorldArrays.fields(self.sizes):
            getattr(copy, name)[:] = getattr(self, name)
        return copy

    def begin_episodes(self, worlds: np.ndarray) -> None:
        """Nothing has happened yet in these worlds (M,)."""
        self.rewards[worlds] = 0.0
        self.costs[worlds] = 0.0
        self.goals_met[worlds] = False
        self.terminations[worlds] = False


class Worlds(Protocol):
    """A way to step N worlds of one task. Every path fills `arrays`; none checks its arguments."""

    builders: list[Any]
    """The library's own environments, one a world; none where they are in other processes."""

    @property
    def arrays(self) -> WorldArrays: ...

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        """Start new episodes in these worlds (M,); None continues a world's own random stream.

        Returns:
            (world, what the library said) of each world whose layout could not be made.
        """
        ...

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        """One environment step of worlds (M,) under actions (N, act_dim)."""
        ...

    def close(self) -> None: ...


def sizes_of(builder: Any, n_worlds: int) -> ArraySizes:
    """Sizes of the arrays of N worlds like this one of the library's."""
    return ArraySizes(
        n_worlds,
        obs_dim=builder.observation_space.shape[0],
        act_dim=builder.action_space.shape[0],
        n_hazards=_count(builder.task, "hazards"),
        n_vases=_count(builder.task, "vases"),
    )


def _count(task: Any, kind: str) -> int:
    return int(getattr(task, kind).num) if hasattr(task, kind) else 0


def _padded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class SharedArrays(WorldArrays):
    """The same for several processes, and what a step is told; its memory has no name and goes with its last user."""

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
