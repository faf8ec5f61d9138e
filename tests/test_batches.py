"""Windows, steps and chunks that are gathered by index, beside slices of the episodes."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Mirror, Sensor
from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError
from mode_imitation.model import batches
from mode_imitation.model.batches import FlatEpisodes, TrainingData, Units
from mode_imitation.model.features import Features
from mode_imitation.training.fit import fit
from mode_imitation.training.tensor_files import read_tensors, write_tensors
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import TWO_STEPS, rich_dataset, small, weights_of

SHAPE = WindowShape(horizon=3, gap=2, stride=3)
LENGTHS = (20, 9, 15)
RING = {"some ring": Sensor(1, 2, "ring")}


def numbered(lengths=LENGTHS, disturbed=None, ring=None) -> TrajectoryDataset:
    """Observation t of episode e is (100 e + t, ring), and the action is 100 e + t."""
    episodes = []
    for index, length in enumerate(lengths):
        rows = 100.0 * index + np.arange(length + 1)
        seen = np.zeros(length + 1) if ring is None else np.resize(ring[index], length + 1)
        marks = None if disturbed is None else np.resize(disturbed[index], length)
        observations = np.stack([rows, seen], 1).astype(np.float32)
        episodes.append(Episode(observations=observations, actions=rows[:-1, None].astype(np.float32), disturbed=marks))
    return TrajectoryDataset("test/numbered-v0", tuple(episodes), None if ring is None else RING)


def training_data(dataset: TrajectoryDataset | None = None, **more: Any) -> TrainingData:
    dataset = dataset or numbered()
    return TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), SHAPE, **more)


def test_flat_episodes_hold_the_chosen_ones_in_order_and_nothing_that_tells_who_drove() -> None:
    dataset = numbered(disturbed=[[False], [True], [False, True]], ring=[[0.5], [0.0], [0.0, 0.1]])
    flat = FlatEpisodes.of(dataset, [2, 0])
    chosen = [dataset.episodes[2], dataset.episodes[0]]
    np.testing.assert_array_equal(flat.observations, np.concatenate([e.observations for e in chosen]))
    np.testing.assert_array_equal(flat.actions, np.concatenate([e.actions for e in chosen]))
    np.testing.assert_array_equal(flat.usable, np.concatenate([np.arange(15) % 2 == 0, np.ones(20, bool)]))
    np.testing.assert_array_equal(flat.emphasised, np.concatenate([np.arange(15) % 2 == 1, np.ones(20, bool)]))
    assert flat.lengths.tolist() == [15, 20]
    assert set(vars(flat)) == {"observations", "actions", "lengths", "usable", "emphasised"}


def test_mirror_images_come_after_what_they_are_images_of() -> None:
    dataset = numbered(disturbed=[[False], [True], [False, True]], ring=[[0.5], [0.0], [0.0, 0.1]])
    mirror = Mirror((1, 0), (1, 1), (0,), (-1,))
    flat = FlatEpisodes.of(dataset, range(3))
    data = TrainingData(flat, SHAPE, segment=8).and_images(flat, mirror)
    half = data.n_units // 2
    assert data.unit_lengths[:half].tolist() == data.unit_lengths[half:].tolist() == [8, 12, 9, 8, 7]
    assert data.episode_of_unit.tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 5, 5]
    steps = torch.arange(sum(LENGTHS))
    there, image = data.row_of_step[steps], data.row_of_step[steps + sum(LENGTHS)]
    assert torch.equal(data.observations[image], data.observations[there].flip(1))
    assert torch.equal(data.actions_at(steps + sum(LENGTHS)), -data.actions_at(steps))
    assert torch.equal(data.usable[: sum(LENGTHS)], data.usable[sum(LENGTHS) :])


@pytest.mark.parametrize("choices", [(), (2, 4)])
def test_flat_episodes_go_through_a_file(tmp_path, choices: tuple[int, ...]) -> None:
    flat = FlatEpisodes.of(rich_dataset(choices), [1, 3])
    write_tensors(tmp_path / "data", flat.tensors())
    again = FlatEpisodes(**{name: tensor.numpy() for name, tensor in read_tensors(tmp_path / "data")[0].items()})
    for name, value in vars(flat).items():
        np.testing.assert_array_equal(getattr(again, name), value)
        assert getattr(again, name).dtype == value.dtype
    assert flat.actions.dtype == (np.int64 if choices else np.float32)


def test_gathered_windows_are_what_slicing_the_episodes_gives() -> None:
    dataset, data = numbered(), training_data()
    starts = data.draw_starts(data.draw_units(200, seeded()), seeded())
    states, deltas, actions = (part.numpy() for part in data.windows(starts))
    for row in range(len(starts)):
        episode, start = divmod(int(states[row, 0, 0]), 100)
        steps = start + np.arange(SHAPE.horizon) * SHAPE.gap
        source = dataset.episodes[episode]
        np.testing.assert_array_equal(states[row], source.observations[steps])
        np.testing.assert_array_equal(
            deltas[row], source.observations[steps + SHAPE.stride] - source.observations[steps]
        )
        np.testing.assert_array_equal(actions[row], source.actions[steps])


def test_every_window_of_a_unit_is_drawn_and_only_its_own() -> None:
    starts = training_data().draw_starts(torch.full((2000,), 1), seeded())
    assert sorted(set(starts.tolist())) == list(range(20, 20 + 9 - SHAPE.span + 1))


MARKS = st.lists(st.lists(st.booleans(), min_size=8, max_size=20), min_size=1, max_size=3)


@given(MARKS, st.integers(1, 6))
def test_chunks_and_what_is_left_and_begun_are_what_slicing_the_episodes_gives(
    disturbed: list[list[bool]], chunk: int
) -> None:
    dataset = numbered([len(marks) for marks in disturbed], disturbed)
    data = training_data(dataset)
    every = torch.arange(len(data.actions))
    found, meant = data.chunks_at(every, chunk)
    step = 0
    for episode, marks in zip(dataset.episodes, disturbed, strict=True):
        for begun in range(len(episode)):
            expected, calm = episode.actions[begun : begun + chunk], True
            for ahead in range(chunk):
                calm = calm and begun + ahead < len(episode) and not marks[begun + ahead]
                assert bool(meant[step, ahead]) == calm
            assert found[step, : len(expected)].tolist() == expected.tolist()
            assert int(data.begun_at(every)[step]) == begun
            assert int(data.steps_left[step]) == len(episode) - begun
            step += 1
    assert found.shape == (step, chunk, 1)


def test_no_disturbed_step_is_trained_on() -> None:
    marks = [[False] * 12 + [True] + [False] * 7, [True], [False]]
    data = training_data(numbered(disturbed=marks))
    assert not {12, *range(20, 29)} & set(data.trainable.tolist())
    units = data.draw_units(500, seeded())
    assert set(units.tolist()) == {0, 2}
    for start in data.draw_starts(units, seeded())[units == 0].tolist():
        assert 12 not in range(start, start + SHAPE.span)


def test_a_unit_that_is_disturbed_throughout_still_gets_windows_to_be_judged_by() -> None:
    data = training_data(numbered(disturbed=[[False], [True], [False]]))
    starts = data.draw_starts(torch.full((50,), 1), seeded(), evaluate=True)
    assert set(data.unit_of_step[starts].tolist()) == {1}
    data.check_drawable("some")
    with pytest.raises(UserError, match="dataset some has no window of 7 undisturbed steps; lower --horizon"):
        training_data(numbered(disturbed=[[True]] * 3)).check_drawable("some")


def test_half_of_the_windows_are_emphasised_ones_and_judging_looks_only_there() -> None:
    data = training_data(numbered(ring=[[0.5] * 8 + [0.0] * 13, [0.0], [0.5]]))
    starts = data.draw_starts(torch.zeros(4000, dtype=torch.long), seeded())
    middle_inside = (starts + SHAPE.span // 2 < 8).float().mean()
    share = (8 - SHAPE.span // 2) / (20 - SHAPE.span + 1)
    assert abs(middle_inside - (0.5 + 0.5 * share)) < 0.05
    judged = set(data.telling.tolist())
    assert set(range(8)) <= judged
    assert not set(range(8, 20)) & judged
    # A unit that never has anything in sight is judged by all its steps.
    assert set(range(20, 29)) <= judged


def test_half_of_a_training_batch_and_its_share_of_the_rest_are_emphasised_steps() -> None:
    data = training_data(numbered((20,), ring=[[0.5] * 4 + [0.0] * 17]))
    steps = data.draw_training_steps(4000, seeded())
    assert len(steps) == 4000
    assert abs((steps < 4).float().mean() - 0.6) < 0.03


def test_where_nothing_is_in_sight_training_takes_every_step() -> None:
    data = training_data(numbered((20,), ring=[[0.0]]))
    assert set(data.draw_training_steps(2000, seeded()).tolist()) == set(range(20))


def test_segments_are_units_of_their_own_and_so_are_units_that_are_given() -> None:
    data = training_data(segment=8)
    assert data.unit_lengths.tolist() == [8, 12, 9, 8, 7]
    assert data.episode_of_unit.tolist() == [0, 0, 1, 2, 2]
    starts = data.draw_starts(torch.full((100,), 1), seeded())
    assert starts.min() >= 8
    assert starts.max() + SHAPE.span <= 20
    given_units = Units(np.array([8, 12, 9, 8, 7]), np.array([0, 0, 1, 2, 2]))
    assert torch.equal(training_data(units=given_units).draw_starts(torch.full((100,), 1), seeded()), starts)


@pytest.mark.parametrize("length", [50, 1000])
def test_a_unit_is_judged_by_a_bounded_number_of_evenly_spread_steps(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(batches, "TELLING_STEPS", 100)
    steps = training_data(numbered((length,))).telling.numpy()
    assert len(steps) == min(length, 100)
    assert len(set(np.diff(steps))) == 1


def test_differences_for_the_scales_stay_inside_their_episodes() -> None:
    deltas = training_data().some_deltas()
    assert len(deltas) == sum(length - SHAPE.stride + 1 for length in LENGTHS)
    assert (deltas[:, 0] == SHAPE.stride).all()


@pytest.mark.parametrize("ring", ["readings", "attention"])
def test_rows_are_the_same_computed_once_or_for_every_batch(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    model, data = prepared(rich_dataset(), small(ring=ring))
    features = model.features
    steps = torch.randint(len(data.actions), (200, 2), generator=seeded())
    expected = features.rows(data.observations[data.row_of_step[steps]])
    torch.testing.assert_close(data.rows_at(steps, features), expected)
    assert torch.equal(data.steps(steps, features).actions, data.actions[steps])
    monkeypatch.setattr(batches, "TABLE_ROWS", 7)
    shown = data.showing(features)
    assert shown is not data
    assert shown.showing(features) is shown
    other = Features(dataclasses.replace(features.config))
    other.obs_scale.fill_(2.0)
    rows = other.rows(data.observations[data.row_of_step[steps]])
    torch.testing.assert_close(shown.rows_at(steps, other), rows)  # the table is of one model's features only
    monkeypatch.setattr(Features, "rows", None)  # not asked again
    torch.testing.assert_close(shown.rows_at(steps, features), expected)
    monkeypatch.setattr(batches, "TABLE_BYTES", 8)
    assert data.showing(other) is data


def test_training_is_the_same_where_the_table_would_not_fit(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(**TWO_STEPS, workers=1)
    once = weights_of(fit(rich_dataset(), config, tmp_path / "once"))
    monkeypatch.setattr(batches, "TABLE_BYTES", 0)
    each = weights_of(fit(rich_dataset(), config, tmp_path / "each"))
    for name, weights in once.items():
        torch.testing.assert_close(weights, each[name], rtol=0, atol=1e-4)


def test_choices_have_no_range() -> None:
    episode = two_laws(n_each=1).episodes[0]
    chosen = dataclasses.replace(episode, actions=(episode.actions > 0).astype(np.int64))
    data = training_data(TrajectoryDataset("test/chosen-v0", (chosen,), action_space=ActionSpace(1, (2,))))
    assert data.action_nats == 0
    assert data.actions.dtype == torch.int64
