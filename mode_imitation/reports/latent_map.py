"""Windows as the encoder sees them, in two dimensions: by mode, by expert, and one episode's way among them."""

from dataclasses import dataclass

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.clustering import SortedDataset
from mode_imitation.reports.turns import drivers_of_windows
from mode_imitation.steering.infer import encoded

WINDOWS = 4000
"""Windows on the map, at most, drawn at random."""


@dataclass(frozen=True)
class LatentMap:
    """Encoded windows on the plane in which they spread most; W windows, K codes, P windows of one episode."""

    points: np.ndarray
    """(W, 2)"""
    codes: np.ndarray
    """(W,) int, the nearest code of each."""
    labels: list[str] | None
    """(W,) expert of each window's episode, where known."""
    entries: np.ndarray
    """(K, 2) the codebook."""
    alive: np.ndarray
    """(K,) bool, the codes that were not pruned."""
    path: np.ndarray
    """(P, 2) one episode's windows in the order of time."""
    path_episode: int
    path_mode: int
    explained: np.ndarray
    """(2,) share of the windows' variance along each axis."""


def make_latent_map(model: ModeModel, dataset: TrajectoryDataset, found: SortedDataset, *, seed: int = 0) -> LatentMap:
    """Project windows and codebook on the windows' first two principal components.

    Args:
        dataset, found: that was sorted, its windows and codes.
        seed: of the choice of windows.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found.codes))[:WINDOWS])
    z = _encoded_rows(model, dataset, found, chosen)  # (W, D)
    mean, axes, explained = principal_axes(z)
    points = (z - mean) @ axes
    episode = _eventful_episode(points, found.episode_of_window[chosen])
    rows = np.flatnonzero(found.episode_of_window == episode)
    labels = drivers_of_windows(dataset, found, model.config.window.span) if dataset.labels else None
    return LatentMap(
        points=points,
        codes=found.codes[chosen],
        labels=None if labels is None else labels[chosen].tolist(),
        entries=(model.codebook.entries.detach().cpu().double().numpy() - mean) @ axes,
        alive=model.alive.cpu().numpy(),
        path=(_encoded_rows(model, dataset, found, rows) - mean) @ axes,
        path_episode=episode,
        path_mode=int(found.episode_codes[episode]),
        explained=explained,
    )


def principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), the two axes (D, 2) of most variance, and each one's share of it (2,), for rows (N, D).

    The sign of an axis is fixed by its largest component, so that maps of one model look alike.
    """
    mean = rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes, shares = axes[:2], sizes**2 / max(float((sizes**2).sum()), 1e-30)
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    if len(axes) < 2:
        axes, shares = np.vstack([axes, np.zeros_like(axes)]), np.append(shares, 0.0)
    return mean, axes.T, shares[:2]


def _encoded_rows(model: ModeModel, dataset: TrajectoryDataset, found: SortedDataset, rows: np.ndarray) -> np.ndarray:
    """(R, D) float64: these windows of a sorted dataset, as the encoder sees them."""
    parts = []
    # By episode, so that a window costs no copy of its episode.
    for index in dict.fromkeys(found.episode_of_window[rows].tolist()):
        mine = rows[found.episode_of_window[rows] == index]
        parts.append(encoded(model, dataset.episodes[index], found.starts[mine]).double().cpu().numpy())
    return np.concatenate(parts)


def _eventful_episode(points: np.ndarray, episodes: np.ndarray) -> int:
    """One whose way on the map is longer than nine of ten; the longest may be an outlier."""
    known, counts = np.unique(episodes, return_counts=True)
    known = known[counts >= min(5, counts.max())]
    lengths = [float(np.linalg.norm(np.diff(points[episodes == one], axis=0), axis=1).sum()) for one in known]
    return int(known[np.argsort(lengths)[int(0.9 * (len(known) - 1))]])
