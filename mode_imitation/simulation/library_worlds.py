"""The library path: every world steps the library's own code, on a light model. Works for all navigation tasks."""

from typing import Any

import numpy as np

from mode_imitation.simulation.light_models import build_task
from mode_imitation.simulation.tasks import TaskName
from mode_imitation.simulation.world_arrays import WorldArrays


class LibraryWorlds:
    """See `Worlds`. The library's Python holds the interpreter lock, so threads would not help here."""

    def __init__(self, name: TaskName, n_worlds: int, max_episode_steps: int) -> None:
        self.builders = [build_task(name.env_id) for _ in range(n_worlds)]
        for builder in self.builders:
            builder.task.num_steps = max_episode_steps
        self.arrays = WorldArrays(n_worlds, self.builders[0].observation_space.shape[0])

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, Exception]]:
        failures: list[tuple[int, Exception]] = []
        self.arrays.begin_episodes(worlds)
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            try:
                observation, _ = self.builders[world].reset(seed=seed)
            except AssertionError as error:  # the library's ResamplingError is one
                failures.append((world, error))
                continue
            self._look(world, observation)
        return failures

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        arrays = self.arrays
        for world in worlds.tolist():
            observation, reward, cost, terminated, _, info = self.builders[world].step(actions[world])
            arrays.rewards[world] = reward
            arrays.costs[world] = cost
            arrays.terminations[world] = terminated
            arrays.goals_met[world] = info.get("goal_met", False)
            self._look(world, observation)

    def _look(self, world: int, observation: np.ndarray) -> None:
        arrays, task = self.arrays, self.builders[world].task
        arrays.observations[world] = observation
        agent = task.data.body("agent")
        arrays.positions[world] = agent.xpos[:2]
        arrays.headings[world] = np.arctan2(agent.xmat[3], agent.xmat[0])
        if hasattr(task, "goal"):
            arrays.goal_positions[world] = task.data.body("goal").xpos[:2]

    def close(self) -> None:
        close_builders(self.builders)


def close_builders(builders: list[Any]) -> None:
    """Free the models and data of the library's environments, which many objects hold, all as one `engine`."""
    for builder in builders:
        builder.task.world.engine.update(None, None)
    builders.clear()
