"""Make the vector environments known to gymnasium; imports no simulator."""

from gymnasium.envs.registration import register, registry

from mode_imitation.worlds.safety.tasks import ENV_IDS, NAMESPACE, parse_env_id


def register_envs() -> None:
    """Register every navigation task as mode_imitation/<id>, for `gymnasium.make` and `make_vec`; again is harmless."""
    for env_id in ENV_IDS:
        name = f"{NAMESPACE}{env_id}"
        if name not in registry:
            register(
                id=name,
                entry_point="mode_imitation.worlds.safety.single_env:NavigationEnv",
                vector_entry_point="mode_imitation.worlds.safety.vector_env:make_vec",
                max_episode_steps=parse_env_id(env_id).max_episode_steps,
                kwargs={"env_id": env_id},
            )
