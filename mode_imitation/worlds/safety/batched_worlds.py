"""The batched path: physics world by world in mujoco, and everything else for all worlds at once in numpy.

What is rare (resets, goal respawns) is the library's own code on the library's own objects, one light model a world.
What is frequent is written anew for PointGoal and CarGoal: the formulas of safety_gymnasium's `Builder.step`,
`GoalLevel0.calculate_reward`, `Hazards.cal_cost`, `Vases.cal_cost` and `BaseTask.obs`, in their order.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mode_imitation.worlds.safety.batched_layout import AGENT, VASE, Layout
from mode_imitation.worlds.safety.free_motion import FreeWorlds
from mode_imitation.worlds.safety.library_worlds import close_builders
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.observation import pseudo_lidar
from mode_imitation.worlds.safety.shim import import_mujoco
from mode_imitation.worlds.safety.sleep import allow_sleep, awake
from mode_imitation.worlds.safety.substeps import fastest_exact
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS, Physics, TaskName
from mode_imitation.worlds.safety.world_arrays import WorldArrays, sizes_of

mujoco = import_mujoco()

BLOCKS_PER_THREAD = 4
"""Worlds are handed to threads in so many blocks each: a thread that meets slow worlds takes fewer of them."""


def is_batchable(builder: Any) -> bool:
    """Whether the batched path has the formulas of this task, as it is configured."""
    task = builder.task
    return (
        builder.task_id in BATCHED_ENV_IDS
        and task.lidar_conf.type == "pseudo"
        and task.lidar_conf.alias
        and task.lidar_conf.max_dist is not None
        and task.cost_conf.constrain_indicator
        and task.mechanism_conf.continue_goal
        and task.mechanism_conf.terminate_resample_failure
        and not task.reward_conf.reward_orientation
        and task.sim_conf.frameskip_binom_p == 1.0
        and not task.action_noise
        and not task.observe_vision
        and task.observation_flatten
    )


class BatchedWorlds:
    """See `Worlds`."""

    def __init__(
        self,
        name: TaskName,
        n_worlds: int,
        max_episode_steps: int,
        threads: int = 1,
        arrays: WorldArrays | None = None,
        *,
        physics: Physics = "exact",
    ) -> None:
        self.builders = [build_task(name.env_id) for _ in range(n_worlds)]
        for builder in self.builders:
            builder.task.num_steps = max_episode_steps
        self.n_worlds = n_worlds
        self.arrays = arrays or WorldArrays(sizes_of(self.builders[0], n_worlds))
        self.arrays.goal_positions[:] = np.nan
        self._advance = fastest_exact(name.env_id)
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._threads = threads
        self._everyone = np.arange(n_worlds)
        self._physics = physics
        self._free: FreeWorlds | None = None
        self._layout: Layout | None = None
        self._last_distances = np.zeros(n_worlds)
        self._draws_owed = np.zeros(n_worlds, dtype=np.int64)
        self._views: list[tuple[Any, ...]] = [()] * n_worlds

    def reset(self, worlds: np.ndarray, seeds: list[int | None]) -> list[tuple[int, str]]:
        failures: list[tuple[int, str]] = []
        placed = []
        for world, seed in zip(worlds.tolist(), seeds, strict=True):
            self._pay_draws(world)
            try:
                self._reset_without_observation(self.builders[world], seed)
            except AssertionError as error:  # the library's ResamplingError is one
                failures.append((world, str(error)))
                continue
            self._bind(world)
            placed.append(world)
        self.arrays.begin_episodes(worlds)
        if placed:
            self._observe(np.array(placed))
            layout, positions = self._layout, self._positions[placed]
            assert layout is not None
            self.arrays.hazards[placed] = positions[:, layout.hazards, :2]
            self.arrays.vases[placed] = positions[:, layout.vases, :2]
        return failures

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        layout = self._layout
        assert layout is not None, "reset before the first step"
        clipped = np.clip(actions, layout.lowest_action, layout.highest_action)
        if self._free is None:
            self._integrate(clipped, worlds)
        else:
            held = self._free.step(worlds, clipped)
            self._integrate(clipped, held)
            self._free.look(held)
        self._draws_owed[worlds] += 1

        arrays, rows = self.arrays, self._rows(worlds)
        agents = self._positions[rows, layout.agent]  # (M, 3)
        distances = _plane_distance(self._positions[rows, layout.goal], agents)
        rewards = 0.0 + (self._last_distances[rows] - distances) * layout.reward_distance
        goals_met = distances <= layout.goal_size
        rewards[goals_met] += layout.reward_goal
        arrays.rewards[rows] = np.clip(rewards, -layout.reward_clip, layout.reward_clip)
        arrays.goals_met[rows] = goals_met
        arrays.terminations[rows] = False
        self._last_distances[rows] = distances
        arrays.costs[rows] = self._costs(worlds, agents)
        for world in worlds[goals_met].tolist():
            arrays.terminations[world] = not self._respawn_goal(world)
        self._observe(worlds)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._views.clear()
        self._free = None
        close_builders(self.builders)

    def _reset_without_observation(self, builder: Any, seed: int | None) -> None:
        """The library's reset; of its observation, which we make ourselves, only the forward pass."""
        task = builder.task
        task.obs = lambda: mujoco.mj_forward(task.model, task.data)
        try:
            builder.reset(seed=seed)
        finally:
            del task.obs

    def catch_up(self) -> None:
        """Bring the library's own objects up to date, for who looks at them or changes them."""
        if self._free is not None:
            self._free.give_all_back()

    def _rows(self, worlds: np.ndarray) -> Any:
        return slice(None) if np.array_equal(worlds, self._everyone) else worlds

    def _bind(self, world: int) -> None:
        """Look where a new model keeps what is read and written in every step."""
        task = self.builders[world].task
        model, data = task.model, task.data
        if self._layout is None:
            self._layout = Layout(self.builders[world])
            self._positions = np.zeros((self.n_worlds, model.nbody, 3))
            self._rotations = np.zeros((self.n_worlds, 9))
            self._sensors = np.zeros((self.n_worlds, model.nsensordata))
            self._velocities = np.zeros((self.n_worlds, model.nv))
            self._ball_rotations = np.zeros((self.n_worlds, len(self._layout.balls), 9))
            if self._physics == "fast":
                shown = (self._positions, self._rotations, self._sensors)
                self._free = FreeWorlds.of(model, self._layout, *shown)
        if self._physics != "exact":
            allow_sleep(model)
        if self._free is not None:
            self._free.begin(world, model, data)
        layout = self._layout
        balls = [
            (self._ball_rotations[world, ball], data.sensordata[start : start + 4])
            for ball, start in enumerate(layout.balls)
        ]
        self._views[world] = (
            (model, data, data.ctrl),
            (
                (self._positions[world], data.xpos),
                (self._rotations[world], data.xmat[layout.agent]),
                (self._sensors[world], data.sensordata),
                *([(self._velocities[world], data.qvel)] if layout.has_costly_vases else []),
            ),
            balls,
        )
        self._read(world)
        self._last_distances[world] = task.last_dist_goal

    def _read(self, world: int) -> None:
        _, copies, balls = self._views[world]
        for ours, theirs in copies:
            ours[:] = theirs
        for ours, quaternion in balls:
            mujoco.mju_quat2Mat(ours, quaternion)  # its sums are not reproduced bit for bit by numpy's

    def _integrate(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        if self._pool is None or len(worlds) < self._threads:
            self._integrate_block(actions, worlds.tolist())
            return
        n_blocks = min(len(worlds), self._threads * BLOCKS_PER_THREAD)
        blocks = iter([block.tolist() for block in np.array_split(worlds, n_blocks)])

        def work() -> None:
            for block in blocks:  # a list's iterator may be shared: the interpreter lock guards each `next`
                self._integrate_block(actions, block)

        helpers = [self._pool.submit(work) for _ in range(self._threads - 1)]
        work()
        for helper in helpers:
            helper.result()

    def _integrate_block(self, actions: np.ndarray, worlds: list[int]) -> None:
        assert self._layout is not None
        advance: Callable[[Any, Any, int], None] = self._advance
        quaternion_to_matrix = mujoco.mju_quat2Mat
        substeps, views = self._layout.substeps, self._views
        for world in worlds:
            (model, data, control), copies, balls = views[world]
            control[:] = actions[world]
            advance(model, data, substeps)
            for ours, theirs in copies:
                ours[:] = theirs
            for ours, quaternion in balls:
                quaternion_to_matrix(ours, quaternion)

    def _costs(self, worlds: np.ndarray, agents: np.ndarray) -> np.ndarray:
        """(M,) 1.0 where any cost is above zero, as the library's indicator makes it of their sum."""
        layout = self._layout
        assert layout is not None
        rows = self._rows(worlds)
        costly = np.zeros(len(worlds), dtype=bool)
        if layout.hazards_cost:
            # The library sums (radius - distance) over the hazards that the agent is in: zero on the very edge.
            near = _plane_distance(self._positions[rows][:, layout.hazards], agents[:, None])
            costly |= (near < layout.hazards_size).any(axis=1)
        if layout.has_costly_vases:
            moving = self._velocities[rows][:, layout.vase_velocities]  # (M, V, 3)
            speeds = np.sqrt(moving[..., 0] ** 2 + moving[..., 1] ** 2 + moving[..., 2] ** 2)
            costly |= (speeds >= layout.vases_velocity_threshold).any(axis=1)
            touching_may_be = ~costly if self._free is None else ~costly & ~self._free.free[worlds]
            for row in np.flatnonzero(touching_may_be).tolist():
                data = self._views[int(worlds[row])][0][1]
                touching = layout.geom_codes[data.contact.geom].sum(axis=1)
                costly[row] = bool((touching == AGENT + VASE).any())
        return costly.astype(np.float64)

    def _respawn_goal(self, world: int) -> bool:
        """The library's own search for the next goal position; False where it finds none and ends the episode."""
        from safety_gymnasium.utils.common_utils import ResamplingError

        task = self.builders[world].task
        self._pay_draws(world)
        if self._free is not None:
            self._free.give_back(world)
        task.update_layout()
        try:
            with awake(task.model):
                task.update_world()
        except ResamplingError:
            return False
        finally:
            self._read(world)
        self._last_distances[world] = task.last_dist_goal
        return True

    def _pay_draws(self, world: int) -> None:
        """The library draws each step's number of substeps: always 10, but goals and layouts follow in the stream."""
        owed = int(self._draws_owed[world])
        if owed:
            task = self.builders[world].task
            task.random_generator.binomial(task.sim_conf.frameskip_binom_n, task.sim_conf.frameskip_binom_p, size=owed)
            self._draws_owed[world] = 0

    def _observe(self, worlds: np.ndarray) -> None:
        layout = self._layout
        assert layout is not None
        arrays, rows = self.arrays, self._rows(worlds)
        positions, rotations = self._positions[rows], self._rotations[rows]
        agents = positions[:, layout.agent]
        lidar = pseudo_lidar(
            agents,
            rotations,
            positions[:, layout.objects, :2],
            layout.object_kinds,
            len(layout.lidar_columns),
            layout.n_bins,
            layout.lidar_range,
        )
        observations = np.empty((len(worlds), arrays.observations.shape[1]))
        observations[:, layout.sensor_columns] = self._sensors[rows][:, layout.sensor_sources]
        for ball, columns in enumerate(layout.ball_columns):
            observations[:, columns] = self._ball_rotations[rows, ball]
        for kind, columns in enumerate(layout.lidar_columns):
            observations[:, columns] = lidar[:, kind]
        arrays.observations[rows] = observations
        arrays.positions[rows] = agents[:, :2]
        arrays.headings[rows] = np.arctan2(rotations[:, 3], rotations[:, 0])
        arrays.goal_positions[rows] = positions[:, layout.goal, :2]


def _plane_distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance in the plane of (..., 3) from (..., 3)."""
    difference = points[..., :2] - others[..., :2]
    return np.sqrt(difference[..., 0] ** 2 + difference[..., 1] ** 2)
