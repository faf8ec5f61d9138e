"""Worker processes of `generate`: started as plain subprocesses that speak lines of JSON.

Not multiprocessing, because that imports the caller's main module again in every worker (so a user's script without a
`__main__` guard would start itself over and over) and passes pickles. A worker gets tasks on its standard input and
leaves at once when that closes, which it does however the parent dies; so none is left behind.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from mode_imitation.errors import UserError

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_in_processes(
    module: str,
    job: dict[str, Any],
    tasks: Sequence[dict[str, Any]],
    n_workers: int,
    on_progress: Callable[[int], object],
) -> None:
    """Do every task in one of `n_workers` processes.

    Args:
        module: run with `python -m`; it calls `serve`.
        job: what every worker needs to know, JSON values.
        tasks: JSON values, given out in this order as workers become free.
        n_workers: processes, at least 1.
        on_progress: called here with the number of units that a worker reports.

    Raises:
        UserError, OSError: what a worker raised; the others are stopped.
        RuntimeError: a worker died, or raised anything else (its traceback is on standard error).
    """
    waiting = list(reversed(tasks))
    messages: queue.Queue[tuple[subprocess.Popen, dict[str, Any] | None]] = queue.Queue()
    with _started(module, n_workers) as workers:
        for worker in workers:
            threading.Thread(target=_listen, args=(worker, messages), daemon=True).start()
            _send(worker, job)
        busy = 0
        for worker in workers[: len(waiting)]:
            _send(worker, waiting.pop())
            busy += 1
        while busy:
            worker, message = messages.get()
            if message is None:
                raise RuntimeError(f"a worker process ended with status {worker.wait()}; see what it printed above")
            if "steps" in message:
                on_progress(message["steps"])
            elif "error" in message:
                raise _as_exception(message)
            elif waiting:
                _send(worker, waiting.pop())
            else:
                busy -= 1


def serve(prepare: Callable[[dict[str, Any]], Callable[[dict[str, Any], Callable[[int], object]], None]]) -> None:
    """The worker's side: do tasks until standard input closes, then leave the process.

    Args:
        prepare: gets the job, returns the function that does one task and reports progress to its second argument.
    """
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    replies = open_replies()

    def receive() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(0)

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    threading.Thread(target=receive, daemon=True).start()
    try:
        do = prepare(tasks.get())
        while True:
            do(tasks.get(), lambda steps: reply(steps=steps))
            reply(done=True)
    except UserError as error:
        reply(error=str(error), user=True)
    except OSError as error:
        reply(error=str(error.strerror), errno=error.errno, file=error.filename and str(error.filename))
    # Anything else is a bug: its traceback goes to standard error.


def open_replies() -> IO[str]:
    """Standard output, for our messages alone: what an expert or a library prints goes to standard error from now."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def start_process(module: str, inherited: tuple[int, ...] = ()) -> subprocess.Popen:
    """A process that runs `python -m module`, with pipes to its standard input and output and the same imports as here.

    Args:
        module: a user's own module may be found beside it too.
        inherited: file descriptors that it shall have under the same numbers.
    """
    paths = [path or os.getcwd() for path in sys.path]
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)},
        pass_fds=inherited,
        # A group of its own: Ctrl-C reaches only the parent, which then ends its workers.
        process_group=0 if os.name == "posix" else None,
    )


def stop_processes(workers: Sequence[subprocess.Popen]) -> None:
    """End them now, and free what they held here."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            _close(pipe)


@contextmanager
def _started(module: str, n_workers: int) -> Iterator[list[subprocess.Popen]]:
    workers: list[subprocess.Popen] = []
    try:
        for _ in range(n_workers):
            workers.append(start_process(module))
        yield workers
    finally:
        stop_processes(workers)


def _listen(worker: subprocess.Popen, messages: queue.Queue) -> None:
    assert worker.stdout is not None
    try:
        for line in worker.stdout:
            messages.put((worker, json.loads(line)))
    except ValueError:
        pass  # the pipe was closed under us, or the last line was cut: the worker is ending
    messages.put((worker, None))


def _send(worker: subprocess.Popen, message: dict[str, Any]) -> None:
    assert worker.stdin is not None
    try:
        worker.stdin.write(json.dumps(message) + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass  # it has died; its listener says so


def _close(pipe: IO[str] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except (BrokenPipeError, ValueError):
        pass


def _as_exception(message: dict[str, Any]) -> Exception:
    if message.get("user"):
        return UserError(message["error"])
    return OSError(message["errno"], message["error"], message["file"])
