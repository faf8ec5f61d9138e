"""Where datasets lie, what they may be called, and the checksums beside them.

A dataset `pointgoal1/two-experts-v0` under the root folder is, in Minari's layout and ours:

    pointgoal1/two-experts-v0/data/main_data.hdf5   the episodes
    pointgoal1/two-experts-v0/data/metadata.json    what Minari and we know about them
    pointgoal1/two-experts-v0/SHA256SUMS            one line a file; `sha256sum -c SHA256SUMS` reads it too

What is being generated lies under `.unfinished/` in the root until it is complete, so it never reads as a dataset.
"""

import difflib
import hashlib
import lzma
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

from mode_imitation.errors import UserError

MAIN_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"
SUMS_FILE = "SHA256SUMS"
ARRAY_FILES = (f"data/{MAIN_FILE}", f"data/{METADATA_FILE}")
UNFINISHED = ".unfinished"
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
"""What reading a cut off or damaged .npz may raise, beside a lack of memory for an array of a damaged size."""

# Minari's own rule, with the version required: without one `minari.load_dataset` fails on its own data.
_DATASET_ID = re.compile(r"([-_\w][-_\w/]*[-_\w]+/)?[-_\w]+?-v\d+", re.ASCII)


def resolve_root(root: str | os.PathLike | None = None) -> Path:
    """The folder that holds the datasets: `root`, else MINARI_DATASETS_PATH, else ./data."""
    return Path(root or os.environ.get("MINARI_DATASETS_PATH") or "data")


def check_dataset_id(name: str) -> str:
    """Return `name` if it can be a new dataset's.

    Raises:
        UserError: it is not of the form namespace/name-vN.
    """
    if not _DATASET_ID.fullmatch(name) or "//" in name:
        raise UserError(
            f"{name!r} cannot be a dataset's name; expected letters, digits, - and _ (at least two in the namespace), "
            "with a version at the end, such as pointgoal1/two-experts-v0"
        )
    return name


def data_folder(name_or_path: str | os.PathLike, root: str | os.PathLike | None = None) -> Path:
    """The folder with metadata.json of a dataset given by name or by path.

    Args:
        name_or_path: a name below the root, the dataset's own folder, or its `data` folder.
        root: see `resolve_root`.

    Raises:
        UserError: there is no such dataset (with names that come near), or its generation has not finished.
    """
    base = resolve_root(root)
    for candidate in (base / name_or_path, Path(name_or_path)):
        for folder in (candidate / "data", candidate):
            if (folder / METADATA_FILE).is_file():
                return folder
    name = os.fspath(name_or_path).rstrip("/")
    if (base / UNFINISHED / name).is_dir():
        raise UserError(
            f"dataset {name} is not finished; run the command that makes it again, and it goes on where it was"
        )
    for folder in (base / name, Path(name)):
        if folder.exists():
            raise UserError(
                f"{folder} is no complete dataset: data/{METADATA_FILE} is missing; give another name, or make it again"
            )
    known = list_datasets(base)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"there are {', '.join(known[:5])}{' and more' if len(known) > 5 else ''}"
    else:
        hint = "there is none; make one with `mode-imitation generate`, or name another folder with --root"
    raise UserError(f"there is no dataset {name} under {base.absolute()}; {hint}")


def list_datasets(root: str | os.PathLike | None = None) -> list[str]:
    """Names of the complete datasets under the root, sorted."""
    base = resolve_root(root)
    names: list[str] = []
    for folder, subfolders, _ in os.walk(base):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        if Path(folder, "data", METADATA_FILE).is_file():
            names.append(Path(folder).relative_to(base).as_posix())
            subfolders.clear()
    return sorted(names)


def unfinished_folder(name: str, root: str | os.PathLike | None = None) -> Path:
    """Where the parts of a dataset lie while it is being made."""
    return resolve_root(root) / UNFINISHED / name


def checksum_text(folder: Path) -> str:
    """The content that SHA256SUMS must have for a dataset's folder as it is now."""
    return _as_text(_checksums(folder))


def damaged_files(folder: Path, *, strays: bool = True) -> list[str] | None:
    """Compare a dataset's folder with its SHA256SUMS, byte for byte.

    Args:
        folder: with SHA256SUMS in it.
        strays: whether a file that is none of a dataset's (Thumbs.db, say) counts.

    Returns:
        One line a file that is changed, missing or unexpected, empty if all is well;
        None where the dataset has no SHA256SUMS (it is not one of ours).
    """
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return None
    recorded = sums.read_bytes()
    lines = (line.partition("  ") for line in recorded.decode(errors="replace").splitlines())
    listed, found = {name: digest for digest, _, name in lines}, _checksums(folder)
    if not strays:
        found = {name: digest for name, digest in found.items() if name in (*listed, *ARRAY_FILES)}
    # The list itself is compared as bytes, so that a flip in it is found wherever it falls.
    if recorded == _as_text(found).encode():
        return []
    changed = [f"{name} has changed" for name in found if name in listed and listed[name] != found[name]]
    missing = [f"{name!r} is missing" for name in listed if name not in found]
    unexpected = [f"{name} is not listed" for name in found if name not in listed]
    return changed + missing + unexpected or [f"{SUMS_FILE} itself has changed"]


def _checksums(folder: Path) -> dict[str, str]:
    """Of every file below a folder, by name; what is hidden does not count."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and path.name != SUMS_FILE and not any(part.startswith(".") for part in relative.parts):
            with path.open("rb") as file:
                found[relative.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _as_text(checksums: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in checksums.items())
