"""How fast training goes: batches against a torch DataLoader, and what each kind of actor costs, as ratios in one run.

python -m benchmarks.training [DATASET] [--seconds 2]
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mode_imitation.commands.tables import print_table
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.data.windows import all_inside, window_starts
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.objective import Windows
from mode_imitation.processes import cores
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.policy_training import PolicyTraining
from mode_imitation.training.preparation import new_model, token_sizes
from mode_imitation.versions import versions

DATA, SAMPLE = Path(__file__).parents[1] / "data", "sample/two-experts-v0"
EPOCH = 20
"""Batches of which a small dataset is drawn with replacement, so that epochs' beginnings are not what is measured."""
ROUNDS = 3
Fetch = Callable[[], Windows]
ACTORS: dict[str, dict[str, Any]] = {
    "readings (default)": {},
    "ring attention": {"ring": "attention"},
    "chunks of 8": {"chunk": 8},
    "memory of 64": {"memory": 64},
    "mixture": {"head": "mixture"},
}


class WindowDataset(Dataset):
    """Undisturbed windows one by one, as a torch user would write it."""

    def __init__(self, dataset: TrajectoryDataset, config: TrainConfig) -> None:
        self.shape = config.window
        self.episodes = dataset.episodes
        self.items: list[tuple[int, int]] = []
        for index, episode in enumerate(dataset.episodes):
            starts = window_starts(np.array([len(episode)]), self.shape.span)
            if episode.disturbed is not None:
                starts = starts[all_inside(~episode.disturbed, starts, self.shape.span)]
            self.items += [(index, int(start)) for start in starts]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        index, start = self.items[item]
        episode = self.episodes[index]
        steps = start + np.arange(self.shape.horizon) * self.shape.gap
        states = episode.observations[steps]
        deltas = episode.observations[steps + self.shape.stride] - states
        return torch.from_numpy(states), torch.from_numpy(deltas), torch.from_numpy(episode.actions[steps])


def ours(data: TrainingData, config: TrainConfig) -> Fetch:
    """Batches as the joint objective draws them: groups of windows of one trajectory."""
    generator = torch.Generator().manual_seed(0)

    def fetch() -> Windows:
        units = data.draw_units(config.joint_windows // config.pool, generator).repeat_interleave(config.pool)
        return data.windows(data.draw_starts(units, generator))

    return fetch


def loader(dataset: WindowDataset, batch: int, workers: int) -> Fetch:
    """Batches of a shuffling DataLoader, endlessly; workers stay from epoch to epoch."""
    few = len(dataset) < EPOCH * batch
    generator = torch.Generator().manual_seed(0)
    number = EPOCH * batch if few else len(dataset)
    batches = DataLoader(
        dataset,
        batch_size=batch,
        sampler=RandomSampler(dataset, replacement=few, num_samples=number, generator=generator),
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=generator,
    )

    def endless() -> Iterator[Windows]:
        while True:
            for states, deltas, actions in batches:
                yield Windows(states, deltas, actions)

    source = endless()
    return lambda: next(source)


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls per second, after a few that are not counted."""
    for _ in range(3):
        work()
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        work()
        done += 1
    return done / passed


def policy_step(dataset: TrajectoryDataset, changes: dict[str, Any]) -> tuple[Callable[[], object], int]:
    """One iteration of the policy's training with these settings, and the iterations that `train` takes by default."""
    config = TrainConfig(**changes)
    data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), config.window)
    sizes = config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
    model = new_model(sizes, data, config)
    codes = torch.arange(data.n_units) % config.codes
    training = PolicyTraining(model, data, codes, config, torch.Generator().manual_seed(0))
    count = iter(range(10**9))
    return lambda: training.step(next(count) % config.iterations), config.iterations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="name or path; left out, the committed sample")
    parser.add_argument("--root", type=Path, help="folder of the datasets")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.root) if arguments.dataset else load_dataset(SAMPLE, DATA)
    config, seconds = TrainConfig(), arguments.seconds
    torch.set_num_threads(1)
    n_cores = cores()
    print(f"{dataset.name}: {len(dataset)} episodes, {int(dataset.lengths.sum()):,} steps")
    print(f"{platform.machine()}, {platform.system()}, {n_cores} cores, load {os.getloadavg()[0]:.1f}, one thread")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))

    data = TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), config.window)
    items, batch = WindowDataset(dataset, config), config.joint_windows
    sources = {
        "index tensors in memory (ours)": ours(data, config),
        "DataLoader, in this process": loader(items, batch, 0),
        "DataLoader, 2 workers": loader(items, batch, 2),
    }
    fetched = {name: max(rate(fetch, seconds) for _ in range(ROUNDS)) * batch for name, fetch in sources.items()}
    first = next(iter(fetched.values()))
    print_table(
        f"windows of {config.window.horizon} transitions, batches of {batch}, best of {ROUNDS} rounds",
        ("", "windows/s", "ours / it"),
        [(name, f"{value:,.0f}", f"{first / value:.1f}") for name, value in fetched.items()],
    )
    times: dict[str, list[float]] = {}
    for name, changes in ACTORS.items():
        for workers in (1, None):
            step, iterations = policy_step(dataset, changes | {"workers": workers})
            times.setdefault(name, []).append(iterations / max(rate(step, seconds) for _ in range(ROUNDS)))
    usual = next(iter(times.values()))
    print_table(
        f"the policy's training, {config.iterations:,} iterations: seconds, and as a multiple of the default's",
        ("actor", "one core", f"{n_cores} cores", "one core", f"{n_cores} cores"),
        [
            (name, *(f"{value:.0f}" for value in found), *(f"{v / u:.1f}" for v, u in zip(found, usual, strict=True)))
            for name, found in times.items()
        ],
    )


if __name__ == "__main__":
    main()
