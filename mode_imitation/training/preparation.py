"""What is settled before training starts: the device, which episodes are held out, whether data and settings fit."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import of_kind
from mode_imitation.data.text import KEY
from mode_imitation.data.windows import segment_lengths
from mode_imitation.discovery.starts import check_start
from mode_imitation.discovery.switches import units_of_codes
from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.batches import FlatEpisodes, TrainingData, Units
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.encoders import ENCODERS
from mode_imitation.model.heads import HEADS
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.config import DeviceName, TrainConfig
from mode_imitation.training.loop import seeded
from mode_imitation.versions import platform_name, versions

FEWEST_EPISODES = 4
"""Of a dataset whose episodes are judged by policies that were fitted to the others: two on either side."""
Codes = np.ndarray | Sequence[np.ndarray]
"""(E,) of episodes, or an (T,) array for each."""


def held_out_data(
    dataset: TrajectoryDataset, indices: np.ndarray, config: TrainConfig, device: torch.device
) -> TrainingData | None:
    """Episodes that training does not see; None where there are none, or none with an undisturbed window."""
    if not len(indices):
        return None
    data = TrainingData(FlatEpisodes.of(dataset, indices), config.window, config.segment, device)
    return data if len(data.drawable) else None


def new_model(sizes: ModelConfig, data: TrainingData, config: TrainConfig) -> ModeModel:
    """A model of its first weights on the data's device, its scales taken from the data."""
    model = ModeModel(sizes, seeded(config.seed, "weights")).to(data.device)
    model.features.fit(data.observations, data.some_deltas(), data.actions[data.trainable])
    return model


def token_sizes(dataset: TrajectoryDataset) -> tuple[int, ...]:
    """How many things each of a dataset's token sensors names."""
    return tuple(
        1 + int(max(episode.observations[:, token.columns].max() for episode in dataset.episodes))
        for token in of_kind(dataset.sensors, "token")
    )


def given_units(
    codes: Codes | None, flat: FlatEpisodes, config: TrainConfig, training: np.ndarray
) -> tuple[Units | None, Tensor | None]:
    """Units that given codes of steps make, and their codes, (U,); or None, and (E,) codes of the training episodes."""
    if codes is None:
        return None, None
    if isinstance(codes, np.ndarray):
        return None, torch.from_numpy(codes[training].astype(np.int64))
    steps = np.concatenate([np.asarray(codes[index]) for index in training])
    units, of_unit = units_of_codes(steps, flat.lengths, config.window.span)
    return units, torch.from_numpy(of_unit)


def digest_of(codes: Codes | None) -> str | None:
    """sha256 of given codes: who goes on with a run has to give the same ones."""
    if codes is None:
        return None
    flat = np.concatenate([np.atleast_1d(of_episode) for of_episode in codes])
    return hashlib.sha256(flat.astype(np.int64).tobytes()).hexdigest()


def codes_of_units(data: TrainingData, codes: Tensor) -> Tensor:
    """(E,) codes of the episodes -> (U,) of their units"""
    return codes[torch.from_numpy(data.episode_of_unit).to(codes.device)]


def choose_device(name: DeviceName) -> torch.device:
    """
    Raises:
        UserError: cuda was asked for where there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no CUDA device here; use --device cpu or auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def held_out_split(n_episodes: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out episodes, each ascending; at least one episode is trained on."""
    n_held_out = min(round(share * n_episodes), n_episodes - 1)
    shuffled = np.random.default_rng([seed, n_episodes]).permutation(n_episodes)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


def describe(
    dataset: TrajectoryDataset, config: TrainConfig, training: np.ndarray, held_out: np.ndarray
) -> dict[str, Any]:
    """What run.json says from the start."""
    return {
        "config": replace(config, workers=None).to_dict(),  # how many work on it decides nothing
        "dataset": {"name": dataset.name, "checksum": dataset.checksum, "n_episodes": len(dataset)},
        "env_id": dataset.env_id,
        "sensors": {name: [part.start, part.stop, part.kind] for name, part in (dataset.sensors or {}).items()},
        KEY: dataset.metadata.get(KEY),
        "layout_seeds": dataset.layout_seeds,
        "training_episodes": training.tolist(),
        "held_out_episodes": held_out.tolist(),
        "versions": versions(),
        "platform": platform_name(),
    }


def check_parts(config: TrainConfig) -> None:
    """
    Raises:
        UserError: there is no such start, encoder or head.
    """
    check_start(config.start)
    for what, name, known in (("encoder", config.encoder, ENCODERS), ("head", config.head, ("auto", *HEADS))):
        if name not in known:
            raise UserError(f"there is no {what} {name!r}{near_matches(name, known)}; expected {', '.join(known)}")


def check(dataset: TrajectoryDataset, config: TrainConfig, training: np.ndarray, codes: Codes | None) -> None:
    """
    Raises:
        UserError: see `check_parts`; an episode is shorter than a window, there are fewer trajectories than codes, too
            few episodes to look for switches in, or given codes that do not fit.
    """
    check_parts(config)
    segment_lengths(dataset.lengths, config.segment, config.window.span)
    units, _ = segment_lengths(dataset.lengths[training], config.segment, config.window.span)
    if config.codes > len(units):
        what = "trajectories" if config.segment is None else "segments"
        raise UserError(
            f"codes is {config.codes}, but dataset {dataset.name} has only {len(units)} {what} to train on; "
            "lower --codes or held_out, or generate more episodes"
        )
    if config.find_switches and len(training) < FEWEST_EPISODES:
        raise UserError(
            f"dataset {dataset.name} has {len(training)} episode{'s' * (len(training) != 1)} to train on; switches are "
            f"judged by policies fitted to the other half, which takes at least {FEWEST_EPISODES}; record more episodes"
        )
    if config.mirror and dataset.mirror is None:
        raise UserError(
            f"mirror is asked for, but dataset {dataset.name} does not say what it is with left for right, as those "
            "that `generate` records of a Point do; leave it out, or generate the dataset anew"
        )
    if config.mirror and not config.refine:
        raise UserError("mirror needs refine: only the policy on settled codes is shown images")
    if (codes is not None) != (config.start == "given"):
        raise UserError("codes and start='given' belong together; give both, or neither")
    if codes is None:
        return
    if isinstance(codes, np.ndarray):
        flat = codes
        if codes.shape != (len(dataset),):
            raise UserError(f"codes have shape {codes.shape}; expected {len(dataset)}, one an episode")
    else:
        lengths = [len(of_episode) for of_episode in codes]
        if lengths != dataset.lengths.tolist():
            raise UserError("codes are not one an action of each episode; expected as many arrays, as long as these")
        if config.rounds or config.segment is not None:
            raise UserError("codes of steps stay as they are; expected rounds=0 and no segment")
        flat = np.concatenate([np.asarray(of_episode) for of_episode in codes])
    if flat.dtype.kind not in "iu" or flat.min() < 0 or flat.max() >= config.codes:
        raise UserError(f"codes are {flat.dtype} from {flat.min()} to {flat.max()}; expected 0 to {config.codes - 1}")
