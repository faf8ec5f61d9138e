"""Which sensors a mode reacts to, without a simulator: each one is exchanged between states, and the action watched.

A sensor whose readings are swapped with those of another state of the same mode keeps its distribution and loses its
meaning (permutation importance: Breiman 2001; Fisher, Rudin and Dominici 2019). How far the mean action then moves, in
units of the policy's own noise, says how much the mode goes by that sensor. Sensors that say the same thing stand in
for each other: of two such, each may look unimportant on its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import in_sight
from mode_imitation.reports.turns import usable_steps
from mode_imitation.steering.policy import Policy

STATES = 2000
"""States of a mode that are looked at, at most."""
SWAPS = 4
"""How often every sensor is exchanged anew."""
MOST_GROUPS = 16
"""Sensors, or numbers where no sensors are named, up to which they are looked at one by one."""


def sensor_groups(dataset: TrajectoryDataset) -> dict[str, slice]:
    """The sensors that the dataset names, else single numbers; nothing where these are many."""
    numbers = {f"observation {index}": slice(index, index + 1) for index in range(dataset.obs_dim)}
    groups = dict(dataset.observation_slices or numbers)
    return groups if len(groups) <= MOST_GROUPS else {}


def measure_reactions(
    policy: Policy, mode: int, states: np.ndarray, groups: Mapping[str, slice], *, seed: int = 0
) -> dict[str, float]:
    """How far one mode's action moves when each sensor is exchanged.

    Args:
        mode: whose fixed context the policy is asked under.
        states: (S, obs_dim) that the mode was in; an actor with a memory has forgotten all before.
        groups: which numbers of an observation each sensor is.
        seed: of the exchanges.

    Returns:
        Root mean square of the change of the likeliest action, over states and dimensions, in units of the policy's
        spread; of choices, the share of those that change.
    """
    rng = np.random.default_rng(seed)
    model = policy.model
    head, discrete = model.actor.head, model.config.action_space.discrete
    context = torch.from_numpy(policy.mode_contexts(mode).astype(np.float32)).to(policy.device)

    def parameters(states: np.ndarray) -> torch.Tensor:  # (S, obs_dim) -> (S, P)
        rows = model.features.rows(torch.from_numpy(np.ascontiguousarray(states, np.float32)).to(policy.device))
        return model.predict(rows, context.expand(len(rows), -1))[:, 0]

    found = {}
    with torch.inference_mode():
        own = parameters(states)
        likeliest, spread = head.mode(own), head.spread(own)
        for name, part in groups.items():
            moved = []
            for _ in range(SWAPS):
                exchanged = states.copy()
                exchanged[..., part] = states[rng.permutation(len(states))][..., part]
                apart = head.mode(parameters(exchanged)) - likeliest
                moved.append(float(((apart != 0).double() if discrete else (apart / spread) ** 2).mean()))
            size = float(np.mean(moved))
            found[name] = size if discrete else size**0.5
    return found


def states_of(dataset: TrajectoryDataset, episodes: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """(S, obs_dim) undisturbed states of these episodes, with something in sight where there are such; at most STATES,
    at random."""
    parts = [np.zeros((0, dataset.obs_dim), np.float32)]
    for index in episodes:
        episode = dataset.episodes[index]
        calm = usable_steps(episode)
        inside = calm & in_sight(episode.observations[:-1], dataset.sensors)
        parts.append(episode.observations[:-1][inside if inside.any() else calm])
    states = np.concatenate(parts)
    return states[np.random.default_rng(seed).permutation(len(states))[:STATES]]


def reactions_of_modes(
    policy: Policy, dataset: TrajectoryDataset, episode_codes: np.ndarray, *, seed: int = 0
) -> dict[int, dict[str, float]]:
    """Reactions to each sensor of every mode that has episodes, by (E,) their modes; empty without sensors."""
    groups = sensor_groups(dataset)
    found = {}
    for mode in policy.modes if groups else []:
        states = states_of(dataset, np.flatnonzero(episode_codes == mode).tolist(), seed=seed)
        if len(states) > 1:
            found[mode] = measure_reactions(policy, mode, states, groups, seed=seed)
    return found
