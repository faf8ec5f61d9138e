"""The batched path: physics world by world in mujoco, and everything else for all worlds at once in numpy.

What is rare (resets, goal respawns) is the library's own code on the library's own objects, one light model a world.
What is frequent is written anew for PointGoal and CarGoal: the formulas of safety_gymnasium's `Builder.step`,
`GoalLevel0.calculate_reward`, `Hazards.cal_cost`, `Vases.cal_cost` and `BaseTask.obs`, in their order.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mode_imitation.worlds.safety.free_motion import FreeWorlds
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.observation import pseudo_lidar, sensors_of
from mode_imitation.worlds.safety.shim import import_mujoco
from mode_imitation.worlds.safety.sleep import allow_sleep, awake
from mode_imitation.worlds.safety.substeps import fastest_exact
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS, Physics, parse_env_id
from mode_imitation.worlds.safety.worlds import Worlds

mujoco = import_mujoco()

BLOCKS_PER_THREAD = 4
"""Worlds are handed to threads in so many blocks each: a thread that meets slow worlds takes fewer of them."""
LIDAR_KINDS = ("goal", "hazards", "vases")
AGENT, VASE = 1, 16
"""Codes of geoms in a contact; only agent + vase sums to their sum."""


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


class Layout:
    """Where things stand in the arrays of a task's models, and the constants of its formulas; alike in all worlds."""

    model: Any
    """As the library makes it for some layout; only `layout_of` tells it."""

    def __init__(self, builder: Any) -> None:
        task = builder.task
        model = task.model
        slices = {name: sensor.columns for name, sensor in sensors_of(builder).items()}
        self.substeps = int(task.sim_conf.frameskip_binom_n)
        self.lowest_action, self.highest_action = model.actuator_ctrlrange.T.copy()

        self.agent = model.body("agent").id
        self.goal = model.body("goal").id
        self.goal_size = task.goal.size
        self.reward_distance = task.goal.reward_distance
        self.reward_goal = task.goal.reward_goal
        self.reward_clip = task.reward_conf.reward_clip or np.inf

        counts = {kind: int(getattr(getattr(task, kind), "num", 1)) for kind in LIDAR_KINDS if hasattr(task, kind)}
        bodies = {
            kind: [model.body(kind if kind == "goal" else f"{kind[:-1]}{i}").id for i in range(count)]
            for kind, count in counts.items()
        }
        self.objects = np.concatenate([bodies[kind] for kind in counts]).astype(np.int64)
        self.object_kinds = np.repeat(np.arange(len(counts)), list(counts.values()))
        self.lidar_columns = [slices[f"{kind}_lidar"] for kind in counts]
        self.n_bins = task.lidar_conf.num_bins
        self.lidar_range = task.lidar_conf.max_dist

        hazards = getattr(task, "hazards", None)
        self.hazards = np.array(bodies.get("hazards", []), dtype=np.int64)
        self.hazards_size = hazards.size if hazards else 0.0
        self.hazards_cost = bool(hazards and hazards.is_constrained and hazards.cost > 0 and len(self.hazards))

        vases = getattr(task, "vases", None)
        self.has_costly_vases = bool(vases and vases.is_constrained and vases.num)
        self.vases = np.array(bodies.get("vases", []), dtype=np.int64)
        self.vases_velocity_threshold = vases.velocity_threshold if vases else 0.0
        # A free joint's linear velocity is its body's: what mj_jacBody times qvel gives.
        joints = [model.jnt_dofadr[model.body_jntadr[body]] for body in self.vases]
        self.vase_velocities = np.array([[start, start + 1, start + 2] for start in joints], dtype=np.int64)
        names = [model.geom(geom).name for geom in range(model.ngeom)]
        robot = set(task.agent.body_info.geom_names)
        self.geom_codes = np.array([VASE if n.startswith("vase") else AGENT if n in robot else 0 for n in names])

        balls = list(task.agent.sensor_info.ballquat_names)
        sensors = [name for name in slices if not name.endswith("_lidar") and name not in balls]
        starts = {model.sensor(i).name: int(model.sensor_adr[i]) for i in range(model.nsensor)}
        self.balls = [starts[name] for name in balls]
        self.ball_columns = [slices[name] for name in balls]
        self.sensor_columns = np.concatenate([np.r_[slices[name]] for name in sensors])
        self.sensor_sources = np.concatenate(
            [starts[name] + np.arange(slices[name].stop - slices[name].start) for name in sensors]
        )


@functools.cache
def layout_of(env_id: str) -> Layout:
    """Of a task as the library makes it."""
    builder = build_task(env_id)
    builder.reset(seed=0)
    layout = Layout(builder)
    layout.model = builder.task.model
    return layout


class BatchedWorlds(Worlds):
    """See `Worlds`; threads step worlds side by side."""

    def __init__(
        self,
        env_id: str,
        records: np.ndarray,
        max_episode_steps: int,
        *,
        threads: int = 1,
        physics: Physics = "exact",
    ) -> None:
        super().__init__(env_id, records, max_episode_steps)
        n_worlds = len(records)
        self._advance = fastest_exact(env_id)
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._threads = threads
        self._everyone = np.arange(n_worlds)
        self._physics = physics
        self._layout, self._configured = layout_of(env_id), False
        layout = self._layout
        model = layout.model
        self._positions = np.zeros((n_worlds, model.nbody, 3))
        self._rotations = np.zeros((n_worlds, 9))
        self._sensors = np.zeros((n_worlds, model.nsensordata))
        self._velocities = np.zeros((n_worlds, model.nv))
        self._ball_rotations = np.zeros((n_worlds, len(layout.balls), 9))
        self._free: FreeWorlds | None = None
        if physics == "fast" and parse_env_id(env_id).robot == "Point":
            self._free = FreeWorlds.of(layout, self._positions, self._rotations, self._sensors)
        self._last_distances = np.zeros(n_worlds)
        self._draws_owed = np.zeros(n_worlds, dtype=np.int64)
        self._views: list[tuple[Any, ...]] = [()] * n_worlds

    def step(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        layout = self._layout
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
        self._look(worlds)

    def catch_up(self) -> None:
        if self._free is not None:
            self._free.give_all_back()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._views.clear()
        self._free = None
        super().close()

    def _reset_world(self, world: int, seed: int | None) -> None:
        """The library's reset; of its observation, which we make ourselves, only the forward pass."""
        self._pay_draws(world)
        task = self.builders[world].task
        task.obs = lambda: mujoco.mj_forward(task.model, task.data)
        try:
            self.builders[world].reset(seed=seed)
        finally:
            del task.obs
        self._bind(world)

    def _rows(self, worlds: np.ndarray) -> Any:
        return slice(None) if np.array_equal(worlds, self._everyone) else worlds

    def _bind(self, world: int) -> None:
        """Look where a new model keeps what is read and written in every step."""
        if not self._configured:  # until the first reset, `tasks` may be configured otherwise
            self._layout, self._configured = Layout(self.builders[world]), True
        layout, task = self._layout, self.builders[world].task
        model, data = task.model, task.data
        if self._physics != "exact":
            allow_sleep(model)
        if self._free is not None:
            self._free.begin(world, model, data)
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
        for world in worlds:
            model, data, control = self._views[world][0]
            control[:] = actions[world]
            self._advance(model, data, self._layout.substeps)
            self._read(world)

    def _costs(self, worlds: np.ndarray, agents: np.ndarray) -> np.ndarray:
        """(M,) 1.0 where any cost is above zero, as the library's indicator makes it of their sum."""
        layout = self._layout
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

    def _look(self, worlds: np.ndarray) -> None:
        layout = self._layout
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
