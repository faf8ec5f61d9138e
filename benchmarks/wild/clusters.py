"""Clusters of what whole trajectories look like: k-means and a Gaussian mixture that are told their number."""

import warnings

import numpy as np

from benchmarks.wild.steps import scaled, steps_of
from mode_imitation.data.dataset import TrajectoryDataset

STARTS = 10
POINTS = 10
"""Along a path, evenly spaced in time."""
COMPONENTS = 10
"""Principal components that the mixture sees: of more numbers than trajectories it would fit the noise."""
LEAST_VARIANCE = 1e-3
"""Of a component of the mixture, where the trajectories' is 1: a single trajectory is no cluster."""


def kmeans_of_statistics(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) clusters of `statistics`."""
    return kmeans(statistics(dataset), classes, seed)


def kmeans_of_paths(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) clusters of `paths`."""
    return kmeans(paths(dataset), classes, seed)


def mixture_of_statistics(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) components of a Gaussian mixture, diagonal ones, on the principal components of `statistics`."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    values = statistics(dataset)
    values = PCA(min(COMPONENTS, *values.shape), random_state=seed).fit_transform(values)
    values = values / np.maximum(values.std(), 1e-9)
    mixture = GaussianMixture(
        classes, covariance_type="diag", reg_covar=LEAST_VARIANCE, n_init=STARTS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a start that has not settled after 100 rounds is still a start
        return mixture.fit_predict(values)


def statistics(dataset: TrajectoryDataset) -> np.ndarray:
    """(E, N): mean and spread of states, changes and actions over each trajectory, scaled."""
    steps = steps_of(dataset)
    values = np.concatenate([steps.states, steps.changes, steps.actions], axis=1).astype(np.float64).T
    mean = steps.means(values)
    spread = np.sqrt(np.maximum(steps.means(values**2) - mean**2, 0.0))
    return scaled(np.concatenate([mean, spread]).T)


def paths(dataset: TrajectoryDataset) -> np.ndarray:
    """(E, POINTS * D): the states at evenly spaced times of each trajectory, scaled, whatever its length."""
    rows = []
    for episode in dataset.episodes:
        times = np.linspace(0, len(episode.observations) - 1, POINTS)
        grid = np.arange(len(episode.observations))
        rows.append(np.stack([np.interp(times, grid, column) for column in episode.observations.T]).ravel())
    return scaled(np.stack(rows).astype(np.float64))


def kmeans(values: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """(E, N) -> (E,) clusters, the best of STARTS."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different rows than clusters: fewer clusters, which the NMI shows
        return KMeans(classes, n_init=STARTS, random_state=seed).fit_predict(values)  # pyright: ignore
