"""Files that are either the old one or the new one, whenever the process dies, and locks that end with it."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system without locks answers; work goes on there without them."""


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and move it into place.

    Args:
        path: the file to create or replace; its folder is created.
        write: called with the path of the temporary file, which already exists and is empty.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        flush(temporary)
        # mkstemp makes files private; a dataset or a report is as public as the folder it lies in.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, complaint: str) -> Iterator[None]:
    """One process at a time gets in; the lock goes with the process that holds it, however it ends.

    Args:
        path: a file that is made for it, and its folder; it stays unless who holds it removes it. Or a folder, which
            is locked itself.
        complaint: what to tell the user where another process has it.

    Raises:
        UserError: the complaint.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    is_folder = path.is_dir()
    while True:
        try:
            if not is_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDONLY if is_folder else os.O_WRONLY | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if is_folder or path.parent.exists():
                raise
            continue  # who held it has just removed the folder
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise UserError(complaint) from None
                if error.errno not in NO_LOCKS:
                    raise
            if is_folder or _is_still(path, handle):
                yield
                return
        finally:
            os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    """Whether an open file is the one that goes by this path, which another process may have removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def check_folder(folder: Path, purpose: str, option: str = "--out") -> None:
    """Refuse, before any work, a folder that is to hold files and cannot; makes nothing.

    Args:
        folder: it need not exist.
        purpose: what it is for, "the report" say.
        option: that named it.

    Raises:
        UserError: it, or what it is to lie in, is a file or may not be written.
    """
    place = next((place for place in (folder, *folder.parents) if place.exists()), Path())
    if not place.is_dir():
        raise UserError(f"{place} is a file; expected a folder for {purpose}; choose another {option}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{place} may not be written; expected a folder for {purpose}; choose another {option}")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NumPy scalars and arrays become numbers and lists."""
    write_text(path, json.dumps(value, indent=2, default=as_json) + "\n")


def as_json(value: Any) -> Any:
    """Turn NumPy values and paths into what `json` can write; for `json.dumps(default=...)`."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush(path: Path) -> None:
    """Have what the system still holds of a file, or of a folder's entries, written to the disk.

    Raises:
        OSError: it cannot be opened or written.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
