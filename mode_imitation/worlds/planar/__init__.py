"""Small worlds in pure numpy, over a million steps a second; importing this registers them and loads no simulator."""

from typing import Any

from gymnasium.envs.registration import register, registry

from mode_imitation.errors import UserError, near_matches
from mode_imitation.worlds.planar.avoiding import AvoidingVectorEnv
from mode_imitation.worlds.planar.batched import PlanarVectorEnv
from mode_imitation.worlds.planar.circle2d import CircleVectorEnv
from mode_imitation.worlds.planar.gridworlds import DiagonalVectorEnv, TakeballVectorEnv
from mode_imitation.worlds.safety.tasks import NAMESPACE

WORLDS: dict[str, type[PlanarVectorEnv]] = {
    "Avoiding-v0": AvoidingVectorEnv,
    "Circle2D-v0": CircleVectorEnv,
    "Takeball-v0": TakeballVectorEnv,
    "Diagonal-v0": DiagonalVectorEnv,
}


def is_planar(env_id: str) -> bool:
    """Whether an id names one of these worlds, with or without the project's namespace."""
    return env_id.removeprefix(NAMESPACE) in WORLDS


def make_vec(env_id: str, num_envs: int = 1, **options: Any) -> PlanarVectorEnv:
    """N worlds, stepped together.

    Args:
        env_id: Avoiding-v0 say.
        num_envs: worlds, at least 1.
        options: `max_episode_steps` and `autoreset_mode`, see `PlanarVectorEnv`; `slip` of the gridworlds.

    Raises:
        UserError: there is no such world; a count below 1; a share outside of 0 to 1.
    """
    name = env_id.removeprefix(NAMESPACE)
    if name not in WORLDS:
        raise UserError(f"there is no world {env_id!r}{near_matches(name, WORLDS)}; expected {', '.join(WORLDS)}")
    return WORLDS[name](num_envs, **options)


for _name, _world in WORLDS.items():
    if f"{NAMESPACE}{_name}" not in registry:
        register(
            id=f"{NAMESPACE}{_name}",
            entry_point=f"{__name__}.batched:PlanarEnv",
            vector_entry_point=f"{__name__}:make_vec",
            max_episode_steps=_world.default_steps,
            kwargs={"env_id": _name},
        )
