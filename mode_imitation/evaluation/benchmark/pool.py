"""Cells in processes of their own, a few at a time; a cell that fails, or whose process dies, stops no other."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence

from mode_imitation.evaluation.benchmark.cells import LOG, Cell
from mode_imitation.evaluation.benchmark.worker import MODULE

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_cells(cells: Sequence[Cell], n_jobs: int, module: str = MODULE) -> Generator[tuple[Cell, str | None]]:
    """Do every cell; yield each as it ends, with the reason where it failed (which is recorded in the cell too).

    Args:
        cells: in the order in which they are begun.
        n_jobs: processes at a time, at least 1, each on one core.
        module: run with `python -m`; see `worker`.

    When the iteration is left early, Ctrl-C included, the processes end at once; what they had begun is done again, or
    gone on with, by the next call.
    """
    waiting: queue.Queue[Cell] = queue.Queue()
    for cell in cells:
        waiting.put(cell)
    ended: queue.Queue[tuple[Cell, str | None]] = queue.Queue()
    running: set[subprocess.Popen] = set()
    lock, stopped = threading.Lock(), threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            reason = _run(cell, module, running, lock, stopped)
            if not stopped.is_set():
                if reason is not None:
                    cell.fail(reason)
                ended.put((cell, reason))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(n_jobs, len(cells)))]
    try:
        for thread in threads:
            thread.start()
        for _ in cells:
            yield ended.get()
    finally:
        stopped.set()
        with lock:
            for process in running:
                process.kill()
        for thread in threads:
            thread.join()


def _run(
    cell: Cell, module: str, running: set[subprocess.Popen], lock: threading.Lock, stopped: threading.Event
) -> str | None:
    """One cell in a process; why it failed, or None."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    paths = [path or os.getcwd() for path in sys.path]
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
    with (cell.folder / LOG).open("w") as log:
        with lock:
            if stopped.is_set():
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                # A group of its own: Ctrl-C reaches only the parent, which then ends its workers.
                process_group=0 if os.name == "posix" else None,
            )
            running.add(process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"folder": str(cell.folder), "job": cell.job}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait()
            with lock:
                running.discard(process)
    if not answer:
        return f"its process ended with status {status}; see {cell.folder / LOG}"
    return json.loads(answer)["error"]
