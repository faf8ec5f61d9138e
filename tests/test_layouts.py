"""Evaluation layouts are fixed and training never sees them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.errors import UserError
from mode_imitation.reports.layouts import (
    BLOCK,
    BLOCKS,
    FIRST_HELD_OUT,
    check_disjoint,
    held_out_layouts,
    layout_name,
    parse_seeds,
)
from mode_imitation.worlds.worker import EPISODES, SEEDS, training_layout_seed


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    assert held_out_layouts(20)[:5] == held_out_layouts(5)
    assert min(held_out_layouts(200)) == FIRST_HELD_OUT


def test_the_lists_share_no_layout_with_each_other_or_training_and_fit_the_simulators_seed() -> None:
    longest = {block: held_out_layouts(BLOCK, block) for block in BLOCKS}
    assert {"report", "tuning", "benchmark"} <= set(BLOCKS)
    for first, second in itertools.combinations(longest.values(), 2):
        assert not set(first) & set(second)
    every = [layout for block in longest.values() for layout in block]
    assert max(every) < 2**32
    # Datasets of any allowed seed and size draw their layouts below.
    assert min(every) > training_layout_seed(SEEDS - 1, EPISODES - 1)


def test_a_list_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UserError, match="no list of layouts 'test'"):
        held_out_layouts(3, "test")


def test_layouts_seen_in_training_are_refused() -> None:
    check_disjoint(held_out_layouts(3), [1, 2, None])
    check_disjoint(held_out_layouts(3), None)
    with pytest.raises(UserError, match="1 layouts were seen in training, 7 for one"):
        check_disjoint([5, 7], [7, 8])


@pytest.mark.parametrize("n", [0, -3, 500_001])
def test_a_count_that_no_list_has_is_an_error(n: int) -> None:
    with pytest.raises(UserError, match="expected 1 to 500,000"):
        held_out_layouts(n)


@given(st.integers(0, 1000), st.integers(1, 20))
def test_a_range_of_seeds_leaves_out_its_end(start: int, n: int) -> None:
    assert parse_seeds(f"{start}:{start + n}") == list(range(start, start + n))


def test_seeds_can_be_listed() -> None:
    assert parse_seeds("3") == [3]
    assert parse_seeds("1, 5:7") == [1, 5, 6]


@pytest.mark.parametrize("text", ["", "a:b", "5:5", "9:3", "-1", "1:", "4294967296", "0:4000000000"])
def test_seeds_that_name_no_layouts_are_an_error(text: str) -> None:
    with pytest.raises(UserError, match="seeds"):
        parse_seeds(text)


def test_a_picture_calls_a_layout_by_its_list_and_number() -> None:
    assert layout_name(FIRST_HELD_OUT) == "held-out layout 1"
    assert layout_name(held_out_layouts(3, "tuning")[2]) == "tuning layout 3"
    assert layout_name(500) == "layout 500"
    assert layout_name(FIRST_HELD_OUT + 7, laid_out=False) == "held-out start 8"
    assert layout_name(7, laid_out=False) == "seed 7"
