"""What does the encoder bring? The codes of other starts, refined as training refines its own.

    python -m benchmarks.starts DATASET --codes 12 [--seeds 5] [--start vqvae --start random]

`train` looks for codes with the VQ-VAE, joins and reassigns them by how well laws explain trajectories that they
never saw, does so again from every trajectory by itself, and takes the better of both. Here the search begins with
random codes and with k-means clusters, too, and with them alone. Told is the agreement of the trajectories' codes
with the experts (episode NMI, training episodes; labels serve for nothing else).
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mode_imitation.commands.tables import print_table
from mode_imitation.data import load_dataset
from mode_imitation.reports.clustering import clustering_scores
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit
from mode_imitation.versions import versions

STARTS = ("vqvae", "kmeans", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="name or path, with the experts' labels")
    parser.add_argument("--root", type=Path, help="folder of the datasets")
    parser.add_argument("--codes", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--start", action="append", choices=STARTS, help="again for more; left out, all")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.root)
    if dataset.labels is None:
        parser.error(f"dataset {dataset.name} has no labels to compare codes with")
    labels = np.array(dataset.labels)
    rows = []
    for start in arguments.start or STARTS:
        found = []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            # One iteration of the policy: only the codes are looked at.
            config = TrainConfig(codes=arguments.codes, seed=seed, device="cpu", start=start, iterations=1)
            with TemporaryDirectory() as out:
                info = fit(dataset, config, Path(out) / "run").info
            nmi = clustering_scores(labels[info["training_episodes"]], np.array(info["assignment"]))["nmi"]
            found.append((nmi, info["summary"]["n_modes"], info["summary"]["score"]))
            print(f"{start}, seed {seed}: {found[-1][1]} modes, episode NMI {nmi:.3f}", flush=True)
        nmis = [nmi for nmi, _, _ in found]
        exact = sum(modes == len(set(labels)) and nmi > 1 - 1e-9 for nmi, modes, _ in found)
        rows.append(
            (
                start,
                f"{exact} of {len(found)}",
                " ".join(str(modes) for _, modes, _ in found),
                f"{np.mean([score for *_, score in found]):.3f}",
                f"{np.mean(nmis):.3f} [{min(nmis):.3f}, {max(nmis):.3f}]",
            )
        )
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print_table(
        f"{dataset.name}: {len(set(labels))} experts, {arguments.codes} codes; means [least, largest]",
        ("start", "exact", "modes", "score", "episode NMI"),
        rows,
    )


if __name__ == "__main__":
    main()
