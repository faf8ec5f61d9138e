"""One navigation world as a gymnasium environment: the vector environment of one, without its first axis."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety.vector_env import make_vec

ENDLESS = 2**31 - 1
"""Steps; what ends an episode before is gymnasium's TimeLimit, which `gymnasium.make` puts around it."""


class NavigationEnv(gymnasium.Env):
    """What `gymnasium.make("mode_imitation/SafetyPointGoal1-v0")` makes.

    Infos hold cost, goal_met, position (2,), heading and goal_position (2,), as `NavigationVectorEnv` has them.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, env_id: str, render_mode: str | None = None, **options: Any) -> None:
        """
        Args:
            env_id: a navigation task, SafetyPointGoal1-v0 say.
            render_mode: None; films are made by `mode-imitation rollout --video`.
            options: as `make_vec` takes them; without max_episode_steps it ends no episode itself.

        Raises:
            UserError: another render mode, or as in `make_vec`.
        """
        if render_mode is not None:
            raise UserError(
                f"render_mode is {render_mode!r}; expected None, and `mode-imitation rollout --video` films"
            )
        limited: dict[str, Any] = {"max_episode_steps": ENDLESS} | options
        self.envs = make_vec(env_id, 1, autoreset_mode=AutoresetMode.DISABLED, **limited)
        self.observation_space = self.envs.single_observation_space
        self.action_space = self.envs.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode: (obs_dim,) and the infos; a seed decides the layout."""
        super().reset(seed=seed)
        if seed is None:
            # Drawn here, so that episodes without a seed follow from the last one that was given.
            seed = int(self.np_random.integers(2**31))
        observations, infos = self.envs.reset(seed=[seed])
        return observations[0], _of_one(infos)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step under an action (act_dim,)."""
        observations, rewards, terminations, truncations, infos = self.envs.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminations[0]), bool(truncations[0]), _of_one(infos)

    def close(self) -> None:
        """Free the world."""
        self.envs.close()


def _of_one(infos: dict[str, Any]) -> dict[str, Any]:
    """Infos of N worlds -> of the first one, without the masks."""
    return {name: values[0] for name, values in infos.items() if not name.startswith("_")}
