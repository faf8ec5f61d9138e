"""One navigation world as a gymnasium environment."""

from typing import Any

from gymnasium.vector import AutoresetMode

from mode_imitation.worlds.safety.vector_env import make_vec
from mode_imitation.worlds.single_env import ENDLESS, SingleEnv


class NavigationEnv(SingleEnv):
    """What `gymnasium.make("mode_imitation/SafetyPointGoal1-v0")` makes.

    Infos hold cost, goal_met, position (2,), heading and goal_position (2,), as `NavigationVectorEnv` has them.
    """

    def __init__(self, env_id: str, render_mode: str | None = None, **options: Any) -> None:
        """
        Args:
            env_id: a navigation task, SafetyPointGoal1-v0 say.
            render_mode: None; films are made by `mode-imitation rollout --video`.
            options: as `make_vec` takes them; without max_episode_steps it ends no episode itself.

        Raises:
            UserError: another render mode, or as in `make_vec`.
        """
        limited: dict[str, Any] = {"max_episode_steps": ENDLESS} | options
        super().__init__(make_vec(env_id, 1, autoreset_mode=AutoresetMode.DISABLED, **limited), render_mode)
