"""Is the batched simulator the library? Both are driven side by side through everything that can happen, and compared.

The batched worlds are driven first, by a noisy expert; the untouched library, textures and all, then repeats each world
with the same seed and the same actions. Two episodes each, the second after a reset without a seed, and others in which
no place is found for the next goal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experts.protocol import ExpertSetting
from experts.registry import make_expert
from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS
from mode_imitation.worlds.safety.vector_env import NavigationVectorEnv, make_vec

LIDAR_TOLERANCE = 1e-12
"""The library rotates by a matrix product, whose order of summation belongs to the BLAS in use; all else is exact."""

QUANTITIES: tuple[str, ...] = ("sensors", "lidar", "rewards", "costs", "goal_events", "terminations", "truncations")
ACTION_NOISE = 0.5
"""Large: the worlds shall meet hazards and vases."""
PUSHED = 0.01
"""Metres from where a vase stood at the reset; it settles by less."""


@dataclass(frozen=True)
class TaskEquality:
    """What was compared in one task, and how far apart it was at most."""

    env_id: str
    worlds: int
    episodes: int
    steps: int
    goals: int
    """Goals reached, each followed by a respawn."""
    failed_respawns: int
    """Goals reached for which no next place was found: the episode terminated."""
    cost_steps: int
    vases_pushed: int
    """Vases that were further from their place at an episode's end than they settle by themselves."""
    largest_difference: dict[str, float]
    """By quantity, see QUANTITIES; events count as 0 and 1."""

    @property
    def equal(self) -> bool:
        """Everything exactly, the lidar within LIDAR_TOLERANCE."""
        return all(
            difference <= (LIDAR_TOLERANCE if name == "lidar" else 0.0)
            for name, difference in self.largest_difference.items()
        )


@dataclass(frozen=True)
class EqualityReport:
    """One entry a task."""

    tasks: tuple[TaskEquality, ...]

    @property
    def equal(self) -> bool:
        return all(task.equal for task in self.tasks)


def report_equality(
    tasks: Sequence[str] = BATCHED_ENV_IDS,
    seeds: Sequence[int] = tuple(range(10)),
    steps: int = 1000,
    *,
    threads: int = 1,
    progress: Progress = no_progress,
) -> EqualityReport:
    """Compare the batched path with the untouched library, in this process.

    Args:
        tasks: environment ids that have a batched path.
        seeds: of the layouts; as many worlds a task.
        steps: length of an episode.
        threads: of the batched path.
        progress: is told of every step of the library, the slow part; 3 * steps for each seed of each task.

    Raises:
        UserError: nothing to compare, or a task without a batched path.
    """
    if not tasks or not seeds or steps < 1:
        raise UserError(f"{len(tasks)} tasks, {len(seeds)} seeds, {steps} steps; expected at least one of each")
    return EqualityReport(tuple(_compare_task(env_id, list(seeds), steps, threads, progress) for env_id in tasks))


def _compare_task(env_id: str, seeds: list[int], steps: int, threads: int, progress: Progress) -> TaskEquality:
    env = make_vec(env_id, len(seeds), path="batched", threads=threads, max_episode_steps=steps)
    lidar_start = min(part.start for name, part in env.observation_slices.items() if name.endswith("_lidar"))
    rng = np.random.default_rng(0)
    drives = {False: _drive(env, seeds, 2 * steps, rng), True: _drive(env, seeds, steps, rng, fail_respawns=True)}
    env.close()

    differences = dict.fromkeys(QUANTITIES, 0.0)
    events = np.zeros(5)
    episodes = vases_pushed = 0
    for world, seed in enumerate(seeds):
        library = build_task(env_id, light=False)
        library.task.num_steps = steps
        for fail_respawns, (actions, observations, outcomes) in drives.items():
            shown, told, pushed = _repeat(library, seed, actions[:, world], fail_respawns=fail_respawns)
            _update(differences, observations[:, world] - shown, outcomes[:, world] - told, lidar_start)
            events += (outcomes[:, world] != 0).sum(axis=0)
            episodes += 1 + int(outcomes[:-1, world, 3:].any(axis=1).sum())
            vases_pushed += pushed
            progress.advance(len(actions), env_id)
    return TaskEquality(
        env_id=env_id,
        worlds=len(seeds),
        episodes=episodes,
        steps=3 * steps * len(seeds),
        goals=int(events[2]),
        failed_respawns=int(events[3]),
        cost_steps=int(events[1]),
        vases_pushed=vases_pushed,
        largest_difference=differences,
    )


def _drive(
    env: NavigationVectorEnv, seeds: list[int], steps: int, rng: np.random.Generator, *, fail_respawns: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actions (T, N, A), observations (T + 1, N, obs_dim) and outcomes (T, N, 5) of a noisy expert, through resets.

    Outcomes are reward, cost, goal reached, terminated and truncated.
    """
    observations, _ = env.reset(seed=seeds)
    n, act_dim = env.action_space.shape or (0, 0)
    expert = make_expert("goal_seeking", ExpertSetting(env.robot, env.observation_slices, env.time_step, act_dim))
    expert.reset(observations, rng.spawn(n))
    if fail_respawns:
        for task in env.tasks:
            _forbid_goals(task)
    actions, shown, outcomes = [], [observations], []
    for _ in range(steps):
        actions.append(expert.act(shown[-1]) + ACTION_NOISE * rng.normal(size=(n, act_dim)))
        observations, rewards, terminations, truncations, infos = env.step(actions[-1])
        for world in np.flatnonzero(terminations).tolist():
            _allow_goals(env.tasks[world])
        shown.append(observations)
        outcomes.append(np.stack([rewards, infos["cost"], infos["goal_met"], terminations, truncations], axis=1))
    return np.array(actions), np.array(shown), np.array(outcomes, dtype=float)


def _repeat(library: Any, seed: int, actions: np.ndarray, *, fail_respawns: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Observations and outcomes in the untouched library, and how many vases were pushed in all its episodes."""
    shown, outcomes, pushed = [library.reset(seed=seed)[0]], [], 0
    if fail_respawns:
        _forbid_goals(library.task)
    for action in actions:
        if library.done:
            pushed += _count_pushed(library.task)
            _allow_goals(library.task)
            observation, outcome = library.reset()[0], (0.0,) * 5
        else:
            observation, reward, cost, terminated, truncated, info = library.step(action)
            outcome = (reward, cost, info.get("goal_met", False), terminated, truncated)
        shown.append(observation)
        outcomes.append(outcome)
    return np.array(shown), np.array(outcomes, dtype=float), pushed + _count_pushed(library.task)


def _forbid_goals(task: Any) -> None:
    task.random_generator.sample_goal_position = lambda: False


def _allow_goals(task: Any) -> None:
    vars(task.random_generator).pop("sample_goal_position", None)


def _count_pushed(task: Any) -> int:
    vases = getattr(task, "vases", None)
    if vases is None or not vases.num:
        return 0
    start = [task.world_info.reset_layout[f"vase{i}"] for i in range(vases.num)]
    moved = np.linalg.norm(np.array(vases.pos)[:, :2] - np.array(start), axis=1)
    return int((moved > PUSHED).sum())


def _update(differences: dict[str, float], seen: np.ndarray, told: np.ndarray, lidar_start: int) -> None:
    """Take in differences between observations (T + 1, obs_dim) and between outcomes (T, 5)."""
    parts = {"sensors": seen[:, :lidar_start], "lidar": seen[:, lidar_start:]}
    for name, part in (parts | dict(zip(QUANTITIES[2:], told.T, strict=True))).items():
        largest = float(np.abs(part).max(initial=0.0))
        differences[name] = max(differences[name], np.inf if np.isnan(largest) else largest)
