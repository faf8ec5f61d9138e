"""Tasks in processes that run `python -m module` and speak lines of JSON with us: both sides of the pipes.

Not multiprocessing, because that imports the caller's main module again in every process (so a user's script without a
`__main__` guard would start itself over and over) and passes pickles. A process hears us on its standard input and
leaves at once when that closes, which it does however we die; so none is left behind.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from mode_imitation.errors import UserError

Advance = Callable[[int], object]
"""Told how many more units of a task are done."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LAST_WORDS = 200
"""Most characters of a log that are quoted."""
GRACE_S = 5.0
"""For a process that has stopped answering to end by itself, with a status of its own."""


class WorkerDiedError(RuntimeError):
    """A process that ended over its task, or answered what is no message."""


def run_tasks(
    module: str,
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
        module: run with `python -m`; it calls `serve`.
        job: JSON values, what every process is told first.
        tasks: JSON values, begun in this order.
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

    def start(number: int) -> None:
        worker = _Worker(module, job, logs and logs / f"process-{number}.log", messages)
        workers.append(worker)
        worker.give(waiting.popleft())

    try:
        for number in range(min(n_workers, len(tasks))):
            start(number)
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
                    start(len(workers))
            else:
                outcome = _as_exception(message) if "error" in message else message["answer"]
                if waiting:
                    worker.give(waiting.popleft())
            yield index, outcome
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.listener.join()
        # Only now that no thread reads from them.
        stop_processes(worker.process for worker in workers)


def serve(prepare: Callable[[Any], Callable[[Any, Advance], Any]]) -> None:
    """The process's own side: do tasks until standard input closes, then leave.

    Args:
        prepare: gets the job; returns the function that does one task, reports progress to its second argument and
            returns the answer, JSON values.
    """
    replies, messages = open_replies(), open_messages()

    def reply(**message: Any) -> None:
        try:
            print(json.dumps(message), file=replies, flush=True)
        except BrokenPipeError:
            os._exit(0)  # nobody hears the answer any more: as when the input closes, which may be noticed later

    job, do = messages.get(), None
    while True:
        task = messages.get()
        try:
            do = do or prepare(job)
            answer = do(task, lambda units: reply(progress=units))
        except UserError as error:
            reply(error=str(error), user=True)
        except OSError as error:
            reply(error=error.strerror or str(error), errno=error.errno, file=error.filename and str(error.filename))
        except Exception as error:
            traceback.print_exc()
            reply(error=one_line(error))
        else:
            reply(answer=answer)


def one_line(error: BaseException) -> str:
    """What a table says of an error: a user's mistake as it is, anything else with its kind in front."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def start_process(module: str, *, inherited: tuple[int, ...] = (), log: Path | None = None) -> subprocess.Popen:
    """A process with pipes to its standard input and output, the same imports as here, and one thread per BLAS.

    Args:
        module: run with `python -m`; a user's own module may be found beside it too.
        inherited: file descriptors that it shall have under the same numbers.
        log: file to write its standard error to; None to share ours.

    Raises:
        OSError: it cannot be started, or the log not be written.
    """
    paths = [path or os.getcwd() for path in sys.path]
    with contextlib.nullcontext() if log is None else log.open("w") as errors:
        return subprocess.Popen(
            # -P: else the working folder would come before everything that is imported from elsewhere here.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)},
            pass_fds=inherited,
            # A group of its own: Ctrl-C reaches only the parent, which then ends its processes.
            process_group=0 if os.name == "posix" else None,
        )


def send(process: subprocess.Popen, message: Any) -> bool:
    """Write a message, JSON values, as a line; False where the process has died, which gives no answer either."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return True


def stop_processes(processes: Iterable[subprocess.Popen]) -> None:
    """End them now, whatever they are at, and free what they held here."""
    processes = list(processes)
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        close_pipes(process)


def close_pipes(process: subprocess.Popen) -> None:
    """Close both pipes, at which a process that lives leaves by itself."""
    for pipe in (process.stdin, process.stdout):
        # A process that has died did not read what is still to be written.
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()


def open_messages() -> "queue.SimpleQueue[Any]":
    """The process's own side: messages, as they come. When standard input closes the process leaves, busy or not."""
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        with contextlib.suppress(ValueError):  # a cut line: the parent died over it
            for line in sys.stdin:
                messages.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    return messages


def open_replies() -> IO[str]:
    """Standard output, for our messages alone: what an expert or a library prints goes to standard error from now."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


class _Worker:
    """A process, the task that it is at, and the thread that hears its answers."""

    def __init__(self, module: str, job: Any, log: Path | None, messages: "queue.SimpleQueue[Any]") -> None:
        try:
            self.process = start_process(module, log=log)
        except OSError as error:
            raise UserError(f"no process could be started: {error}") from None
        self.log = log
        self.task: int | None = None
        self.listener = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self.listener.start()
        send(self.process, job)

    def give(self, task: tuple[int, Any]) -> None:
        # Where it has died, the thread has heard that, or will.
        self.task = task[0]
        send(self.process, task[1])

    def _listen(self, messages: "queue.SimpleQueue[Any]") -> None:
        assert self.process.stdout is not None
        # A line that is cut, or no message, is the last one that counts.
        with contextlib.suppress(ValueError, TypeError):
            for line in self.process.stdout:
                messages.put((self, dict(json.loads(line))))
        messages.put((self, None))

    def death(self) -> WorkerDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        self.listener.join()
        close_pipes(self.process)
        status = self.process.wait()
        words = self.last_words()
        return WorkerDiedError(f"its process ended with status {status}" + (f": {words}" if words else ""))

    def last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines() if self.log else []
        except OSError:
            return ""
        return lines[-1][:LAST_WORDS] if lines else ""


def _as_exception(message: dict[str, Any]) -> Exception:
    if message.get("user"):
        return UserError(message["error"])
    if "errno" in message:
        return OSError(message["errno"], message["error"], message["file"])
    return RuntimeError(message["error"])
