"""Versions of what decides results, as recorded in datasets, runs and reports. Imports none of it."""

import functools
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RECORDED = ("mode-imitation", "numpy", "torch", "mujoco", "gymnasium", "safety-gymnasium", "minari", "h5py")


def versions() -> dict[str, str]:
    """Version of Python and of every package in RECORDED that is installed."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def digest_of_code(folders: tuple[str, ...]) -> str:
    """sha256, shortened, of the names and contents of this project's .py files in these folders.

    Args:
        folders: below the project's root, "mode_imitation/data" say; what lies deeper within them does not count.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (root / folder).glob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()[:16]


def platform_name() -> str:
    """Operating system and processor architecture, "Linux x86_64" say; nothing that names the machine."""
    return f"{platform.system()} {platform.machine()}"
