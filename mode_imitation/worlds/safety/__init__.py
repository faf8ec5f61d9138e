"""The only room that knows the simulator: batched worlds as a gymnasium vector environment, rollouts, videos.

Importing this package registers its environments with gymnasium and loads neither mujoco nor safety_gymnasium; the
names below are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register, registry

from mode_imitation.worlds.safety.tasks import ENV_IDS, NAMESPACE, parse_env_id

if TYPE_CHECKING:
    from mode_imitation.worlds.safety.equality import report_equality
    from mode_imitation.worlds.safety.observation import observation_slices
    from mode_imitation.worlds.safety.render import record_video
    from mode_imitation.worlds.safety.vector_env import NavigationVectorEnv, make_vec

__all__ = ["NavigationVectorEnv", "make_vec", "observation_slices", "record_video", "report_equality"]
_HOMES = dict(zip(__all__, ("vector_env", "vector_env", "observation", "render", "equality"), strict=True))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


for _env_id in ENV_IDS:
    if f"{NAMESPACE}{_env_id}" not in registry:
        register(
            id=f"{NAMESPACE}{_env_id}",
            entry_point=f"{__name__}.single_env:NavigationEnv",
            vector_entry_point=f"{__name__}.vector_env:make_vec",
            max_episode_steps=parse_env_id(_env_id).max_episode_steps,
            kwargs={"env_id": _env_id},
        )
