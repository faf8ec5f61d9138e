"""Modes, experts and what lies between two modes, from the same held-out seeds (layouts, in worlds that have one)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.motion import DRIVING_DIRECTION, FIGURES, Motion, column, in_arena, intervals, measure
from mode_imitation.reports.statistics import Interval, bootstrap
from mode_imitation.steering.policy import Policy

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from mode_imitation.worlds.protocol import World

UNKNOWN_LENGTH = 1000
"""Steps of an episode where neither the user nor the environment says how long one is."""
WEIGHTS = tuple(step / 10 for step in range(11))
"""Of the second mode of a blend."""
BLENDED = ("goals", "cost", "straightness", "speed")
"""Figures that are told of a blend."""


@dataclass(frozen=True)
class Drive:
    """One episode in the simulator and its figures."""

    episode: Episode
    motion: Motion


class PolicyController:
    """Lets a policy drive E episodes, each under a context of its own, which may change from step to step.

    Args:
        policy: is steered anew whenever what drives changes.
        contexts: (E, K) the context of each episode, or (E, T, K) of each of its steps; the last one goes on.
        temperature: 0 for the mean action.
    """

    def __init__(self, policy: Policy, contexts: np.ndarray, *, temperature: float = 0.0) -> None:
        self.policy, self.temperature = policy, temperature
        self.contexts = contexts if contexts.ndim == 3 else contexts[:, None]

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        """Begin those N of the episodes, (N,) int."""
        self.policy.begin()
        self.episodes = np.asarray(episodes)
        self.driving: np.ndarray | None = None

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, obs_dim) -> (N, act_dim) actions and (N,) bool, False: none of them is disturbed."""
        contexts = self.contexts[self.episodes, min(step, self.contexts.shape[1] - 1)]  # (N, K)
        if self.driving is None or (contexts != self.driving).any():
            self.policy.steer(context=contexts)
            self.driving = contexts
        return self.policy.actions(observations, self.temperature), np.zeros(len(observations), dtype=bool)


def drive_policy(
    controller: PolicyController,
    env: "World | VectorEnv",
    layouts: Sequence[int],
    n_steps: int,
    *,
    progress: Progress = no_progress,
) -> list[Drive]:
    """One episode of the controller's for each layout seed, in order; the same one may occur often.

    Any number of worlds does; the more, the faster. `progress` is advanced by steps.
    """
    from mode_imitation.worlds.protocol import as_world
    from mode_imitation.worlds.rollout import rollout

    world = as_world(env)
    check_env(controller.policy, world)
    with one_thread():
        episodes = rollout(world, controller, layouts, n_steps, progress=progress)
    return [as_drive(episode, world) for episode in episodes]


def run_modes(
    policy: Policy,
    env: "World | VectorEnv",
    layouts: Sequence[int],
    n_steps: int,
    *,
    modes: Sequence[int] | None = None,
    temperature: float = 0.0,
    progress: Progress = no_progress,
) -> dict[int, list[Drive]]:
    """Every mode (or those given) on each of L layouts, all in one batch of worlds: L drives for each mode.

    Other arguments are as in `drive_policy` and `PolicyController`.
    """
    modes = policy.modes if modes is None else list(modes)
    contexts = policy.mode_contexts(np.repeat(modes, len(layouts)))
    controller = PolicyController(policy, contexts, temperature=temperature)
    drives = drive_policy(controller, env, [*layouts] * len(modes), n_steps, progress=progress)
    return {mode: drives[i * len(layouts) : (i + 1) * len(layouts)] for i, mode in enumerate(modes)}


def run_experts(
    specs: Sequence[str],
    env: "World | VectorEnv",
    layouts: Sequence[int],
    n_steps: int,
    *,
    action_noise: float = 0.1,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, list[Drive]]:
    """Experts, undisturbed, on the same L layouts as the modes: L drives for each, by its label.

    Args:
        specs: as `experts.registry.make_expert` takes them.
        action_noise: standard deviation, as in the demonstrations.
        seed: with the layout's, of each episode's noise.
        env, layouts, n_steps, progress: as in `drive_policy`.

    Raises:
        UserError: an expert does not exist or cannot drive this robot, or two have the same label.
    """
    from experts.registry import check_labels, expert_label, make_expert
    from mode_imitation.worlds.protocol import as_world
    from mode_imitation.worlds.rollout import ExpertController, rollout
    from mode_imitation.worlds.worker import expert_setting

    check_labels(specs)
    world = as_world(env)
    setting = expert_setting(world)
    experts = {expert_label(spec): make_expert(spec, setting) for spec in specs}  # a mistake shows before one drives
    found: dict[str, list[Drive]] = {}
    for label, expert in experts.items():
        # Each layout has its own generator, so that neither the others nor the number of worlds matter.
        rngs = [np.random.default_rng([seed, layout]) for layout in layouts]
        controller = ExpertController(expert, n_steps, rngs, action_noise=action_noise, action_space=world.action_space)
        episodes = rollout(world, controller, layouts, n_steps, progress=progress)
        found[label] = [as_drive(replace(episode, expert=label), world) for episode in episodes]
    return found


@dataclass(frozen=True)
class Blend:
    """Figures along the way from one mode to another, as report.json has them."""

    modes: tuple[int, int]
    weights: list[float]
    """Of the second mode."""
    distances: list[float]
    """How far each context lies from the nearest mode's, as `Policy.context_distance` measures it."""
    figures: dict[str, list[Interval] | None]
    """Of BLENDED, for each weight."""
    layouts: list[int]
    steps: int


def parse_blend(text: str, modes: Sequence[int]) -> tuple[int, int]:
    """Read `0,1`, two modes of the run.

    Raises:
        UserError: it is something else.
    """
    try:
        pair = [int(part) for part in text.split(",")]
    except ValueError:
        pair = []
    if len(pair) != 2 or pair[0] == pair[1]:
        raise UserError(f"--blend is {text!r}; expected two different modes, as in `0,1`")
    for mode in pair:
        if mode not in modes:
            raise UserError(f"--blend names mode {mode}; this run has modes {', '.join(map(str, modes))}")
    return pair[0], pair[1]


def drive_blend(
    policy: Policy,
    env: "World | VectorEnv",
    pair: tuple[int, int],
    layouts: Sequence[int],
    n_steps: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Blend:
    """Drive every blend of a pair of modes on every layout, all in one batch of worlds.

    Args:
        layouts: best those for tuning: nothing here is a result of the run's modes.
        seed: of the intervals.
        policy, env, n_steps, temperature, progress: as in `run_modes`.
    """
    first, second = policy.mode_contexts(np.array(pair)).astype(np.float64)
    contexts = first + np.outer(WEIGHTS, second - first)  # (W, K)
    controller = PolicyController(policy, np.repeat(contexts, len(layouts), axis=0), temperature=temperature)
    drives = drive_policy(controller, env, [*layouts] * len(WEIGHTS), n_steps, progress=progress)
    figures: dict[str, list[Interval] | None] = {}
    for figure in BLENDED:
        values = column([drive.motion for drive in drives], figure)
        rows = None if values is None else values.reshape(len(WEIGHTS), len(layouts))
        figures[figure] = None if rows is None else [bootstrap(row, seed=seed) for row in rows]
    distances = policy.context_distance(contexts).distance.tolist()
    return Blend(pair, list(WEIGHTS), distances, figures, list(layouts), n_steps)


def as_drive(episode: Episode, world: "World") -> Drive:
    """Measure an episode with what the world knows of the robot."""
    motion = measure(
        episode,
        time_step=world.time_step or 1.0,
        driving_direction=DRIVING_DIRECTION.get(world.robot, 0.0),
        in_arena=in_arena(episode.observations, world.sensors),
    )
    return Drive(episode, motion)


def figures_of(
    drives: Sequence[Drive],
    names: Sequence[str] = FIGURES,
    own: Mapping[str, Callable[[Episode], float]] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Interval]:
    """Mean and interval of every figure that all of the drives have, and of functions of an episode by their names."""
    found = intervals([drive.motion for drive in drives], names, seed=seed)
    for name, function in (own or {}).items() if drives else ():
        found[name] = bootstrap([function(drive.episode) for drive in drives], seed=seed)
    return {name: interval for name, interval in found.items() if interval is not None}


def check_env(policy: Policy, env: "World | VectorEnv") -> None:
    """Refuse, as a UserError, an environment of other observations or actions than the policy's."""
    from mode_imitation.worlds.protocol import as_world

    def taken(space: ActionSpace) -> str:
        return f"choices of {' and '.join(map(str, space.choices))}" if space.discrete else "numbers"

    world = as_world(env)
    found = world.obs_dim, world.action_space.size
    if found != (policy.obs_dim, policy.act_dim):
        told = f"has observations and actions of {found} numbers", f"{(policy.obs_dim, policy.act_dim)}"
    elif world.action_space.choices != policy.action_space.choices:
        told = f"takes {taken(world.action_space)}", taken(policy.action_space)
    else:
        return
    raise UserError(
        f"{world.env_id} {told[0]}, the run was trained on {told[1]}; choose the environment of its data with --env"
    )
