"""Versions of what decides results, as recorded in datasets, runs and reports. Imports none of it."""

import functools
import platform
from importlib.metadata import PackageNotFoundError, version

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


def platform_name() -> str:
    """Operating system and processor architecture, "Linux x86_64" say; nothing that names the machine."""
    return f"{platform.system()} {platform.machine()}"
