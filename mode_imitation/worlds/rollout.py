"""Let a controller drive worlds, and record the episodes."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress
from mode_imitation.worlds.protocol import World, as_world

REPORT_EVERY = 20
"""Steps between two reports of progress; a report costs about as much as the step of one world."""
OF_STEPS = {"costs": ("cost",), "goals_met": ("goal_met",), "successes": ("success", "is_success")}
"""What an episode has one of a step, and where infos hold it."""


class Controller(Protocol):
    """Whatever decides the actions of a group of episodes that run side by side."""

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        """A new group begins.

        Args:
            observations: (n, obs_dim) first observations.
            episodes: (n,) int, which of the rollout's episodes these are; n may be smaller in the last group.
        """
        ...

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Actions (n, act_dim) and which of them are disturbed (n,) bool, for observations (n, obs_dim) of this step.

        Episodes that have ended already keep their row; what is returned for them is not used.
        """
        ...


def rollout(
    worlds: World | VectorEnv,
    controller: Controller,
    seeds: Sequence[int],
    n_steps: int,
    *,
    progress: Progress = no_progress,
) -> list[Episode]:
    """Record one episode per seed, in groups of as many as there are worlds, through `reset` and `step` alone.

    What is recorded is what was executed: choices, or numbers rounded to float32 and clipped to the action space.
    Episodes of a controller that treats rows alike do not depend on the number of worlds, where each world takes its
    own seed. In a last group that is smaller, fewer worlds are opened, or the spare ones go along and are ignored.

    Args:
        worlds: of any kind; afterwards they need a reset.
        controller: decides the actions.
        seeds: E of them.
        n_steps: length of an episode, unless the world ends it before.
        progress: is told of every step of every episode.

    Returns:
        E episodes in the order of their seeds, arrays in float32 (choices in int64).

    Raises:
        UserError: n_steps is not within 1 and the worlds' `max_episode_steps`, or an action does not fit.
    """
    world = as_world(worlds)
    most = world.max_episode_steps
    if n_steps < 1 or (most is not None and n_steps > most):
        raise UserError(
            f"{n_steps} steps; expected {f'1 to {most}' if most else 'at least 1'}, the length of an episode of this "
            "environment"
        )
    episodes: list[Episode] = []
    for first in range(0, len(seeds), world.num_envs):
        group = np.arange(first, min(first + world.num_envs, len(seeds)))
        episodes += _rollout_group(world.of_size(len(group)), controller, seeds, group, n_steps, progress)
    return episodes


def _rollout_group(
    world: World, controller: Controller, seeds: Sequence[int], group: np.ndarray, n_steps: int, progress: Progress
) -> list[Episode]:
    n = len(group)
    own = [int(seeds[episode]) for episode in group]
    everyone = own + own[-1:] * (world.num_envs - n)
    lengths, running, terminated = np.full(n, n_steps), np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    scenes: dict[int, Scene | None] = {}
    actions = np.zeros((world.num_envs, world.action_space.size), dtype=world.action_space.dtype)

    observations, infos, seeded = world.reset(everyone)
    states = [_state(observations, infos, running)]
    transitions: list[dict[str, np.ndarray]] = []
    controller.reset(observations[:n], group)
    unreported = 0
    for step in range(n_steps):
        wanted, disturbed = controller.act(observations[:n], step)
        actions[:n] = world.executed(wanted)
        observations, rewards, terminations, truncations, infos = world.step(actions)
        taken = {"actions": actions[:n].copy(), "disturbed": disturbed, "rewards": rewards[:n].astype(np.float32)}
        transitions.append(taken | _events(infos, n))
        states.append(_state(observations, infos, running))
        unreported += int(running.sum())
        ended = terminations | truncations
        now = running & ended[:n]
        lengths[now], terminated[now] = step + 1, terminations[:n][now]
        running = running & ~now
        last = step + 1 == n_steps or not running.any()
        for row in np.flatnonzero(now | (running & last)).tolist():
            scenes[row] = world.scene(row)
        if (step + 1) % REPORT_EVERY == 0 or last:
            progress.advance(unreported)
            unreported = 0
        if last:
            break
        world.revive(ended, everyone)
    stacked = _stack(states, set.intersection(*map(set, states)))
    of_steps = _stack(transitions, set.union(*map(set, transitions)))
    return [
        Episode(
            **{name: values[: lengths[row] + 1, row].copy() for name, values in stacked.items()},
            **{name: values[: lengths[row], row].copy() for name, values in of_steps.items()},
            terminated=bool(terminated[row]),
            layout_seed=own[row] if seeded else None,
            scene=scenes[row],
        )
        for row in range(n)
    ]


def _stack(rows: Sequence[dict[str, np.ndarray]], names: set[str]) -> dict[str, Any]:
    """{name: (T, n, ...)}; 0 where nothing was told."""
    nothing = {name: np.zeros_like(next(row[name] for row in rows if name in row)) for name in names}
    return {name: np.stack([row.get(name, nothing[name]) for row in rows]) for name in sorted(names)}


def _told(infos: dict[str, Any], key: str, n: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(n, ...) what infos say under a key, and (n,) bool where they do; None where nothing of use is there."""
    values = infos.get(key)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.ndim:
        return None
    mask = infos.get(f"_{key}")
    return values[:n], np.ones(n, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)[:n]


def _events(infos: dict[str, Any], n: int) -> dict[str, np.ndarray]:
    """(n,) each, of a transition."""
    found = {}
    for name, keys in OF_STEPS.items():
        told = next((told for key in keys if (told := _told(infos, key, n)) is not None and told[0].ndim == 1), None)
        if told is not None:
            found[name] = np.where(told[1], told[0], 0).astype(np.float32 if name == "costs" else np.bool_)
    return found


def _state(observations: np.ndarray, infos: dict[str, Any], needed: np.ndarray) -> dict[str, np.ndarray]:
    """Observations (n, obs_dim), and positions (n, 2) and headings (n,) where they are known of all that are needed."""
    n = len(needed)
    told = {key: _told(infos, key, n) for key in ("position", "x_position", "y_position", "heading")}
    known = {key: entry[0].astype(np.float32) for key, entry in told.items() if entry and entry[1][needed].all()}
    state = {"observations": observations[:n].astype(np.float32)}
    if "position" in known and known["position"].ndim == 2 and known["position"].shape[1] >= 2:
        state["positions"] = known["position"][:, :2]
    elif "x_position" in known and "y_position" in known and known["x_position"].ndim == 1:
        state["positions"] = np.stack([known["x_position"], known["y_position"]], axis=1)
    if "heading" in known and known["heading"].ndim == 1:
        state["headings"] = known["heading"]
    return state


class ExpertController:
    """Drive with a scripted expert, with action noise and bursts of random action.

    Everything random about an episode comes from that episode's own generator, so an episode does not depend on which
    others run beside it.
    """

    def __init__(
        self,
        expert: Any,
        n_steps: int,
        rngs: Sequence[np.random.Generator],
        action_noise: float = 0.1,
        disturbance: Any | None = None,
        action_space: ActionSpace | None = None,
    ) -> None:
        """
        Args:
            expert: see experts.protocol.
            n_steps: length of the episodes.
            rngs: one an episode of the rollout.
            action_noise: standard deviation of the Gaussian noise added to every action, in halves of the range from
                the least to the greatest action where the space has both; choices get none.
            disturbance: see experts.disturbance; None for no bursts.
            action_space: where the actions are executed; None for numbers in [-1, 1].
        """
        if not (np.isfinite(action_noise) and action_noise >= 0):
            raise UserError(f"action noise {action_noise}; expected a standard deviation of at least 0")
        self.expert = expert
        self.n_steps = n_steps
        self.rngs = list(rngs)
        self.action_noise = action_noise
        self.disturbance = disturbance
        self.action_space = action_space
        self.acting: dict[int, list[str]] = {}
        """Episode: who acted in each step, of experts that take turns (`experts.switching`)."""

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        self._group = [self.rngs[episode] for episode in episodes]
        self._episodes = episodes
        self.expert.reset(observations, self._group)

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        actions = np.asarray(self.expert.act(observations))
        if step == 0:
            self._draw(actions.shape[1])
        for episode, name in zip(self._episodes.tolist(), getattr(self.expert, "acting", ()), strict=False):
            self.acting.setdefault(episode, []).append(str(name))
        disturbed = self._disturbed[step]
        return np.where(disturbed[:, None], self._random_actions[step], actions + self._noise[step]), disturbed

    def _draw(self, act_dim: int) -> None:
        space = self.action_space or ActionSpace(act_dim)
        shape, kind = (self.n_steps, len(self._group), act_dim), np.int64 if space.discrete else np.float64
        middle, half = _range_of(space)
        self._noise = np.zeros(shape, dtype=kind)
        self._disturbed = np.zeros(shape[:2], dtype=bool)
        self._random_actions = np.zeros(shape, dtype=kind)
        for row, rng in enumerate(self._group):
            if not space.discrete:
                self._noise[:, row] = half * (self.action_noise * rng.normal(size=(self.n_steps, act_dim)))
            if self.disturbance is not None:
                disturbed, pushes = self.disturbance.draw(self.n_steps, act_dim, rng)
                self._disturbed[:, row] = disturbed
                if space.discrete:
                    # A burst of choices draws each anew; holding one would be another behaviour, not a disturbance.
                    self._random_actions[:, row] = rng.integers(0, space.choices, size=(self.n_steps, act_dim))
                else:
                    self._random_actions[:, row] = middle + half * pushes


def _range_of(space: ActionSpace) -> tuple[np.ndarray, np.ndarray]:
    """(size,) middles and half widths of the ranges of an action's numbers; 0 and 1 where one end is open."""
    ends = np.array([space.low, space.high], dtype=np.float64) if space.low else np.full((2, space.size), np.inf)
    known = np.isfinite(ends).all(axis=0)
    low, high = np.where(known, ends, np.array([[-1.0], [1.0]]))
    return (low + high) / 2, (high - low) / 2
