"""Worlds of any make: how they are opened, what they show and what is recorded of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from experts.registry import make_expert
from mode_imitation.data.episodes import Episode
from mode_imitation.worlds.protocol import WorldSpec, open_worlds
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.video import check_video, record_video
from mode_imitation.worlds.worker import expert_setting
from tests import small_worlds
from tests.driven_worlds import COLUMNS, FILE, SEEDS, assert_same_episodes, drive, refused
from tests.small_worlds import ACTIONS, Walker, vector

SPECS: dict[str, tuple[Callable[[], WorldSpec], int]] = {
    "an Env by a function": (lambda: Walker, 4),
    "a VectorEnv": (lambda: SyncVectorEnv([Walker] * 3), 3),
    "a VectorEnv by a function of their number": (lambda: small_worlds.several, 4),
    "a VectorEnv by a function that has its own": (lambda: small_worlds.always_three, 3),
    "a file's function": (lambda: f"{FILE}:one", 4),
    "a file's class": (lambda: f"{FILE}:Walker", 4),
    "a module's function": (lambda: "tests.small_worlds:several", 4),
}


@pytest.mark.parametrize("spec", SPECS)
def test_worlds_open_by_whatever_names_them_and_record_the_same(spec: str) -> None:
    make, n_worlds = SPECS[spec]
    world = open_worlds(make(), 4)
    assert world.num_envs == n_worlds
    assert world.obs_dim == 7
    assert world.time_step == Walker.dt
    assert world.max_episode_steps is None
    assert_same_episodes(drive(world), drive(SyncVectorEnv([Walker] * 7)))


@pytest.mark.parametrize("spec", ["tests.small_worlds:Walker-v0", "Walker-v0"])
def test_an_id_opens_what_gymnasium_makes_of_it_with_its_time_limit(spec: str) -> None:
    world = open_worlds(spec, 3)
    assert (world.num_envs, world.env_id, world.max_episode_steps) == (3, spec, 5)
    assert [len(episode) for episode in drive(world, n_steps=5)] == [5] * len(SEEDS)


def test_a_vector_env_of_gymnasiums_own_is_driven_as_it_is() -> None:
    pendulums = gymnasium.make_vec("Pendulum-v1", 3, vectorization_mode="sync")
    world = open_worlds(pendulums)
    assert (world.num_envs, world.env_id, world.max_episode_steps, world.sensors) == (3, "Pendulum-v1", 200, None)
    assert world.action_space.low == (-2.0,)
    observations, _, own = world.reset([5, 6, 7])
    assert own
    alone = gymnasium.make("Pendulum-v1")
    np.testing.assert_array_equal(observations[1], alone.reset(seed=6)[0])
    shown, rewards, *_ = world.step(world.executed(np.full((3, 1), 9.0)))
    expected, reward, *_ = alone.step(np.array([2.0], np.float32))
    np.testing.assert_array_equal(shown[1], expected)
    assert rewards[1] == reward
    world.close()


def test_worlds_that_share_one_seed_say_that_no_episode_has_its_own() -> None:
    world = open_worlds(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point"))

    class PushRight:
        def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None: ...

        def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
            return np.ones((len(observations), 1)), np.zeros(len(observations), dtype=bool)

    episodes = rollout(world, PushRight(), [1, 2, 3, 4], 500)
    assert [episode.layout_seed for episode in episodes] == [None] * 4
    assert all(5 < len(episode) < 20 and episode.terminated for episode in episodes)
    assert len({episode.observations.tobytes() for episode in episodes[:3]}) == 3
    world.close()


def test_named_parts_become_columns_that_keep_their_names() -> None:
    world, one = open_worlds(Walker, 2), Walker()
    assert world.sensors == COLUMNS
    observations, _, _ = world.reset([5, 6])
    seen, _ = one.reset(seed=6)
    for name, sensor in COLUMNS.items():
        outer, _, inner = name.partition("/")
        values = seen[outer][inner] if inner else seen[outer]
        first = 10 if name == "wheel" else 0
        np.testing.assert_array_equal(observations[1, sensor.columns], np.ravel(values) - first, err_msg=name)
    world.close()


@pytest.mark.parametrize("actions", ACTIONS)
def test_actions_are_recorded_from_0_on_and_reach_the_world_as_it_counts_them(actions: str) -> None:
    envs = SyncVectorEnv([lambda: Walker(actions)] * 2)
    world, space = open_worlds(envs), envs.single_action_space
    walkers: Any = envs.envs
    episodes = drive(world, SEEDS[:2])
    assert len(np.unique(np.concatenate([episode.actions for episode in episodes]))) > 1
    for index, episode in enumerate(episodes):
        assert episode.actions.dtype == (np.float32 if isinstance(space, spaces.Box) else np.int64)
        taken = np.stack(walkers[index].taken)[: len(episode)]  # it is reset, and goes on, after its episode
        start = getattr(space, "start", 0)
        np.testing.assert_array_equal(episode.actions, np.asarray(taken - start).reshape(len(episode), -1))


def test_numbers_are_clipped_to_the_bounds_and_choices_that_there_are_not_refused() -> None:
    numbers, choices = (open_worlds(vector(kind, 2)) for kind in ("numbers", "several from elsewhere"))
    np.testing.assert_array_equal(numbers.executed([[-9, -9], [9, 9]]), [[-1, 0], [1, 3]])
    np.testing.assert_array_equal(choices.executed([[2, 1], [0, 0]]), [[2, 1], [0, 0]])
    for wrong in ([[3, 0]], [[0, -1]], [[0.5, 0]], [[np.nan, 0]]):
        assert "expected choices by number from 0 on, of 3 and 2" in refused(
            lambda wrong=wrong: choices.executed(wrong)
        )
    for worlds in (numbers, choices):
        assert "expected (N, 2)" in refused(lambda worlds=worlds: worlds.executed(np.zeros((2, 3))))
        worlds.close()


def slowly(actions: str, seed: int, n_steps: int) -> Episode:
    """One episode of one Env, step by step."""
    env = Walker(actions)
    world = open_worlds(lambda: Walker(actions))
    controller = ExpertController(
        make_expert(f"{FILE}:Pushing", expert_setting(world)),
        n_steps,
        [np.random.default_rng(seed)],
        action_space=world.action_space,
    )
    world.close()

    def row(seen: Any) -> np.ndarray:
        parts = [*seen["body"]["lamps"], *seen["body"]["place"], *seen["gears"], seen["wheel"] - 10]
        return np.array(parts, np.float32)

    seen, told = env.reset(seed=seed)
    observations, infos, done, rewards, ended = [row(seen)], [told], [], [], False
    controller.reset(np.stack(observations), np.array([0]))
    while not ended and len(done) < n_steps:
        wanted, _ = controller.act(observations[-1][None], len(done))
        done.append(world.executed(wanted)[0])
        seen, reward, ended, _, told = env.step(world.action_space.to_env(done[-1][None])[0])
        observations.append(row(seen))
        infos.append(told)
        rewards.append(reward)
    return Episode(
        observations=np.stack(observations),
        actions=np.stack(done),
        rewards=np.array(rewards, np.float32),
        costs=np.array([told["cost"] for told in infos[1:]], np.float32),
        successes=np.array([told["is_success"] for told in infos[1:]]),
        positions=np.array([[told["x_position"], told["y_position"]] for told in infos], np.float32),
        disturbed=np.zeros(len(done), bool),
        terminated=ended,
        layout_seed=seed,
    )


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("n_worlds", [1, 2, 5, 7])
@pytest.mark.parametrize("actions", ["numbers", "several from elsewhere"])
def test_an_episode_is_that_of_its_world_alone_however_many_there_are_and_however_they_are_reset(
    actions: str, n_worlds: int, mode: AutoresetMode
) -> None:
    expected = [slowly(actions, seed, 7) for seed in SEEDS]
    assert len({len(episode) for episode in expected}) > 2
    assert {episode.terminated for episode in expected} == {False, True}  # some fall, some are stopped
    assert_same_episodes(drive(vector(actions, n_worlds, mode), n_steps=7), expected)


def test_worlds_that_can_be_opened_anew_are_not_stepped_in_vain() -> None:
    opened: list[int] = []

    def make(num_envs: int) -> VectorEnv:
        opened.append(num_envs)
        return vector("numbers", num_envs)

    assert_same_episodes(drive(open_worlds(make, 5)), drive(vector("numbers", 7)))
    assert opened == [5, 2]


def test_a_film_shows_an_episode_from_its_first_state_to_its_last(tmp_path: Path) -> None:
    (episode,) = drive(open_worlds(f"{FILE}:one"), SEEDS[:1])
    check_video(f"{FILE}:one")
    for actions, file in ((episode.actions, "whole.gif"), (np.tile(episode.actions, (9, 1)), "longer.gif")):
        record_video(f"{FILE}:one", SEEDS[0], actions, tmp_path / file)
        frames = np.stack(imageio.mimread(tmp_path / file))
        assert frames.shape[1:3] == (8, 12)  # even, as video codecs want
        shades = frames.reshape(len(frames), -1).mean(axis=1)
        np.testing.assert_allclose(shades, 20 * np.arange(len(episode) + 1), atol=2)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.gif", "longer.gif"}
