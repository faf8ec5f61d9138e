"""What the planar worlds share: seeds, autoreset, limits of steps, infos. A world adds how it begins and moves."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from mode_imitation.worlds.single_env import ENDLESS, SingleEnv
from mode_imitation.worlds.vector_checks import checked_actions, checked_seeds, chosen_worlds

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """uint64 -> uint64 of the same shape, without pattern: the last step of Steele et al.'s SplitMix64, 2014."""
    numbers = numbers + _STEP
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


def uniforms(keys: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Random numbers in [0, 1) that follow from a key and a count alone, so that no world depends on another.

    Args:
        keys: (N,) uint64, one an episode.
        counts: (N,) int, the step.
        size: numbers a row.

    Returns:
        (N, size) float64.
    """
    rows = keys + mixed(counts.astype(np.uint64))
    drawn = mixed(rows[:, None] + np.arange(size, dtype=np.uint64) * _STEP)
    return (drawn >> np.uint64(11)) * 2.0**-53


class PlanarVectorEnv(VectorEnv):
    """N worlds of one kind, all arrays over the worlds.

    A kind sets the class's constants and has `_begin`, `_move`, `_observe`, `_tell` and `scene`. Infos of `reset` and
    `step` hold "position" (N, 2) and what `_tell` adds, with gymnasium's mask beside each.
    """

    single_observation_space: spaces.Space
    single_action_space: spaces.Space
    sensors: ClassVar[dict[str, Sensor]]
    default_steps: ClassVar[int]
    """Steps after which an episode is truncated."""
    start_draws: ClassVar[int]
    """Random numbers that a start takes."""
    step_draws: ClassVar[int] = 0
    """Random numbers that a step takes."""

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        """
        Args:
            num_envs: worlds, at least 1.
            max_episode_steps: steps after which an episode is truncated; None for the world's own.
            autoreset_mode: what follows an episode's end, as gymnasium defines it.

        Raises:
            UserError: a count below 1.
        """
        steps = self.default_steps if max_episode_steps is None else max_episode_steps
        for what, count in {"num_envs": num_envs, "max_episode_steps": steps}.items():
            if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
                raise UserError(f"{what} is {count!r}; expected a whole number of at least 1")
        self.num_envs, self.max_episode_steps = int(num_envs), int(steps)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._mask = np.ones(self.num_envs, dtype=bool)
        self._mask.flags.writeable = False
        self._keys = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)
        """(N,) decide all that is random in each world's episode."""
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._started = np.zeros(self.num_envs, dtype=bool)
        self._ended = np.zeros(self.num_envs, dtype=bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: one a world; an int s gives world i the seed s + i; None continues each world's own random stream.
            options: {"reset_mask": (N,) bool} resets these worlds only; the seeds of the others are not used.

        Returns:
            (N, obs_dim) observations and the infos.

        Raises:
            UserError: seeds or mask of the wrong shape or type.
        """
        worlds = chosen_worlds(options, self.num_envs)
        seeds = checked_seeds(seed, self.num_envs)
        given = [world for world in worlds.tolist() if seeds[world] is not None]
        numbers = [seeds[world] for world in given]
        self._restart(worlds)
        if given:  # over what continued the stream
            self._keys[given] = mixed(np.array(numbers, dtype=np.uint64))
            self._start(np.array(given))
        return self._observe(), self._infos()

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every world.

        Args:
            actions: (N, act_dim), clipped to the action space, or (N,) choices; those of worlds that are reset in this
                step (NEXT_STEP) are not used.

        Returns:
            observations (N, obs_dim), rewards (N,), terminations (N,) bool, truncations (N,) bool, infos. In mode
            SAME_STEP, infos hold "final_obs" and "final_info" of the worlds whose episodes ended.

        Raises:
            UserError: no reset before; wrong shape, values that are not finite or no choices; no world has stepped.
        """
        if not self._started.all():
            world = int(np.argmin(self._started))
            raise UserError(f"world {world} has no episode yet; expected a reset before; call reset(seed=...)")
        again = self._ended
        fresh = np.flatnonzero(again)
        if len(fresh) and self.autoreset_mode == AutoresetMode.DISABLED:
            raise UserError(
                f"the episode of world {fresh[0]} has ended; expected a reset of it before the next step; "
                "call reset(options={'reset_mask': terminations | truncations})"
            )
        draws = uniforms(self._keys, self._steps + 1, self.step_draws) if self.step_draws else np.zeros((0, 0))
        rewards, terminations = self._move(self._executed(actions, again), draws)
        self._steps += 1
        truncations = self._steps >= self.max_episode_steps
        if len(fresh):
            self._restart(fresh)
            rewards[fresh], terminations[fresh], truncations[fresh] = 0.0, False, False
        self._ended = terminations | truncations
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended = self._ended.copy()
            final_obs = np.full(self.num_envs, None, dtype=object)
            shown = self._observe()
            for world in np.flatnonzero(ended):
                final_obs[world] = shown[world]
            final = {
                "final_obs": final_obs,
                "_final_obs": ended,
                "final_info": self._infos(ended),
                "_final_info": ended,
            }
            self._restart(np.flatnonzero(ended))
            return self._observe(), rewards, terminations, truncations, self._infos() | final
        return self._observe(), rewards, terminations, truncations, self._infos()

    def _executed(self, actions: Any, unused: np.ndarray) -> np.ndarray:
        """(N, act_dim) float64 within the bounds, or (N,) int64 choices; 0 where they are not used."""
        space: Any = self.single_action_space
        found = checked_actions(actions, (self.num_envs, *(space.shape or ())), np.flatnonzero(~unused))
        found = np.where(unused.reshape(-1, *[1] * (found.ndim - 1)), 0.0, found)
        if isinstance(space, spaces.Box):
            return np.clip(found, space.low.astype(np.float64), space.high.astype(np.float64))
        wrong = (found != np.floor(found)) | (found < 0) | (found >= space.n)
        if wrong.any():
            world = int(np.argmax(wrong))
            raise UserError(
                f"the action of world {world} is {found[world]:g}; expected a choice from 0 to {space.n - 1}; "
                "no world has stepped"
            )
        return found.astype(np.int64)

    def _restart(self, worlds: np.ndarray) -> None:
        """New episodes in worlds (M,), each from its own stream."""
        self._keys[worlds] = mixed(self._keys[worlds])
        self._start(worlds)

    def _start(self, worlds: np.ndarray) -> None:
        self._steps[worlds] = 0
        self._started[worlds], self._ended[worlds] = True, False
        self._begin(worlds, uniforms(self._keys[worlds], self._steps[worlds], self.start_draws))

    def _infos(self, mask: np.ndarray | None = None) -> dict[str, Any]:
        told = self._tell()
        mask = self._mask if mask is None else mask
        return told | {f"_{key}": mask for key in told}

    def scene(self, world: int) -> Scene:
        """Where things stand in the current episode of a world."""
        raise NotImplementedError

    def _begin(self, worlds: np.ndarray, draws: np.ndarray) -> None:
        """Put worlds (M,) at their starts, with draws (M, start_draws) in [0, 1)."""
        raise NotImplementedError

    def _move(self, actions: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of all worlds, with draws (N, step_draws): rewards (N,) and terminations (N,) bool."""
        raise NotImplementedError

    def _observe(self) -> np.ndarray:
        """(N, obs_dim), in memory of its own."""
        raise NotImplementedError

    def _tell(self) -> dict[str, np.ndarray]:
        """Infos of all worlds, in memory of their own."""
        raise NotImplementedError


class PlanarEnv(SingleEnv):
    """What `gymnasium.make("mode_imitation/Avoiding-v0")` makes; infos as the vector environment has them."""

    def __init__(self, env_id: str, render_mode: str | None = None, **options: Any) -> None:
        """
        Args:
            env_id: Avoiding-v0 say.
            render_mode: None; `mode-imitation rollout --plot` draws.
            options: as `make_vec` takes them; without max_episode_steps it ends no episode itself.

        Raises:
            UserError: another render mode, or as in `make_vec`.
        """
        from mode_imitation.worlds.planar import make_vec

        limited: dict[str, Any] = {"max_episode_steps": ENDLESS} | options
        super().__init__(make_vec(env_id, 1, autoreset_mode=AutoresetMode.DISABLED, **limited), render_mode)
