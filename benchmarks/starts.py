"""What does the encoder bring? The codes of other starts, refined as training refines its own.

    python -m benchmarks.starts DATASET --codes 12 [--seeds 5] [--start discovery --start random]

`train` looks for codes with the VQ-VAE and then reassigns, splits and merges them by cross-fitted likelihood, from up
to three initial weights. Here all that comes after discovery starts from the codes of an untrained encoder, from
random ones, and from the k-means clusters of the benchmark's column (as many as there are codes), too. Told is the
agreement of the trajectories' codes with the experts (episode NMI, training episodes; labels serve for nothing else)
at the start, and for what was chosen among the restarts, without labels.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.modes.core import Setup
from benchmarks.modes.kmeans import clusters, trajectory_features
from mode_imitation.commands.tables import print_table
from mode_imitation.data import TrajectoryDataset, load_dataset
from mode_imitation.reports.metrics import clustering_scores
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.discovery import Discovery, unit_codes, unit_distances
from mode_imitation.training.session import TrainingSession
from mode_imitation.training.stages import assign, discover
from mode_imitation.training.tensorboard import TrainingLog
from mode_imitation.versions import versions


def discovery(session: TrainingSession) -> Tensor:
    """The project's own: VQ-VAE and policy together."""
    discover(session)
    assert session.state.codes is not None
    return session.state.codes


def untrained(session: TrainingSession) -> Tensor:
    """The codebook placed among the windows that an encoder of random weights encodes."""
    state, generator = session.state, session.generator("discovery", session.state.restart)
    Discovery(state.model, session.data, session.config, generator).start()
    return unit_codes(state.model, unit_distances(state.model, session.data, session.generator("codes")))


def random(session: TrainingSession) -> Tensor:
    """Any code, whatever the trajectory."""
    generator = session.generator("random start", session.state.restart)
    return torch.randint(session.config.codes, (session.data.n_units,), generator=generator)


def kmeans(session: TrainingSession) -> Tensor:
    """As many clusters as there are codes, of the statistics of whole trajectories."""
    features = trajectory_features(Setup(session.dataset, session.config))
    # A restart has starts of its own, no seed of a run among them.
    seed = session.config.seed + 1000 * session.state.restart
    return torch.from_numpy(clusters(features, session.config.codes, seed))


STARTS: dict[str, Callable[[TrainingSession], Tensor]] = {
    "discovery": discovery,
    "untrained": untrained,
    "random": random,
    "k-means": kmeans,
}


class Found(NamedTuple):
    at_start: list[float]
    """Episode NMI of every restart's start."""
    nmi: float
    """Of the codes that were chosen."""
    modes: int
    of_restarts: list[int]
    """Codes that every restart ended with."""
    seconds: float
    """Of processor time."""


def find_codes(dataset: TrajectoryDataset, config: TrainConfig, start: str, out: Path) -> Found:
    """Training up to the second phase, from this start."""
    assert dataset.labels is not None
    session = TrainingSession(dataset, config, out, torch.device("cpu"), None, None, going_on=False)
    labels = [dataset.labels[index] for index in session.training]
    begun, at_start = time.process_time(), []
    with TrainingLog(out / "log", 0) as session.log:
        while session.state.stage != "refinement":
            codes = STARTS[start](session)
            at_start.append(agreement(labels, codes))
            session.enter("assignment", session.state.restart)
            session.state.codes, session.state.rounds = codes, []
            assign(session)
    assert session.state.codes is not None
    chosen = session.state.codes
    of_restarts = [restart["n_codes"] for restart in session.state.restarts]
    spent = time.process_time() - begun
    return Found(at_start, agreement(labels, chosen), len(chosen.unique()), of_restarts, spent)


def agreement(labels: list[str], codes: Tensor) -> float:
    return clustering_scores(labels, codes.numpy())["nmi"]


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="name or path, with the experts' labels")
    parser.add_argument("--root", type=Path, help="folder of the datasets")
    parser.add_argument("--codes", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--start", action="append", choices=list(STARTS), help="again for more; left out, all")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.root)
    if dataset.labels is None:
        parser.error(f"dataset {dataset.name} has no labels to compare codes with")
    torch.set_num_threads(1)
    n_experts = len(set(dataset.labels))
    rows = []
    for start in arguments.start or STARTS:
        found = []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            with TemporaryDirectory() as out:
                config = TrainConfig(codes=arguments.codes, seed=seed, device="cpu")
                found.append(find_codes(dataset, config, start, Path(out) / "run"))
            print(f"{start}, seed {seed}: {found[-1].modes} modes, episode NMI {found[-1].nmi:.3f}", flush=True)
        exact = sum(one.modes == n_experts and one.nmi > 1 - 1e-9 for one in found)
        rows.append(
            (
                start,
                f"{exact} of {len(found)}",
                " ".join(str(one.modes) for one in found),
                ", ".join(" ".join(map(str, one.of_restarts)) for one in found),
                spread([one.nmi for one in found]),
                spread([nmi for one in found for nmi in one.at_start]),
                f"{np.mean([one.seconds for one in found]):.0f}",
            )
        )
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print_table(
        f"{dataset.name}: {n_experts} experts, {arguments.codes} codes; means [least, largest]",
        ("start", "exact", "modes", "of each seed's restarts", "episode NMI", "NMI at the start", "processor s a seed"),
        rows,
    )


if __name__ == "__main__":
    main()
