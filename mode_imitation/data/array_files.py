"""Named arrays in .npz and HDF5 files: what there is and how large, before anything of it is read."""

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from mode_imitation.data.patient_file import WaitingSignals
from mode_imitation.errors import UserError

LISTED = 1000
"""Arrays of an HDF5 file that are looked for, at any depth."""


@dataclass(frozen=True)
class Contents:
    """A file that is open."""

    names: list[str]
    """Of its arrays or columns."""
    read: Callable[[Sequence[str]], dict[str, np.ndarray]]
    """These, by name; a UserError where they take more memory than there is."""


def check_memory(source: Path, needed: int) -> None:
    """
    Raises:
        UserError: so many bytes, and the same again as the dataset's own, are more than there are.
    """
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        # In a container, its own limit; "max" where it has none.
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        pass  # a system that does not say
    if found and 2 * needed > min(found):
        raise UserError(
            f"{source.name} needs {2 * needed / 1e9:,.1f} GB of memory, there are {min(found) / 1e9:,.1f} GB; "
            "cut it into several datasets"
        )


@contextmanager
def open_npz(source: Path) -> Iterator[Contents]:
    """An archive of numpy.savez; what holds Python objects is refused."""
    with source.open("rb") as handle:
        if handle.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise UserError(f"{source.name} is one array without a name; expected several, saved with numpy.savez")
    with zipfile.ZipFile(source) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}

        def read(names: Sequence[str]) -> dict[str, np.ndarray]:
            check_memory(source, sum(_npy_bytes(source, name, archive, members[name]) for name in names))
            arrays = {}
            for name in names:
                with archive.open(members[name]) as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
            return arrays

        yield Contents(list(members), read)


def _npy_bytes(source: Path, name: str, archive: zipfile.ZipFile, member_name: str) -> int:
    with archive.open(member_name) as member:
        if member.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise UserError(f"{source.name}: {name} is a file, not an array; save the arrays with numpy.savez")
        member.seek(0)
        header = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(member)
    if dtype.hasobject:
        raise UserError(
            f"{source.name}: {name} holds Python objects, which are never unpickled; expected numbers "
            "(arrays of unequal length: concatenate them and add episode_lengths)"
        )
    return math.prod(shape) * dtype.itemsize


@contextmanager
def open_hdf5(source: Path) -> Iterator[Contents]:
    """Arrays that lie in the file itself: HDF5 can also point to any other file, and what does is refused."""
    with h5py.File(source, "r") as file:
        names: list[str] = []

        def note(name: str, item: Any) -> bool | None:
            if isinstance(item, h5py.Dataset):
                names.append(name)
            return True if len(names) >= LISTED else None

        with WaitingSignals():
            file.visititems(note)
            # What is a link has a name, too, so that it is refused rather than missed.
            names += [str(name) for name in file if not isinstance(file.get(name, getlink=True), h5py.HardLink)]

        def read(wanted: Sequence[str]) -> dict[str, np.ndarray]:
            with WaitingSignals():
                found = {name: _own_dataset(source, file, name) for name in wanted}
                check_memory(source, sum(item.nbytes for item in found.values()))
                return {name: np.asarray(item[()]) for name, item in found.items()}

        yield Contents(names, read)


def _own_dataset(source: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset of that name; a UserError where it is a link, or its numbers lie in another file."""
    item: Any = file
    for part in name.split("/"):
        link = item.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise UserError(
                f"{source.name}: {name} is a link to {getattr(link, 'filename', '')}{getattr(link, 'path', '?')}, and "
                "links are not followed; name the array itself, or copy it into the file"
            )
        item = item[part]
    if item.is_virtual or item.external:
        raise UserError(f"{source.name}: the numbers of {name} lie in another file; copy them into this one")
    return item
