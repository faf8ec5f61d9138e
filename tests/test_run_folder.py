"""The folder of a run belongs to its user: the project deletes there what it wrote itself, and nothing else."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from benchmarks.modes import methods
from mode_imitation.atomic import write_atomic
from mode_imitation.errors import UserError
from mode_imitation.reports.report_pictures import PICTURES
from mode_imitation.reports.report_writer import JSON, MARKDOWN
from mode_imitation.training.fit import fit
from mode_imitation.training.run_folder import (
    FILES,
    INFO,
    TEMPORARY,
    check_folder,
    held_folder,
    read_info,
    start_folder,
    tidy_folder,
    write_info,
)
from tests.synthetic import two_laws
from tests.test_fit import small

RECORD: dict[str, Any] = {"status": "complete", "config": {}, "dataset": {"checksum": "0"}, "summary": {}}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a folder, by name."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run's folder with everything that the project may have written into it; the contents do not matter."""
    folder = tmp_path / "run"
    (folder / "tensorboard").mkdir(parents=True)
    written = [*FILES, JSON, MARKDOWN, *PICTURES.values(), "tensorboard/events.out.tfevents.1700000000.host.12.0"]
    written += [f"attribution-pointgoal1-fresh-v0{end}" for end in (".json", ".png", "-birdseye.png")]
    written += [".run.json.a1_b2c3d.tmp", ".model.safetensors.abcdefgh.tmp", ".attribution-x-v0.json.abcdefgh.tmp"]
    for name in written:
        if "*" not in name:
            (folder / name).write_text("{}")
    write_info(folder, RECORD)
    return folder


def test_a_run_with_all_that_the_project_writes_can_be_overwritten(out: Path) -> None:
    assert not check_folder(out, resume=False, overwrite=True)
    start_folder(out, RECORD | {"status": "running"})
    assert contents(out).keys() == {INFO}
    assert read_info(out)["status"] == "running"


@pytest.mark.parametrize(
    ("foreign", "named"),
    [
        ("thesis.tex", "thesis.tex"),
        (".notes", ".notes"),
        ("aaa.tmp", "aaa.tmp"),
        (".run.json.tmp", ".run.json.tmp"),
        ("holiday.png", "holiday.png"),
        ("model.safetensors.bak", "model.safetensors.bak"),
        ("drafts/chapter/1.tex", "drafts"),
        ("tensorboard/notes.txt", "tensorboard/notes.txt"),
        ("tensorboard/events.out.tfevents.1/run.json", "tensorboard/events.out.tfevents.1"),
    ],
)
def test_overwriting_refuses_where_something_is_not_the_runs_and_deletes_nothing(
    out: Path, foreign: str, named: str
) -> None:
    (out / foreign).parent.mkdir(parents=True, exist_ok=True)
    (out / foreign).write_text("years of work")
    (out / "zzz").mkdir()
    before = contents(out)
    for attempt in (
        lambda: check_folder(out, resume=False, overwrite=True),
        lambda: held_folder(out, resume=False, overwrite=True).__enter__(),
        lambda: start_folder(out, RECORD),
        lambda: fit(two_laws(n_each=4), small(), out, overwrite=True),
    ):
        with pytest.raises(UserError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{out / named} is none of a run's files; nothing was overwritten")
        assert "\n" not in str(caught.value)
        assert contents(out) == before
    # What is only added to is not in danger.
    assert check_folder(out, resume=True, overwrite=False)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "7", '{"format_version": 1}', '{"status": "complete"}'])
def test_a_folder_with_another_programs_run_json_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / INFO).write_text(text)
    (tmp_path / "model.json").write_text("mine")
    before = contents(tmp_path)
    for overwrite in (True, False):
        with pytest.raises(UserError, match=r"exists and is no run: its run\.json is damaged or another program's"):
            check_folder(tmp_path, resume=False, overwrite=overwrite)
        with pytest.raises(UserError, match=r"exists and is no run"):
            fit(two_laws(n_each=4), small(), tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_a_run_of_another_format_can_be_overwritten(out: Path) -> None:
    for version in (0, 99):
        (out / INFO).write_text(json.dumps(RECORD | {"format_version": version}))
        assert not check_folder(out, resume=False, overwrite=True)


def test_only_the_projects_own_temporary_files_are_tidied_up(out: Path) -> None:
    (out / ".thesis.tmp").write_text("years of work")
    tidy_folder(out)
    assert [name for name in contents(out) if name.endswith(".tmp")] == [".thesis.tmp"]
    # They are what a kill leaves of an atomic write, and make no run of a folder.
    names: list[str] = []
    write_atomic(out / INFO, lambda temporary: names.append(temporary.name))
    assert any(fnmatchcase(names[0], pattern) for pattern in TEMPORARY)


@pytest.mark.parametrize("name", [".run.json.abcdefgh.tmp", "thesis.tmp"])
def test_a_folder_with_a_killed_writes_leftover_is_new_and_one_with_a_users_file_is_not(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("{")
    if name == "thesis.tmp":
        with pytest.raises(UserError, match="exists and is no run: it has no run"):
            check_folder(tmp_path, resume=False, overwrite=True)
        with pytest.raises(UserError, match="is none of a run's files"):
            start_folder(tmp_path, RECORD)
    else:
        assert not check_folder(tmp_path, resume=False, overwrite=False)
        start_folder(tmp_path, RECORD)
        name = INFO
    assert list(contents(tmp_path)) == [name]


def test_a_link_in_a_runs_folder_is_removed_and_not_what_it_points_to(out: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("kept")
    (out / "model.json").unlink()
    (out / "model.json").symlink_to(tmp_path / "elsewhere.json")
    start_folder(out, RECORD)
    assert list(contents(out)) == [INFO]
    assert (tmp_path / "elsewhere.json").read_text() == "kept"


@pytest.mark.parametrize("foreign", [None, "thesis.tex"])
def test_the_benchmark_trains_a_damaged_run_again_unless_that_deletes_something_else(
    out: Path, monkeypatch: pytest.MonkeyPatch, foreign: str | None
) -> None:
    (out / "code.txt").write_text("the benchmark's own")
    if foreign:
        (out / foreign).write_text("years of work")
    before, seen = contents(out), []

    def resuming(*arguments: Any, **options: Any) -> None:
        seen.append(contents(out))

    monkeypatch.setattr(methods, "fit", resuming)
    if foreign:
        with pytest.raises(UserError, match=r"thesis\.tex is none of a run's files"):
            methods.train_method("ours", two_laws(n_each=4), small(), out)
        assert contents(out) == before
    else:
        assert methods.train_method("ours", two_laws(n_each=4), small(), out)
        assert seen == [{}]
