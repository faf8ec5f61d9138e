"""N navigation worlds as one gymnasium vector environment: spaces, checks, autoreset, infos, scenes.

How the worlds are stepped is another file's business: `worlds`, `batched_worlds` or `process_worlds`.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from mode_imitation.data.episodes import Scene
from mode_imitation.errors import UserError
from mode_imitation.processes import cores
from mode_imitation.worlds.safety.batched_worlds import is_batchable
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.observation import mirror_of, sensors_of
from mode_imitation.worlds.safety.process_worlds import ProcessWorlds, make_group
from mode_imitation.worlds.safety.sleep import can_sleep
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS, Physics, parse_env_id
from mode_imitation.worlds.safety.worlds import WorldArrays, Worlds, record_of, sizes_of
from mode_imitation.worlds.vector_checks import checked_actions, checked_seeds, chosen_worlds

Path = Literal["auto", "batched", "library"]
WORLDS_PER_THREAD = 4
"""With fewer, the threads wait for the interpreter lock and for each other more than they step.

How much faster two threads or two processes are than one thread, SafetyPointGoal1-v0 on an idle machine of two cores
(medians of runs in turn, `python benchmarks/simulation.py --spread`; two halves that do not wait for each other: 1.9):

    worlds       2     4     8     16    32    64
    threads     0.8   1.1   1.3   1.4   1.5   1.4
    processes   1.0   1.4   1.6   1.4   1.5   1.4

Where other programs use the cores too, neither is faster than one thread: every step waits for the last group.
"""
WORLDS_PER_PROCESS = 2
"""See there. Where both are left open processes come first: on an idle machine they are not the slower ones."""
FEWEST_FREE = 8
"""Worlds. With fewer MuJoCo is faster than equations over arrays, which take as long for one world as for fifty."""
PATIENCE_S = 0.0005
"""How long a process stays awake for what the others send next: with 2 worlds each, two processes are 1.05 times as
fast as one thread without it and 1.4 times with it; with 32 worlds each it brings 1%."""


def spread(n_worlds: int, threads: int | None, processes: int | None, *, threadable: bool) -> tuple[int, int]:
    """Threads of each process, and processes, with what was left open (None) chosen for this machine."""
    if processes is None:
        processes = min(cores(), n_worlds // WORLDS_PER_PROCESS)
    processes = max(1, min(processes, n_worlds))
    if not threadable:
        return 1, processes
    if threads is None:
        threads = max(1, min(cores() // processes, n_worlds // processes // WORLDS_PER_THREAD))
    return threads, processes


def _check_path(env_id: str, path: str, physics: str, *, batchable: bool) -> None:
    """Refuse a path or physics that there is not, or that the task does not have here."""
    if path not in get_args(Path):
        raise UserError(f"unknown path {path!r}; expected auto, batched or library")
    if path == "batched" and not batchable:
        raise UserError(
            f"{env_id} has no batched path; expected one of {', '.join(BATCHED_ENV_IDS)}; take path='library'"
        )
    if physics not in get_args(Physics):
        raise UserError(f"unknown physics {physics!r}; expected {', '.join(get_args(Physics))}")
    if physics != "exact" and not batchable:
        raise UserError(
            f"physics={physics!r} is for the batched path only; expected physics='exact', or path='auto' and one of "
            f"{', '.join(BATCHED_ENV_IDS)}"
        )
    if physics != "exact" and not can_sleep():
        raise UserError("the installed mujoco cannot let vases sleep; expected mujoco >= 3.4, or physics='exact'")


class NavigationVectorEnv(VectorEnv):
    """N worlds of one navigation task, stepped together; `make_vec` is its other name.

    Infos of `reset` and `step` hold, for every world: "cost" (N,), "goal_met" (N,) bool, "position" (N, 2) in metres,
    "heading" (N,) in radians counterclockwise from +x, "goal_position" (N, 2), NaN in tasks without a goal. Beside
    each stands gymnasium's mask, "_cost" and so on.
    """

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        *,
        path: Path = "auto",
        threads: int | None = None,
        processes: int | None = 1,
        max_episode_steps: int | None = None,
        physics: Physics = "exact",
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        """N worlds of one navigation task, stepped together.

        Args:
            env_id: a navigation task, SafetyPointGoal1-v0 say.
            num_envs: worlds, at least 1.
            path: "batched" computes observations, rewards and costs of all worlds at once (PointGoal and CarGoal only);
                "library" steps the library's own code world by world; "auto" takes the first where there is one. The
                two agree exactly, but for 1e-15 in the lidar.
            threads: threads over the worlds of the batched path; physics runs outside the interpreter lock. None for
                one a core that no other of our processes uses, as long as each has 4 worlds.
            processes: processes over groups of worlds, this one included: some 1.5 s to start, then as fast as threads
                or faster, and the only way to step the library path on several cores. None for one a core, as long as
                each has 2 worlds. With more than one there is no `tasks`; nothing else differs, and what the worlds
                show is the same to the bit.
            max_episode_steps: steps after which an episode is truncated; None for the task's own.
            physics: "exact" is the library's to the last bit. "sleeping" lets vases sleep that nobody touches, for
                about twice the speed: until the robot touches one the same actions move it as before, to the last bit,
                and what the lidar sees of a vase differs by some 1e-9; from then on an episode is as likely as the
                exact one, but another one. "fast" does so too, and integrates Point robots that are out of every vase's
                reach together, by the same formulas (from 8 worlds on; see `free_motion`): each step is the library's
                to rounding, and since the robot's servo amplifies that, an episode is soon another one, as likely. Its
                `tasks` are up to date, and may be changed, when they are asked for, until the next step. Both: batched
                path, mujoco >= 3.4; who moves things in `tasks` does so within
                `mode_imitation.worlds.safety.sleep.awake(task.model)`.
            autoreset_mode: what follows an episode's end, as gymnasium defines it.

        Raises:
            UserError: unknown task, a count below 1, a path or physics that the task does not have, vases that cannot
                sleep, or no simulator.
        """
        name = parse_env_id(env_id)
        counts = {"threads": threads, "processes": processes, "max_episode_steps": max_episode_steps}
        given = {what: count for what, count in counts.items() if count is not None}
        for what, count in {"num_envs": num_envs, **given}.items():
            if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
                raise UserError(f"{what} is {count!r}; expected a whole number of at least 1")
        self.env_id = env_id
        self.robot = name.robot
        self.num_envs = int(num_envs)
        self.max_episode_steps = int(max_episode_steps or name.max_episode_steps)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        builder = build_task(env_id)
        batchable = path != "library" and is_batchable(builder)
        _check_path(env_id, path, physics, batchable=batchable)
        if physics == "fast" and self.num_envs < FEWEST_FREE:
            physics = "sleeping"
        self.path: Literal["batched", "library"] = "batched" if batchable else "library"
        self.threads, self.processes = spread(self.num_envs, threads, processes, threadable=batchable)
        sizes = sizes_of(builder)
        how: dict[str, Any] = {"path": self.path, "threads": self.threads, "physics": physics}
        how["max_episode_steps"] = self.max_episode_steps
        self._worlds: Worlds | ProcessWorlds
        if self.processes > 1:
            patience_s = PATIENCE_S if self.processes <= cores() else 0.0
            self._worlds = ProcessWorlds(
                env_id, self.num_envs, sizes, processes=self.processes, patience_s=patience_s, **how
            )
        else:
            self._worlds = make_group(env_id=env_id, records=np.zeros(self.num_envs, record_of(*sizes)), **how)
        x_min, y_min, x_max, y_max = map(float, builder.task.placements_conf.extents)
        self._arena = (x_min, y_min, x_max, y_max)
        self._sizes: dict[str, Any] = {
            field: float(getattr(builder.task, kind).size)
            for field, kind in (("goal_radius", "goal"), ("hazard_radius", "hazards"), ("vase_half_width", "vases"))
            if hasattr(builder.task, kind)
        }
        self.sensors = sensors_of(builder)
        self.mirror = mirror_of(self.robot, self.sensors)
        self.observation_slices = {name: sensor.columns for name, sensor in self.sensors.items()}
        option = builder.task.agent.engine.model.opt
        self.time_step = float(option.timestep * builder.task.sim_conf.frameskip_binom_n)
        """Seconds per environment step."""
        self.single_observation_space = builder.observation_space
        self.single_action_space = builder.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

        self._everyone = np.arange(self.num_envs)
        self._mask = np.ones(self.num_envs, dtype=bool)
        self._mask.flags.writeable = False
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._started = np.zeros(self.num_envs, dtype=bool)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._goals: list[list[np.ndarray]] = [[] for _ in range(self.num_envs)]
        self._goal_steps: list[list[int]] = [[] for _ in range(self.num_envs)]

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: one a world; an int s gives world i the seed s + i; None continues each world's own random stream.
            options: {"reset_mask": (N,) bool} resets these worlds only; the seeds of the others are not used.

        Returns:
            (N, obs_dim) observations and the infos.

        Raises:
            UserError: seeds or mask of the wrong shape or type, or a layout that the library cannot place. The worlds
                that were not named, and those whose layouts could be placed, can be used on.
        """
        self._check_open()
        worlds = chosen_worlds(options, self.num_envs)
        seeds = checked_seeds(seed, self.num_envs)
        self._reset_worlds(worlds, [seeds[world] for world in worlds])
        return self._worlds.arrays.observations.copy(), self._infos()

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One environment step of every world.

        Args:
            actions: (N, act_dim), clipped to the action space; those of worlds that are reset in this step (NEXT_STEP)
                are not used.

        Returns:
            observations (N, obs_dim), rewards (N,), terminations (N,) bool, truncations (N,) bool, infos. In mode
            SAME_STEP, infos hold "final_obs" and "final_info" of the worlds whose episodes ended.

        Raises:
            UserError: wrong shape, or values that are not finite; no world has stepped then.
        """
        self._check_open()
        self._check_started(self._everyone)
        again = np.flatnonzero(self._ended)
        if len(again) == 0:
            self._step_worlds(actions, self._everyone)
        elif self.autoreset_mode == AutoresetMode.DISABLED:
            raise UserError(
                f"the episode of world {again[0]} has ended; expected a reset of it before the next step; "
                f"call reset(options={{'reset_mask': terminations | truncations}})"
            )
        else:
            self._step_worlds(actions, np.flatnonzero(~self._ended))
            self._reset_worlds(again, [None] * len(again))

        arrays = self._worlds.arrays
        rewards, terminations = arrays.rewards.copy(), arrays.terminations.copy()
        truncations = self._steps >= self.max_episode_steps
        final: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended = self._ended.copy()
            final_observations = np.full(self.num_envs, None, dtype=object)
            for world in np.flatnonzero(ended):
                final_observations[world] = arrays.observations[world].copy()
            final = {"final_obs": final_observations, "final_info": self._infos(ended)}
            final |= {"_final_obs": ended, "_final_info": ended}
            worlds = np.flatnonzero(ended)
            self._reset_worlds(worlds, [None] * len(worlds))
        return arrays.observations.copy(), rewards, terminations, truncations, self._infos() | final

    def _reset_worlds(self, worlds: np.ndarray, seeds: Sequence[int | None]) -> None:
        """`reset` of worlds (M,) alone, with M seeds."""
        failures = self._worlds.reset(worlds, list(seeds))
        self._steps[worlds] = 0
        self._started[worlds] = True
        self._ended[worlds] = False
        arrays = self._worlds.arrays
        for world in worlds.tolist():
            self._goals[world] = [arrays.goal_positions[world].copy()]
            self._goal_steps[world] = [0]
        if failures:
            self._started[[world for world, _ in failures]] = False
            world, error = failures[0]
            seed = dict(zip(worlds.tolist(), seeds, strict=True))[world]
            raise UserError(
                f"the library cannot place world {world} of {self.env_id} for seed {seed} ({error}); "
                f"expected a layout; reset that world with another seed"
            )

    def _step_worlds(self, actions: np.ndarray, worlds: np.ndarray) -> None:
        """`step` of worlds (M,) alone, under actions (N, act_dim), without autoreset."""
        actions = checked_actions(actions, self.action_space.shape or (), worlds)
        if not len(worlds):
            return
        self._worlds.step(actions, worlds)
        self._steps[worlds] += 1
        arrays = self._worlds.arrays
        self._ended[worlds] = arrays.terminations[worlds] | (self._steps[worlds] >= self.max_episode_steps)
        for world in worlds[arrays.goals_met[worlds] & ~arrays.terminations[worlds]].tolist():
            self._goals[world].append(arrays.goal_positions[world].copy())
            self._goal_steps[world].append(int(self._steps[world]))

    @property
    def arrays(self) -> WorldArrays:
        """What every world shows now; overwritten by the next step."""
        return self._worlds.arrays

    @property
    def tasks(self) -> list[Any]:
        """The library's own task objects, one a world.

        Raises:
            UserError: some are in other processes.
        """
        if not self.closed and not self._worlds.builders:
            raise UserError(
                f"the library's tasks are spread over {self.processes} processes; expected processes=1 to look at them"
            )
        self._worlds.catch_up()
        return [builder.task for builder in self._worlds.builders]

    def scene(self, world: int) -> Scene:
        """Where things stood in the current episode of a world, with every goal position so far."""
        self._check_open()
        if not 0 <= world < self.num_envs:
            raise UserError(f"there is no world {world}; expected 0 to {self.num_envs - 1}")
        self._check_started(np.array([world]))
        arrays = self._worlds.arrays
        goals = np.array(self._goals[world])
        has_goal = bool(np.isfinite(goals).all())
        return Scene(
            goals=goals if has_goal else np.zeros((0, 2)),
            goal_steps=np.array(self._goal_steps[world] if has_goal else [], dtype=np.int64),
            hazards=arrays.hazards[world].copy(),
            vases=arrays.vases[world].copy(),
            arena=self._arena,
            **self._sizes,
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Free every world."""
        self._worlds.close()

    def _infos(self, mask: np.ndarray | None = None) -> dict[str, Any]:
        arrays = self._worlds.arrays
        infos: dict[str, Any] = {
            "cost": arrays.costs.copy(),
            "goal_met": arrays.goals_met.copy(),
            "position": arrays.positions.copy(),
            "heading": arrays.headings.copy(),
            "goal_position": arrays.goal_positions.copy(),
        }
        mask = self._mask if mask is None else mask
        return infos | {f"_{key}": mask for key in infos}

    def _check_open(self) -> None:
        if self.closed:
            raise UserError("this environment is closed; expected an open one; make another with make_vec")

    def _check_started(self, worlds: np.ndarray) -> None:
        missing = worlds[~self._started[worlds]]
        if len(missing):
            raise UserError(f"world {missing[0]} has no episode yet; expected a reset before; call reset(seed=...)")


make_vec = NavigationVectorEnv
"""As gymnasium's function of that name makes it from the id `mode_imitation/<env_id>`."""
