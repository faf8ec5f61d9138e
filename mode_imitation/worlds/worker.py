"""What one process of `generate` does: let an expert drive a few episodes at once, and keep them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from experts.disturbance import COURSES, Disturbance
from experts.protocol import ExpertSetting
from experts.registry import expert_label, make_expert
from experts.switching import members
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.processes import Advance
from mode_imitation.worlds.chunks import ChunkFolder
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.protocol import World, as_world, open_worlds, start_of
from mode_imitation.worlds.rollout import ExpertController, rollout

SEEDS, EPISODES = 1_000, 1_000_000
"""Of layouts for training; those from their product on are for evaluation (reports/layouts.py)."""


class Driver:
    """Makes episodes of one dataset.

    Args:
        config: whose steps are known.
        starts: see `World.starts`; those of its own episodes are added.
    """

    def __init__(self, config: GenerateConfig, starts: Iterable[bytes] = ()) -> None:
        assert config.steps is not None
        self.config, self.steps = config, config.steps
        self.starts = set(starts)
        self.world: World | None = None

    def drive(self, expert: str, indices: Sequence[int], advance: Advance) -> list[Episode]:
        """Episodes by their index in the dataset, which with the dataset's seed decides everything random about them.

        Args:
            expert: see `experts.registry.make_expert`.
            indices: of the episodes, in the whole dataset.
            advance: told of every step of every world.
        """
        config = self.config
        if self.world is None or self.world.num_envs < len(indices):
            # Opened when the first group's size is known, so that no world idles.
            self.world = open_worlds(
                config.env, len(indices), path=config.path, threads=1, max_episode_steps=config.steps
            )
            self.world.starts = self.starts
        controller = ExpertController(
            make_expert(expert, expert_setting(self.world)),
            self.steps,
            [np.random.default_rng([config.seed, index]) for index in indices],
            action_noise=config.action_noise,
            disturbance=disturbance_of(config, self.world.robot, turns=len(members(expert)) > 1),
            action_space=self.world.action_space,
        )
        seeds = [training_layout_seed(config.seed, index) for index in indices]
        episodes = rollout(self.world, controller, seeds, self.steps, progress=_Advance(advance))
        if not self.world.takes_seeds:
            self.starts.update(start_of(episode.observations[0]) for episode in episodes)
        acting = {row: np.array(names) for row, names in controller.acting.items()}
        return [
            replace(episode, expert=expert_label(expert), acting=acting[row][: len(episode)] if acting else None)
            for row, episode in enumerate(episodes)
        ]


def training_layout_seed(seed: int, episode: int) -> int:
    """Seed of the layout of an episode: another one for every seed and episode, below 1,000,000,000.

    Args:
        seed: 0 .. 999, the dataset's.
        episode: 0 .. 999,999, index in the dataset.

    Raises:
        UserError: one of them is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise UserError(f"--seed is {seed}; expected 0 to {SEEDS - 1}, so that no evaluation layout is trained on")
    if not 0 <= episode < EPISODES:
        raise UserError(f"{episode + 1:,} episodes are too many for one dataset; expected at most {EPISODES:,}")
    return seed * EPISODES + episode


def expert_setting(worlds: World | VectorEnv) -> ExpertSetting:
    """What an expert is told about the worlds that it drives in."""
    world = as_world(worlds)
    space, sensors = world.action_space, world.sensors or {}
    return ExpertSetting(
        robot=world.robot,
        slices={name: sensor.columns for name, sensor in sensors.items()},
        time_step=float("nan") if world.time_step is None else world.time_step,
        act_dim=space.size,
        choices=space.choices,
        low=space.low,
        high=space.high,
    )


def disturbance_of(config: GenerateConfig, robot: str = "", *, turns: bool = False) -> Disturbance | None:
    """The bursts of random action that the options ask for.

    Args:
        config: the options.
        robot: whose straight course a burst away holds; "" where the world has none, so that none drives away.
        turns: whether experts take turns: none of the bursts drives away then.
    """
    if not config.disturbed:
        return None
    return Disturbance(
        probability=config.burst_probability,
        shortest=config.burst_shortest,
        longest=config.burst_longest,
        at_start=config.burst_at_start,
        noise=config.action_noise,
        away=config.burst_away if robot and not turns else 0.0,
        course=COURSES.get(robot),
    )


def prepare(job: dict[str, Any]) -> Callable[[dict[str, Any], Advance], None]:
    """For `processes.run_tasks`: the job is the options, the folder of chunks and whether worlds take seeds, a task
    experts and indices."""
    config = GenerateConfig(**job["config"] | {"expert": tuple(job["config"]["expert"])})
    chunks = ChunkFolder(Path(job["chunks"]))
    driver = Driver(config, () if job["takes_seeds"] else map(start_of, chunks.first_observations()))

    def do(task: dict[str, Any], advance: Advance) -> None:
        chunks.write(task["indices"], driver.drive(task["expert"], task["indices"], advance))

    return do


class _Advance:
    """A function, as the Progress that `rollout` reports to."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._advance(steps)
