"""Tasks of `generate` in several processes, each with its progress; what one of them raises ends them all."""

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mode_imitation.errors import UserError
from mode_imitation.processes import open_messages, open_replies, send, start_process, stop_processes


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
            send(worker, job)
        busy = 0
        for worker in workers[: len(waiting)]:
            send(worker, waiting.pop())
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
                send(worker, waiting.pop())
            else:
                busy -= 1


def serve(prepare: Callable[[dict[str, Any]], Callable[[dict[str, Any], Callable[[int], object]], None]]) -> None:
    """The worker's side: do tasks until standard input closes, then leave the process.

    Args:
        prepare: gets the job, returns the function that does one task and reports progress to its second argument.
    """
    replies, messages = open_replies(), open_messages()

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        do = prepare(messages.get())
        while True:
            do(messages.get(), lambda steps: reply(steps=steps))
            reply(done=True)
    except UserError as error:
        reply(error=str(error), user=True)
    except OSError as error:
        reply(error=str(error.strerror), errno=error.errno, file=error.filename and str(error.filename))
    # Anything else is a bug: its traceback goes to standard error.


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


def _as_exception(message: dict[str, Any]) -> Exception:
    if message.get("user"):
        return UserError(message["error"])
    return OSError(message["errno"], message["error"], message["file"])
