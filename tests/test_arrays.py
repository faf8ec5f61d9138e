"""Arrays in memory become a dataset, however they are laid out; and several datasets become one."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mode_imitation import from_arrays
from mode_imitation.data.arrays import ArrayOptions, join
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.errors import UserError

LENGTHS = [4, 4, 4]
LAST_LEFT_OUT = "ignore:the last action of:UserWarning"


def parts(lengths: list[int] = LENGTHS, final: bool = True) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Observation t of episode i is (10 i + t, -t), action t is 100 i + t."""
    times = [np.arange(length + final) for length in lengths]
    states = [np.stack([10.0 * i + time, -1.0 * time], axis=1) for i, time in enumerate(times)]
    return states, [100.0 * i + np.arange(float(length))[:, None] for i, length in enumerate(lengths)]


def given(layout: str, values: list[np.ndarray]) -> Any:
    return {"list": list, "stacked": np.stack, "flat": np.concatenate}[layout](values)


@pytest.mark.filterwarnings(LAST_LEFT_OUT)
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("layout", ["list", "stacked", "flat"])
def test_every_layout_makes_the_same_dataset(layout: str, final: bool) -> None:
    states, actions = parts(final=final)
    rewards = [action[:, 0] / 4 for action in actions]
    dataset = from_arrays(
        given(layout, states),
        given(layout, actions),
        LENGTHS if layout == "flat" else None,
        rewards=given(layout, rewards),
        costs=given(layout, rewards),
        disturbed=given(layout, [reward > 0 for reward in rewards]),
        positions=given(layout, states),
        headings=given(layout, [state[:, 0] for state in states]),
        labels=["a", "b", "a"],
        terminated=[True, False, True],
        sensors={"clock": Sensor(1, 2, "token")},
        name="mine",
        env_id="World-v0",
    )
    steps = 4 if final else 3
    assert (dataset.name, dataset.env_id, dataset.labels) == ("mine", "World-v0", ["a", "b", "a"])
    assert dataset.lengths.tolist() == [steps] * 3
    assert dataset.sensors == {"clock": Sensor(1, 2, "token")}
    assert dataset.action_space == ActionSpace(1)
    # Without the last observation nobody knows what the last action led to, so no end is known either.
    assert [episode.terminated for episode in dataset.episodes] == [final, False, final]
    for index, episode in enumerate(dataset.episodes):
        np.testing.assert_array_equal(episode.observations, states[index][: steps + 1])
        np.testing.assert_array_equal(episode.actions, actions[index][:steps])
        assert episode.rewards is not None
        assert episode.costs is not None
        assert episode.disturbed is not None
        assert episode.positions is not None
        assert episode.headings is not None
        np.testing.assert_array_equal(episode.rewards, rewards[index][:steps])
        np.testing.assert_array_equal(episode.costs, rewards[index][:steps])
        np.testing.assert_array_equal(episode.disturbed, rewards[index][:steps] > 0)
        np.testing.assert_array_equal(episode.positions, episode.observations)
        np.testing.assert_array_equal(episode.headings, episode.observations[:, 0])
        assert episode.observations.dtype == episode.actions.dtype == episode.rewards.dtype == np.float32


def test_what_was_left_out_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="the last action of 3 episodes left out: no observation follows it"):
        from_arrays(*parts(final=False))


@pytest.mark.parametrize("layout", ["list", "flat"])
def test_episodes_may_differ_in_length(layout: str) -> None:
    lengths = [2, 5, 1]
    states, actions = parts(lengths)
    dataset = from_arrays(given(layout, states), given(layout, actions), lengths if layout == "flat" else None)
    assert dataset.lengths.tolist() == lengths
    np.testing.assert_array_equal(dataset.episodes[1].observations, states[1])


@pytest.mark.filterwarnings(LAST_LEFT_OUT)
def test_lengths_say_how_much_of_stacked_rows_counts() -> None:
    states, actions = (given("stacked", values) for values in parts())
    padded = states.copy()
    padded[0, 3:] = np.nan
    dataset = from_arrays(padded, actions, [2, 4, 3])
    assert dataset.lengths.tolist() == [2, 4, 3]
    np.testing.assert_array_equal(dataset.episodes[0].observations, states[0, :3])
    # Rows without a final observation: those after the length are padding where the row goes on.
    assert from_arrays(states[:, :4], actions, [2, 4, 3]).lengths.tolist() == [2, 3, 3]


@pytest.mark.parametrize("layout", ["list", "stacked", "flat"])
def test_without_actions_the_change_of_observations_is_the_action(layout: str) -> None:
    states, _ = parts()
    large = [state + 2.0**30 for state in states]  # float32 keeps no differences of 1 there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = from_arrays(given(layout, large), lengths=LENGTHS if layout == "flat" else None)
    for episode in dataset.episodes:
        np.testing.assert_array_equal(episode.actions, [[1, -1]] * 4)


def test_changes_alone_make_no_choices() -> None:
    dataset = from_arrays([np.arange(5), np.arange(3)])
    assert not dataset.action_space.discrete
    assert dataset.lengths.tolist() == [4, 2]


def test_lags_show_earlier_observations_and_their_sensors() -> None:
    states, actions = parts()
    dataset = from_arrays(states, actions, sensors={"clock": Sensor(1, 2, "token")}, lags=2)
    observations = dataset.episodes[1].observations
    assert observations.shape == (5, 6)
    for time, row in enumerate(observations):
        expected = np.concatenate([states[1][max(time - lag, 0)] for lag in range(3)])
        np.testing.assert_array_equal(row, expected)
    assert dataset.sensors == {
        "clock": Sensor(1, 2, "token"),
        "clock 1 before": Sensor(3, 4, "token"),
        "clock 2 before": Sensor(5, 6, "token"),
    }


@pytest.mark.parametrize(
    ("values", "choices", "start"),
    [([0, 1, 2, 0], 3, 0), ([1, 2, 3, 1], 3, 1), ([-1, 0, 1, 0], 3, -1), ([2, 3, 2, 3], 4, 0)],
)
def test_whole_numbers_are_choices_from_where_they_start(values: list[int], choices: int, start: int) -> None:
    states, _ = parts()
    with pytest.warns(UserWarning, match="count as choices"):
        dataset = from_arrays(states, [np.array(values)] * 3)
    assert dataset.action_space == ActionSpace(1, (choices,), (start,))
    actions = dataset.episodes[0].actions
    assert actions.dtype == np.int64
    np.testing.assert_array_equal(dataset.action_space.to_env(actions), values)


def test_what_actions_are_can_be_said() -> None:
    states, actions = parts()
    quantities = from_arrays(states, [action.astype(int) for action in actions], choices=False)
    assert not quantities.action_space.discrete
    assert from_arrays(states, [action % 2 for action in actions], choices=True).action_space.choices == (2,)
    with pytest.warns(UserWarning, match="count as quantities, being of 1,000 kinds and more"):
        assert not from_arrays(states, [1000 * np.arange(4)] * 3).action_space.discrete
    with pytest.raises(UserError, match="are to be choices, but are no whole numbers"):
        from_arrays(states, [action / 3 for action in actions], choices=True)


def test_nan_is_told_of_all_episodes_at_once_or_left_out() -> None:
    states, actions = parts([2] * 9)
    states[1][2, 0] = np.nan
    actions[3][1, 0] = np.inf
    states[4][0, 1] = 1e39
    with pytest.raises(UserError, match=r"3 episodes with NaN.*: 1, 3, 4, the first in the observations at step 2"):
        from_arrays(states, actions)
    with pytest.warns(UserWarning, match="3 episodes with NaN, infinity or numbers beyond float32 left out"):
        dataset = from_arrays(states, actions, labels=list("abcdefghi"), drop_nan=True)
    assert dataset.labels == list("acfghi")
    with pytest.raises(UserError, match="no episode is left"):
        from_arrays([states[1]], [actions[1]], drop_nan=True)


def test_short_episodes_are_left_out() -> None:
    with pytest.warns(UserWarning, match="1 episode of fewer than 3 transitions left out"):
        dataset = from_arrays(*parts([4, 2, 3]), drop_short=3)
    assert dataset.lengths.tolist() == [4, 3]


def test_columns_that_float32_flattens_are_named() -> None:
    states, actions = parts()
    stamped = [np.column_stack([state, 1.7e9 + 0.05 * np.arange(5)]) for state in states]
    with pytest.warns(UserWarning, match="column 2 of the observations lose most of their different values in float32"):
        from_arrays(stamped, actions)


S, A = parts()
FLAT_S, FLAT_A = np.concatenate(S), np.concatenate(A)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((FLAT_S, FLAT_A), {}, r"shape \(15, 2\) and no lengths say where episodes end"),
        ((3.0, FLAT_A), {}, "observations are one number"),
        ((np.zeros((3, 5, 8, 8)), np.stack(A)), {}, "several axes a step, as images have"),
        ((np.zeros((15, 8, 8)), FLAT_A, LENGTHS), {}, "several axes a step, as images have"),
        ((S, "differences"), {}, "actions is 'differences'; expected an array, or 'difference'"),
        ((S, FLAT_A), {}, "actions is no list, but observations are"),
        ((S, A[:2]), {}, "observations of 3 episodes and actions of 2"),
        ((S, [*A[:2], A[2][:2]]), {}, "episode 2 has 5 observations for 2 actions; expected 2, or 3"),
        ((S, [*A[:2], [[1], [1, 2]]]), {}, "actions of episode 2 is ragged"),
        ((S, [*A[:2], np.array(["left"] * 4)]), {}, "actions of episode 2 is of type <U4; expected numbers"),
        ((S, [*A[:2], np.zeros((4, 2))]), {}, r"sizes \[\(2, 1\), \(2, 2\)\]; expected one size"),
        ((FLAT_S, FLAT_A, [4, 4, 5]), {}, "lengths add up to 13, but actions has 12 rows"),
        ((FLAT_S, FLAT_A, [4.0, 4.0, 4.0]), {}, "lengths must be whole numbers"),
        ((FLAT_S[:14], FLAT_A, LENGTHS), {}, "14 rows for 12 steps in 3 episodes; expected 12, or 15 with"),
        ((np.stack(S), np.stack(A), [4, 4]), {}, "lengths has 2 entries for 3 episodes"),
        ((S, A), {"labels": ["a"]}, "labels has 1 entries for 3 episodes"),
        ((S, A), {"labels": ["a\0b", "b", "c"]}, "NUL"),
        ((S, A), {"rewards": [np.zeros(3)] * 3}, "rewards of episode 0 has 3 rows; expected 4"),
        ((S, A), {"rewards": [np.zeros(4)] * 2}, "rewards has shape .* for each of 3 episodes"),
        ((S, A), {"positions": [np.zeros((5, 3))] * 3}, r"positions has shape \(3, 5, 3\); expected 2 columns"),
        ((S, A), {"sensors": {"lidar": Sensor(0, 3)}}, "sensor lidar has the columns 0:3 of 2"),
        ((S, A), {"lags": -1}, "lags is -1; expected at least 0"),
        ((S, A), {"drop_short": 0}, "drop_short is 0; expected at least 1"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_arrays(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_options_have_defaults_that_leave_the_data_as_it_is() -> None:
    assert ArrayOptions() == ArrayOptions(lags=0, drop_short=1, drop_nan=False, choices=None)


def named(name: str, **changes: Any) -> TrajectoryDataset:
    return replace(from_arrays(*parts(), name=name, env_id="World-v0"), **changes)


def test_datasets_are_joined_in_their_order() -> None:
    first, second = named("one"), named("two")
    both = join([first, second])
    assert (both.name, both.env_id) == ("one + two", "World-v0")
    assert both.episodes == (*first.episodes, *second.episodes)
    assert join([first]) is first
    assert join([first, named("three", env_id="Other-v0")]).env_id is None
    assert join([first, named("bounded", action_space=ActionSpace(1, low=(-1.0,), high=(1.0,)))]).action_space == (
        first.action_space
    )


def test_datasets_that_differ_are_not_joined() -> None:
    first = named("one")
    with pytest.raises(UserError, match="there is no dataset"):
        join([])
    with pytest.raises(UserError, match=r"one and two differ in their numbers of an observation \(2 and 1\)"):
        join([first, from_arrays([state[:, :1] for state in S], A, name="two")])
    with pytest.raises(UserError, match="one and two differ in their sensors"):
        join([first, named("two", sensors={"clock": Sensor(0, 1)})])
    choices = from_arrays(S, [action.astype(int) % 2 for action in A], name="two", choices=True)
    with pytest.raises(UserError, match="one and two differ in their action space"):
        join([first, choices])
