"""Every method of the benchmark by name: data and settings in, a run folder that can be steered out."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.modes.cells import CODE_FILE
from benchmarks.modes.core import Setup, Source
from benchmarks.original.method import original_method
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.reports.turns import drivers, take_turns
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit
from mode_imitation.training.preparation import Codes
from mode_imitation.training.run_folder import clear_folder, load_run, read_info

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
            joint_iterations=config.iterations,
            joint_windows=config.policy_batch,
            actor_hidden=config.actor_hidden,
            device="cpu",
        )
    return replace(config, device="cpu", find_switches=config.find_switches and name == "ours")


def codes_by(name: str, dataset: TrajectoryDataset, config: TrainConfig) -> Codes:
    """The codes of a method of ON_CODES, as `fit` takes them.

    Raises:
        UserError: the data does not allow it.
    """
    if name == "true-label":
        return label_codes(dataset, config)
    if name == "bc":  # one policy for everything: the context says nothing
        return np.zeros(len(dataset), dtype=np.int64)
    setup = Setup(dataset, replace(config, find_switches=False))
    if name == "kmeans":
        from benchmarks.modes.kmeans import trajectory_codes
    else:
        from benchmarks.modes.categorical_vae import trajectory_codes
    return setup.of_episodes(trajectory_codes(setup))


def label_codes(dataset: TrajectoryDataset, config: TrainConfig) -> Codes:
    """THE CEILING, AND THE ONE PLACE WHERE LABELS ENTER TRAINING: the experts' names are the codes.

    Never compare with it as if it were a method: it is told what the others have to find.

    Raises:
        UserError: the data has no labels, or more experts than there are codes.
    """
    if dataset.labels is None:
        raise UserError(f"dataset {dataset.name} has no labels; the true-label policy cannot do without")
    if (found := len(drivers(dataset))) > config.codes:
        raise UserError(f"there are {found} experts and only {config.codes} codes; raise the number of codes")
    if not take_turns(dataset):
        return np.unique(dataset.labels, return_inverse=True)[1].astype(np.int64)
    names = np.array(sorted(drivers(dataset)))
    return [np.searchsorted(names, np.asarray(episode.expert_of_step)).astype(np.int64) for episode in dataset.episodes]


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
            clear_folder(out, (CODE_FILE,))
    resume = (out / "run.json").exists()
    if name in OWN:
        fit(dataset, own_settings(name, config), out, resume=resume, source=source)
        return True
    codes = codes_by(name, dataset, config)
    settings = replace(
        config,
        start="given",
        rounds=0,
        find_switches=False,
        segment=None,
        device="cpu",
        codes=2 if name == "bc" else config.codes,
    )
    fit(dataset, settings, out, codes=codes, resume=resume, source=source)
    return True


def is_complete(out: Path) -> bool:
    """Whether a folder says that it holds a finished run."""
    try:
        return read_info(out).get("status") == "complete"
    except UserError:
        return False
