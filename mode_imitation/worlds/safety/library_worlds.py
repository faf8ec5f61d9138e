"""The library path: every world steps the library's own code, on a light model. Works for all navigation tasks."""

from typing import Any

import numpy as np

from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.tasks import TaskName
from mode_imitation.worlds.safety.world_arrays import WorldArrays, sizes_of


class LibraryWorlds:
    """See `Worlds`. The library's Python holds the interpreter lock, so threads would not help here."""

    def __init__(
        self, name: TaskName, n_worlds: int, max_episode_steps: int, arrays: WorldArrays | None = None
    ) -> None:
        self.builders = [build_task(name.env_id) for _ in range(n_worlds)]
        for builder in self.builders:
            builder.task.num_steps = max_episode_steps
        self.arrays = arrays or WorldArrays(sizes_of(self.builders[0], n_worlds))
        self.arrays.goal_positions[:] = np.nan

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        failures: list[tuple[int, str]] = []
        self.arrays.begin_episodes(worlds)
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            try:
                observation, _ = self.builders[world].reset(seed=seed)
            except AssertionError as error:  # the library's ResamplingError is one
                failures.append((world, str(error)))
                continue
            self._look(world, observation)
            task = self.builders[world].task
            self.arrays.hazards[world] = _positions(task, "hazards")
            self.arrays.vases[world] = _positions(task, "vases")
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


def _positions(task: Any, name: str) -> np.ndarray:
    """(n, 2) centres of a kind of object, of which a task may have none."""
    objects = getattr(task, name, None)
    return np.array(objects.pos)[:, :2] if objects is not None and objects.num else np.zeros((0, 2))
