"""Several writers of one dataset, writers that die, and a user's own files in its folder: nothing gets lost."""

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.cli import main
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.importing import import_arrays
from mode_imitation.data.staging import alone, sole_writer
from mode_imitation.data.storage import list_datasets
from mode_imitation.data.verify import verify_dataset
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds.generate import generate
from tests.foreign_arrays import make_arrays
from tests.small_datasets import NAME, make_episode
from tests.test_generate import SMALL, FakeDriver, fake

__all__ = ["fake"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def exit_codes(commands: list[list[str]], errors: list[Path]) -> list[int]:
    """Run command lines at once, each in a process of its own, with standard error in these files."""
    ready, go = os.pipe()
    children = []
    for command, path in zip(commands, errors, strict=True):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.close(go)
                os.read(ready, 1)  # until all are there
                with path.open("w") as errors_of_this, contextlib.redirect_stderr(errors_of_this):
                    code = main(command)
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    os.close(ready)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@needs_fork
@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_imports_into_one_name_one_wins_and_its_dataset_is_right(tmp_path: Path, overwrite: bool) -> None:
    commands, checksums = [], []
    for number, lengths in enumerate(([4, 2, 5] * 5, [9, 9] * 5)):
        arrays: dict = make_arrays(lengths, final=True)
        np.savez(tmp_path / f"{number}.npz", **arrays)
        source = ImportConfig(sources=(tmp_path / f"{number}.npz",), out=NAME, root=tmp_path / f"alone-{number}")
        checksums.append(load_dataset(import_arrays(source).folder).checksum)
        commands.append(
            ["import", str(tmp_path / f"{number}.npz"), "--out", NAME, "--overwrite"][: 5 if overwrite else 4]
        )
    errors = [tmp_path / "0.txt", tmp_path / "1.txt"]
    for attempt in range(8):
        root = tmp_path / f"root-{attempt}"
        codes = exit_codes([[*command, "--root", str(root)] for command in commands], errors)
        assert sorted(codes) in ([[0, 2], [0, 0]] if overwrite else [[0, 2]])
        assert verify_dataset(NAME, root).ok
        winner = load_dataset(NAME, root).checksum
        assert winner in checksums if codes == [0, 0] else winner == checksums[codes.index(0)]
        assert [path.name for path in root.iterdir()] == ["test"]
        for code, path in zip(codes, errors, strict=True):
            lines = path.read_text().splitlines()
            assert code == 0 or (len(lines) == 1 and ("another process" in lines[0] or "exists already" in lines[0]))


@pytest.mark.parametrize("holder", ["write", "generate"])
def test_who_comes_while_a_dataset_is_made_is_told_so(
    tmp_path: Path, fake: type[FakeDriver], monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    config = replace(SMALL, out=NAME, root=tmp_path, overwrite=True)

    def slowly() -> Iterator[Episode]:
        begun.set()
        go_on.wait(60)
        yield make_episode(1)

    def drive(*_: object) -> list[Episode]:
        return list(slowly())

    write_dataset(NAME, [make_episode(0)], root=tmp_path)
    with ThreadPoolExecutor(1) as pool:
        if holder == "write":
            future = pool.submit(write_dataset, NAME, slowly(), root=tmp_path, overwrite=True)
        else:
            monkeypatch.setattr(fake, "drive", drive)
            future = pool.submit(generate, replace(config, expert=("goal_seeking=1",)))
        try:
            assert begun.wait(60)
            for write in (
                lambda: write_dataset(NAME, [make_episode(2)], root=tmp_path, overwrite=True),
                lambda: generate(config),
            ):
                with pytest.raises(UserError, match=f"{NAME} is being made by another process; wait for it or choose"):
                    write()
            # Another name is free, and what is there can be read.
            write_dataset("test/other-v0", [make_episode(3)], root=tmp_path)
            assert load_dataset(NAME, tmp_path).layout_seeds == [0]
        finally:
            go_on.set()
        future.result()
    assert load_dataset(NAME, tmp_path).layout_seeds == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def test_who_holds_a_dataset_may_write_it(tmp_path: Path) -> None:
    with sole_writer(NAME, tmp_path):
        write_dataset(NAME, [make_episode(0)], root=tmp_path)
    assert verify_dataset(NAME, tmp_path).ok
    with pytest.raises(UserError, match="exists already"), sole_writer(NAME, tmp_path):
        raise AssertionError("it was given away")
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def die_at_rename(number: int, root: Path) -> None:
    """Replace the dataset in another process, which dies just before this rename, or with 3 after the second one."""
    child = os.fork()
    if child == 0:
        real, count = Path.rename, [0]

        def rename(path: Path, target: Path) -> Path:
            count[0] += 1
            if count[0] == number:
                os._exit(9)
            result = real(path, target)
            if count[0] == number - 1 == 2:
                os._exit(9)
            return result

        Path.rename = rename  # pyright: ignore[reportAttributeAccessIssue]
        try:
            write_dataset(NAME, [make_episode(5)], root=root, overwrite=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@needs_fork
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("rename", [1, 2, 3])
def test_a_kill_while_datasets_change_places_loses_neither(
    tmp_path: Path, folder: Path, rename: int, overwrite: bool
) -> None:
    old = load_dataset(folder).checksum
    die_at_rename(rename, tmp_path)
    assert folder.exists() == (rename != 2)
    if overwrite:
        write_dataset(NAME, [make_episode(6)], root=tmp_path, overwrite=True)
        assert load_dataset(folder).layout_seeds == [6]
    else:
        # That it is there is only known when the lock is held.
        with pytest.raises(UserError, match="exists already"):
            write_dataset(NAME, [make_episode(6)], root=tmp_path)
        assert load_dataset(folder).checksum == old if rename < 3 else load_dataset(folder).layout_seeds == [5]
    assert verify_dataset(folder).ok
    with alone(NAME, tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


@pytest.mark.parametrize(
    "foreign", ["thesis.tex", ".hidden", "data/notes.txt", "data/main_data.hdf5.bak", "drafts/1.txt", "inner-v0"]
)
@pytest.mark.parametrize("writer", ["write", "import", "generate"])
def test_overwriting_a_dataset_refuses_where_a_file_is_none_of_its_own(
    tmp_path: Path, folder: Path, fake: type[FakeDriver], foreign: str, writer: str
) -> None:
    (folder / "zzz").mkdir()
    if foreign == "inner-v0":
        write_dataset(f"{NAME}/inner-v0", [make_episode(7)], root=tmp_path)
    else:
        (folder / foreign).parent.mkdir(exist_ok=True)
        (folder / foreign).write_text("years of work")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    first = min(path for path in (folder / foreign, (folder / foreign).parent) if path not in (folder, folder / "data"))
    arrays: dict = make_arrays([4, 2], final=True)
    np.savez(tmp_path / "arrays.npz", **arrays)
    writers = {
        "write": lambda: write_dataset(NAME, [make_episode(5)], root=tmp_path, overwrite=True),
        "import": lambda: import_arrays(
            ImportConfig(sources=(tmp_path / "arrays.npz",), out=NAME, root=tmp_path, overwrite=True)
        ),
        "generate": lambda: generate(replace(SMALL, out=NAME, root=tmp_path, overwrite=True)),
    }
    with pytest.raises(UserError) as caught:
        writers[writer]()
    assert str(caught.value).startswith(f"{first} is none of the files of dataset {NAME}; nothing was overwritten")
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before
    assert fake.drives == []


def test_a_file_that_comes_into_the_folder_meanwhile_is_kept(tmp_path: Path, folder: Path) -> None:
    def episodes() -> Iterator[Episode]:
        (folder / "thesis.tex").write_text("years of work")
        yield make_episode(5)

    with pytest.raises(UserError, match=r"thesis\.tex is none of the files"):
        write_dataset(NAME, episodes(), root=tmp_path, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def test_a_link_to_a_dataset_is_replaced_and_not_what_it_points_to(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "test" / "link-v0").symlink_to(folder)
    old = load_dataset(folder).checksum
    write_dataset("test/link-v0", [make_episode(5)], root=tmp_path, overwrite=True)
    assert load_dataset("test/link-v0", tmp_path).layout_seeds == [5]
    assert load_dataset(folder).checksum == old
    assert list_datasets(tmp_path) == ["test/link-v0", NAME]
    assert [path.name for path in tmp_path.iterdir()] == ["test"]
