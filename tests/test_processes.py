"""Processes that do tasks: whatever becomes of one, every task has an outcome, and none is left behind."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mode_imitation import processes
from mode_imitation.errors import UserError
from mode_imitation.processes import Prepare, Process, WorkerDiedError, run_tasks
from tests.running import is_running

ROOT = Path(__file__).parent.parent
WORKER = """
import os, time
from mode_imitation.errors import UserError

def prepare(job):
    def do(task, advance):
        print("noise on standard output", flush=True)
        advance(os.getpid())
        if task == "user": raise UserError("a clear line")
        if task == "disk": raise OSError(28, "No space left on device", "some/file")
        if task == "bug": raise ZeroDivisionError("a bug")
        if task == "die": os._exit(3)
        time.sleep(task)
        return {"told": job}
    return do
"""
BROKEN = """
import json, os, sys

def serve():
    next(sys.stdin)
    for line in sys.stdin:
        says, status = json.loads(line)
        print(says, end="", flush=True)
        if status is not None:
            os._exit(status)
"""
PATIENCE_S = 60


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepare]:
    (tmp_path / "some_worker.py").write_text(WORKER)
    (tmp_path / "broken_worker.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("some_worker").prepare
    for name in ("some_worker", "broken_worker"):
        sys.modules.pop(name, None)


def test_every_task_is_done_once_by_a_few_processes_that_report_progress(worker: Prepare) -> None:
    seen: list[int] = []
    outcomes = list(run_tasks(worker, {"a": 1}, [0] * 7, 2, seen.append))
    assert sorted(index for index, _ in outcomes) == list(range(7))
    assert all(outcome == {"told": {"a": 1}} for _, outcome in outcomes)
    assert len(seen) == 7
    assert 1 <= len(set(seen)) <= 2
    assert not any(map(is_running, seen))


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("user", UserError, "^a clear line$"),
        ("disk", OSError, "some/file"),
        ("bug", RuntimeError, "^ZeroDivisionError: a bug$"),
        ("die", WorkerDiedError, "status 3: noise on standard output$"),
    ],
)
def test_what_a_task_raises_is_its_outcome_and_the_others_go_on(
    worker: Prepare, tmp_path: Path, task: str, error: type[Exception], message: str
) -> None:
    found: dict[int, Any] = dict(run_tasks(worker, None, [0, task, 0, task, 0], 2, logs=tmp_path))
    assert [found[index] for index in (0, 2, 4)] == [{"told": None}] * 3
    for index in (1, 3):
        assert getattr(found[index], "errno", None) == (28 if task == "disk" else None)
        with pytest.raises(error, match=message):
            raise found[index]


def test_a_cut_answer_and_one_that_is_no_message_are_deaths(
    worker: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.1)
    monkeypatch.setattr(processes, "serve", importlib.import_module("broken_worker").serve)
    good = ['{"answer": 1}\n', None]
    tasks = [['{"answer": tr', 7], good, ["no JSON\n", None], good, ["5\n", None], good]
    found: dict[int, Any] = dict(run_tasks(worker, None, tasks, 1, logs=tmp_path))
    assert [found[index] for index in (1, 3, 5)] == [1, 1, 1]
    assert [str(found[index]) for index in (0, 2, 4)] == [f"its process ended with status {n}" for n in (7, 0, 0)]


def test_leaving_early_ends_every_process_and_starts_no_other(worker: Prepare) -> None:
    seen: list[int] = []
    with closing(run_tasks(worker, None, [0, *[PATIENCE_S] * 5], 2, seen.append)) as outcomes:
        assert next(outcomes) == (0, {"told": None})
    assert 1 <= len(set(seen)) <= 2
    assert not any(map(is_running, seen))


def test_ctrl_c_ends_the_processes(worker: Prepare) -> None:
    seen: list[int] = []

    def interrupted(process: int) -> None:
        seen.append(process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(worker, None, [PATIENCE_S] * 2, 2, interrupted))
    assert not any(map(is_running, seen))


def test_no_process_outlives_a_killed_parent(worker: Prepare, tmp_path: Path) -> None:
    code = (
        "from mode_imitation.processes import run_tasks; from some_worker import prepare;"
        "list(run_tasks(prepare, None, [60] * 2, 2, lambda process: print(process, flush=True)))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(is_running, workers))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not any(map(is_running, workers)):
            return
        time.sleep(0.05)
    raise AssertionError("a process is still there")


def test_where_no_process_can_be_started_the_user_is_told(
    worker: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no process could be started: "):
        list(run_tasks(worker, None, [0, 0], 1))


@pytest.mark.parametrize("last", ["", "60\n", "6"])
def test_a_process_leaves_when_its_input_closes_even_within_a_line(worker: Prepare, last: str) -> None:
    process = Process(processes.serve)
    process.send([worker.__module__, worker.__name__, None])
    process.input.write(last)
    process.input.close()
    assert process.end(PATIENCE_S / 2) == 0


def test_a_process_whose_answer_nobody_hears_leaves_without_a_complaint(worker: Prepare, tmp_path: Path) -> None:
    process = Process(processes.serve, log=tmp_path / "log")
    process.output.close()
    process.send([worker.__module__, worker.__name__, None])
    process.send(0)
    assert process.end(PATIENCE_S / 2) == 0
    assert (tmp_path / "log").read_text() == "noise on standard output\n"


def test_the_working_folder_comes_before_nothing_that_is_imported_from_elsewhere_here(
    worker: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "mode_imitation").mkdir(parents=True)
    (elsewhere / "mode_imitation" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert dict(run_tasks(worker, None, [0], 1)) == {0: {"told": None}}
