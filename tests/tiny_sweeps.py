"""Sweeps of seconds for the tests: small data on disk, a small grid, no processes."""

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.cells import prepare
from mode_imitation.reports.sweep.config import SweepConfig
from tests.synthetic import two_laws

NAME = "test/two-laws-v0"


def stored(root: Path, labels: str = "true", n_each: int = 5) -> TrajectoryDataset:
    """Two laws on disk, their labels true, shuffled or removed."""
    data = two_laws(n_each=n_each)
    names = [episode.expert for episode in data.episodes]
    if labels == "shuffled":
        names = names[::2] + names[1::2]
    episodes = [
        dataclasses.replace(episode, expert=None if labels == "removed" else name)
        for episode, name in zip(data.episodes, names, strict=True)
    ]
    write_dataset(NAME, episodes, root=root)
    return load_dataset(NAME, root)


def tiny(root: Path, out: Path, **changes: Any) -> SweepConfig:
    grid: dict[str, Any] = {"codes": "2,3", "strides": "1,2", "seeds": 2, "seed": 100, "iterations": 8, "jobs": 2}
    grid |= {"joint_iterations": 20}
    return SweepConfig(dataset=NAME, root=root, out=out, **(grid | changes))


def in_this_process(
    job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int
) -> Generator[tuple[int, Any], None, None]:
    """What the worker does, without a process."""
    do = prepare(job)
    for index, task in enumerate(tasks):
        try:
            yield index, do(task, print)
        except UserError as error:
            yield index, error
