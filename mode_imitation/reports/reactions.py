"""Which sensors a mode reacts to, without a simulator: each one is exchanged between states, and the action watched.

A sensor whose readings are swapped with those of another state of the same mode keeps its distribution and loses its
meaning (permutation importance: Breiman 2001; Fisher, Rudin and Dominici 2019). How far the mean action then moves, in
units of the policy's own noise, says how much the mode goes by that sensor. Sensors that say the same thing stand in
for each other: of two such, each may look unimportant on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import in_sight
from mode_imitation.data.windows import NO_MEMORY, Memory
from mode_imitation.steering.policy import Policy

STATES = 2000
"""States of a mode that are looked at, at most."""
SWAPS = 4
"""How often every sensor is exchanged anew."""
MOST_NUMBERS = 16
"""Observations of so many numbers are looked at number by number where no sensors are named."""


@dataclass(frozen=True)
class Reaction:
    """How the action of a mode hangs on one sensor."""

    sigmas: float
    """Root mean square of the change of the mean action, over states and dimensions, in units of the policy's sigma."""
    nats: float
    """Mean Kullback-Leibler divergence of the policy's distribution from the one after the exchange, nat per step."""

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"sigmas": self.sigmas, "nats": self.nats}


def sensor_groups(dataset: TrajectoryDataset) -> dict[str, slice]:
    """The sensors that the dataset names; else single numbers where there are few; else nothing."""
    if dataset.observation_slices:
        return dict(dataset.observation_slices)
    if dataset.obs_dim > MOST_NUMBERS:
        return {}
    return {f"number {index}": slice(index, index + 1) for index in range(dataset.obs_dim)}


def measure_reactions(
    policy: Policy, mode: int, states: np.ndarray, groups: Mapping[str, slice], *, seed: int = 0
) -> dict[str, Reaction]:
    """The reaction of one mode to each sensor.

    Args:
        policy: a run's policy.
        mode: whose fixed context the policy is asked under.
        states: (S, obs_dim) that the mode was in; (S, 1 + history, obs_dim) where the policy has a history, which is
            exchanged with the sensor's reading.
        groups: which numbers of an observation each sensor is.
        seed: of the exchanges.
    """
    rng = np.random.default_rng(seed)
    mean, log_sigma = _distribution(policy, mode, states)
    found = {}
    for name, part in groups.items():
        moved, nats = [], []
        for _ in range(SWAPS):
            exchanged = states.copy()
            exchanged[..., part] = states[rng.permutation(len(states))][..., part]
            other, other_log_sigma = _distribution(policy, mode, exchanged)
            moved.append(((other - mean) * np.exp(-log_sigma)) ** 2)
            nats.append(normal_divergence(mean, log_sigma, other, other_log_sigma))
        found[name] = Reaction(float(np.sqrt(np.mean(moved))), float(np.mean(nats)))
    return found


def normal_divergence(
    mean: np.ndarray, log_sigma: np.ndarray, other_mean: np.ndarray, other_log_sigma: np.ndarray
) -> np.ndarray:
    """KL(N(mean, sigma) || N(other)) of independent normals, summed over the last axis, in nat."""
    ratio = np.exp(2 * (log_sigma - other_log_sigma))
    off = ((mean - other_mean) * np.exp(-other_log_sigma)) ** 2
    return (0.5 * (ratio + off - 1.0) - (log_sigma - other_log_sigma)).sum(axis=-1)


def states_of(
    dataset: TrajectoryDataset, episodes: Sequence[int], *, memory: Memory = NO_MEMORY, seed: int = 0
) -> np.ndarray:
    """Undisturbed states of these episodes, in the arena where it is known; at most STATES, at random.

    Returns:
        (S, obs_dim), or (S, 1 + history, obs_dim) as a policy with a history sees them.
    """
    places: list[tuple[int, int]] = []
    for index in episodes:
        episode = dataset.episodes[index]
        calm = np.ones(len(episode), bool) if episode.disturbed is None else ~np.asarray(episode.disturbed, bool)
        inside = calm & in_sight(episode.observations[: len(episode)], dataset.sensors)
        places += [(index, step) for step in np.flatnonzero(inside if inside.any() else calm).tolist()]
    chosen = np.random.default_rng(seed).permutation(len(places))[:STATES]
    states = [
        dataset.episodes[index].observations[memory.rows(np.array(step))]
        for index, step in (places[place] for place in chosen)
    ]
    return np.stack(states) if states else np.zeros((0, dataset.obs_dim), np.float32)


def reactions_of_modes(
    policy: Policy, dataset: TrajectoryDataset, episode_codes: np.ndarray, *, seed: int = 0
) -> dict[int, dict[str, dict[str, Any]]]:
    """Reactions of every mode that has episodes, {mode: {sensor: {sigmas, nats}}}; empty without sensors.

    Args:
        policy: a run's policy.
        dataset: whose episodes were sorted.
        episode_codes: (E,) int, the mode of each.
        seed: of the states and of the exchanges.
    """
    groups, memory = sensor_groups(dataset), policy.model.config.memory
    found = {}
    for mode in policy.modes:
        states = states_of(dataset, np.flatnonzero(episode_codes == mode).tolist(), memory=memory, seed=seed)
        if groups and len(states) > 1:
            reactions = measure_reactions(policy, mode, states, groups, seed=seed)
            found[mode] = {name: reaction.as_dict() for name, reaction in reactions.items()}
    return found


def _distribution(policy: Policy, mode: int, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log sigma of the action, (S, act_dim) float64 each, in (S, ...) states under a mode's context."""
    context = torch.from_numpy(policy.mode_contexts(mode).astype(np.float32)).to(policy.device)
    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(states, np.float32)).to(policy.device)
        mean, log_sigma = policy.model.action_distribution(batch, context.expand(len(batch), -1))
    return mean.double().cpu().numpy(), log_sigma.double().cpu().numpy()
