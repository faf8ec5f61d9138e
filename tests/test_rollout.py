"""Rollouts: what is recorded is what happened, whoever else runs beside it."""

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from experts.disturbance import Disturbance
from experts.protocol import ExpertSetting
from experts.registry import make_expert
from mode_imitation.errors import UserError
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety import make_vec

ENV = "SafetyPointGoal1-v0"
STEPS = 60
SEEDS = [11, 12, 13, 14, 15]


def drive(num_envs: int, *, threads: int = 1, path: Any = "auto", expert: str = "goal_seeking") -> list[Any]:
    """Five noisy, disturbed episodes."""
    env = make_vec(ENV, num_envs, threads=threads, path=path)
    setting = ExpertSetting(env.robot, env.observation_slices, env.time_step, 2)
    controller = ExpertController(
        make_expert(expert, setting),
        STEPS,
        [np.random.default_rng([0, seed]) for seed in SEEDS],
        disturbance=Disturbance(shortest=5, longest=10),
    )
    episodes = rollout(env, controller, SEEDS, STEPS)
    env.close()
    return episodes


class Steady:
    """The same action everywhere; counts what it was shown."""

    def __init__(self, action: tuple[float, float]) -> None:
        self.action = action
        self.groups: list[list[int]] = []

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
        assert len(observations) == len(episodes)
        self.groups.append(episodes.tolist())

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.groups[-1])
        assert len(observations) == n
        return np.tile(self.action, (n, 1)), np.full(n, step % 2 == 0)


class Counter:
    steps = 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.steps += steps


@pytest.mark.parametrize("expert", ["goal_seeking", "agile_goal_seeking"])
@pytest.mark.parametrize(("num_envs", "threads"), [(1, 1), (2, 2), (7, 1)])
def test_an_episode_does_not_depend_on_the_number_of_worlds_or_threads(
    num_envs: int, threads: int, expert: str
) -> None:
    expected = drive(3, expert=expert)
    for mine, other in zip(drive(num_envs, threads=threads, expert=expert), expected, strict=True):
        np.testing.assert_equal({**vars(mine), "scene": vars(mine.scene)}, {**vars(other), "scene": vars(other.scene)})


def test_what_is_recorded_is_what_was_executed() -> None:
    for episode in drive(2):
        env = make_vec(ENV, 1)
        observations, infos = env.reset(seed=[episode.layout_seed])
        for step, action in enumerate(episode.actions):
            assert action.dtype == np.float32
            assert np.abs(action).max() <= 1
            np.testing.assert_array_equal(episode.observations[step], observations[0].astype(np.float32))
            np.testing.assert_array_equal(episode.positions[step], infos["position"][0].astype(np.float32))
            assert episode.headings[step] == np.float32(infos["heading"][0])
            observations, rewards, _, _, infos = env.step(action[None])
            assert episode.rewards[step] == np.float32(rewards[0])
            assert episode.costs[step] == infos["cost"][0]
            assert episode.goals_met[step] == infos["goal_met"][0]
        np.testing.assert_array_equal(episode.observations[-1], observations[0].astype(np.float32))
        env.close()


def test_bursts_are_marked_and_noise_is_added() -> None:
    episodes = drive(5)
    for episode in episodes:
        assert episode.disturbed.dtype == bool
        assert episode.disturbed[:5].all()
        assert not episode.disturbed.all()
    assert len({episode.actions.tobytes() for episode in episodes}) == len(episodes)


def test_groups_cover_every_seed_once_and_actions_are_clipped() -> None:
    env, controller, counter = make_vec(ENV, 2), Steady((3.0, -1e9)), Counter()
    episodes: list[Any] = rollout(env, controller, SEEDS, 7, progress=counter)
    assert controller.groups == [[0, 1], [2, 3], [4]]
    assert counter.steps == 7 * len(SEEDS)
    for episode, seed in zip(episodes, SEEDS, strict=True):
        assert episode.layout_seed == seed
        assert len(episode) == 7
        np.testing.assert_array_equal(episode.actions, np.tile([1, -1], (7, 1)))
        np.testing.assert_array_equal(episode.disturbed, [True, False, True, False, True, False, True])
        assert not episode.terminated
    env.close()


def test_an_episode_ends_where_it_terminates_and_the_others_go_on() -> None:
    env = make_vec("SafetyPointGoal0-v0", 3, path="library", autoreset_mode=AutoresetMode.DISABLED)

    class Unlucky(Steady):
        """The second world stands on its goal, and finds no place for the next one."""

        def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None:
            super().reset(observations, episodes)
            env.tasks[1].goal.size = 10.0
            env.tasks[1].random_generator.sample_goal_position = lambda: False

    original = env.reset

    def reset(**options: Any) -> Any:
        vars(env.tasks[1].random_generator).pop("sample_goal_position", None)
        return original(**options)

    env.reset = reset  # type: ignore[method-assign]
    counter = Counter()
    episodes: list[Any] = rollout(env, Unlucky((0.0, 0.0)), [1, 2, 3], 5, progress=counter)
    assert [len(episode) for episode in episodes] == [5, 1, 5]
    assert [episode.terminated for episode in episodes] == [False, True, False]
    assert episodes[1].goals_met.tolist() == [True]
    assert len(episodes[1].scene.goals) == 1
    assert counter.steps == 11
    env.close()


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_an_impossible_length_is_refused(steps: int) -> None:
    env = make_vec(ENV, 1)
    with pytest.raises(UserError, match=f"{steps} steps; expected 1 to 1000"):
        rollout(env, Steady((0, 0)), [0], steps)
    env.close()


@pytest.mark.parametrize("noise", [-0.1, np.nan, np.inf])
def test_a_noise_that_makes_no_sense_is_refused(noise: float) -> None:
    with pytest.raises(UserError, match="action noise"):
        ExpertController(None, 10, [], action_noise=noise)
