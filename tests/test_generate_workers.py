"""Generation in worker processes: users' own experts drive there, what fails stops everything, none is left behind."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.dataset import load_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.workers import run_in_processes
from tests.running import is_running
from tests.test_generate import NAME, SMALL

ROOT = Path(__file__).parent.parent
EXPERTS = """
import numpy as np

class Spinning:
    def act(self, observations):
        print("an expert may print")
        return np.tile([0.0, 1.0], (len(observations), 1))

class OneWorld:
    batched = False
    def reset(self, observation, rng):
        self.turn = rng.uniform()
    def act(self, observation):
        return np.array([1.0, self.turn])

class Broken:
    def act(self, observations):
        return np.full((len(observations), 2), np.nan)

class Buggy:
    def act(self, observations):
        raise ZeroDivisionError("not the user's command line")
"""


def test_a_users_own_experts_drive_in_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    monkeypatch.chdir(tmp_path)
    specs = ("mine.py:Spinning=1", "mine:OneWorld=2")
    config = replace(SMALL, expert=specs, action_noise=0.0, disturbances=False, worlds=1, steps=5, root=Path("root"))
    generate(replace(config, workers=2))
    dataset = load_dataset(NAME, "root")
    assert dataset.labels == ["Spinning", "OneWorld", "OneWorld"]
    np.testing.assert_array_equal(dataset.episodes[0].actions, np.tile([0, 1], (5, 1)))
    turns = {float(episode.actions[0, 1]) for episode in dataset.episodes[1:]}
    assert len(turns) == 2
    generate(replace(config, worlds=4, root=Path("other")))
    assert load_dataset(NAME, "other").checksum == dataset.checksum


@pytest.mark.parametrize(
    ("expert", "complaint"),
    [("Broken", "expected finite"), ("Buggy", "ZeroDivisionError: not the user's command line")],
)
def test_an_expert_that_fails_in_a_worker_stops_everything(tmp_path: Path, expert: str, complaint: str) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    config = replace(SMALL, expert=(f"{tmp_path / 'mine.py'}:{expert}=2",), worlds=1, workers=2, root=tmp_path / "root")
    with pytest.raises(UserError, match=complaint):
        generate(config)
    # Nothing was finished, so nothing is left that a corrected expert could not start from.
    assert not (tmp_path / "root" / ".unfinished").exists()


WORKER = """
import os, time
from mode_imitation.errors import UserError
from mode_imitation.worlds.workers import serve

def prepare(job):
    def do(task, advance):
        print("noise on standard output")
        advance(os.getpid())
        if task["do"] == "user": raise UserError("a clear line")
        if task["do"] == "disk": raise OSError(28, "No space left on device", "some/file")
        if task["do"] == "die": os._exit(3)
        time.sleep(task["do"])
    return do

serve(prepare)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    return "some_worker"


def test_every_task_is_done_once_and_reports_its_progress(worker: str) -> None:
    seen: list[int] = []
    run_in_processes(worker, {}, [{"do": 0}] * 7, 2, seen.append)
    assert len(seen) == 7
    assert 1 <= len(set(seen)) <= 2
    assert not any(map(is_running, seen))


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [("user", UserError, "a clear line"), ("disk", OSError, "some/file"), ("die", RuntimeError, "status 3")],
)
def test_what_a_worker_raises_is_raised_here(worker: str, what: str, error: type[Exception], message: str) -> None:
    seen: list[int] = []
    with pytest.raises(error, match=message) as caught:
        run_in_processes(worker, {}, [{"do": what}, {"do": 60}], 2, seen.append)
    assert getattr(caught.value, "errno", None) == (28 if what == "disk" else None)
    assert not any(map(is_running, seen))


def test_ctrl_c_ends_the_workers(worker: str) -> None:
    seen: list[int] = []

    def interrupted(process: int) -> None:
        seen.append(process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_processes(worker, {}, [{"do": 60}, {"do": 60}], 2, interrupted)
    assert not any(map(is_running, seen))


def test_no_worker_outlives_a_killed_parent(worker: str, tmp_path: Path) -> None:
    code = (
        "from mode_imitation.worlds.workers import run_in_processes as run;"
        f"run({worker!r}, {{}}, [{{'do': 60}}] * 2, 2, lambda process: print(process, flush=True))"
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
    raise AssertionError("a worker is still there")
