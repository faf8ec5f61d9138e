from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.data.windows import WindowShape
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from tests.synthetic import two_laws

SHAPE = WindowShape(horizon=3, gap=2, stride=3)


def numbered_episodes(lengths=(20, 9, 15), disturbed=None, lidar=None) -> list[Episode]:
    """Observation t of episode e is (100 e + t, lidar), and so is the action."""
    episodes = []
    for index, length in enumerate(lengths):
        rows = 100.0 * index + np.arange(length + 1)
        seen = np.zeros(length + 1) if lidar is None else np.resize(lidar[index], length + 1)
        marks = None if disturbed is None else np.resize(disturbed[index], length)
        episodes.append(
            Episode(
                observations=np.stack([rows, seen], 1).astype(np.float32),
                actions=rows[:-1, None].astype(np.float32),
                disturbed=marks,
            )
        )
    return episodes


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_gathered_windows_are_what_slicing_the_episodes_gives() -> None:
    episodes = numbered_episodes()
    data = TrainingData(episodes, None, SHAPE)
    starts = data.draw_starts(data.draw_units(200, generator()), generator())
    states, deltas, actions = (part.numpy() for part in data.windows(starts))
    for row in range(len(starts)):
        episode, start = divmod(int(states[row, 0, 0]), 100)
        steps = start + np.arange(SHAPE.horizon) * SHAPE.gap
        source = episodes[episode]
        np.testing.assert_array_equal(states[row], source.observations[steps])
        np.testing.assert_array_equal(
            deltas[row], source.observations[steps + SHAPE.stride] - source.observations[steps]
        )
        np.testing.assert_array_equal(actions[row], source.actions[steps])


def test_every_window_of_a_unit_is_drawn_and_only_its_own() -> None:
    data = TrainingData(numbered_episodes(), None, SHAPE)
    starts = data.draw_starts(torch.full((2000,), 1), generator())
    span = SHAPE.span
    assert sorted(set(starts.tolist())) == list(range(20, 20 + 9 - span + 1))


def test_no_disturbed_step_is_trained_on() -> None:
    marks = [[False] * 12 + [True] + [False] * 7, [True], [False]]
    data = TrainingData(numbered_episodes(disturbed=marks), None, SHAPE)
    assert 12 not in data.trainable.tolist()
    assert not set(range(20, 29)) & set(data.trainable.tolist())
    units = data.draw_units(500, generator())
    assert set(units.tolist()) == {0, 2}
    starts = data.draw_starts(units, generator())
    for start in starts[units == 0].tolist():
        assert 12 not in range(start, start + SHAPE.span)


def test_a_unit_that_is_disturbed_throughout_still_gets_windows_to_be_judged_by() -> None:
    data = TrainingData(numbered_episodes(disturbed=[[False], [True], [False]]), None, SHAPE)
    starts = data.draw_starts(torch.full((50,), 1), generator(), evaluate=True)
    assert set(data.unit_of_step[starts].tolist()) == {1}


def test_half_of_the_windows_come_from_the_arena_and_judging_looks_only_there() -> None:
    inside = [[0.5] * 8 + [0.0] * 13, [0.0], [0.5]]
    data = TrainingData(numbered_episodes(lidar=inside), {"goal_lidar": slice(1, 2)}, SHAPE)
    starts = data.draw_starts(torch.zeros(4000, dtype=torch.long), generator())
    middle_inside = (starts + SHAPE.span // 2 < 8).float().mean()
    share = (8 - SHAPE.span // 2) / (20 - SHAPE.span + 1)
    assert abs(middle_inside - (0.5 + 0.5 * share)) < 0.05
    judged = data.scored.tolist()
    assert set(range(8)) <= set(judged)
    assert not set(range(8, 20)) & set(judged)
    # An episode that is nowhere in the arena is judged by all its steps.
    assert set(range(20, 29)) <= set(judged)


def test_segments_are_units_of_their_own() -> None:
    data = TrainingData(numbered_episodes(), None, SHAPE, segment=8)
    assert data.unit_lengths.tolist() == [8, 12, 9, 8, 7]
    assert data.episode_of_unit.tolist() == [0, 0, 1, 2, 2]
    starts = data.draw_starts(torch.full((100,), 1), generator())
    assert starts.min() >= 8
    assert starts.max() + SHAPE.span <= 20


@pytest.mark.parametrize("length", [50, 1000])
def test_a_unit_is_judged_by_a_bounded_number_of_evenly_spread_steps(length: int) -> None:
    data = TrainingData(numbered_episodes((length,)), None, SHAPE)
    steps = data.scored.numpy()
    assert len(steps) == min(length, 100)
    assert len(set(np.diff(steps))) == 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.2), (0.5, 0.6), (1.0, 1.0)])
def test_so_large_a_share_of_a_training_batch_lies_in_the_arena(share: float, expected: float) -> None:
    inside = [[0.5] * 4 + [0.0] * 17]
    data = TrainingData(numbered_episodes((20,), lidar=inside), {"goal_lidar": slice(1, 2)}, SHAPE)
    steps = data.draw_training_steps(4000, share, generator())
    assert len(steps) == 4000
    assert abs((steps < 4).float().mean() - expected) < 0.03


def test_where_nothing_is_in_the_arena_training_takes_every_step() -> None:
    data = TrainingData(numbered_episodes((20,), lidar=[[0.0]]), {"goal_lidar": slice(1, 2)}, SHAPE)
    assert set(data.draw_training_steps(2000, 0.5, generator()).tolist()) == set(range(20))


def test_the_benchmarks_loader_fills_batches_that_are_larger_than_the_dataset() -> None:
    script = run_path(str(Path(__file__).parents[1] / "benchmarks/training.py"))
    config = TrainConfig(horizon=3, gap=2, stride=2)
    windows = script["WindowDataset"](two_laws(n_each=1, steps=20), config)
    fetch = script["loader"](windows, 4 * len(windows), workers=0)
    assert fetch().states.shape == (4 * len(windows), 3, 3)
