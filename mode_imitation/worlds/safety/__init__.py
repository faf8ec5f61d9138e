"""The only room that knows the simulator: batched worlds as a gymnasium vector environment, rollouts, videos.

Importing this package registers its environments with gymnasium and loads neither mujoco nor safety_gymnasium; the
names below are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mode_imitation.worlds.safety.registration import register_envs

if TYPE_CHECKING:
    from mode_imitation.worlds.safety.equality import report_equality
    from mode_imitation.worlds.safety.observation import observation_slices
    from mode_imitation.worlds.safety.render import record_video
    from mode_imitation.worlds.safety.vector_env import NavigationVectorEnv, make_vec

__all__ = [
    "NavigationVectorEnv",
    "make_vec",
    "observation_slices",
    "record_video",
    "report_equality",
]

_HOMES = {
    "NavigationVectorEnv": "vector_env",
    "make_vec": "vector_env",
    "observation_slices": "observation",
    "record_video": "render",
    "report_equality": "equality",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


register_envs()
