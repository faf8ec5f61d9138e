"""Where a dataset is made, by one process at a time, and how it takes its place.

.unfinished/NAME/lock       held by the process that makes it
.unfinished/NAME/complete   the new dataset, before it takes its place
.unfinished/NAME/replaced   the old one, for the instant in which they change places
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from mode_imitation.atomic import flush, locked
from mode_imitation.data.storage import (
    ARRAY_FILES,
    METADATA_FILE,
    SUMS_FILE,
    check_dataset_id,
    resolve_root,
    unfinished_folder,
)
from mode_imitation.errors import UserError
from mode_imitation.own_files import foreign_entry, remove_own

COMPLETE, REPLACED, LOCK_FILE = "complete", "replaced", "lock"
OWN = (*ARRAY_FILES, SUMS_FILE)
"""The files of a dataset."""
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


@contextlib.contextmanager
def sole_writer(name: str, root: str | os.PathLike | None = None, *, overwrite: bool = False) -> Iterator[Path]:
    """Keep all others from making a dataset of this name; who has that already, in the same thread, has it.

    Args:
        name: the dataset's id.
        root: see `resolve_root`.
        overwrite: a dataset of that name may be there.

    Yields:
        The folder for its parts; "complete" in it is removed at the end, and the folder too if nothing else is in it.

    Raises:
        UserError: another process or thread is making it, or it cannot be written, see `check_new_dataset`.
    """
    staging = unfinished_folder(name, root)
    if staging.absolute() in _held.get():
        yield staging
        return
    check_new_dataset(name, root, overwrite=overwrite)
    with alone(name, root):
        # Again: another process may just have finished it, or have died when it was between its places.
        check_new_dataset(name, root, overwrite=overwrite)
        yield staging


@contextlib.contextmanager
def alone(name: str, root: str | os.PathLike | None = None) -> Iterator[None]:
    """Hold a dataset's lock, whether or not it may be written, and put in order what a killed process left.

    Raises:
        UserError: another process or thread holds it.
    """
    staging, base = unfinished_folder(name, root), resolve_root(root)
    with locked(staging / LOCK_FILE, f"{name} is being made by another process; wait for it or choose another name"):
        before = _held.set(_held.get() | {staging.absolute()})
        try:
            _restore(base / name, staging)
            yield
        finally:
            _held.reset(before)
            shutil.rmtree(staging / COMPLETE, ignore_errors=True)
            (staging / LOCK_FILE).unlink(missing_ok=True)
            remove_empty_parents(staging, base)


def check_new_dataset(name: str, root: str | os.PathLike | None = None, *, overwrite: bool = False) -> None:
    """Raise a UserError if a dataset of that name cannot be written; ask before any long work."""
    check_dataset_id(name)
    base, folder = resolve_root(root), resolve_root(root) / name
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file; expected a folder for datasets; choose another --root or name")
    disks = [next(path.stat().st_dev for path in (place, *place.parents) if path.exists()) for place in (base, folder)]
    if disks[0] != disks[1]:
        raise UserError(f"{folder} lies on another disk than {base}; name a folder on that disk with --root")
    try:
        is_empty = not any(folder.iterdir())
    except FileNotFoundError:
        return
    if not _is_dataset(folder) and not is_empty:
        raise UserError(f"{folder} exists and is no dataset; choose another name")
    if _is_dataset(folder) and not overwrite:
        raise UserError(f"dataset {name} exists already; choose another name or replace it with --overwrite")
    foreign = foreign_entry(folder, OWN)
    if foreign is not None:
        raise UserError(
            f"{foreign} is none of the files of dataset {name}; nothing was overwritten, move it away or choose "
            "another name"
        )


def move_into_place(complete: Path, folder: Path, replaced: Path) -> Path:
    """Put a complete dataset where it belongs; what is there is moved to `replaced`, and removed when all is well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        if folder.exists():
            # A folder cannot be swapped for another in one step: for an instant there is none, never a half one.
            folder.rename(replaced)
        complete.rename(folder)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    flush(folder.parent)
    _remove(replaced)
    return folder


def remove_empty_parents(folder: Path, root: Path) -> None:
    """Remove `folder` and its parents below `root` as far as they are empty."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def _restore(folder: Path, staging: Path) -> None:
    """Finish or undo what a process was at that died; a dataset that it was replacing is never lost."""
    shutil.rmtree(staging / COMPLETE, ignore_errors=True)
    replaced = staging / REPLACED
    if not replaced.exists():
        return
    if _is_dataset(folder):
        _remove(replaced)
    elif not folder.exists() or not any(folder.iterdir()):
        remove_empty_parents(folder, folder.parent)
        replaced.rename(folder)


def _remove(dataset: Path) -> None:
    with contextlib.suppress(OSError):  # what is to take its place is there, and whole
        if dataset.is_symlink():
            dataset.unlink()
        else:
            remove_own(dataset, OWN)
            dataset.rmdir()


def _is_dataset(folder: Path) -> bool:
    return (folder / "data" / METADATA_FILE).is_file()
