"""Arrays of other people's become datasets, or one clear line."""

import io
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mode_imitation.cli import main
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.importing import ImportResult, import_arrays
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError

LENGTHS = [4, 2, 5]


def make_arrays(lengths: list[int], final: bool) -> dict[str, np.ndarray]:
    """Observation t of episode i is (i, t); action t is 100 i + t."""
    rows = [(i, t) for i, length in enumerate(lengths) for t in range(length + final)]
    steps = [(i, t) for i, length in enumerate(lengths) for t in range(length)]
    return {
        "observations": np.array(rows, dtype=np.float64).reshape(-1, 2),
        "actions": np.array([[100 * i + t] for i, t in steps], dtype=np.float64).reshape(-1, 1),
        "rewards": np.array([t for _, t in steps], dtype=np.float64),
        "positions": np.array(rows, dtype=np.float64).reshape(-1, 2) / 10,
        "episode_lengths": np.array(lengths),
        "labels": np.array([f"expert {i % 2}" for i in range(len(lengths))]),
    }


def do_import(tmp_path: Path, arrays: dict, suffix: str = ".npz", **options) -> ImportResult:
    source = tmp_path / f"arrays{suffix}"
    if suffix == ".npz":
        np.savez(source, **arrays)
    else:
        with h5py.File(source, "w") as file:
            for key, values in arrays.items():
                file[key] = values.astype("S") if values.dtype.kind == "U" else values
    return import_arrays(ImportConfig(sources=(source,), out="other/arrays-v0", root=tmp_path, **options))


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


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.zeros(2), np.zeros(3), np.zeros(4)]
    with pytest.raises(UserError, match="Python objects, which are never unpickled"):
        do_import(tmp_path, arrays | {"observations": ragged})


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


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, suffix: str) -> None:
    do_import(tmp_path, make_arrays(LENGTHS, final=True), suffix)
    source = tmp_path / f"arrays{suffix}"
    for content in (b"", b"nonsense", source.read_bytes()[:700]):
        source.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read") as caught:
            import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))
        assert "\n" not in str(caught.value)


def test_an_npz_with_any_byte_changed_is_read_or_one_clear_line(tmp_path: Path) -> None:
    source = tmp_path / "arrays.npz"
    arrays: dict = make_arrays(LENGTHS, final=True)
    np.savez_compressed(source, **arrays)
    content = source.read_bytes()
    refused = []
    for where in np.random.default_rng(0).choice(len(content), 300, replace=False):
        source.write_bytes(content[:where] + bytes([content[where] ^ 0x5A]) + content[where + 1 :])
        try:
            import_arrays(ImportConfig(sources=(source,), out="other/any-v0", root=tmp_path, overwrite=True))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert not any("\n" in message for message in refused)


def test_what_is_no_archive_of_arrays_is_one_clear_line(tmp_path: Path) -> None:
    source = tmp_path / "arrays.npz"
    with source.open("wb") as file:
        np.save(file, np.zeros((3, 2)))
    with pytest.raises(UserError, match="is one array without a name; expected several, saved with"):
        import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("observations", "actions"):
            archive.writestr(f"{name}.npy", "not an array")
    with pytest.raises(UserError, match="observations is a file, not an array"):
        import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))


def test_a_missing_or_unknown_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        import_arrays(ImportConfig(sources=(tmp_path / "none.npz",), out="a-v0", root=tmp_path))
    (tmp_path / "x.mat").touch()
    with pytest.raises(UserError, match=r"no .npz, .h5, .hdf5, .csv, .parquet file"):
        import_arrays(ImportConfig(sources=(tmp_path / "x.mat",), out="a-v0", root=tmp_path))


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("external link", "observations is a link to .*other.h5/observations, and links are not followed"),
        ("soft link", "observations is a link to /elsewhere, and links are not followed"),
        ("external storage", "the numbers of observations lie in another file"),
        ("virtual", "the numbers of observations lie in another file"),
    ],
)
def test_what_hdf5_keeps_in_other_files_is_refused(tmp_path: Path, pointer: str, message: str) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    observations = arrays.pop("observations")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["observations"] = observations
    (tmp_path / "secret").write_bytes(observations.tobytes())
    source = tmp_path / "arrays.h5"
    with h5py.File(source, "w") as file:
        for key, values in arrays.items():
            file[key] = values.astype("S") if values.dtype.kind == "U" else values
        if pointer == "external link":
            file["observations"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/observations")
        elif pointer == "soft link":
            file["elsewhere"] = observations
            file["observations"] = h5py.SoftLink("/elsewhere")
        elif pointer == "external storage":
            file.create_dataset(
                "observations",
                observations.shape,
                observations.dtype,
                external=[(str(tmp_path / "secret"), 0, observations.nbytes)],
            )
        else:
            layout = h5py.VirtualLayout(observations.shape, observations.dtype)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "observations", observations.shape)
            file.create_virtual_dataset("observations", layout)
    with pytest.raises(UserError, match=message):
        import_arrays(ImportConfig(sources=(source,), out="other/arrays-v0", root=tmp_path))


def test_arrays_of_groups_are_taken_by_their_path(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        for key, values in make_arrays(LENGTHS, final=True).items():
            file[f"train/{key}"] = values.astype("S") if values.dtype.kind == "U" else values
    config = ImportConfig(sources=(tmp_path / "arrays.h5",), out="other/arrays-v0", root=tmp_path)
    names: dict = {key: f"train/{key}" for key in ("observations", "actions", "episode_lengths", "labels")}
    import_arrays(replace(config, **names))
    assert load_dataset("other/arrays-v0", tmp_path).lengths.tolist() == LENGTHS


def test_what_is_larger_than_the_memory_is_told_before_it_is_read(tmp_path: Path) -> None:
    shape = (10**12, 2)
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        file.create_dataset("observations", shape, "f4", chunks=(1000, 2))  # nothing is written of it
        file["actions"] = np.zeros((3, 1))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        for name in ("observations", "actions"):
            archive.writestr(f"{name}.npy", header.getvalue())
    for name in ("arrays.h5", "arrays.npz"):
        with pytest.raises(UserError, match=rf"{name} needs (16|32),000.0 GB of memory, there are [\d.]+ GB; cut it"):
            import_arrays(ImportConfig(sources=(tmp_path / name,), out="other/arrays-v0", root=tmp_path))


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


ROWS = """episode,x,y,obs_speed,obs_turn,action,reward,label
a,0,0,0.5,1,0.25,1,fast
a,1,0,0.5,2,-0.5,1,fast
a,2,0,0.5,3,0.75,1,fast
b,0,1,0.1,4,0.125,0,slow
b,0,2,0.1,5,,0,slow
"""


def table_config(tmp_path: Path, text: str = ROWS, **options) -> ImportConfig:
    (tmp_path / "steps.csv").write_text(text)
    given = {"out": "other/table-v0", "root": tmp_path, "overwrite": True} | options
    return ImportConfig(sources=(tmp_path / "steps.csv",), **given)


@pytest.mark.parametrize("text", [ROWS, "\ufeff" + ROWS, ROWS.replace(",", ";"), ROWS.replace("\n", "\r\n")])
def test_a_table_has_one_row_a_step(tmp_path: Path, text: str) -> None:
    result = import_arrays(table_config(tmp_path, text, positions="x,y", sensor=("way=obs_speed..obs_turn",)))
    dataset = load_dataset("other/table-v0", tmp_path)
    assert dataset.lengths.tolist() == [2, 1]
    assert dataset.labels == ["fast", "slow"]
    assert dataset.sensors == {"way": Sensor(0, 2)}
    first = dataset.episodes[0]
    np.testing.assert_array_equal(first.observations, np.array([[0.5, 1], [0.5, 2], [0.5, 3]], np.float32))
    np.testing.assert_array_equal(first.actions, [[0.25], [-0.5]])
    assert first.rewards is not None
    assert first.positions is not None
    np.testing.assert_array_equal(first.rewards, [1, 1])
    np.testing.assert_array_equal(first.positions, [[0, 0], [1, 0], [2, 0]])
    assert result.notes == (
        "no costs, headings",
        "the last action of 2 episodes left out: no observation follows it",
        "observations are obs_speed, obs_turn; actions action",
    )


def test_columns_of_a_table_are_named_one_by_one_or_by_what_they_begin_with(tmp_path: Path) -> None:
    import_arrays(table_config(tmp_path, observations="y,obs_t", actions="difference"))
    dataset = load_dataset("other/table-v0", tmp_path)
    np.testing.assert_array_equal(dataset.episodes[1].observations, [[1, 4], [2, 5]])
    np.testing.assert_array_equal(dataset.episodes[1].actions, [[1, 1]])


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (("episode", "trial"), {}, "has no column 'episode' for the episode; it has trial, x, y, .*--episode"),
        (("", ""), {"observations": "x,w"}, "has no column 'w', and none that begins so,.* it has .*--observations"),
        (("", ""), {"actions": "acton"}, "'acton'.*did you mean 'action'"),
        (("", ""), {"costs": "cost"}, "has no column 'cost' for the costs; .*--costs"),
        (("-0.5", "left"), {}, "steps.csv, line 3, column action: 'left' is no number"),
        (("-0.5", ""), {}, "1 episode with NaN.*: 0, the first in the actions at step 1"),
        (("b,0,2", "a,0,2"), {}, "the rows of episode a are not together"),
        (("b,0,2", "b,0"), {}, "steps.csv, line 6: 7 cells; expected 8"),
        (("0.1,5,,0,slow", "0.1,5,,0,fast"), {}, "the labels of episode 1 change on the way"),
        (("obs_turn", "obs_speed"), {}, "has the column 'obs_speed' 2 times"),
        ((ROWS, ""), {}, "is empty; expected a first row"),
        (("-0.5", "5" * 200_000), {}, "cannot be read: field larger than field limit"),
        ((ROWS[ROWS.index("\n") :], "\n"), {}, "expected rows, one a step"),
        (("fast", "f\0st"), {}, "NUL|cannot be read"),
    ],
)
def test_wrong_tables_are_one_clear_line(tmp_path: Path, changes: tuple[str, str], options: dict, message: str) -> None:
    text = ROWS.replace(*changes) if changes[0] else ROWS
    with pytest.raises(UserError, match=message) as caught:
        import_arrays(table_config(tmp_path, text, **options))
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "steps.parquet").touch()
    with pytest.raises(UserError, match=r"Parquet needs pyarrow.*`pip install mode-imitation\[parquet\]`"):
        import_arrays(ImportConfig(sources=(tmp_path / "steps.parquet",), out="other/table-v0", root=tmp_path))


def test_parquet_reads_as_the_same_table_does_from_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    csv_pyarrow = pytest.importorskip("pyarrow.csv")
    checksum = load_dataset(import_arrays(table_config(tmp_path)).folder).checksum
    source = tmp_path / "steps.parquet"
    parquet.write_table(csv_pyarrow.read_csv(tmp_path / "steps.csv"), source)
    config = table_config(tmp_path)
    assert load_dataset(import_arrays(replace(config, sources=(source,))).folder).checksum == checksum
    lists = pyarrow.table({"episode_index": [0, 0, 1, 1], "observation.state": [[1.0, 2.0]] * 4, "action": [[0.5]] * 4})
    parquet.write_table(lists, source)
    import_arrays(replace(config, sources=(source,)))
    assert load_dataset("other/table-v0", tmp_path).obs_dim == 2


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
