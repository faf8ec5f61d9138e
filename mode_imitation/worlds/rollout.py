"""Let a controller drive worlds, and record the episodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress

if TYPE_CHECKING:
    from mode_imitation.worlds.safety.vector_env import NavigationVectorEnv

REPORT_EVERY = 20
"""Steps between two reports of progress; a report costs about as much as the step of one world."""


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
    env: "NavigationVectorEnv",
    controller: Controller,
    layout_seeds: Sequence[int],
    n_steps: int,
    *,
    progress: Progress = no_progress,
) -> list[Episode]:
    """Record one episode per layout seed, in groups of `env.num_envs`.

    An action is rounded to float32 and clipped to the action space before it is executed, so what is recorded is what
    was executed. Episodes of a controller that treats rows alike do not depend on the number of worlds.

    Args:
        env: afterwards every world that was used needs a reset.
        controller: decides the actions.
        layout_seeds: E of them.
        n_steps: length of an episode, unless it terminates before.
        progress: is told of every step of every world.

    Returns:
        E episodes in the order of their seeds, with arrays in float32.

    Raises:
        UserError: n_steps is not within 1 and the environment's `max_episode_steps`.
    """
    if not 1 <= n_steps <= env.max_episode_steps:
        raise UserError(
            f"{n_steps} steps; expected 1 to {env.max_episode_steps}, the length of an episode of this environment"
        )
    episodes: list[Episode] = []
    for first in range(0, len(layout_seeds), env.num_envs):
        group = np.arange(first, min(first + env.num_envs, len(layout_seeds)))
        episodes += _rollout_group(env, controller, layout_seeds, group, n_steps, progress)
    return episodes


def _rollout_group(
    env: "NavigationVectorEnv",
    controller: Controller,
    layout_seeds: Sequence[int],
    group: np.ndarray,
    n_steps: int,
    progress: Progress,
) -> list[Episode]:
    n = len(group)
    space: Any = env.single_action_space
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    record = _Record(n, n_steps, env.arrays.observations.shape[1], len(low))
    actions = np.zeros((env.num_envs, len(low)), dtype=np.float32)
    lengths = np.full(n, n_steps)
    running = np.arange(n)

    env.reset_worlds(running, [int(layout_seeds[episode]) for episode in group])
    observations = env.arrays.observations[:n].copy()
    record.look(0, env.arrays)
    controller.reset(observations, group)
    unreported = 0
    for step in range(n_steps):
        wanted, disturbed = controller.act(observations, step)
        actions[:n] = np.clip(np.asarray(wanted).astype(np.float32), low, high)
        env.step_worlds(actions, running)
        observations = env.arrays.observations[:n].copy()
        record.act(step, actions[:n], disturbed, env.arrays)
        record.look(step + 1, env.arrays)
        unreported += len(running)
        if env.arrays.terminations[running].any():
            ended = running[env.arrays.terminations[running]]
            lengths[ended] = step + 1
            running = running[~env.arrays.terminations[running]]
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == n_steps or not len(running):
            progress.advance(unreported)
            unreported = 0
        if not len(running):
            break
    env.ended[:n] = True
    return [
        record.episode(
            row,
            lengths[row],
            terminated=bool(env.arrays.terminations[row]),
            layout_seed=int(layout_seeds[episode]),
            scene=env.scene(row),
        )
        for row, episode in enumerate(group)
    ]


class _Record:
    """Arrays of n episodes side by side, filled step by step."""

    def __init__(self, n: int, n_steps: int, obs_dim: int, act_dim: int) -> None:
        self.observations = np.zeros((n_steps + 1, n, obs_dim), dtype=np.float32)
        self.positions = np.zeros((n_steps + 1, n, 2), dtype=np.float32)
        self.headings = np.zeros((n_steps + 1, n), dtype=np.float32)
        self.actions = np.zeros((n_steps, n, act_dim), dtype=np.float32)
        self.rewards = np.zeros((n_steps, n), dtype=np.float32)
        self.costs = np.zeros((n_steps, n), dtype=np.float32)
        self.goals_met = np.zeros((n_steps, n), dtype=bool)
        self.disturbed = np.zeros((n_steps, n), dtype=bool)

    def look(self, row: int, arrays: Any) -> None:
        n = self.observations.shape[1]
        self.observations[row] = arrays.observations[:n]
        self.positions[row] = arrays.positions[:n]
        self.headings[row] = arrays.headings[:n]

    def act(self, step: int, actions: np.ndarray, disturbed: np.ndarray, arrays: Any) -> None:
        n = len(actions)
        self.actions[step] = actions
        self.disturbed[step] = disturbed
        self.rewards[step] = arrays.rewards[:n]
        self.costs[step] = arrays.costs[:n]
        self.goals_met[step] = arrays.goals_met[:n]

    def episode(self, row: int, length: int, **fields: Any) -> Episode:
        return Episode(
            observations=self.observations[: length + 1, row].copy(),
            positions=self.positions[: length + 1, row].copy(),
            headings=self.headings[: length + 1, row].copy(),
            actions=self.actions[:length, row].copy(),
            rewards=self.rewards[:length, row].copy(),
            costs=self.costs[:length, row].copy(),
            goals_met=self.goals_met[:length, row].copy(),
            disturbed=self.disturbed[:length, row].copy(),
            **fields,
        )


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
    ) -> None:
        """
        Args:
            expert: see experts.protocol.
            n_steps: length of the episodes.
            rngs: one an episode of the rollout.
            action_noise: standard deviation of the Gaussian noise added to every action.
            disturbance: see experts.disturbance; None for no bursts.
        """
        if not (np.isfinite(action_noise) and action_noise >= 0):
            raise UserError(f"action noise {action_noise}; expected a standard deviation of at least 0")
        self.expert = expert
        self.n_steps = n_steps
        self.rngs = list(rngs)
        self.action_noise = action_noise
        self.disturbance = disturbance
        self.acting: dict[int, list[str]] = {}
        """Episode: who acted in each step, of experts that take turns (`experts.switching`)."""
        self._group: list[np.random.Generator] = []
        self._episodes = np.zeros(0, dtype=np.int64)
        self._noise = np.zeros((0, 0, 0))
        self._disturbed = np.zeros((0, 0), dtype=bool)
        self._random_actions = np.zeros((0, 0, 0))

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        self._group = [self.rngs[episode] for episode in episodes]
        self._episodes = episodes
        self.expert.reset(observations, self._group)

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        actions = np.asarray(self.expert.act(observations), dtype=np.float64)
        if step == 0:
            self._draw(actions.shape[1])
        for episode, name in zip(self._episodes.tolist(), getattr(self.expert, "acting", ()), strict=False):
            self.acting.setdefault(episode, []).append(str(name))
        disturbed = self._disturbed[step]
        return np.where(disturbed[:, None], self._random_actions[step], actions + self._noise[step]), disturbed

    def _draw(self, act_dim: int) -> None:
        shape = (self.n_steps, len(self._group))
        self._noise = np.zeros((*shape, act_dim))
        self._disturbed = np.zeros(shape, dtype=bool)
        self._random_actions = np.zeros((*shape, act_dim))
        for row, rng in enumerate(self._group):
            self._noise[:, row] = self.action_noise * rng.normal(size=(self.n_steps, act_dim))
            if self.disturbance is not None:
                drawn = self.disturbance.draw(self.n_steps, act_dim, rng)
                self._disturbed[:, row], self._random_actions[:, row] = drawn
