"""Arrays of other people's become datasets, or one clear line."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.importing import ImportResult, import_arrays
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
    assert result.steps == dataset.lengths.sum()
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
        ({"actions": np.zeros((0, 1))}, "lengths add up to 11, but actions has 0 rows"),
        ({"actions": np.zeros((11, 0))}, r"actions has shape \(11, 0\); expected at least one number a step"),
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
    with pytest.raises(UserError, match="does not say where episodes end"):
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
