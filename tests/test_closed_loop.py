"""Modes and experts face the same layouts."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.reports.closed_loop import Drive, PolicyController, check_env, run_experts, run_modes
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.protocol import World, open_worlds
from mode_imitation.worlds.safety import NavigationVectorEnv, make_vec
from tests.small_worlds import Walker
from tests.tiny_runs import N_CODES, random_model

STEPS = 12
LAYOUTS = held_out_layouts(3)
ENV = "SafetyPointGoal1-v0"


@pytest.fixture(scope="module")
def env() -> Iterator[NavigationVectorEnv]:
    env = make_vec(ENV, 4)
    yield env
    env.close()


class Recorder:
    """Stands in for a policy and remembers under which context each observation was acted on."""

    def __init__(self) -> None:
        self.steered: list[np.ndarray] = []
        self.begun = 0

    def steer(self, *, context: np.ndarray) -> None:
        self.steered.append(context)

    def begin(self) -> None:
        self.begun += 1

    def actions(self, observations: np.ndarray, temperature: float) -> np.ndarray:
        return self.steered[-1][:, :2]


def test_every_episode_is_driven_by_its_own_mode_at_every_step() -> None:
    modes = np.array([[0, 0, 1, 1, 0], [2, 2, 2, 2, 2], [1, 1, 1, 0, 0]])
    policy = Recorder()
    controller = PolicyController(policy, np.eye(N_CODES)[modes])  # type: ignore[arg-type]
    observations = np.zeros((2, 3))
    for episodes in (np.array([0, 1]), np.array([2])):
        controller.reset(observations[: len(episodes)], episodes)
        for step in range(5):
            controller.act(observations[: len(episodes)], step)
            np.testing.assert_array_equal(policy.steered[-1].argmax(axis=1), modes[episodes, step])
    # Steered anew only where something changed: three times in the first group, twice in the second.
    assert len(policy.steered) == 5
    assert policy.begun == 2  # once a group: no memory outlives its episode


def test_a_context_of_its_own_drives_each_episode_to_its_end() -> None:
    contexts = np.random.default_rng(0).uniform(size=(5, N_CODES))
    policy = Recorder()
    controller = PolicyController(policy, contexts)  # type: ignore[arg-type]
    controller.reset(np.zeros((2, 3)), np.array([4, 1]))
    for step in (0, 7):
        _, disturbed = controller.act(np.zeros((2, 3)), step)
        assert not disturbed.any()
    assert len(policy.steered) == 1
    np.testing.assert_array_equal(policy.steered[0], contexts[[4, 1]])


def test_every_mode_faces_every_layout_in_order(env: NavigationVectorEnv) -> None:
    drives = run_modes(Policy(random_model()), env, LAYOUTS, STEPS)
    assert list(drives) == [0, 1, 2]
    for found in drives.values():
        assert [drive.episode.layout_seed for drive in found] == LAYOUTS
        for drive in found:
            assert len(drive.episode) == STEPS
            assert drive.motion.arena_share is not None
            assert drive.motion.speed is not None
    starts = [[drive.episode.observations[0] for drive in found] for found in drives.values()]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert np.abs(drives[0][0].episode.actions - drives[1][0].episode.actions).max() > 1e-4


def assert_same(found: Drive, expected: Drive) -> None:
    assert found.motion == expected.motion
    for name in ("actions", "rewards", "costs", "goals_met", "positions", "headings"):
        np.testing.assert_array_equal(getattr(found.episode, name), getattr(expected.episode, name))
    assert found.episode.scene is not None
    assert expected.episode.scene is not None
    for item in fields(Scene):
        np.testing.assert_array_equal(
            getattr(found.episode.scene, item.name), getattr(expected.episode.scene, item.name)
        )
    for name in ("expert", "layout_seed", "terminated"):
        assert getattr(found.episode, name) == getattr(expected.episode, name)


def test_an_experts_drive_depends_neither_on_the_other_layouts_nor_on_the_worlds(env: NavigationVectorEnv) -> None:
    together = run_experts(["goal_seeking"], env, LAYOUTS, STEPS)["goal_seeking"]
    single = make_vec(ENV, 1)
    alone = run_experts(["goal_seeking"], single, LAYOUTS[1:2], STEPS)["goal_seeking"]
    single.close()
    assert_same(alone[0], together[1])


def test_two_experts_of_one_name_are_refused(env: NavigationVectorEnv) -> None:
    with pytest.raises(UserError, match=r"a\.py:Mine and b\.py:Mine would have the same name, Mine"):
        run_experts(["a.py:Mine", "b.py:Mine"], env, LAYOUTS, STEPS)


def test_an_environment_of_another_size_is_one_clear_line(env: NavigationVectorEnv) -> None:
    with pytest.raises(UserError, match=r"has observations and actions of \(60, 2\) numbers.*\(5, 2\).*--env"):
        check_env(Policy(random_model(obs_dim=5)), env)


def test_a_world_of_other_choices_is_one_clear_line() -> None:
    def world(kind: str) -> World:
        return open_worlds(lambda: Walker(kind))

    policy = Policy(random_model(obs_dim=7, head="categorical", action_space=ActionSpace(1, (3,))))
    check_env(policy, world("one of three from -1 on"))
    of_numbers = Policy(random_model(obs_dim=7, action_space=ActionSpace(1)))
    with pytest.raises(UserError, match=r"takes choices of 3, the run was trained on numbers; .* --env"):
        check_env(of_numbers, world("one of three"))
    more = Policy(random_model(obs_dim=7, head="categorical", action_space=ActionSpace(2, (3, 4))))
    with pytest.raises(UserError, match="takes choices of 3 and 2, the run was trained on choices of 3 and 4"):
        check_env(more, world("several"))
