"""Processes that do cells: whatever becomes of one, every task has an outcome, and none is left behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mode_imitation.processes import close_pipes, start_process, stop_processes
from mode_imitation.reports import cell_processes
from mode_imitation.reports.benchmark import pool
from mode_imitation.reports.benchmark.cells import make_cell
from mode_imitation.reports.cell_processes import Death, run_tasks
from mode_imitation.reports.sweep import processes

WORKER = """
import os, time
from mode_imitation.processes import open_messages, open_replies

replies, messages = open_replies(), open_messages()
while True:
    task = messages.get()
    print("noise on standard output", flush=True)
    time.sleep(task.get("seconds", 0))
    print(task.get("says", '{"done": true}\\n'), end="", file=replies, flush=True)
    if "status" in task:
        os._exit(task["status"])
"""
PATIENCE_S = 60


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    return "some_worker"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """Every process that is started for a task."""
    found: list[subprocess.Popen] = []

    def starting(module: str, **options) -> subprocess.Popen:
        found.append(start_process(module, **options))
        return found[-1]

    monkeypatch.setattr(cell_processes, "start_process", starting)
    return found


def test_a_cut_answer_and_one_that_is_no_json_are_deaths(
    worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_processes, "GRACE_S", 0.1)
    tasks = [{"says": '{"done": tr', "status": 7}, {}, {"says": "no JSON\n"}, {}]
    outcomes = dict(run_tasks(worker, tasks, 1, logs=tmp_path))
    noise = "noise on standard output"
    assert outcomes == {0: Death(7, noise), 1: {"done": True}, 2: Death(0, noise), 3: {"done": True}}


def test_leaving_early_ends_every_process_and_starts_no_other(worker: str, started: list[subprocess.Popen]) -> None:
    iteration = run_tasks(worker, [{}, *[{"seconds": PATIENCE_S}] * 5], 2)
    assert next(iteration) == (0, {"done": True})
    while len(started) < 2:
        time.sleep(0.01)
    iteration.close()
    assert [process.returncode for process in started] == [-9, -9]
    assert all(pipe is not None and pipe.closed for process in started for pipe in (process.stdin, process.stdout))


def test_where_no_process_can_be_started_a_sweep_records_it_and_a_benchmark_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    tasks = [{"name": "one"}, {"name": "two"}]
    results = [result for _, result in processes.run_cells({"scratch": str(tmp_path)}, tasks, 1)]
    assert [result["status"] for result in results] == ["failed", "failed"]
    assert all("no process could be started: " in result["reason"] for result in results)
    cells = [make_cell(tmp_path, {"method": "bc", "seed": seed}, "checksum") for seed in range(2)]
    with pytest.raises(OSError, match="none"):
        list(pool.run_cells(cells, 1))
    assert not any(cell.failure() for cell in cells)


@pytest.mark.parametrize("last", ["", '{"seconds": 60}\n', '{"sec'])
def test_a_process_leaves_when_its_input_closes_even_within_a_line(worker: str, last: str) -> None:
    process = start_process(worker)
    try:
        assert process.stdin is not None
        process.stdin.write(last)
        close_pipes(process)
        assert process.wait(PATIENCE_S / 2) == 0
    finally:
        stop_processes([process])


def test_the_working_folder_comes_before_nothing_that_is_imported_from_elsewhere_here(
    worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "mode_imitation").mkdir(parents=True)
    (elsewhere / "mode_imitation" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert dict(run_tasks(worker, [{}], 1)) == {0: {"done": True}}
