"""ZBC: cloning with a learned vector for each trajectory (after arXiv 2504.18160), which k-means then groups.

One network sees state and vector; both are trained on the actions. The vectors make a table; the number of clusters in
it is told.
"""

import numpy as np
import torch
from torch import nn

from benchmarks.wild.clones import RATE, Clones
from benchmarks.wild.clusters import kmeans
from benchmarks.wild.steps import steps_of
from mode_imitation.data.dataset import TrajectoryDataset

SIZE = 8
"""Numbers of a vector."""
ITERATIONS, BATCH = 2000, 256
PULL = 1e-3
"""Of the vectors to 0, so that those that say nothing do not stay where they were drawn."""
STEPS = 100
"""Of each trajectory."""


def zbc(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) clusters of the trajectories' vectors."""
    return kmeans(vectors(dataset, seed), classes, seed)


def vectors(dataset: TrajectoryDataset, seed: int) -> np.ndarray:
    """(E, SIZE), trained beside the policy that they tell what to do."""
    steps = steps_of(dataset, STEPS)
    generator = torch.Generator().manual_seed(seed)
    network = Clones(1, steps.states.shape[1] + SIZE, steps, generator)
    table = nn.Parameter(0.1 * torch.randn(steps.n_trajectories, SIZE, generator=generator))
    states, actions = torch.from_numpy(steps.states), torch.from_numpy(steps.actions)
    trajectory = torch.from_numpy(steps.trajectory)
    optimiser = torch.optim.Adam([*network.parameters(), table], lr=RATE, fused=True)
    for _ in range(ITERATIONS):
        rows = torch.randint(len(states), (BATCH,), generator=generator)
        own = table[trajectory[rows]]
        shown = torch.cat([states[rows], own], dim=1)[None]
        loss = -network.log_prob(shown, actions[rows][None]).mean() + PULL * (own**2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return table.detach().numpy().astype(np.float64)
