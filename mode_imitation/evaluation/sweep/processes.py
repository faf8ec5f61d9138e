"""Cells in one-core processes, as many at a time as asked for. A process that dies costs its cell and nothing else."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

MODULE = "mode_imitation.evaluation.sweep.worker"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_cells(
    job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int, module: str = MODULE
) -> Generator[tuple[dict[str, Any], dict[str, Any]], None, None]:
    """Do every task, and yield (task, result) as each is done.

    Args:
        job: what every process is told first, JSON values; job["scratch"] is a folder for the processes' logs.
        tasks: JSON values, given out in this order.
        n_jobs: processes, at least 1.
        module: run with `python -m`; it reads the job and then tasks from standard input, a line each, and answers
            each task with a line.

    A result is {"status": "done", ...} or {"status": "failed", "reason": one line}. Closing the generator, as an
    exception in its user does, ends the processes.
    """
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    done: queue.SimpleQueue[tuple[dict[str, Any], dict[str, Any]]] = queue.SimpleQueue()
    workers = [_Worker(module, job, index) for index in range(min(n_jobs, len(tasks)))]
    for worker in workers:
        threading.Thread(target=worker.serve, args=(waiting, done), daemon=True).start()
    try:
        for _ in tasks:
            yield done.get()
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process after another: a new one takes the place of one that died."""

    def __init__(self, module: str, job: dict[str, Any], index: int) -> None:
        self.module, self.job = module, job
        self.log = Path(job["scratch"]) / f"process-{index}.log"
        self.process: subprocess.Popen | None = None
        self.ended = False
        self.lock = threading.Lock()

    def serve(self, waiting: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
        while not self.ended:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            done.put((task, self.do(task)))

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        try:
            process = self.started()
            answer = self.ask(process, task)
        except OSError as error:
            answer, process = None, None
            reason = f"no process could be started: {error}"
        else:
            reason = "its process ended without an answer"
        if answer is not None:
            return answer
        if process is not None:
            reason = f"{reason} (status {process.wait()}{self.last_words()})"
            _close(process)
        self.process = None
        return {"status": "failed", "reason": reason}

    def started(self) -> subprocess.Popen:
        with self.lock:
            if self.process is None and not self.ended:
                self.process = self.start()
                self.send(self.process, self.job)
            if self.process is None:
                raise OSError("the sweep was stopped")
            return self.process

    def start(self) -> subprocess.Popen:
        # The same imports as here.
        paths = [path or os.getcwd() for path in sys.path]
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                # A group of its own: Ctrl-C reaches only the parent, which then ends its workers.
                process_group=0 if os.name == "posix" else None,
            )

    def ask(self, process: subprocess.Popen, task: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a task; None where the process died over it."""
        assert process.stdout is not None
        self.send(process, task)
        try:
            line = process.stdout.readline()
            return json.loads(line) if line else None
        except ValueError:
            return None  # the last line was cut, or the pipe closed under us

    @staticmethod
    def send(process: subprocess.Popen, message: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has died; reading its answer says so

    def last_words(self) -> str:
        """The end of what the process printed, for the reason."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f": {lines[-1][:200]}" if lines else ""

    def end(self) -> None:
        with self.lock:
            self.ended = True
            process = self.process
        if process is not None:
            process.kill()
            process.wait()
            _close(process)


def _close(process: subprocess.Popen) -> None:
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except (BrokenPipeError, ValueError):
            pass
