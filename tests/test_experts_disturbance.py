"""Bursts of random action: marked, bounded, and one episode's own."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.disturbance import AWAY_THROTTLE, COURSES, NEAR_FIRST, Disturbance
from experts.drives import make_drive
from mode_imitation.errors import UserError
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.worker import Driver
from tests.experts_scene import random_observations, setting_of


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


@given(
    n_steps=st.integers(0, 400),
    probability=st.floats(0, 0.2),
    lengths=st.tuples(st.integers(1, 30), st.integers(0, 30)),
    at_start=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_bursts_are_marked_and_actions_stay_in_their_space(
    n_steps: int, probability: float, lengths: tuple[int, int], at_start: bool, seed: int
) -> None:
    shortest, longest = lengths[0], sum(lengths)
    disturbance = Disturbance(probability, shortest, longest, at_start)
    mask, actions = disturbance.draw(n_steps, 2, np.random.default_rng(seed))
    assert mask.shape == (n_steps,)
    assert actions.shape == (n_steps, 2)
    assert np.abs(actions).max(initial=0) <= 1
    assert not actions[~mask].any()
    if n_steps and at_start:
        assert mask[0]
    # Bursts may touch, so a run can be several; the last may be cut short by the end.
    for start, stop in runs(mask):
        assert stop == n_steps or stop - start >= shortest


def test_a_burst_holds_one_action_but_for_its_noise() -> None:
    disturbance = Disturbance(probability=0.01, noise=0.0, away=0.0)
    mask, actions = disturbance.draw(5000, 2, np.random.default_rng(1))
    changes = np.flatnonzero((actions[1:] != actions[:-1]).any(axis=1)) + 1
    assert all(later - earlier <= 80 for earlier, later in pairwise(changes) if mask[earlier])
    assert len(np.unique(actions[mask], axis=0)) >= 20


def test_the_share_of_disturbed_steps_is_what_the_numbers_say() -> None:
    mask, _ = Disturbance(at_start=False, away=0.0).draw(300_000, 2, np.random.default_rng(2))
    # Bursts of 50 steps on average, pauses of 149 (a burst may begin right after another).
    assert abs(mask.mean() - 50 / (50 + 149)) < 0.02


def test_bursts_that_drive_away_last_longer_and_hold_a_course() -> None:
    disturbance = Disturbance(probability=0.002, noise=0.0, away=1.0)
    mask, actions = disturbance.draw(100_000, 3, np.random.default_rng(5))
    held = [(stop - start, actions[start]) for start, stop in runs(mask) if start >= NEAR_FIRST * len(mask)]
    # The last may be cut short; two may touch, but seldom.
    assert np.mean([60 <= length <= 120 for length, _ in held]) > 0.8
    assert min(length for length, _ in held[:-1]) >= 60
    first_alone = np.array([not action[1:].any() for _, action in held])
    all_equal = np.array([len(set(action)) == 1 for _, action in held])
    assert (first_alone ^ all_equal).all()
    assert 0.35 < first_alone.mean() < 0.65
    throttles = np.array([action[0] for _, action in held])
    assert np.abs(throttles).min() >= AWAY_THROTTLE
    assert 0.35 < (throttles > 0).mean() < 0.65


@pytest.mark.parametrize("robot", COURSES)
def test_a_robot_is_driven_away_on_its_own_straight_course(robot: str) -> None:
    disturbance = Disturbance(probability=0.01, noise=0.0, away=1.0, course=COURSES[robot])
    mask, actions = disturbance.draw(10_000, 2, np.random.default_rng(5))
    held = np.array([actions[start] for start, _ in runs(mask) if start >= NEAR_FIRST * len(mask)])
    assert len(held) > 20
    np.testing.assert_array_equal(held, held[:, :1] * np.array(COURSES[robot]))
    setting = setting_of(robot)
    observations = random_observations(setting, 3, np.random.default_rng(0))
    straight_on = make_drive(setting, "forward_moving").straight(observations, 1.0)
    np.testing.assert_array_equal(straight_on, straight_on[:, :1] * np.array(COURSES[robot]))
    assert (straight_on[:, 0] > 0).all()


@pytest.mark.parametrize("n_steps", [100, 1000])
def test_every_episode_first_shows_who_drives(n_steps: int) -> None:
    disturbance = Disturbance(probability=0.05, noise=0.0, away=1.0)
    for seed in range(50):
        mask, actions = disturbance.draw(n_steps, 2, np.random.default_rng(seed))
        for start, _ in runs(mask):
            off_course = actions[start, 1] != 0 and actions[start, 0] != actions[start, 1]
            assert off_course == (start < NEAR_FIRST * n_steps)


def test_the_share_of_bursts_that_drive_away_is_what_the_number_says() -> None:
    mask, actions = Disturbance(probability=1.0, noise=0.0, at_start=False, away=0.25).draw(
        100_000, 2, np.random.default_rng(6)
    )
    starts = np.concatenate([[0], np.flatnonzero((actions[1:] != actions[:-1]).any(axis=1)) + 1])
    bursts = actions[starts[starts >= NEAR_FIRST * len(mask)]]
    away = (bursts[:, 1] == 0) | (bursts[:, 0] == bursts[:, 1])
    assert mask.all()
    assert abs(away.mean() - 0.25) < 0.04


def test_the_same_generator_draws_the_same_bursts() -> None:
    first, second = (Disturbance().draw(500, 2, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_no_probability_and_no_start_means_no_bursts() -> None:
    mask, _ = Disturbance(probability=0.0, at_start=False).draw(500, 2, np.random.default_rng(4))
    assert not mask.any()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"probability": 1.5}, "probability is 1.5"),
        ({"probability": float("nan")}, "probability is nan"),
        ({"shortest": 0}, "last 0 to 80 steps"),
        ({"shortest": 90}, "last 90 to 80 steps"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"away": 1.1}, "drive away is 1.1"),
        ({"away": float("nan")}, "drive away is nan"),
    ],
)
def test_impossible_numbers_are_refused(fields: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Disturbance(**fields)


def test_where_experts_take_turns_their_turns_show_the_way_back() -> None:
    def actions(expert: str, away: float) -> np.ndarray:
        config = GenerateConfig(expert=(f"{expert}=1",), out="any/any-v0", steps=300, burst_away=away)
        (episode,) = Driver(config).drive(expert, [0], lambda steps: None)
        return episode.actions

    turns = "goal_seeking+forward_moving@100"
    np.testing.assert_array_equal(actions(turns, 0.0), actions(turns, 1.0))
    assert (actions("goal_seeking", 0.0) != actions("goal_seeking", 1.0)).any()
