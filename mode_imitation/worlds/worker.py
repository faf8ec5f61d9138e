"""What one process of `generate` does: let an expert drive a few episodes at once, and keep them."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from experts.disturbance import COURSES, Disturbance
from experts.protocol import ExpertSetting
from experts.registry import expert_label, make_expert
from experts.switching import members
from mode_imitation.data.episodes import Episode
from mode_imitation.processes import Advance, serve
from mode_imitation.worlds.chunks import ChunkFolder
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.layout_seeds import training_layout_seed
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety.vector_env import NavigationVectorEnv, make_vec

MODULE = "mode_imitation.worlds.worker"


class Driver:
    """Makes episodes of one dataset, with one simulator for all of them."""

    def __init__(self, config: GenerateConfig) -> None:
        self.config = config
        self.env = make_vec(config.env, config.worlds, path=config.path, threads=1, max_episode_steps=config.steps)

    def drive(self, expert: str, indices: Sequence[int], advance: Advance) -> list[Episode]:
        """Episodes by their index in the dataset, which with the dataset's seed decides everything random about them.

        Args:
            expert: see `experts.registry.make_expert`.
            indices: of the episodes, in the whole dataset.
            advance: told of every step of every world.
        """
        config = self.config
        controller = ExpertController(
            make_expert(expert, expert_setting(self.env)),
            config.steps,
            [np.random.default_rng([config.seed, index]) for index in indices],
            action_noise=config.action_noise,
            disturbance=disturbance_of(config, self.env.robot, turns=len(members(expert)) > 1),
        )
        seeds = [training_layout_seed(config.seed, index) for index in indices]
        episodes = rollout(self.env, controller, seeds, config.steps, progress=_Advance(advance))
        acting = {row: np.array(names) for row, names in controller.acting.items()}
        return [
            replace(episode, expert=expert_label(expert), acting=acting[row][: len(episode)] if acting else None)
            for row, episode in enumerate(episodes)
        ]


def expert_setting(env: NavigationVectorEnv) -> ExpertSetting:
    """What an expert is told about the environment that it drives in."""
    (act_dim,) = env.single_action_space.shape or (0,)
    return ExpertSetting(env.robot, env.observation_slices, env.time_step, act_dim)


def disturbance_of(config: GenerateConfig, robot: str | None = None, *, turns: bool = False) -> Disturbance | None:
    """The bursts of random action that the options ask for.

    Args:
        config: the options.
        robot: `env.robot`, if it is known yet.
        turns: whether experts take turns: none of the bursts drives away then.
    """
    if not config.disturbances:
        return None
    return Disturbance(
        probability=config.burst_probability,
        shortest=config.burst_shortest,
        longest=config.burst_longest,
        at_start=config.burst_at_start,
        noise=config.action_noise,
        away=0.0 if turns else config.burst_away,
        course=COURSES.get(robot) if robot else None,
    )


def to_job(config: GenerateConfig, chunks: Path) -> dict[str, Any]:
    """What a worker process needs to know, as JSON."""
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    return {"config": values | {"root": None}, "chunks": str(chunks)}


def prepare(job: dict[str, Any]) -> Callable[[dict[str, Any], Advance], None]:
    """The function that does one task: {"expert": ..., "indices": [...]}."""
    config = GenerateConfig(**job["config"] | {"expert": tuple(job["config"]["expert"])})
    driver = Driver(config)
    chunks = ChunkFolder(Path(job["chunks"]))

    def do(task: dict[str, Any], advance: Advance) -> None:
        chunks.write(task["indices"], driver.drive(task["expert"], task["indices"], advance))

    return do


class _Advance:
    """A function, as the Progress that `rollout` reports to."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._advance(steps)


if __name__ == "__main__":
    serve(prepare)
