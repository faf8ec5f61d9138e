"""PG-Kmeans: k-means whose centres are policies (Hu, Wang and Du, "Policy-Based Trajectory Clustering in Offline
Reinforcement Learning", arXiv 2506.09202), written anew from what the paper and its code do.

Trajectories are dealt at random into more clusters than there are policies. In turn, a policy is cloned from each
cluster, and each trajectory goes where its actions are likeliest. Clusters that cost least are then joined, down to the
number of policies, which is told. The best of five goes by the mean log-likelihood before joining. Other than there,
the clones have no memory, and see STEPS steps of each trajectory.
"""

import numpy as np
import torch
from torch import Tensor

from benchmarks.wild.clones import Clones, clone, explained
from benchmarks.wild.steps import Steps, steps_of
from mode_imitation.data.dataset import TrajectoryDataset

STARTS, ROUNDS = 5, 15
"""As the paper has them."""
FIRST, AGAIN = 200, 50
"""Gradient steps of the clones: in the first round, and in every other one, which goes on from there."""
STEPS = 500
"""Of 50, clones learn their own trajectories by heart, and nothing moves: NMI .01 in place of 1 for two Car experts."""


def pg_kmeans(dataset: TrajectoryDataset, classes: int, codes: int, seed: int) -> np.ndarray:
    """(E,) clusters: at most `classes` of them, from `codes` at first."""
    scores = all_starts(steps_of(dataset, STEPS), codes, torch.Generator().manual_seed(seed))
    best = max(scores, key=lambda one: float(one.max(0).values.mean()))
    return joined(best.numpy(), classes)


def all_starts(steps: Steps, codes: int, generator: torch.Generator) -> Tensor:
    """(STARTS, K, E) mean log-likelihoods a step under the policies of each start's K clusters, after as many rounds as
    change anything. The starts have nothing in common but the products that train their clones."""
    trajectory = torch.from_numpy(steps.trajectory)
    dealt = [torch.randperm(steps.n_trajectories, generator=generator) % codes for _ in range(STARTS)]
    owners = torch.stack(dealt)  # (STARTS, E), from 0 to K - 1
    first = codes * torch.arange(STARTS)[:, None]
    clones = Clones(STARTS * codes, steps.states.shape[1], steps, generator)
    scores = torch.zeros(STARTS, codes, steps.n_trajectories)
    for number in range(ROUNDS):
        clone(clones, steps, (first + owners)[:, trajectory], AGAIN if number else FIRST, generator)
        scores, before = explained(clones, steps).view(STARTS, codes, -1), owners
        owners = scores.argmax(1)
        if torch.equal(owners, before):
            break
    return scores


def joined(scores: np.ndarray, classes: int) -> np.ndarray:
    """Join clusters, each time those for which it costs least that one's trajectories get the other's policy.

    Args:
        scores: (K, E) mean log-likelihoods.
        classes: clusters to end with; fewer where there are fewer.

    Returns:
        (E,)
    """
    owners = scores.argmax(axis=0)
    while len(left := np.unique(owners)) > classes:
        costs = {
            (one, other): (scores[one] - scores[other])[owners == one].sum()
            for one in left
            for other in left
            if one != other
        }
        one, other = min(costs, key=lambda pair: costs[pair])
        owners[owners == one] = other
    return owners
