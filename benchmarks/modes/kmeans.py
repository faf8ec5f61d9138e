"""k-means codes of trajectories, or of their segments, their number chosen without labels."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.modes.core import Setup
from mode_imitation.discovery.evidence import evidence_of
from mode_imitation.discovery.search import score
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress

WINDOWS = 40
"""Of each trajectory, as many as the project's own method averages over when it gives a trajectory its code."""
STARTS = 20


def trajectory_codes(setup: Setup) -> Tensor:
    """(U,) int64, a cluster for each training trajectory, or segment of one; between 2 and K of them.

    Of the clusterings into 2, 3, ... K the one is taken under which actions are likeliest, cross-fitted: the very score
    by which the project's own method chooses among its starts. (The silhouette takes 2 clusters of four experts.)
    """
    features = trajectory_features(setup)
    most = min(setup.config.codes, len(np.unique(features, axis=0)))
    best, codes = -np.inf, torch.zeros(len(features), dtype=torch.long)
    with one_thread(), progress("k-means", max(most - 1, 0), "clusterings") as bar:
        evidence = evidence_of(setup.fresh_model(), setup.data, setup.config, setup.generator("search"))
        for count in range(2, most + 1):
            found = torch.from_numpy(clusters(features, count, setup.config.seed))
            if (reached := score(evidence, found)) > best:
                best, codes = reached, found
            bar.advance()
    return codes


@torch.no_grad()
def trajectory_features(setup: Setup) -> np.ndarray:
    """(U, N): mean and spread of each trajectory's normalised transitions (s, ds, a), over windows that are drawn as
    the project's own method draws them, half of them among the emphasised ones; every sensor has the same weight."""
    model, data = setup.fresh_model(), setup.data
    units = torch.arange(data.n_units).repeat_interleave(WINDOWS)
    windows = data.windows(data.draw_starts(units, setup.generator("k-means"), evaluate=True))
    features = model.features.window(*windows).double().flatten(0, 1).unflatten(0, (data.n_units, -1))  # (U, W H, F)
    moments = [features.mean(1).numpy(), features.std(1, correction=0).numpy()]
    return np.concatenate([weigh(moment[:, group]) for moment in moments for group in groups(setup)], axis=1)


def groups(setup: Setup) -> list[slice]:
    """Columns of the features that belong together: each sensor of the state and of the difference, and the action."""
    dataset, window = setup.dataset, setup.config.window
    sensors = list((dataset.observation_slices or {"all": slice(0, dataset.obs_dim)}).values())
    found, start = [], 0
    for size, parts in (
        (dataset.obs_dim * window.include_state, sensors),
        (dataset.obs_dim, sensors),
        (dataset.act_dim * window.include_action, [slice(0, dataset.act_dim)]),
    ):
        found += [slice(start + part.start, start + part.stop) for part in parts] if size else []
        start += size
    return found


def weigh(columns: np.ndarray) -> np.ndarray:
    """(U, F) -> (U, <= F): columns of unit spread, together of a weight of 1; those that do not vary are left out."""
    spread = columns.std(axis=0)
    moving = spread > 1e-9
    scaled = (columns[:, moving] - columns[:, moving].mean(axis=0)) / spread[moving]
    return scaled / np.sqrt(max(moving.sum(), 1))


def clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(U, F) -> (U,) int64 in [0, count), k-means with the best of STARTS starts."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(count, n_init=STARTS, random_state=seed)  # pyright: ignore[reportArgumentType]
    return kmeans.fit_predict(features).astype(np.int64)
