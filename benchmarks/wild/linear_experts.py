"""A mixture of linear experts by EM, told their number: each trajectory has one of K policies, a = W_k (s, 1) + noise
(Jordan and Jacobs 1994, without a gate: the expert does not change within a trajectory)."""

import numpy as np
from scipy.special import logsumexp

from benchmarks.wild.steps import steps_of
from mode_imitation.data.dataset import TrajectoryDataset

STARTS, ROUNDS = 10, 50
RIDGE = 1e-3
"""Pull of the weights to 0, a step: a column that is constant for an expert decides nothing."""
LEAST_VARIANCE = 1e-3
"""Of an action's noise, where all actions' variance is 1."""


def linear_experts(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
    """(E,) the expert that most probably drove each trajectory, under the likeliest of STARTS mixtures."""
    steps, rng = steps_of(dataset), np.random.default_rng(seed)
    inputs = np.concatenate([steps.states, np.ones((len(steps.states), 1), np.float32)], axis=1).astype(np.float64)
    counts = np.bincount(steps.trajectory)
    parts = np.split(np.arange(len(inputs)), np.cumsum(counts)[:-1])
    outputs = steps.actions.astype(np.float64)
    # All that least squares needs of a trajectory, so that a round does not look at its steps again.
    moments = (
        counts.astype(np.float64),
        np.stack([inputs[part].T @ inputs[part] for part in parts]),  # (E, D + 1, D + 1)
        np.stack([inputs[part].T @ outputs[part] for part in parts]),  # (E, D + 1, A)
        np.stack([(outputs[part] ** 2).sum(0) for part in parts]),  # (E, A)
    )
    found = [expectation_maximisation(moments, first_shares(len(counts), classes, rng)) for _ in range(STARTS)]
    return max(found, key=lambda one: one[0])[1].argmax(axis=1)


Moments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def first_shares(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """(E, K): every expert begins with one trajectory that is its own; the others belong to all alike."""
    shares = np.full((n, classes), 1e-3 / classes)
    shares[rng.permutation(n)[:classes], np.arange(min(n, classes))] = 1.0
    return shares


def expectation_maximisation(moments: Moments, shares: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood (nats) and (E, K) probabilities of the experts, after as many rounds as change anything."""
    reached = -np.inf
    for _ in range(ROUNDS):
        joint = log_joint(moments, shares)  # (E, K)
        total = np.asarray(logsumexp(joint, axis=1, keepdims=True))
        shares, before, reached = np.exp(joint - total), reached, float(total.sum())
        if reached - before < 1e-6 * abs(reached):
            break
    return reached, shares


def log_joint(moments: Moments, shares: np.ndarray) -> np.ndarray:
    """Fit each expert to its shares of the trajectories; (E, K) log of its prior times its density of each."""
    counts, squares, products, energies = moments
    columns = []
    for own in shares.T:
        weight = own @ counts
        gram = np.tensordot(own, squares, 1) + RIDGE * max(weight, 1.0) * np.eye(squares.shape[1])
        policy = np.linalg.solve(gram, np.tensordot(own, products, 1))  # (D + 1, A)
        errors = (
            energies
            - 2 * (policy * products).sum(1)
            + np.einsum("da,edf,fa->ea", policy, squares, policy, optimize=True)
        )
        variance = np.maximum(own @ errors / max(weight, 1e-9), LEAST_VARIANCE)  # (A,)
        density = -0.5 * (errors / variance + counts[:, None] * np.log(2 * np.pi * variance)).sum(1)
        columns.append(density + np.log(max(own.mean(), 1e-12)))
    return np.stack(columns, axis=1)
