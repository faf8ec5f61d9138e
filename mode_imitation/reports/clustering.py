"""How a run sorts a dataset's windows and episodes into modes, and how far that agrees with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import in_sight, of_kind
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.metrics import Confusion, clustering_scores, codebook_perplexity, confusion_matrix
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

    @property
    def n_codes(self) -> int:
        """K"""
        return self.distances.shape[1]

    def window_shares(self) -> np.ndarray:
        """(K,) share of the windows that each code holds."""
        return np.bincount(self.codes, minlength=self.n_codes) / len(self.codes)


def sort_dataset(
    model: "ModeModel", dataset: TrajectoryDataset, *, every: int = 5, progress: Progress = no_progress
) -> SortedDataset:
    """Encode every episode; windows with disturbed steps are left out, as in training.

    Args:
        model: a trained mode model.
        dataset: of the model's observation and action size.
        every: takes a window at every so many steps.
        progress: advanced by one an episode.

    Raises:
        UserError: an episode does not fit the model, or is shorter than a window.
    """
    found = []
    for episode in dataset.episodes:
        found.append(encode_windows(model, episode, every=every))
        progress.advance()
    seen = None
    if has_lidar(dataset):
        seen = np.concatenate(
            [
                in_sight(episode.observations[windows.starts], dataset.sensors)
                for episode, windows in zip(dataset.episodes, found, strict=True)
            ]
        )
    return SortedDataset(
        episode_of_window=np.repeat(np.arange(len(found)), [len(windows.starts) for windows in found]),
        starts=np.concatenate([windows.starts for windows in found]),
        distances=np.concatenate([windows.distances for windows in found]),
        codes=np.concatenate([windows.codes for windows in found]),
        in_arena=seen,
        episode_codes=np.array([windows.code for windows in found]),
    )


def has_lidar(dataset: TrajectoryDataset) -> bool:
    """Whether the dataset says which observations are lidar, without which the arena has no edge."""
    return bool(of_kind(dataset.sensors, "ring"))


@dataclass(frozen=True)
class Agreement:
    """Codes beside labels."""

    windows: Confusion
    episodes: Confusion | None
    """None where experts take turns within an episode."""
    scores: dict[str, Any]
    """What report.json holds under "clustering"."""

    @property
    def tables(self) -> dict[str, Confusion]:
        """By what is counted: windows and, where each is one expert's, episodes."""
        return {"windows": self.windows} | ({"episodes": self.episodes} if self.episodes else {})


def compare_with_labels(
    found: SortedDataset,
    labels: Sequence[str],
    *,
    n_modes: int,
    held_out: Sequence[int] = (),
    of_window: np.ndarray | None = None,
) -> Agreement:
    """Every clustering score of windows and episodes.

    Args:
        found: the dataset's codes.
        labels: (E,) expert of each episode.
        n_modes: how many modes the run has.
        held_out: episodes that training did not see; they are scored on their own too.
        of_window: (W,) who drove each window, where experts take turns within an episode; episodes, which then are no
            single expert's, are not scored.

    Returns:
        Scores with `homogeneity` and `completeness` over windows; `window`, `window_in_arena`, `episode` and
        `episode_held_out` have all of them, and are None where there is nothing to score. `coverage` is the share of
        the labels that are the most frequent one among some code's episodes (its windows, where experts take turns).
    """
    truth = np.asarray(labels)
    whole = of_window is None
    if of_window is None:
        of_window = truth[found.episode_of_window]
    unseen = np.array(sorted(held_out), dtype=np.int64)
    window = clustering_scores(of_window, found.codes)
    arena = found.in_arena
    known = arena is not None and arena.any()
    # Episodes of one expert alone agree with any code perfectly.
    tellable = whole and len(set(truth[unseen])) > 1
    in_arena_scores = clustering_scores(of_window[arena], found.codes[arena]) if known else None
    episode = clustering_scores(truth, found.episode_codes) if whole else None
    windows = confusion_matrix(of_window, found.codes, found.n_codes)
    episodes = confusion_matrix(truth, found.episode_codes, found.n_codes) if whole else None
    units = episodes or windows
    coverage = len(set(units.matched_labels()) - {None}) / len(units.labels)
    scores = {
        "window_nmi": window["nmi"],
        "window_nmi_in_arena": in_arena_scores["nmi"] if in_arena_scores else None,
        "episode_nmi": episode["nmi"] if episode else None,
        "homogeneity": window["homogeneity"],
        "completeness": window["completeness"],
        "n_modes": n_modes,
        "n_experts": len(units.labels),
        "coverage": coverage,
        "perplexity": codebook_perplexity(found.codes, found.n_codes),
        "window": window,
        "window_in_arena": in_arena_scores,
        "episode": episode,
        "episode_held_out": clustering_scores(truth[unseen], found.episode_codes[unseen]) if tellable else None,
    }
    return Agreement(windows, episodes, scores)


def exemplars(found: SortedDataset, mode: int, count: int = 3) -> list[dict[str, int | float]]:
    """The windows nearest to a code, each of another episode.

    Returns:
        At most `count` of {episode, start, distance}, nearest first; episodes of which this is the code come first.
    """
    mine = np.flatnonzero(found.codes == mode)
    foreign = found.episode_codes[found.episode_of_window[mine]] != mode
    order = mine[np.lexsort((found.distances[mine, mode], foreign))]
    chosen: dict[int, int] = {}
    for window in order.tolist():
        chosen.setdefault(int(found.episode_of_window[window]), window)
        if len(chosen) == count:
            break
    return [
        {"episode": episode, "start": int(found.starts[window]), "distance": float(found.distances[window, mode])}
        for episode, window in chosen.items()
    ]


def exemplar_episodes(found: SortedDataset, mode: int, count: int = 3) -> list[dict[str, int | float]]:
    """The episodes of a code that lie nearest to it, by their windows' mean distance: what the mode typically does.

    Returns:
        At most `count` of {episode, distance}, nearest first.
    """
    n_episodes = len(found.episode_codes)
    sums = np.bincount(found.episode_of_window, weights=found.distances[:, mode], minlength=n_episodes)
    means = sums / np.maximum(np.bincount(found.episode_of_window, minlength=n_episodes), 1)  # (E,)
    mine = np.flatnonzero(found.episode_codes == mode)
    nearest = mine[np.argsort(means[mine], kind="stable")[:count]]
    return [{"episode": int(index), "distance": float(means[index])} for index in nearest]
