"""Processes that run `python -m module` and speak lines of JSON with us: both sides of the pipes.

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
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
