"""k-means codes of whole trajectories, their number chosen without labels."""

import numpy as np
import torch
from torch import Tensor

from mode_imitation.evaluation.baselines.given_codes import Setup

WINDOWS = 40
"""Of each trajectory, as many as the project's own method averages over when it gives a trajectory its code."""
COMPONENTS = 10
"""Principal components that are kept, at most."""
STARTS = 20


def trajectory_clusters(setup: Setup) -> Tensor:
    """(U,) int64, a cluster for each training trajectory; between 2 and K of them."""
    return torch.from_numpy(best_clusters(trajectory_features(setup), setup.config.codes, setup.config.seed))


@torch.no_grad()
def trajectory_features(setup: Setup) -> np.ndarray:
    """(U, 2 F): mean and spread of each trajectory's normalised transitions (s, ds, a), over windows that are drawn as
    the project's own method draws them, half of them in the arena."""
    model, data = setup.fresh_model(), setup.data
    units = torch.arange(data.n_units).repeat_interleave(WINDOWS)
    windows = data.windows(data.draw_starts(units, setup.generator("kmeans"), evaluate=True))
    features = model.features(*windows).double().flatten(0, 1).unflatten(0, (data.n_units, -1))  # (U, W H, F)
    return torch.cat([features.mean(1), features.std(1, correction=0)], dim=1).numpy()


def best_clusters(features: np.ndarray, most: int, seed: int) -> np.ndarray:
    """k-means with the number of clusters whose silhouette is the largest.

    Args:
        features: (U, F); every column is brought to unit spread and the leading principal components are kept.
        most: clusters at most, 2 at least.
        seed: of the starts.

    Returns:
        (U,) int64; all 0 where no two trajectories differ.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    spread = features.std(axis=0)
    moving = spread > 1e-9
    if not moving.any():
        return np.zeros(len(features), dtype=np.int64)
    scaled = (features[:, moving] - features[:, moving].mean(axis=0)) / spread[moving]
    points = PCA(min(COMPONENTS, *scaled.shape), random_state=seed).fit_transform(scaled)
    found, score = np.zeros(len(features), dtype=np.int64), -np.inf
    for count in range(2, min(most, len(np.unique(points, axis=0)) - 1) + 1):
        kmeans = KMeans(count, n_init=STARTS, random_state=seed)  # pyright: ignore[reportArgumentType]
        labels = kmeans.fit_predict(points)
        silhouette = float(silhouette_score(points, labels))
        if silhouette > score:
            found, score = labels.astype(np.int64), silhouette
    return found
