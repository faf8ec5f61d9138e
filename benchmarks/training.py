"""Training throughput: index tensors in memory beside a DataLoader loop over the same model, in one run.

    python benchmarks/training.py
    python benchmarks/training.py pointgoal1/two-experts-v0 --seconds 4

Rates of fetching windows alone and of whole iterations of the first phase (fetch, objective, backward, step), and how
much of an iteration is the model. Everything draws windows of the same shape from the same episodes; both loops take
256 windows a batch. Compare ratios within one run; machines differ.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mode_imitation.commands.tables import print_table
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.data.windows import all_inside, window_starts
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Asked, Windows, joint_objective
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.discovery import objective_weights
from mode_imitation.training.schedule import adam
from mode_imitation.versions import versions

SAMPLE = "sample/two-experts-v0"
DATA = Path(__file__).parent.parent / "data"
ROUNDS = 3
"""Times that every rate is measured, in turns; the best is kept, which a busy machine disturbs least."""
EPOCH = 100
"""Batches in an epoch of the DataLoader, at least."""

Fetch = Callable[[], Windows]


class Row(NamedTuple):
    name: str
    threads: int
    windows: float
    """Fetched per second, nothing else going on."""
    iterations: float
    """Per second."""
    in_model: float
    """Share of an iteration's time that is not fetching."""


class WindowDataset(Dataset):
    """What one would write first: one window an item, cut from its episode; the default collate stacks them."""

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
    """Batches as the first phase of training draws them: groups of windows of one trajectory."""
    generator = torch.Generator().manual_seed(0)

    def fetch() -> Windows:
        units = data.draw_units(config.discovery_windows // config.pool, generator).repeat_interleave(config.pool)
        return data.windows(data.draw_starts(units, generator))

    return fetch


def loader(dataset: WindowDataset, batch: int, workers: int) -> Fetch:
    """Batches of a shuffling DataLoader, endlessly; workers stay from epoch to epoch."""
    # Of a small dataset, the sample above all, windows come more than once in an epoch: it would have no full batch, or
    # so few that the beginning of epochs is what is measured.
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


class Trainee:
    """The model and its optimizer; `step` is one iteration of the first phase on windows that were fetched."""

    def __init__(self, dataset: TrajectoryDataset, data: TrainingData, config: TrainConfig) -> None:
        self.config = config
        self.model = ModeModel(config.model_config(dataset.obs_dim, dataset.act_dim))
        self.model.normalizer.fit(data.observations, data.some_deltas(), data.actions[data.trainable])
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = adam(self.parameters, 1e-4)
        self.weights = objective_weights(config, 0)
        self.generator = torch.Generator().manual_seed(0)

    def step(self, windows: Windows) -> None:
        config = self.config
        size = (len(windows.states), config.asked)
        asked = torch.randint(config.horizon, size, generator=self.generator)
        rows = torch.arange(len(asked))[:, None]
        steps = Asked(windows.states[rows, asked], windows.actions[rows, asked])
        objective = joint_objective(self.model, windows, steps, self.weights, group=config.pool)
        self.optimizer.zero_grad()
        objective.total.backward()
        nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip)
        self.optimizer.step()
        found = objective.inference
        self.model.codebook.update(
            found.z.detach(), found.codes, config.codebook_decay, config.revive_below, self.generator
        )


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls per second, after a few that are not counted."""
    for _ in range(3):
        work()
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        work()
        done += 1
    return done / passed


def share_in_model(fetch: Fetch, trainee: Trainee, seconds: float) -> float:
    """Share of the iterations' time that is spent in the model rather than in waiting for windows."""
    in_model, started = 0.0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        windows = fetch()
        begun = time.perf_counter()
        trainee.step(windows)
        in_model += time.perf_counter() - begun
    return in_model / passed


def measure(name: str, fetch: Fetch, trainee: Trainee, threads: int, seconds: float) -> Row:
    """One row, with this many threads for torch."""
    torch.set_num_threads(threads)
    batch = trainee.config.discovery_windows
    fetched = rate(fetch, seconds)
    iterations = rate(lambda: trainee.step(fetch()), seconds)
    return Row(name, threads, fetched * batch, iterations, share_in_model(fetch, trainee, seconds))


def best(rows: list[Row]) -> Row:
    """The highest of each rate over rounds; the share of the round with most iterations."""
    fastest = max(rows, key=lambda row: row.iterations)
    return fastest._replace(windows=max(row.windows for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="name or path; left out, the committed sample")
    parser.add_argument("--root", type=Path, help="folder of the datasets")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.root) if arguments.dataset else load_dataset(SAMPLE, DATA)
    config = TrainConfig()
    data = TrainingData(dataset.episodes, dataset.observation_slices, config.window)
    items = WindowDataset(dataset, config)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{dataset.name}: {len(dataset)} episodes, {int(dataset.lengths.sum()):,} steps, {len(items):,} windows")
    print(f"{platform.machine()}, {platform.system()}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))

    trainee = Trainee(dataset, data, config)
    batch = config.discovery_windows
    contenders: list[tuple[str, Fetch, int]] = [
        ("index tensors in memory (ours)", ours(data, config), 1),
        ("index tensors in memory (ours)", ours(data, config), 2),
        ("DataLoader, in this process", loader(items, batch, 0), 1),
        ("DataLoader, 2 workers", loader(items, batch, 2), 1),
    ]
    measured = [
        [measure(name, fetch, trainee, threads, arguments.seconds) for name, fetch, threads in contenders]
        for _ in range(ROUNDS)
    ]
    rows = [best(list(rounds)) for rounds in zip(*measured, strict=True)]
    reference = rows[0]
    print_table(
        f"best of {ROUNDS} rounds, batches of {batch} windows of {config.horizon} transitions",
        ("", "threads", "windows fetched/s", "ours / it", "iterations/s", "ours / it", "time in the model"),
        [
            (
                row.name,
                f"{row.threads}",
                f"{row.windows:,.0f}",
                f"{reference.windows / row.windows:.1f}",
                f"{row.iterations:,.0f}",
                f"{reference.iterations / row.iterations:.2f}",
                f"{row.in_model:.0%}",
            )
            for row in rows
        ],
    )
    slowest = min(reference.windows / row.windows for row in rows if row.name.startswith("DataLoader"))
    print(f"windows fetched: {slowest:.1f} times as many as the faster DataLoader (wanted: 10)")


if __name__ == "__main__":
    main()
