"""N worlds of one task: what they show, as arrays that are filled in place, and the library's own code to step them."""

from typing import Any

import numpy as np

from mode_imitation.worlds.safety.light_models import build_task


def sizes_of(builder: Any) -> tuple[int, int, int, int]:
    """Numbers in an observation and in an action, hazards, and vases, of a world of the library's."""
    hazards, vases = (
        int(getattr(builder.task, kind).num) if hasattr(builder.task, kind) else 0 for kind in ("hazards", "vases")
    )
    return builder.observation_space.shape[0], builder.action_space.shape[0], hazards, vases


def record_of(obs_dim: int, act_dim: int, n_hazards: int, n_vases: int) -> np.dtype:
    """What is kept of one world, as one record; see `WorldArrays`."""
    return np.dtype(
        [
            ("observations", float, (obs_dim,)),
            ("rewards", float),
            ("costs", float),
            ("goals_met", bool),
            ("terminations", bool),
            ("positions", float, (2,)),
            ("headings", float),
            ("goal_positions", float, (2,)),
            ("hazards", float, (n_hazards, 2)),
            ("vases", float, (n_vases, 2)),
            ("actions", float, (act_dim,)),
            ("chosen", bool),
        ],
        align=True,
    )


class WorldArrays:
    """State of N worlds as seen from outside. Positions in metres in the world's frame, headings in radians.

    Args:
        records: (N,) of `record_of`; the arrays are views of their fields.
    """

    observations: np.ndarray
    rewards: np.ndarray
    costs: np.ndarray
    goals_met: np.ndarray
    terminations: np.ndarray
    positions: np.ndarray
    headings: np.ndarray
    goal_positions: np.ndarray
    """(N, 2), NaN in a task without a goal."""
    hazards: np.ndarray
    """(N, H, 2) at the last reset."""
    vases: np.ndarray
    """(N, V, 2) at the last reset."""
    actions: np.ndarray
    """(N, A) of the next step; only worlds in other processes are told so."""
    chosen: np.ndarray
    """(N,) bool, worlds that are to step; the same."""

    def __init__(self, records: np.ndarray) -> None:
        self.records = records
        for name in records.dtype.names or ():
            setattr(self, name, records[name])


class Worlds:
    """N worlds of a task, one after the other stepped by the library's own code: works for all navigation tasks.

    Its Python holds the interpreter lock, so threads would not help here. Nothing checks its arguments.
    """

    def __init__(self, env_id: str, records: np.ndarray, max_episode_steps: int) -> None:
        """
        Args:
            env_id: of the task.
            records: (N,) of `record_of`, where to keep what the worlds show.
            max_episode_steps: steps after which the library's environments are told to end.
        """
        self.builders = [build_task(env_id) for _ in records]
        """The library's own environments, one a world; none where they are in other processes."""
        for builder in self.builders:
            builder.task.num_steps = max_episode_steps
        self.arrays = WorldArrays(records)
        self.arrays.goal_positions[:] = np.nan

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        """Start new episodes in these worlds (M,); None continues a world's own random stream.

        Returns:
            (world, what the library said) of each world whose layout could not be made.
        """
        arrays, placed = self.arrays, []
        failures: list[tuple[int, str]] = []
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            try:
                self._reset_world(world, seed)
            except AssertionError as error:  # the library's ResamplingError is one
                failures.append((world, str(error)))
                continue
            placed.append(world)
            for kind, where in (("hazards", arrays.hazards), ("vases", arrays.vases)):
                if where.shape[1]:
                    where[world] = np.array(getattr(self.builders[world].task, kind).pos)[:, :2]
        for events in (arrays.rewards, arrays.costs, arrays.goals_met, arrays.terminations):
            events[worlds] = 0
        if placed:
            self._look(np.array(placed))
        return failures

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        """One environment step of worlds (M,) under actions (N, A)."""
        arrays = self.arrays
        for world in worlds.tolist():
            observation, reward, cost, terminated, _, info = self.builders[world].step(actions[world])
            arrays.observations[world] = observation
            arrays.rewards[world] = reward
            arrays.costs[world] = cost
            arrays.terminations[world] = terminated
            arrays.goals_met[world] = info.get("goal_met", False)
        self._look(worlds)

    def catch_up(self) -> None:
        """Bring the library's own objects up to date, for who looks at them or changes them."""

    def close(self) -> None:
        """Free the models and data, which many of the library's objects hold, all as one `engine`."""
        for builder in self.builders:
            builder.task.world.engine.update(None, None)
        self.builders.clear()

    def _reset_world(self, world: int, seed: int | None) -> None:
        self.arrays.observations[world], _ = self.builders[world].reset(seed=seed)

    def _look(self, worlds: np.ndarray) -> None:
        """See where robots and goals of worlds (M,) are."""
        for world in worlds.tolist():
            task = self.builders[world].task
            agent = task.data.body("agent")
            self.arrays.positions[world] = agent.xpos[:2]
            self.arrays.headings[world] = np.arctan2(agent.xmat[3], agent.xmat[0])
            if hasattr(task, "goal"):
                self.arrays.goal_positions[world] = task.data.body("goal").xpos[:2]
