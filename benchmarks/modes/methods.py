"""Every method of the benchmark by name: data and settings in, a run folder that can be steered out."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.modes.core import Setup, Source, train_on_codes
from benchmarks.original.method import original_method
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.reports.switches import changes
from mode_imitation.reports.turns import drivers, take_turns
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.run_folder import load_run, read_info
from mode_imitation.training.trainer import train


def train_ours(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """The project's own method, with these settings and all else as it comes; goes on where it was.

    On the CPU, as all methods, wherever that is: their times are compared.
    """
    train(dataset, replace(config, device="cpu"), out, resume=True, source=source)


def train_segments(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """The project's own method with codes of segments alone, where switches are looked for; goes on where it was."""
    train_ours(dataset, replace(config, find_switches=False), out, source)


def train_original(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """The original method in this project's network, on as many samples as the others' second phase has.

    Goes on where it was.
    """
    original = original_method(
        codes=config.codes,
        seed=config.seed,
        held_out=config.held_out,
        discovery_iterations=config.iterations,
        discovery_windows=config.batch,
        actor_hidden=config.actor_hidden,
        device="cpu",
    )
    train(dataset, original, out, resume=True, source=source)


def train_behaviour_cloning(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """One policy for everything: every trajectory has the same code, so that the context says nothing."""
    setup = Setup(dataset, replace(config, codes=2))
    train_on_codes(setup, torch.zeros(setup.data.n_units, dtype=torch.long), out, "bc", source=source)


def train_true_label(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """THE CEILING, AND THE ONE PLACE WHERE LABELS ENTER TRAINING: the experts' names are the codes.

    Never compare with it as if it were a method: it is told what the others have to find.

    Raises:
        UserError: the data has no labels, or more experts than there are codes.
    """
    if dataset.labels is None:
        raise UserError(f"dataset {dataset.name} has no labels; the true-label policy cannot do without")
    _, of_episode = np.unique(dataset.labels, return_inverse=True)
    if (found := len(drivers(dataset))) > config.codes:
        raise UserError(f"there are {found} experts and only {config.codes} codes; raise the number of codes")
    setup = Setup(dataset, replace(config, find_switches=False))
    if take_turns(dataset):
        setup, codes = labelled_turns(setup)
    else:
        codes = torch.from_numpy(of_episode[setup.split[0]])
    train_on_codes(setup, codes, out, "true-label", source=source)


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


def train_kmeans(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """k-means on features of whole trajectories, or of their segments, then a policy that is told the cluster."""
    from benchmarks.modes.kmeans import trajectory_codes

    started = time.monotonic()
    setup = Setup(dataset, replace(config, find_switches=False))
    train_on_codes(setup, trajectory_codes(setup), out, "kmeans", started, source)


def train_categorical_vae(dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> None:
    """A categorical latent per trajectory, then the policy trained on as all others are."""
    from benchmarks.modes.categorical_vae import trajectory_codes

    started = time.monotonic()
    setup = Setup(dataset, config)
    train_on_codes(setup, trajectory_codes(setup), out, "categorical-vae", started, source)


TRAINERS = {
    "ours": train_ours,
    "segments": train_segments,
    "true-label": train_true_label,
    "bc": train_behaviour_cloning,
    "kmeans": train_kmeans,
    "categorical-vae": train_categorical_vae,
    "original": train_original,
}


def train_method(name: str, dataset: TrajectoryDataset, config: TrainConfig, out: Path, source: Source = None) -> bool:
    """Train a method, unless the folder has its finished run.

    Args:
        name: of TRAINERS.
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
        pass
    try:
        TRAINERS[name](dataset, config, out, source)
    except UserError:
        if not is_complete(out):
            raise
        # A finished run whose files were damaged since: nothing to go on with.
        shutil.rmtree(out)
        TRAINERS[name](dataset, config, out, source)
    return True


def is_complete(out: Path) -> bool:
    """Whether a folder says that it holds a finished run."""
    try:
        return read_info(out).get("status") == "complete"
    except UserError:
        return False
