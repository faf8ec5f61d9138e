"""What is settled before training starts: the device, which episodes are held out, whether data and settings fit."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.windows import segment_lengths
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import DeviceName, TrainConfig
from mode_imitation.versions import platform_name, versions

FEWEST_EPISODES = 4
"""Of a dataset whose episodes are judged by policies that were fitted to the others: two on either side."""


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


def seeded_generator(seed: int, restart: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for everything that draws."""
    words = [seed, restart, *purpose.encode()]
    state = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)


def fresh_model(dataset: TrajectoryDataset, data: TrainingData, config: TrainConfig, restart: int) -> ModeModel:
    """A model of a restart's initial weights on the data's device, its normaliser fitted to the data; no history."""
    sizes = config.model_config(dataset.obs_dim, dataset.act_dim, dataset.observation_slices)
    model = ModeModel(sizes, seeded_generator(config.seed, restart, "weights")).to(data.device)
    model.normalizer.fit(data.observations, data.some_deltas(), data.actions[data.trainable])
    return model


def held_out_split(n_episodes: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out episodes, each ascending; at least one episode is trained on."""
    n_held_out = min(round(share * n_episodes), n_episodes - 1)
    shuffled = np.random.default_rng([seed, n_episodes]).permutation(n_episodes)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


def describe_run(
    dataset: TrajectoryDataset, config: TrainConfig, training: np.ndarray, held_out: np.ndarray
) -> dict[str, Any]:
    """What run.json says from the start."""
    slices = dataset.observation_slices
    return {
        "status": "running",
        "config": config.to_dict(),
        "dataset": {"name": dataset.name, "checksum": dataset.checksum, "n_episodes": len(dataset)},
        "env_id": dataset.env_id,
        "observation_slices": {name: [part.start, part.stop] for name, part in slices.items()} if slices else None,
        "layout_seeds": dataset.layout_seeds,
        "training_episodes": training.tolist(),
        "held_out_episodes": held_out.tolist(),
        "versions": versions(),
        "platform": platform_name(),
    }


def check_data(dataset: TrajectoryDataset, config: TrainConfig) -> None:
    """
    Raises:
        UserError: an episode is shorter than a window, there are fewer trajectories than codes, or too few episodes to
            look for switches in.
    """
    segment_lengths(dataset.lengths, config.segment, config.window.span)
    training, _ = held_out_split(len(dataset), config.held_out, config.seed)
    units, _ = segment_lengths(dataset.lengths[training], config.segment, config.window.span)
    if config.codes > len(units):
        what = "trajectories" if config.segment is None else "segments"
        raise UserError(
            f"codes is {config.codes}, but dataset {dataset.name} has only {len(units)} {what} to train on; "
            "lower --codes or --held-out, or generate more episodes"
        )
    if config.find_switches and len(training) < FEWEST_EPISODES:
        raise UserError(
            f"dataset {dataset.name} has {len(training)} episode{'s' * (len(training) != 1)} to train on; switches are "
            f"judged by policies fitted to the other half, which takes at least {FEWEST_EPISODES}; record more episodes"
        )


def same_run(info: dict[str, Any], dataset: TrajectoryDataset, config: TrainConfig | None, out: Path) -> TrainConfig:
    """The run's settings, after a check that settings and data that were given are the run's own."""
    saved = TrainConfig.from_dict(info["config"])
    if config is not None:
        before, now = saved.to_dict(), config.to_dict()
        changed = [name for name in before if before[name] != now[name]]
        if changed:
            name = changed[0]
            raise UserError(
                f"{out} was started with {name} = {before[name]}, not {now[name]}; "
                "resume with the same settings, or start anew with --overwrite"
            )
    if info["dataset"]["checksum"] != dataset.checksum:
        raise UserError(
            f"{out} was started on other data than {dataset.name} holds now; "
            f"resume with dataset {info['dataset']['name']} as it was, or start anew with --overwrite"
        )
    return saved
