"""The cells of a benchmark or a sweep in a few one-core processes side by side.

A process that dies costs its task and nothing else; another takes its place.
"""

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mode_imitation.errors import UserError
from mode_imitation.processes import close_pipes, send, start_process, stop_processes

LAST_WORDS = 200
"""Most characters that are quoted."""
GRACE_S = 5.0
"""For a process that has stopped answering to end by itself, with a status of its own."""


@dataclass(frozen=True)
class Death:
    """What there is in place of an answer where the process ended over its task."""

    status: int
    last_words: str
    """The last line of its log; "" without one."""


Outcome = dict[str, Any] | Death | OSError
"""A process's answer, or its death, or why none could be started."""


def run_tasks(
    module: str, tasks: Sequence[Any], n_jobs: int, *, job: Any = None, logs: Path | None = None
) -> Generator[tuple[int, Outcome]]:
    """Do every task; yield (its index, what came of it) as each ends.

    Args:
        module: run with `python -m`; it answers each line of JSON, a task, with a line of JSON, an object.
        tasks: JSON values, begun in this order.
        n_jobs: processes, at least 1.
        job: JSON values that every process is told first, and does not answer; None for nothing.
        logs: folder for the processes' standard error; None to share ours.

    When the iteration is left early, Ctrl-C included, the processes end at once, and none is left when it is closed.
    """
    waiting: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    slots = [_Slot(module, job, logs and logs / f"process-{n}.log") for n in range(min(n_jobs, len(tasks)))]
    for item in [*enumerate(tasks), *[None] * len(slots)]:
        waiting.put(item)
    threads: list[threading.Thread] = []
    try:
        for slot in slots:
            thread = threading.Thread(target=slot.work, args=(waiting, ended), daemon=True)
            thread.start()
            threads.append(thread)
        for _ in tasks:
            yield ended.get()
    finally:
        for slot in slots:
            slot.stop()
        for thread in threads:
            thread.join()
        # Only now that no thread reads from them.
        stop_processes(slot.process for slot in slots if slot.process is not None)


def one_line(error: BaseException) -> str:
    """What a table says of an error: a user's mistake as it is, anything else with its kind in front."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


class _Slot:
    """One process that does a task after the other, and another one where that has died."""

    def __init__(self, module: str, job: Any, log: Path | None) -> None:
        self.module, self.job, self.log = module, job, log
        self.process: subprocess.Popen | None = None
        self.stopped = False
        self.lock = threading.Lock()

    def work(self, waiting: queue.SimpleQueue, ended: queue.SimpleQueue) -> None:
        for index, task in iter(waiting.get, None):
            try:
                process = self.ready()
                if process is None:
                    return
                outcome = self.do(process, task)
            except OSError as error:
                # For the user of the generator, who would otherwise wait for this task for ever.
                outcome = error
            ended.put((index, outcome))

    def ready(self) -> subprocess.Popen | None:
        """Its process, started where there is none; None after `stop`."""
        with self.lock:
            if self.stopped:
                return None
            if self.process is None:
                self.process = start_process(self.module, log=self.log)
                if self.job is not None:
                    send(self.process, self.job)
            return self.process

    def do(self, process: subprocess.Popen, task: Any) -> dict[str, Any] | Death:
        assert process.stdout is not None
        send(process, task)
        with contextlib.suppress(ValueError):  # no line, or a cut one
            return json.loads(process.stdout.readline())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        close_pipes(process)
        status = process.wait()
        with self.lock:
            self.process = None
        return Death(status, self.last_words())

    def last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines() if self.log else []
        except OSError:
            return ""
        return lines[-1][:LAST_WORDS] if lines else ""

    def stop(self) -> None:
        """End the process, whatever it is at, and start no other."""
        with self.lock:
            self.stopped = True
            if self.process is not None:
                self.process.kill()
