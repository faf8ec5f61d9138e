"""Files that the project wrote into a folder that the user named; nothing else there is ever deleted."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path


def foreign_entry(folder: Path, own: Sequence[str]) -> Path | None:
    """What lies in a folder and is none of the project's own.

    Args:
        folder: need not exist.
        own: patterns of the project's files below it, "tensorboard/events.*" say, with their folders.

    Returns:
        The first file, link or folder that fits no pattern, in order of names; None where there is none.
    """
    return min((path for path in _entries(folder) if not _is_own(path, folder, own)), default=None)


def remove_own(folder: Path, own: Sequence[str], *, last: str | None = None) -> None:
    """Remove the project's own files, and folders below that this leaves empty; of a link, the link alone.

    Args:
        folder: need not exist; it stays.
        own: see `foreign_entry`.
        last: the file to remove after all others.
    """
    found = [path for path in _entries(folder) if _is_own(path, folder, own)]
    for path in sorted(found, key=lambda path: path == folder / (last or "")):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # something else lies in it
                path.rmdir()
        else:
            path.unlink()


def _entries(folder: Path) -> Iterator[Path]:
    """Every file, link and folder below a folder, what a folder holds before itself; links are not followed."""
    for place, folders, files in os.walk(folder, topdown=False):
        yield from (Path(place, name) for name in (*files, *folders))


def _is_own(path: Path, folder: Path, own: Sequence[str]) -> bool:
    name = path.relative_to(folder).as_posix()
    if path.is_dir() and not path.is_symlink():
        depth = name.count("/") + 1
        folders = ("/".join(pattern.split("/")[:depth]) for pattern in own if pattern.count("/") >= depth)
        return any(fnmatchcase(name, pattern) for pattern in folders)
    return any(fnmatchcase(name, pattern) for pattern in own)
