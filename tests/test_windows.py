import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mode_imitation.data.windows import (
    WindowShape,
    all_inside,
    segment_lengths,
    unit_of_step,
    window_starts,
    window_steps,
)
from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.errors import UserError

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=6)
SHAPES = st.builds(WindowShape, horizon=st.integers(1, 4), gap=st.integers(1, 3), stride=st.integers(1, 3))


def slow_starts(lengths: list[int], shape: WindowShape) -> list[int]:
    """Every start for which all observations that a window reads belong to the episode of its first step."""
    starts = []
    first = 0
    for length in lengths:
        observations = range(first, first + length + 1)
        for start in range(first, first + length):
            reads = {start + i * shape.gap + extra for i in range(shape.horizon) for extra in (0, shape.stride)}
            if reads <= set(observations):
                starts.append(start)
        first += length
    return starts


@settings(deadline=None)
@given(LENGTHS, SHAPES)
def test_windows_are_all_those_that_never_cross_an_episode_end(lengths: list[int], shape: WindowShape) -> None:
    np.testing.assert_array_equal(window_starts(np.array(lengths), shape.span), slow_starts(lengths, shape))


@settings(deadline=None)
@given(LENGTHS, SHAPES)
def test_the_actions_of_a_window_are_its_own_episode_s(lengths: list[int], shape: WindowShape) -> None:
    units = unit_of_step(np.array(lengths))
    steps = window_steps(window_starts(np.array(lengths), shape.span), shape)
    assert steps.shape[1] == shape.horizon
    if steps.size:
        assert (units[steps] == units[steps[:, :1]]).all()
        np.testing.assert_array_equal(np.diff(steps, axis=1), shape.gap)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=5, max_size=20), st.integers(1, 5))
def test_all_inside_looks_at_every_step_of_a_window(usable: list[bool], span: int) -> None:
    starts = np.arange(len(usable) - span + 1)
    expected = [all(usable[start : start + span]) for start in starts]
    np.testing.assert_array_equal(all_inside(np.array(usable), starts, span), expected)


@settings(deadline=None)
@given(st.lists(st.integers(5, 40), min_size=1, max_size=5), st.integers(5, 15))
def test_segments_cover_every_step_and_each_holds_a_window(lengths: list[int], segment: int) -> None:
    cut, episodes = segment_lengths(np.array(lengths), segment, 5)
    assert (cut >= 5).all()
    assert (cut < segment + 5).all()
    np.testing.assert_array_equal(np.bincount(episodes, weights=cut, minlength=len(lengths)), lengths)
    assert (np.diff(episodes) >= 0).all()


def test_whole_trajectories_are_the_units_where_no_segment_is_asked_for() -> None:
    cut, episodes = segment_lengths(np.array([7, 9]), None, 5)
    np.testing.assert_array_equal(cut, [7, 9])
    np.testing.assert_array_equal(episodes, [0, 1])


def test_an_episode_shorter_than_a_window_is_named() -> None:
    found = "2 of 3 episodes are shorter than a window, which spans 40 steps; the shortest, episode 2, has 20"
    with pytest.raises(UserError, match=found):
        segment_lengths(np.array([100, 30, 20]), None, WindowShape().span)


OPEN = st.one_of(st.none(), st.integers(1, 12))


@given(st.integers(1, 100), st.one_of(st.none(), st.integers(1, 100)), OPEN, OPEN, OPEN)
def test_a_window_that_is_left_open_fits_and_what_was_set_stays(
    shortest: int, segment: int | None, horizon: int | None, gap: int | None, stride: int | None
) -> None:
    asked = DiscoveryConfig(horizon=horizon, gap=gap, stride=stride, segment=segment)
    window = asked.fitted_to(shortest).window
    for given_one, taken in ((horizon, window.horizon), (gap, window.gap), (stride, window.stride)):
        assert given_one is None or given_one == taken
    unit = shortest if segment is None else min(shortest, segment)
    if asked.window.span <= unit:
        assert window == asked.window
    elif horizon is None and stride is None:
        assert window.span <= (unit + 1) // 2
    assert asked.fitted_to(shortest).fitted_to(shortest).window == window


def test_segments_shorter_than_a_window_are_refused() -> None:
    with pytest.raises(UserError, match="segments of 20 steps"):
        segment_lengths(np.array([100]), 20, 40)


@pytest.mark.parametrize("name", ["horizon", "gap", "stride"])
def test_a_window_without_extent_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is 0"):
        WindowShape(**{name: 0})  # pyright: ignore[reportArgumentType]
