"""Tasks in processes of their own that speak lines of JSON with us: both sides of the pipes.

Not multiprocessing, because that imports the caller's main module again in every process (so a user's script without a
`__main__` guard would start itself over and over) and passes pickles. A process hears us on its standard input and
leaves at once when that closes, which it does however we die; so none is left behind.
"""

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, Any

from mode_imitation.errors import UserError

Advance = Callable[[int], object]
"""Told how many more units of a task are done."""
Prepare = Callable[[Any], Callable[[Any, Advance], Any]]
"""Gets the job; returns the function that does one task, reports progress to its second argument and returns the
answer. Job, tasks and answers are JSON values."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LAST_WORDS = 200
"""Most characters of a log that are quoted."""
GRACE_S = 5.0
"""For a process that has stopped answering to end by itself, with a status of its own."""


class WorkerDiedError(RuntimeError):
    """A process that ended over its task, or answered what is no message."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    prepare: Prepare,
    job: Any,
    tasks: Sequence[Any],
    n_workers: int,
    on_progress: Advance | None = None,
    *,
    logs: Path | None = None,
) -> Generator[tuple[int, Any]]:
    """Do every task in one of a few processes; yield (its index, what came of it) as each ends.

    What comes of a task is its answer, or the exception that it raised: a UserError or an OSError as it was, any other
    as a RuntimeError of one line (its traceback is on the process's standard error), or WorkerDiedError. None of them
    stops the other tasks: who wants that raises it, and closes the iteration, which ends all processes.

    Args:
        prepare: a function of a module that can be imported; every process calls it once.
        job: what every process is told first.
        tasks: begun in this order.
        n_workers: processes, at least 1.
        on_progress: called here with what a process reports; None to ignore it.
        logs: folder for the processes' standard error; None to share ours.

    Raises:
        UserError: no process can be started.

    When the iteration is left early, Ctrl-C included, the processes end at once; use contextlib.closing.
    """
    waiting = deque(enumerate(tasks))
    messages: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
    workers: list[_Worker] = []

    def start() -> None:
        worker = _Worker(logs and logs / f"process-{len(workers)}.log", messages)
        workers.append(worker)
        worker.send([prepare.__module__, prepare.__name__, job])
        worker.give(waiting.popleft())

    try:
        for _ in range(min(n_workers, len(tasks))):
            start()
        left = len(tasks)
        while left:
            worker, message = messages.get()
            if message is not None and "progress" in message:
                if on_progress is not None:
                    on_progress(message["progress"])
                continue
            if worker.task is None:
                continue  # it died after its answer; it is not needed any more
            index, worker.task = worker.task, None
            left -= 1
            if message is None:
                outcome = worker.death()
                if waiting:
                    start()
            else:
                outcome = _as_exception(message) if "error" in message else message["answer"]
                if waiting:
                    worker.give(waiting.popleft())
            yield index, outcome
    finally:
        for worker in workers:
            worker.end()


def serve() -> None:
    """The process's own side: do tasks until standard input closes, then leave."""
    reply, messages = open_replies(), queue.SimpleQueue[Any]()

    def receive() -> None:
        with contextlib.suppress(ValueError):  # a cut line: the parent died over it
            for line in sys.stdin:
                messages.put(json.loads(line))
        os._exit(0)  # busy or not

    threading.Thread(target=receive, daemon=True).start()
    (module, name, job), do = messages.get(), None
    while True:
        task = messages.get()
        try:
            if do is None:
                prepare: Prepare = getattr(importlib.import_module(module), name)
                do = prepare(job)
            reply({"answer": do(task, lambda units: reply({"progress": units}))})
        except UserError as error:
            reply({"error": str(error), "user": True})
        except OSError as error:
            file = error.filename and str(error.filename)
            reply({"error": error.strerror or str(error), "errno": error.errno, "file": file})
        except Exception as error:
            traceback.print_exc()
            reply({"error": one_line(error)})


def one_line(error: BaseException) -> str:
    """What a table says of an error: a user's mistake as it is, anything else with its kind in front."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


class Process:
    """A process that calls a function, with the same imports as here, one thread per BLAS, and pipes that carry JSON.

    Args:
        function: of a module that can be imported; a user's own module may be found beside it too.
        inherited: file descriptors that it shall have under the same numbers.
        log: file to write its standard error to; None to share ours.

    Raises:
        OSError: it cannot be started, or the log not be written.
    """

    def __init__(
        self, function: Callable[[], object], *, inherited: tuple[int, ...] = (), log: Path | None = None
    ) -> None:
        code = f"from {function.__module__} import {function.__name__} as main; main()"
        paths = [path or os.getcwd() for path in sys.path]
        with contextlib.nullcontext() if log is None else log.open("w") as errors:
            self._process = subprocess.Popen(
                # -P: else the working folder would come before everything that is imported from elsewhere here.
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=inherited,
                # A group of its own: Ctrl-C reaches only the parent, which then ends its processes.
                process_group=0 if os.name == "posix" else None,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input: IO[str] = self._process.stdin
        self.output: IO[str] = self._process.stdout
        self.pid = self._process.pid

    def send(self, message: Any) -> bool:
        """Write a line; False where the process has died, which gives no answer either."""
        try:
            self.input.write(json.dumps(message) + "\n")
            self.input.flush()
        except BrokenPipeError:
            return False
        return True

    def end(self, grace_s: float = 0.0) -> int:
        """Its status; whatever it is at, it ends now, or by itself within some seconds, and frees what it held here."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        if not grace_s:
            self._process.kill()
        self._close_pipes()  # at which a process that lives leaves by itself
        return self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self.input, self.output):
            # A process that has died did not read what is still to be written.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def open_replies() -> Callable[[Any], None]:
    """The process's own side: answers a JSON value on standard output, which is for our messages alone from now on.

    What an expert or a library prints goes to standard error.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(message: Any) -> None:
        try:
            print(json.dumps(message), file=replies, flush=True)
        except BrokenPipeError:
            os._exit(0)  # nobody hears the answer any more: as when the input closes, which may be noticed later

    return reply


class _Worker(Process):
    """A process that serves, the task that it is at, and the thread that hears its answers."""

    def __init__(self, log: Path | None, messages: "queue.SimpleQueue[Any]") -> None:
        try:
            super().__init__(serve, log=log)
        except OSError as error:
            raise UserError(f"no process could be started: {error}") from None
        self.log = log
        self.task: int | None = None
        self.listener = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self.listener.start()

    def give(self, task: tuple[int, Any]) -> None:
        # Where it has died, the thread has heard that, or will.
        self.task = task[0]
        self.send(task[1])

    def death(self) -> WorkerDiedError:
        status, lines = self.end(GRACE_S), []
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines() if self.log else []
        words = f": {lines[-1][:LAST_WORDS]}" if lines else ""
        return WorkerDiedError(f"its process ended with status {status}{words}")

    def _listen(self, messages: "queue.SimpleQueue[Any]") -> None:
        # A line that is cut, or no message, is the last one that counts.
        with contextlib.suppress(ValueError, TypeError):
            for line in self.output:
                messages.put((self, dict(json.loads(line))))
        messages.put((self, None))

    def _close_pipes(self) -> None:
        self.listener.join()  # which reads from them
        super()._close_pipes()


def _as_exception(message: dict[str, Any]) -> Exception:
    if message.get("user"):
        return UserError(message["error"])
    if "errno" in message:
        return OSError(message["errno"], message["error"], message["file"])
    return RuntimeError(message["error"])
