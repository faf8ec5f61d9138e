"""The rows: trajectories with labels, from a folder of the user's, from installed packages, or made by experts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.wild import made, packages
from benchmarks.wild.config import WildConfig
from mode_imitation.data.arrays import from_arrays
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError, near_matches

GROUPS = ("folder", "packages", "made")
ARRAYS = ("observations", "actions", "episode_lengths", "labels")


@dataclass(frozen=True)
class Row:
    """One set of trajectories."""

    name: str
    group: str
    load: Callable[[], TrajectoryDataset]
    """With labels; raises UserError where the data cannot be read or made."""
    lacking: str | None = None
    """What has to be installed first."""
    there: bool = True
    """Whether it needs not be made first."""


def chosen_rows(config: WildConfig) -> tuple[list[Row], list[str]]:
    """The rows to run, and a line on each that is left out since its data are not here.

    Raises:
        UserError: there is no such row, or one that was asked for by name cannot be had.
    """
    known = {row.name: row for row in all_rows(config)}
    if config.rows is None:
        missing = [row for row in known.values() if row.lacking]
        notes = [f"left out: {row.name}, which needs {row.lacking}" for row in missing]
        notes += ["left out: the rows of a folder; --data names one"] * (config.data is None)
        return [row for row in known.values() if not row.lacking], notes
    found: dict[str, Row] = {}
    for word in filter(None, (part.strip() for part in config.rows.split(","))):
        own = [row for row in known.values() if word in (row.name, row.group)]
        if not own:
            where = "" if config.data is not None else " (rows of a folder need --data)"
            raise UserError(f"there is no row {word!r}{near_matches(word, [*known, *GROUPS])}{where}; {listed(known)}")
        for row in own:
            if row.lacking:
                raise UserError(f"row {row.name} needs {row.lacking}")
            found[row.name] = row
    if not found:
        raise UserError(f"--rows names no row; {listed(known)}")
    return list(found.values()), []


def all_rows(config: WildConfig) -> list[Row]:
    """In the tables' order."""
    files = sorted(config.data.glob("*.npz")) if config.data else []
    rows = [Row(path.stem, "folder", partial(of_file, path)) for path in files]
    rows += [Row(name, "packages", one.load, one.lacking()) for name, one in packages.SETS.items()]
    root = config.out / "data"
    rows += [
        Row(name, "made", partial(made.make, name, root), there=made.folder(name, root).exists()) for name in made.SETS
    ]
    return list({row.name: row for row in reversed(rows)}.values())[::-1]  # a file goes before its namesake


def listed(known: Iterable[str]) -> str:
    """What there is, for an error's end."""
    return f"expected {', '.join(known)}, or a group: {', '.join(GROUPS)}"


def of_file(path: Path) -> TrajectoryDataset:
    """
    Raises:
        UserError: it is no such file, an array is missing, or arrays do not fit.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in ARRAYS if name in file}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable .npz file ({error}); expected {', '.join(ARRAYS)}") from None
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise UserError(f"{path} has no {missing[0]}; expected {', '.join(ARRAYS)}")
    observations, actions, lengths, labels = (arrays[name] for name in ARRAYS)
    return packages.quietly(from_arrays, observations, actions, lengths, labels=labels.astype(str), name=path.stem)
