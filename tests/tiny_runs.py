"""Untrained models, random data and run folders for tests of steering and evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.data.windows import WindowShape
from mode_imitation.data.writer import write_dataset
from mode_imitation.model.config import ContextKind, ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.run_folder import save_model, write_info

OBS_DIM, ACT_DIM, N_CODES = 60, 2, 4
WINDOW = WindowShape(horizon=3, gap=2, stride=2)
SENSORS = {"magnetometer": Sensor(9, 12), "goal_lidar": Sensor(12, 28, "ring")}
SLICES = {name: sensor.columns for name, sensor in SENSORS.items()}
ALIVE = (True, True, True, False)


def random_model(
    context: ContextKind = "assignment", obs_dim: int = OBS_DIM, alive: tuple[bool, ...] = ALIVE, **more: Any
) -> ModeModel:
    """Untrained, with entries far enough apart that contexts differ."""
    generator = torch.Generator().manual_seed(0)
    sizes: dict[str, Any] = {"obs_dim": obs_dim, "action_space": ActionSpace(ACT_DIM), "n_codes": N_CODES}
    config = ModelConfig(**sizes | {"window": WINDOW, "context": context, "actor_hidden": (16,)} | more)
    model = ModeModel(config, generator).eval().requires_grad_(False)
    states, deltas = (torch.randn(N_CODES, WINDOW.horizon, obs_dim, generator=generator) for _ in range(2))
    actions = torch.randn(N_CODES, WINDOW.horizon, config.action_space.size, generator=generator)
    if config.action_space.discrete:
        actions = (actions > 0).long()
    model.codebook.entries.copy_(model.encode(states, deltas, actions))
    model.alive.copy_(torch.tensor(alive))
    model.mode_shares.copy_(torch.tensor([0.5, 0.3, 0.2, 0.0]))
    model.typical_distances.copy_(torch.rand(N_CODES, N_CODES, generator=generator))
    return model


def random_episode(steps: int = 40, seed: int = 0, obs_dim: int = OBS_DIM, **more: Any) -> Episode:
    """Noise; the second half of it out of sight of the lidar."""
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(steps + 1, obs_dim)).astype(np.float32)
    if obs_dim == OBS_DIM:
        observations[steps // 2 :, SLICES["goal_lidar"]] = 0
    return Episode(
        observations=observations,
        actions=rng.uniform(-1, 1, size=(steps, ACT_DIM)).astype(np.float32),
        **more,
    )


def random_dataset(n_episodes: int = 6, labels: bool = True, positions: bool = True) -> TrajectoryDataset:
    """Every second episode of one expert, the others of another."""
    walks = np.random.default_rng(1).normal(size=(n_episodes, 41, 2)).cumsum(axis=1).astype(np.float32)
    episodes = tuple(
        random_episode(
            seed=index,
            expert=("goal_seeking", "forward_moving")[index % 2] if labels else None,
            positions=walks[index] if positions else None,
            layout_seed=index,
        )
        for index in range(n_episodes)
    )
    return TrajectoryDataset("tiny/random-v0", episodes, SENSORS, "SafetyPointGoal1-v0")


def save_run(
    folder: Path, root: Path, dataset: TrajectoryDataset, info: dict[str, Any] | None = None
) -> TrajectoryDataset:
    """A run's folder around an untrained model, and the dataset that it claims to have been trained on."""
    write_dataset(
        dataset.name,
        dataset.episodes,
        root=root,
        env_id=dataset.env_id,
        sensors=dataset.sensors,
    )
    stored = load_dataset(dataset.name, root)
    folder.mkdir(parents=True)
    save_model(folder, random_model())
    described = {
        "status": "complete",
        "config": {"pool": 2, "objective": "sum"},
        "dataset": {"name": dataset.name, "checksum": stored.checksum, "n_episodes": len(dataset)},
        "source": {"root": str(root), "name": dataset.name},
        "env_id": dataset.env_id,
        "layout_seeds": dataset.layout_seeds,
        "held_out_episodes": [0, 1],
        "summary": {"n_modes": sum(ALIVE)},
    }
    write_info(folder, described | (info or {}))
    return stored
