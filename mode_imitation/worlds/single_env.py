"""One world as a gymnasium environment: the vector environment of one, without its first axis."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from mode_imitation.errors import UserError

ENDLESS = 2**31 - 1
"""Steps; what ends an episode before is gymnasium's TimeLimit, which `gymnasium.make` puts around it."""


class SingleEnv(gymnasium.Env):
    """A world of its own. Infos are those of the vector environment, without the masks."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, envs: VectorEnv, render_mode: str | None = None) -> None:
        """
        Args:
            envs: one world, with autoreset disabled.
            render_mode: None.

        Raises:
            UserError: another render mode.
        """
        if render_mode is not None:
            raise UserError(
                f"render_mode is {render_mode!r}; expected None, and `mode-imitation rollout --video` films"
            )
        self.envs = envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode: (obs_dim,) and the infos; a seed decides where."""
        super().reset(seed=seed)
        if seed is None:
            # Drawn here, so that episodes without a seed follow from the last one that was given.
            seed = int(self.np_random.integers(2**31))
        observations, infos = self.envs.reset(seed=[seed])  # type: ignore[arg-type]
        return observations[0], _of_one(infos)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step under an action (act_dim,), or a choice."""
        observations, rewards, terminations, truncations, infos = self.envs.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminations[0]), bool(truncations[0]), _of_one(infos)

    def close(self) -> None:
        """Free the world."""
        self.envs.close()


def _of_one(infos: dict[str, Any]) -> dict[str, Any]:
    """Infos of N worlds -> of the first one, without the masks."""
    return {name: values[0] for name, values in infos.items() if not name.startswith("_")}
