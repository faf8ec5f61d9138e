"""Arrays of other people's become datasets, or one clear line."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mode_imitation.cli import main
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.importing import import_arrays
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from tests.foreign_arrays import LENGTHS, do_import, make_arrays


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
@pytest.mark.parametrize("final", [True, False])
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(lengths=st.lists(st.integers(2, 6), min_size=1, max_size=5))
def test_every_transition_is_kept_where_its_observations_are(
    tmp_path: Path, suffix: str, final: bool, lengths: list[int]
) -> None:
    result = do_import(tmp_path, make_arrays(lengths, final), suffix, overwrite=True)
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert dataset.lengths.tolist() == [length - (not final) for length in lengths]
    assert any("left out: no observation follows" in note for note in result.notes) == (not final)
    assert result.dataset.lengths.tolist() == dataset.lengths.tolist()
    assert dataset.labels == [f"expert {i % 2}" for i in range(len(lengths))]
    for i, episode in enumerate(dataset.episodes):
        times = np.arange(len(episode) + 1)
        np.testing.assert_array_equal(episode.observations, np.stack([np.full_like(times, i), times], axis=1))
        np.testing.assert_array_equal(episode.actions[:, 0], 100 * i + times[:-1])
        assert episode.rewards is not None
        assert episode.positions is not None
        np.testing.assert_array_equal(episode.rewards, times[:-1])
        np.testing.assert_allclose(episode.positions[:, 1], times / 10, rtol=1e-6)
        assert episode.costs is None


def test_marks_of_the_end_cut_episodes_as_d4rl_has_them(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=False)
    del arrays["episode_lengths"], arrays["labels"]
    arrays["terminals"] = np.arange(11) == 3
    arrays["timeouts"] = np.arange(11) == 5
    do_import(tmp_path, arrays)
    assert load_dataset("other/arrays-v0", tmp_path).lengths.tolist() == [3, 1, 4]


def test_terminations_are_kept_where_the_final_observation_is(tmp_path: Path) -> None:
    do_import(tmp_path, make_arrays(LENGTHS, final=True) | {"terminations": np.arange(11) == 3})
    assert [episode.terminated for episode in load_dataset("other/arrays-v0", tmp_path).episodes] == [
        True,
        False,
        False,
    ]


def test_arrays_may_have_other_names(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    arrays["obs"] = arrays.pop("observations")
    with pytest.raises(UserError, match=r"no array 'observations'.*obs"):
        do_import(tmp_path, arrays)
    do_import(tmp_path, arrays, observations="obs")
    assert load_dataset("other/arrays-v0", tmp_path).obs_dim == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": np.zeros((12, 2))}, "12 rows for 11 steps in 3 episodes; expected 11, or 14"),
        ({"actions": np.zeros((0, 1))}, r"actions has shape \(0, 1\); expected rows, one a step"),
        ({"actions": np.zeros((11, 0))}, r"actions has shape \(11, 0\); expected at least one number a step"),
        ({"actions": np.float64(3)}, r"actions has shape \(\); expected rows"),
        ({"observations": np.zeros((14, 2, 0))}, r"observations have shape \(14, 2, 0\)"),
        ({"actions": np.array(["left"] * 11)}, "expected numbers"),
        ({"episode_lengths": np.array([4, 2, 4])}, "add up to 10"),
        ({"episode_lengths": np.array([4, 0, 7])}, "at least 1"),
        ({"episode_lengths": np.array([4.0, 2.0, 5.0])}, "whole numbers"),
        ({"episode_lengths": np.array([], dtype=int)}, "one an episode"),
        ({"rewards": np.zeros(10)}, "rewards has 10 rows for 11 steps in 3 episodes; expected 11"),
        ({"positions": np.zeros((14, 3))}, r"positions has shape \(14, 3\); expected 2 columns"),
        ({"rewards": np.float64(3)}, "rewards is one number: expected one row"),
        ({"rewards": np.array(["much"] * 11)}, "rewards is of type <U4; expected numbers"),
        ({"terminals": np.array(["no"] * 11)}, "terminals is of type <U2; expected numbers"),
        ({"labels": np.array(["a\0b", "c", "d"])}, r"the label 'a\\x00b' holds a NUL character"),
        ({"labels": np.array(["a"])}, "labels has 1 entries for 3 episodes"),
        ({"labels": np.array([["a", "b"]] * 3)}, "labels has 6 entries for 3 episodes"),
        (
            {"rewards": np.array([0.0] * 8 + [np.nan] + [0.0] * 2)},
            "1 episode with NaN.*: 2, the first in the rewards at step 2",
        ),
    ],
)
def test_wrong_arrays_are_one_clear_line_and_nothing_is_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        do_import(tmp_path, make_arrays(LENGTHS, final=True) | changes)
    assert [path.name for path in tmp_path.iterdir()] == ["arrays.npz"]


def test_episodes_of_one_action_without_final_observation_are_left_out_and_counted(tmp_path: Path) -> None:
    result = do_import(tmp_path, make_arrays([3, 1], final=False))
    assert "1 episode of fewer than 1 transitions left out" in result.notes
    assert load_dataset("other/arrays-v0", tmp_path).lengths.tolist() == [2]
    with pytest.raises(UserError, match="no episode is left"):
        do_import(tmp_path, make_arrays([1, 1], final=False), overwrite=True)


def test_arrays_without_episode_ends_are_refused(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=False)
    del arrays["episode_lengths"], arrays["labels"]
    with pytest.raises(UserError, match=r"does not say where episodes end.*it has.*--episode-lengths"):
        do_import(tmp_path, arrays)


def test_images_are_named_and_never_flattened(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    with pytest.raises(UserError, match=r"observations have shape \(14, 8, 8\), several axes a step, as images have"):
        do_import(tmp_path, arrays | {"observations": np.zeros((14, 8, 8))})
    with pytest.raises(UserError, match="several axes a step, as images have"):
        do_import(tmp_path, arrays | {"observations": np.zeros((14, 8, 8, 3), np.uint8)})


def test_stacked_arrays_end_where_marks_or_lengths_say(tmp_path: Path) -> None:
    observations = np.arange(30.0).reshape(3, 5, 2)
    arrays = {"observations": observations, "actions": observations[:, :4, :1] / 2}
    do_import(tmp_path, arrays)
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert dataset.lengths.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(dataset.episodes[1].observations, observations[1])
    do_import(tmp_path, arrays | {"episode_lengths": np.array([4, 2, 3])}, overwrite=True)
    assert load_dataset("other/arrays-v0", tmp_path).lengths.tolist() == [4, 2, 3]
    marks = np.zeros((3, 4), bool)
    marks[1, 1] = True
    do_import(tmp_path, arrays | {"terminals": marks}, overwrite=True)
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert dataset.lengths.tolist() == [4, 2, 4]
    assert [episode.terminated for episode in dataset.episodes] == [False, True, False]


def test_whole_numbers_are_choices_unless_said_otherwise(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    arrays["actions"] = np.arange(11)[:, None] % 3 + 1
    result = do_import(tmp_path, arrays)
    assert any("count as choices" in note for note in result.notes)
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert (dataset.action_space.choices, dataset.action_space.starts) == ((3,), (1,))
    np.testing.assert_array_equal(np.concatenate([one.actions for one in dataset.episodes]), arrays["actions"] - 1)
    do_import(tmp_path, arrays, choices=False, overwrite=True)
    assert not load_dataset("other/arrays-v0", tmp_path).action_space.discrete
    command = load_dataset("other/arrays-v0", tmp_path).metadata["command"]
    assert command == "mode-imitation import arrays.npz --out other/arrays-v0 --no-choices"


def test_labels_of_every_step_are_those_of_the_episode(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    arrays["labels"] = np.repeat(arrays["labels"], LENGTHS)
    do_import(tmp_path, arrays)
    assert load_dataset("other/arrays-v0", tmp_path).labels == ["expert 0", "expert 1", "expert 0"]
    arrays["labels"][5] = "expert 0"
    with pytest.raises(UserError, match="the labels of episode 1 change on the way"):
        do_import(tmp_path, arrays, overwrite=True)


def test_files_are_appended_in_their_order_where_they_agree(tmp_path: Path) -> None:
    sources = []
    for name, lengths, final in (("a", [3, 2], True), ("b", [4], False)):
        arrays: dict = make_arrays(lengths, final)
        np.savez(tmp_path / f"{name}.npz", **arrays)
        sources.append(tmp_path / f"{name}.npz")
    result = import_arrays(ImportConfig(sources=tuple(sources), out="other/arrays-v0", root=tmp_path))
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert dataset.lengths.tolist() == [3, 2, 3]
    assert "the last action of 1 episode left out: no observation follows it" in result.notes
    assert dataset.metadata["imported_from"] == "a.npz, b.npz"
    assert dataset.metadata["command"] == "mode-imitation import a.npz b.npz --out other/arrays-v0"
    del arrays["rewards"]
    np.savez(sources[1], **arrays)
    with pytest.raises(UserError, match=r"b.npz has none for the rewards, a.npz has rewards; files that are appended"):
        import_arrays(ImportConfig(sources=tuple(sources), out="other/more-v0", root=tmp_path))


def test_sensors_lags_and_changes_are_options(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    do_import(tmp_path, arrays, actions="difference", lags=1, drop_short=4, sensor=("where=0:1", "when=1:2:ring"))
    dataset = load_dataset("other/arrays-v0", tmp_path)
    assert dataset.lengths.tolist() == [4, 5]
    np.testing.assert_array_equal(dataset.episodes[1].actions, [[0, 1]] * 5)
    np.testing.assert_array_equal(dataset.episodes[1].observations[:2], [[2, 0, 2, 0], [2, 1, 2, 0]])
    assert dataset.sensors == {
        "where": Sensor(0, 1),
        "when": Sensor(1, 2, "ring"),
        "where 1 before": Sensor(2, 3),
        "when 1 before": Sensor(3, 4, "ring"),
    }
    assert dataset.metadata["command"] == (
        "mode-imitation import arrays.npz --out other/arrays-v0 --lags 1 --drop-short 4 "
        "--actions difference --sensor where=0:1 --sensor when=1:2:ring"
    )


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        ("lidar", "cannot be read; expected NAME=START:STOP"),
        ("lidar=a:b", "a:b are no columns"),
        ("lidar=0:3", "has the columns 0:3 of 2; expected at most 2"),
        ("lidar=1:1", "expected 0 <= start < stop"),
        ("lidar=0:1:", "are no columns"),
        ("lidar=x..y", "the observations have no column 'x'"),
    ],
)
def test_wrong_sensors_are_one_clear_line(tmp_path: Path, sensor: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        do_import(tmp_path, make_arrays(LENGTHS, final=True), sensor=(sensor,))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("Pendulum-v1", ""),
        ("Pendulm-v1", "--env Pendulm-v1 is recorded, but cannot be opened here, .* did you mean 'Pendulum-v1'"),
        (
            "CartPole-v1",
            "but has observations of 4 numbers and actions of 1 choices, the data 3 and 1 numbers:",
        ),
    ],
)
def test_an_environment_that_does_not_fit_is_recorded_and_told(tmp_path: Path, capsys, env: str, said: str) -> None:
    observations = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "a.npz", observations=observations, actions=observations[:, :1], episode_lengths=[20, 20])
    words = ["import", str(tmp_path / "a.npz"), "--out", "other/any-v0", "--root", str(tmp_path), "--env", env]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--env")]
    assert len(lines) == bool(said)
    assert not said or re.search(said, lines[0])
    assert load_dataset("other/any-v0", tmp_path).env_id == env


@pytest.mark.parametrize("kind", ["plain", "ring", "rnig"])
def test_a_kind_of_sensor_that_training_does_not_know_is_refused(tmp_path: Path, capsys, kind: str) -> None:
    arrays: dict = make_arrays(LENGTHS, final=True)
    np.savez(tmp_path / "a.npz", **arrays)
    words = ["import", str(tmp_path / "a.npz"), "--out", "other/any-v0", "--root", str(tmp_path)]
    assert main([*words, "--sensor", f"where=0:2:{kind}"]) == (2 if kind == "rnig" else 0)
    if kind == "rnig":
        said = "--sensor where=0:2:rnig: there is no kind 'rnig', did you mean 'ring'?; expected plain, ring, token"
        assert said in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_rare_names_are_taken_on_the_command_line_and_not_listed(tmp_path: Path, capsys) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    arrays["r"] = arrays.pop("rewards")
    np.savez(tmp_path / "arrays.npz", **arrays)  # pyright: ignore[reportArgumentType]
    words = ["import", str(tmp_path / "arrays.npz"), "--out", "other/arrays-v0", "--root", str(tmp_path)]
    assert main([*words, "--rewards", "r", "--no-choices"]) == 0
    assert load_dataset("other/arrays-v0", tmp_path).has("rewards")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, flags=re.MULTILINE))
    assert "--observations" in options
    assert not options & {"--rewards", "--costs", "--headings", "--terminations", "--timeouts"}
