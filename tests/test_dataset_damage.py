"""Datasets on disk: damage never goes unnoticed, and what is there is only replaced by what is whole."""

import itertools
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.storage import list_datasets, unfinished_folder
from mode_imitation.data.verify import verify_dataset
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from tests.small_datasets import NAME, bare_episode, make_episode


def test_verify_finds_every_flipped_byte(tmp_path: Path, folder: Path) -> None:
    assert verify_dataset(NAME, tmp_path).ok
    rng = np.random.default_rng(0)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        places = range(len(content)) if len(content) < 400 else rng.choice(len(content), 150, replace=False)
        for place in places:
            damaged = bytearray(content)
            damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            result = verify_dataset(NAME, tmp_path)
            assert not result.ok, f"{path.name}: byte {place}"
            with pytest.raises(UserError):
                load_dataset(NAME, tmp_path)
        path.write_bytes(content)
    assert verify_dataset(NAME, tmp_path).ok


def test_sha256sum_reads_our_checksums(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_line(tmp_path: Path, folder: Path, share: float) -> None:
    path = folder / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="damaged"):
        load_dataset(NAME, tmp_path)
    # Other people's datasets have no checksums; there the HDF5 library has to notice.
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match=r"truncated or damaged|empty") as caught:
        load_dataset(NAME, tmp_path)
    assert "\n" not in str(caught.value)
    assert not verify_dataset(NAME, tmp_path).ok


def test_a_missing_dataset_names_what_comes_near(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=f"did you mean {NAME}"):
        load_dataset("test/two-expert-v0", tmp_path)
    with pytest.raises(UserError, match="make one with"):
        load_dataset(NAME, tmp_path / "empty")


def test_a_stray_file_does_not_block_reading_and_verify_names_it(tmp_path: Path, folder: Path) -> None:
    (folder / "data" / "Thumbs.db").touch()
    assert len(load_dataset(NAME, tmp_path)) == 3
    assert verify_dataset(NAME, tmp_path).problems == ("data/Thumbs.db is not listed",)
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text("".join(line for line in sums.splitlines(True) if "main_data" not in line))
    with pytest.raises(UserError, match=r"damaged: data/main_data.hdf5 is not listed"):
        load_dataset(NAME, tmp_path)


def test_a_file_that_is_open_for_writing_elsewhere_is_not_called_damaged(tmp_path: Path, folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (folder / "data" / "main_data.hdf5").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"main_data.hdf5 is open for writing in another program; close it there"):
            load_dataset(NAME, tmp_path)


def test_observations_without_the_final_one_are_told_with_their_episode(tmp_path: Path, folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        rows = file["episode_1/observations"][:-1]  # type: ignore[index]
        del file["episode_1/observations"]
        file["episode_1/observations"] = rows
    with pytest.raises(UserError, match="episode 1: observations has 5 rows for 5 actions; expected 6"):
        load_dataset(NAME, tmp_path)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs another file system")
def test_a_namespace_on_another_disk_is_refused_before_any_work(tmp_path: Path) -> None:
    if tmp_path.stat().st_dev == Path("/dev/shm").stat().st_dev:
        pytest.skip("it is the same file system")
    (tmp_path / "test").symlink_to("/dev/shm")
    with pytest.raises(UserError, match=r"lies on another disk than .*; name a folder on that disk with --root"):
        write_dataset(NAME, iter(()), root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def test_an_unfinished_dataset_says_so(tmp_path: Path) -> None:
    unfinished_folder("a/b-v0", tmp_path).mkdir(parents=True)
    with pytest.raises(UserError, match="not finished"):
        load_dataset("a/b-v0", tmp_path)
    assert list_datasets(tmp_path) == []


def test_a_dataset_without_its_metadata_is_not_complete(tmp_path: Path, folder: Path) -> None:
    (folder / "data" / "metadata.json").unlink()
    with pytest.raises(UserError, match="no complete dataset"):
        load_dataset(NAME, tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_by_episode_and_step(tmp_path: Path, folder: Path, bad: float) -> None:
    (folder / "SHA256SUMS").unlink()
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        observations = file["episode_1/observations"]
        assert isinstance(observations, h5py.Dataset)
        observations[3, 2] = bad
    with pytest.raises(UserError, match="episode 1, step 3: observations holds"):
        load_dataset(NAME, tmp_path)


def test_nothing_that_is_not_finite_is_written(tmp_path: Path) -> None:
    broken = make_episode(0)
    broken.actions[4, 1] = np.nan
    with pytest.raises(UserError, match="episode 1, step 4: actions holds NaN"):
        write_dataset(NAME, [make_episode(1), broken], root=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("space", ["Tuple", "Dict"])
def test_a_space_of_actions_that_cannot_be_learned_is_one_clear_line(tmp_path: Path, folder: Path, space: str) -> None:
    (folder / "SHA256SUMS").unlink()
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["action_space"] = json.dumps({"type": space})
    path.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=f"has {space} actions; expected a Box of numbers"):
        load_dataset(NAME, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"total_episodes": 0}'])
def test_damaged_or_empty_metadata_is_one_clear_line(tmp_path: Path, folder: Path, text: str) -> None:
    (folder / "SHA256SUMS").unlink()
    (folder / "data" / "metadata.json").write_text(text)
    with pytest.raises(UserError):
        load_dataset(NAME, tmp_path)


def test_an_existing_dataset_is_only_replaced_when_asked(tmp_path: Path, folder: Path) -> None:
    before = load_dataset(NAME, tmp_path).checksum
    with pytest.raises(UserError, match="--overwrite"):
        write_dataset(NAME, [bare_episode(0)], root=tmp_path)
    assert load_dataset(NAME, tmp_path).checksum == before
    write_dataset(NAME, [bare_episode(0)], root=tmp_path, overwrite=True)
    assert len(load_dataset(NAME, tmp_path)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test"]


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, name in ((tmp_path / "file", NAME), (tmp_path, "file/two-v0")):
        with pytest.raises(UserError, match="is a file; expected a folder"):
            write_dataset(name, [make_episode(0)], root=root)


def test_a_failure_while_writing_leaves_the_old_dataset(tmp_path: Path, folder: Path) -> None:
    def failing():
        yield make_episode(5)
        raise OSError(28, "No space left on device")

    before = load_dataset(NAME, tmp_path).checksum
    with pytest.raises(OSError, match="No space"):
        write_dataset(NAME, failing(), root=tmp_path, overwrite=True)
    assert load_dataset(NAME, tmp_path).checksum == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test"]


@pytest.mark.parametrize("rename", [1, 2])
def test_an_interruption_while_datasets_change_places_leaves_the_old_one(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    before, real, calls = load_dataset(NAME, tmp_path).checksum, Path.rename, itertools.count(1)

    def interrupted(path: Path, target: Path) -> Path:
        if next(calls) == rename:
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(NAME, [make_episode(5)], root=tmp_path, overwrite=True)
    assert load_dataset(NAME, tmp_path).checksum == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test"]


@pytest.mark.parametrize("room", [0, 100, 5_000, 20_000, 40_000])
def test_a_disk_that_fills_while_writing_is_one_clean_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], room: int
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # a file that reaches it can no longer be written to
    try:
        with pytest.raises(OSError, match="File too large"):
            write_dataset(NAME, [make_episode(seed, steps=50) for seed in range(20)], root=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
