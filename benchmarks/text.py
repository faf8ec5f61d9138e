"""Modes of texts: are sources told apart, and does the policy write as each of them?

    python -m benchmarks.text --corpus FOLDER [--seeds 2]

FOLDER has a folder of .txt files for each source. They are imported as bytes, mixed and unlabelled; a tenth of the
texts is held out. Labels serve for the table alone:

- episode NMI of the training texts' codes with their sources;
- bits a character of held-out texts: under their own mode, which is the one that most training texts of their source
  have; under the others, on average; and of the same policy trained with one code for all;
- of texts that are written under each mode, the share that is attributed to it, and of their characters.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from mode_imitation.commands.tables import print_table
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.text import Vocabulary, text_of, vocabulary_of
from mode_imitation.data.text_files import import_text
from mode_imitation.model.threads import one_thread
from mode_imitation.reports.attribution import attribute_episodes, calibrate, log_densities
from mode_imitation.reports.clustering import clustering_scores
from mode_imitation.reports.text import write_text
from mode_imitation.steering.policy import Policy
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit
from mode_imitation.training.run_folder import Run
from mode_imitation.versions import versions

WRITTEN = 20
"""Texts of each mode."""


class Figures(NamedTuple):
    """Of one seed."""

    n_modes: int
    nmi: float
    own: float
    others: float
    blind: float
    texts: float
    characters: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of .txt files for each source")
    parser.add_argument("--tokens", choices=("bytes", "words"), default="bytes")
    parser.add_argument("--length", type=int, default=400, help="tokens of a trajectory")
    parser.add_argument("--codes", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=1000, help="of the policy; more fit so little text too well")
    parser.add_argument("--memory", type=int, default=0, help="units of a recurrent policy")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        sources, config = (given.corpus,), {"tokens": given.tokens, "length": given.length}
        dataset = import_text(ImportConfig(sources=sources, out="text/corpus-v0", root=Path(folder), **config)).dataset
    if dataset.labels is None:
        parser.error(f"{given.corpus} has the texts of one folder alone; expected one for each source")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print(f"{given.corpus.name}: {len(dataset)} texts of {len(set(dataset.labels))} sources", flush=True)
    found = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        settings = TrainConfig(
            codes=given.codes, seed=seed, device="cpu", iterations=given.iterations, memory=given.memory
        )
        found.append(figures_of(dataset, settings))
        print(f"seed {seed}: {'; '.join(f'{n} {v:.3g}' for n, v in found[-1]._asdict().items())}", flush=True)
    columns = np.array(found)
    cells = [
        f"{column.mean():.{digits}f} [{column.min():.{digits}f}, {column.max():.{digits}f}]"
        for column, digits in zip(columns.T[1:], (3, 2, 2, 2, 2, 2), strict=True)
    ]
    print_table(
        f"{given.corpus.name}: means of {given.seeds} seeds [least, largest]; bits a character of held-out texts",
        ("modes", "episode NMI", "own mode", "other modes", "one model", "texts attributed", "characters"),
        [(" ".join(str(one.n_modes) for one in found), *cells)],
    )


def figures_of(dataset: TrajectoryDataset, config: TrainConfig) -> Figures:
    """Train with codes that are looked for and with one code for all, and compare."""
    vocabulary = vocabulary_of(dataset.metadata)
    assert vocabulary is not None
    assert dataset.labels is not None
    with TemporaryDirectory() as folder:
        run = fit(dataset, config, Path(folder) / "found")
        same = TrainConfig.from_dict(config.to_dict() | {"start": "given", "rounds": 0})
        blind = fit(dataset, same, Path(folder) / "one", codes=np.zeros(len(dataset), dtype=np.int64))
    labels, training = np.array(dataset.labels), np.array(run.info["training_episodes"])
    assignment = np.array(run.info["assignment"])
    own_mode = {
        label: int(np.bincount(assignment[labels[training] == label]).argmax()) for label in np.unique(labels[training])
    }
    held_out = [dataset.episodes[index] for index in run.info["held_out_episodes"]]
    with one_thread():
        bits = [bits_a_character(run, episode, vocabulary) for episode in held_out]
        own = [of[own_mode[str(episode.expert)]] for of, episode in zip(bits, held_out, strict=True)]
        others = [np.delete(of, own_mode[str(ep.expert)]).mean() for of, ep in zip(bits, held_out, strict=True)]
        without = [bits_a_character(blind, episode, vocabulary)[0] for episode in held_out]
        texts, characters = attributed(run, vocabulary, held_out)
    nmi = clustering_scores(labels[training], assignment)["nmi"]
    weights = [len(text_of(episode, vocabulary)) for episode in held_out]
    means = (float(np.average(values, weights=weights)) for values in (own, others, without))
    return Figures(run.info["summary"]["n_modes"], nmi, next(means), next(means), next(means), texts, characters)


def bits_a_character(run: Run, episode: Episode, vocabulary: Vocabulary) -> np.ndarray:
    """(M,) of a text under each mode."""
    return -log_densities(run.model, episode).sum(0) / np.log(2) / len(text_of(episode, vocabulary))


def attributed(run: Run, vocabulary: Vocabulary, known: Sequence[Episode]) -> tuple[float, float]:
    """Shares of the texts written under each mode, and of their tokens, that are attributed to it."""
    policy = Policy(run.model).reset(0)
    length = int(np.median([len(episode) for episode in known]))
    calibration = calibrate(run.model, known)
    texts, tokens = [], []
    for mode in policy.modes:
        contexts, written = policy.mode_contexts(mode)[None], []
        for _ in range(WRITTEN):
            own = write_text(policy, vocabulary, contexts, length, 1.0)
            written.append(Episode(observations=vocabulary.seen(own, policy.obs_dim), actions=own[:, None]))
        for one in attribute_episodes(run.model, written, calibration):
            tokens.append((one.states == mode).mean())
            texts.append(tokens[-1] > 0.5)
    return float(np.mean(texts)), float(np.mean(tokens))


if __name__ == "__main__":
    main()
