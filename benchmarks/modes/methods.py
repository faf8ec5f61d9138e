"""Every method of the benchmark by name: data and settings in, a run folder that can be steered out."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.modes.core import Setup, Source, TrainConfig, load_run, read_info, train, train_on_codes
from benchmarks.original.method import original_method
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.reports.switches import changes
from mode_imitation.reports.turns import drivers, take_turns

OWN = ("ours", "segments", "original")
"""Methods that are the package's `train` with other settings."""
ON_CODES = ("true-label", "bc", "kmeans", "categorical-vae")
"""Methods that give every trajectory a code; the second phase then trains the policy on them."""


def own_settings(name: str, config: TrainConfig) -> TrainConfig:
    """Of a method of OWN, on the CPU as all methods, wherever that is: their times are compared.

    The original method has as many samples as the others' second phase.
    """
    if name == "original":
        return original_method(
            codes=config.codes,
            seed=config.seed,
            held_out=config.held_out,
            discovery_iterations=config.iterations,
            discovery_windows=config.batch,
            actor_hidden=config.actor_hidden,
            device="cpu",
        )
    return replace(config, device="cpu", find_switches=config.find_switches and name == "ours")


def codes_by(name: str, dataset: TrajectoryDataset, config: TrainConfig) -> tuple[Setup, Tensor]:
    """The units of a method of ON_CODES, and their codes, (U,) int64.

    Raises:
        UserError: the data does not allow it.
    """
    if name == "true-label":
        return label_codes(dataset, config)
    if name == "bc":  # one policy for everything: the context says nothing
        setup = Setup(dataset, replace(config, codes=2))
        return setup, torch.zeros(setup.data.n_units, dtype=torch.long)
    setup = Setup(dataset, replace(config, find_switches=False))
    if name == "kmeans":
        from benchmarks.modes.kmeans import trajectory_codes
    else:
        from benchmarks.modes.categorical_vae import trajectory_codes
    return setup, trajectory_codes(setup)


def label_codes(dataset: TrajectoryDataset, config: TrainConfig) -> tuple[Setup, Tensor]:
    """THE CEILING, AND THE ONE PLACE WHERE LABELS ENTER TRAINING: the experts' names are the codes.

    Never compare with it as if it were a method: it is told what the others have to find.

    Raises:
        UserError: the data has no labels, or more experts than there are codes.
    """
    if dataset.labels is None:
        raise UserError(f"dataset {dataset.name} has no labels; the true-label policy cannot do without")
    if (found := len(drivers(dataset))) > config.codes:
        raise UserError(f"there are {found} experts and only {config.codes} codes; raise the number of codes")
    setup = Setup(dataset, replace(config, find_switches=False))
    if take_turns(dataset):
        return labelled_turns(setup)
    _, of_episode = np.unique(dataset.labels, return_inverse=True)
    return setup, torch.from_numpy(of_episode[setup.split[0]])


def labelled_turns(setup: Setup) -> tuple[Setup, Tensor]:
    """Every turn of an expert as a unit, for the policy that is given the labels.

    Args:
        setup: whose dataset says of every step who drove.

    Returns:
        The same data and settings in units of turns, and (U,) int64, whose each of them is.
    """
    names = sorted(drivers(setup.dataset))
    lengths: list[int] = []
    episodes: list[int] = []
    codes: list[int] = []
    for row, index in enumerate(setup.split[0].tolist()):
        acting = setup.dataset.episodes[index].expert_of_step
        assert acting is not None
        edges = [0, *changes(acting).tolist(), len(acting)]
        lengths += np.diff(edges).tolist()
        episodes += [row] * (len(edges) - 1)
        codes += [names.index(acting[start]) for start in edges[:-1]]
    return replace(setup, given=(np.array(lengths), np.array(episodes))), torch.tensor(codes)


def train_method(name: str, dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> bool:
    """Train a method, unless the folder has its finished run; a method of OWN goes on where it was.

    Args:
        name: of OWN or ON_CODES.
        dataset: labels are used by "true-label" alone.
        config: codes, seed, iterations; what the methods have in common.
        out: the run's folder.
        source: where the dataset lies, for the record, so that reports find it.

    Returns:
        Whether there was something to train.

    Raises:
        UserError: the data or the settings do not allow it.
    """
    try:
        load_run(out)
        return False
    except UserError:
        if is_complete(out):  # a finished run whose files were damaged since: nothing to go on with
            shutil.rmtree(out)
    if name in OWN:
        train(dataset, own_settings(name, config), out, resume=True, source=source)
    else:
        started = time.monotonic()
        train_on_codes(*codes_by(name, dataset, config), out, name, started, source)
    return True


def is_complete(out: Path) -> bool:
    """Whether a folder says that it holds a finished run."""
    try:
        return read_info(out).get("status") == "complete"
    except UserError:
        return False
