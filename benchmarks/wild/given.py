"""Labels given: what a likelihood of actions can tell at all. A policy is cloned from each class in one half of the
trajectories; each trajectory of the other half goes where its actions are likeliest. No method is asked to beat it,
but those that look at states may."""

import numpy as np
import torch

from benchmarks.wild.clones import Clones, clone, explained
from benchmarks.wild.steps import steps_of
from mode_imitation.data.dataset import TrajectoryDataset

ITERATIONS = 400
STEPS = 100
"""Of each trajectory."""


def labels_given(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) the class whose policy, of other trajectories, explains each one best."""
    steps, labels = steps_of(dataset, STEPS), np.unique(dataset.labels or [], return_inverse=True)[1]
    halves = two_halves(labels, np.random.default_rng(seed))
    generator = torch.Generator().manual_seed(seed)
    found = np.zeros(len(labels), dtype=np.int64)
    for half in (0, 1):
        clones = Clones(classes + 1, steps.states.shape[1], steps, generator)
        # What is held out belongs to one more clone, which is asked nothing.
        owners = np.where(halves == half, classes, labels)
        clone(clones, steps, torch.from_numpy(owners[steps.trajectory]), ITERATIONS, generator)
        scores = explained(clones, steps)[:classes].numpy()
        # A class of a single trajectory has no policy in the other half.
        scores[np.bincount(owners, minlength=classes + 1)[:classes] == 0] = -np.inf
        found[halves == half] = scores.argmax(0)[halves == half]
    return found


def two_halves(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(E,) 0 or 1, so that each class is divided evenly."""
    halves = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        halves[own[: len(own) // 2]] = 1
    return halves
