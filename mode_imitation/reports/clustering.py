"""How a run sorts a dataset's windows and episodes into modes, and how far that agrees with labels.

Labels are used here and nowhere in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.motion import in_arena
from mode_imitation.steering.infer import encode_windows

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel


@dataclass(frozen=True)
class SortedDataset:
    """Codes of every window and episode of a dataset; W windows, E episodes, K codes."""

    episode_of_window: np.ndarray
    """(W,) int64"""
    starts: np.ndarray
    """(W,) int64, first step of each window in its episode."""
    distances: np.ndarray
    """(W, K) to every code."""
    codes: np.ndarray
    """(W,) int64, the nearest code."""
    in_arena: np.ndarray | None
    """(W,) bool: some object was in sensor range when the window began; None where no lidar is known."""
    episode_codes: np.ndarray
    """(E,) int64, the nearest code by the distances pooled over the episode."""


def sort_dataset(
    model: "ModeModel", dataset: TrajectoryDataset, *, every: int = 5, progress: Progress = no_progress
) -> SortedDataset:
    """Encode every episode; windows with disturbed steps are left out, as in training.

    A window is taken at `every` so many steps; `progress` is advanced by one an episode.

    Raises:
        UserError: an episode does not fit the model, or is shorter than a window.
    """
    found, seen = [], []
    for episode in dataset.episodes:
        found.append(encode_windows(model, episode, every=every))
        seen.append(in_arena(episode.observations[found[-1].starts], dataset.sensors))
        progress.advance()
    return SortedDataset(
        episode_of_window=np.repeat(np.arange(len(found)), [len(windows.starts) for windows in found]),
        starts=np.concatenate([windows.starts for windows in found]),
        distances=np.concatenate([windows.distances for windows in found]),
        codes=np.concatenate([windows.codes for windows in found]),
        in_arena=None if seen[0] is None else np.concatenate(seen),
        episode_codes=np.array([windows.code for windows in found]),
    )


@dataclass(frozen=True)
class Confusion:
    """Counts of every label with every code."""

    labels: list[str]
    """L names, sorted; the rows."""
    counts: np.ndarray
    """(L, K) int: how many items have this label and this code."""

    def matched_labels(self) -> list[str | None]:
        """The most frequent label of each code; None for a code without items. K entries."""
        best = self.counts.argmax(axis=0)
        return [self.labels[row] if total else None for row, total in zip(best, self.counts.sum(axis=0), strict=True)]


def confusion_matrix(labels: Sequence[str] | np.ndarray, codes: np.ndarray, n_codes: int) -> Confusion:
    """Count each of (N,) labels with each of (N,) codes in [0, n_codes), whether they occur or not."""
    names, rows = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(names), n_codes), dtype=np.int64)
    np.add.at(counts, (rows, np.asarray(codes)), 1)
    return Confusion([str(name) for name in names], counts)


def clustering_scores(labels: Sequence[str] | np.ndarray, codes: np.ndarray) -> dict[str, float]:
    """Every agreement of (N,) codes with (N,) labels, each in [0, 1] (ARI may fall below 0), 1 for perfect agreement.

    NMI, ARI, homogeneity and completeness are scikit-learn's (NMI with the arithmetic mean). NMI and completeness
    punish surplus codes, homogeneity and purity do not.

    Returns:
        nmi, ari, homogeneity, completeness; purity, the share of items whose label is the most frequent one of their
        code; hungarian_accuracy, the share on the best one-to-one matching of codes with labels.

    Raises:
        ValueError: there is nothing to compare.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics

    if not len(codes):
        raise ValueError("no items to compare")
    truth = np.unique(np.asarray(labels), return_inverse=True)[1]
    found = np.unique(np.asarray(codes), return_inverse=True)[1]
    counts = confusion_matrix(truth, found, int(found.max()) + 1).counts
    homogeneity, completeness, _ = metrics.homogeneity_completeness_v_measure(truth, found)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(truth, found)),
        "ari": float(metrics.adjusted_rand_score(truth, found)),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        "purity": float(counts.max(axis=0).sum() / counts.sum()),
        "hungarian_accuracy": float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum()),
    }


@dataclass(frozen=True)
class Clustering:
    """The `clustering_scores` of each kind of item; None where there is nothing to score."""

    window: dict[str, float]
    window_in_arena: dict[str, float] | None
    episode: dict[str, float] | None
    """None where experts take turns within an episode."""
    episode_held_out: dict[str, float] | None
    """Of episodes that training did not see."""
    n_experts: int
    coverage: float
    """Share of the experts that most of some code's episodes (its windows, where experts take turns) are of."""


@dataclass(frozen=True)
class Agreement:
    """Codes beside labels."""

    windows: Confusion
    episodes: Confusion | None
    """None where experts take turns within an episode."""
    scores: Clustering

    @property
    def tables(self) -> dict[str, Confusion]:
        """By what is counted: windows and, where each is one expert's, episodes."""
        return {"windows": self.windows} | ({"episodes": self.episodes} if self.episodes else {})


def compare_with_labels(
    found: SortedDataset,
    labels: Sequence[str],
    *,
    held_out: Sequence[int] = (),
    of_window: np.ndarray | None = None,
) -> Agreement:
    """Every clustering score of windows and episodes.

    Args:
        found: the dataset's codes.
        labels: (E,) expert of each episode.
        held_out: episodes that training did not see; they are scored on their own too.
        of_window: (W,) who drove each window, where experts take turns within an episode; episodes, which then are no
            single expert's, are not scored.
    """
    truth, n_codes, arena = np.asarray(labels), found.distances.shape[1], found.in_arena
    whole = of_window is None
    if of_window is None:
        of_window = truth[found.episode_of_window]
    unseen = np.array(sorted(held_out), dtype=np.int64)
    # Held-out episodes of one expert alone agree with any code perfectly.
    tellable = whole and len(set(truth[unseen])) > 1
    windows = confusion_matrix(of_window, found.codes, n_codes)
    episodes = confusion_matrix(truth, found.episode_codes, n_codes) if whole else None
    units = episodes or windows
    seen = arena is not None and arena.any()
    scores = Clustering(
        window=clustering_scores(of_window, found.codes),
        window_in_arena=clustering_scores(of_window[arena], found.codes[arena]) if seen else None,
        episode=clustering_scores(truth, found.episode_codes) if whole else None,
        episode_held_out=clustering_scores(truth[unseen], found.episode_codes[unseen]) if tellable else None,
        n_experts=len(units.labels),
        coverage=len(set(units.matched_labels()) - {None}) / len(units.labels),
    )
    return Agreement(windows, episodes, scores)


@dataclass(frozen=True)
class Exemplar:
    """A window that is typical of a code."""

    episode: int
    start: int


def exemplars(found: SortedDataset, mode: int, count: int = 3) -> list[Exemplar]:
    """The windows nearest to a code, each of another episode, nearest first; episodes of that code come first."""
    mine = np.flatnonzero(found.codes == mode)
    foreign = found.episode_codes[found.episode_of_window[mine]] != mode
    order = mine[np.lexsort((found.distances[mine, mode], foreign))]
    chosen = order[np.sort(np.unique(found.episode_of_window[order], return_index=True)[1])[:count]]
    return [Exemplar(int(found.episode_of_window[window]), int(found.starts[window])) for window in chosen]


def exemplar_episodes(found: SortedDataset, mode: int, count: int = 3) -> list[int]:
    """The episodes of a code nearest to it by their windows' mean distance, nearest first."""
    n_episodes = len(found.episode_codes)
    sums = np.bincount(found.episode_of_window, weights=found.distances[:, mode], minlength=n_episodes)
    means = sums / np.maximum(np.bincount(found.episode_of_window, minlength=n_episodes), 1)  # (E,)
    mine = np.flatnonzero(found.episode_codes == mode)
    return mine[np.argsort(means[mine], kind="stable")[:count]].tolist()
