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
    """Root mean square of the change of the likeliest action, over states and dimensions, in units of the policy's
    spread; of choices, the share of those that change."""
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
        states: (S, obs_dim) that the mode was in; an actor with a memory has forgotten all before.
        groups: which numbers of an observation each sensor is.
        seed: of the exchanges and of the draws that the divergence is estimated from.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    model = policy.model
    head, discrete = model.actor.head, model.config.action_space.discrete
    found = {}
    with torch.inference_mode():
        own = _parameters(policy, mode, states)
        likeliest, drawn = head.mode(own), head.sample(own, 1.0, generator)
        spread, density = head.spread(own), head.log_prob(own, drawn).sum(-1)
        for name, part in groups.items():
            moved, nats = [], []
            for _ in range(SWAPS):
                exchanged = states.copy()
                exchanged[..., part] = states[rng.permutation(len(states))][..., part]
                other = _parameters(policy, mode, exchanged)
                change = (
                    (head.mode(other) != likeliest).double() if discrete else (head.mode(other) - likeliest) / spread
                )
                moved.append(float((change**2).mean()))
                nats.append(float((density - head.log_prob(other, drawn).sum(-1)).mean()))
            size = float(np.mean(moved))
            found[name] = Reaction(size if discrete else size**0.5, max(0.0, float(np.mean(nats))))
    return found


def states_of(dataset: TrajectoryDataset, episodes: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """(S, obs_dim) undisturbed states of these episodes, with something in sight where there are such; at most STATES,
    at random."""
    places: list[tuple[int, int]] = []
    for index in episodes:
        episode = dataset.episodes[index]
        calm = np.ones(len(episode), bool) if episode.disturbed is None else ~np.asarray(episode.disturbed, bool)
        inside = calm & in_sight(episode.observations[: len(episode)], dataset.sensors)
        places += [(index, step) for step in np.flatnonzero(inside if inside.any() else calm).tolist()]
    chosen = np.random.default_rng(seed).permutation(len(places))[:STATES]
    states = [dataset.episodes[index].observations[step] for index, step in (places[place] for place in chosen)]
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
    groups = sensor_groups(dataset)
    found = {}
    for mode in policy.modes:
        states = states_of(dataset, np.flatnonzero(episode_codes == mode).tolist(), seed=seed)
        if groups and len(states) > 1:
            reactions = measure_reactions(policy, mode, states, groups, seed=seed)
            found[mode] = {name: reaction.as_dict() for name, reaction in reactions.items()}
    return found


def _parameters(policy: Policy, mode: int, states: np.ndarray) -> torch.Tensor:
    """(S, P) of the head, in (S, obs_dim) states under a mode's context."""
    model = policy.model
    context = torch.from_numpy(policy.mode_contexts(mode).astype(np.float32)).to(policy.device)
    rows = model.features.rows(torch.from_numpy(np.ascontiguousarray(states, np.float32)).to(policy.device))
    return model.predict(rows, context.expand(len(rows), -1))[:, 0]
