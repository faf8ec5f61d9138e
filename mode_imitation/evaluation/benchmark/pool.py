"""Cells in a few processes side by side; a cell that fails, or whose process dies, stops no other."""

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
        n_jobs: processes, at least 1, each on one core.
        module: run with `python -m`; see `worker`.

    Raises:
        OSError: no process can be started, or a failure cannot be recorded (the disk is full, say).

    When the iteration is left early, Ctrl-C included, the processes end at once; what they had begun is done again, or
    gone on with, by the next call.
    """
    waiting: queue.Queue[Cell] = queue.Queue()
    for cell in cells:
        waiting.put(cell)
    ended: queue.Queue[tuple[Cell, str | None] | OSError] = queue.Queue()
    slots = [_Slot(module) for _ in range(min(n_jobs, len(cells)))]

    def work(slot: _Slot) -> None:
        while True:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                reason = slot.do(cell)
                if slot.stopped:
                    return
                if reason is not None:
                    cell.fail(reason)
            except OSError as error:
                # For the user of the generator, who would otherwise wait for this cell for ever.
                ended.put(error)
                return
            ended.put((cell, reason))

    threads = [threading.Thread(target=work, args=(slot,), daemon=True) for slot in slots]
    try:
        for thread in threads:
            thread.start()
        for _ in cells:
            found = ended.get()
            if isinstance(found, OSError):
                raise found
            yield found
    finally:
        for slot in slots:
            slot.stop()
        for thread in threads:
            thread.join()
        for slot in slots:
            slot.close()


class _Slot:
    """One process that does a cell after the other, and another one where that has died."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.stopped = False
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()

    def do(self, cell: Cell) -> str | None:
        """Do a cell; why it failed, or None."""
        with self.lock:
            if self.stopped:
                return None
            if self.process is None:
                self.process = _start(self.module)
            process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        answer = ""
        with contextlib.suppress(BrokenPipeError):  # it has died; there is no answer then
            process.stdin.write(json.dumps(cell.message()) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        if answer:
            return json.loads(answer)["error"]
        status = self.close()
        return f"its process ended with status {status}; see {cell.folder / LOG}"

    def stop(self) -> None:
        """End the process, whatever it is at, and start no other; `close` then tidies up."""
        with self.lock:
            self.stopped = True
            if self.process is not None:
                self.process.kill()

    def close(self) -> int | None:
        """Close the pipes of a process that is at nothing, and return its status; None where there is none."""
        with self.lock:
            process, self.process = self.process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        return process.wait()


def _start(module: str) -> subprocess.Popen:
    # The same imports as here.
    paths = [path or os.getcwd() for path in sys.path]
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)},
        # A group of its own: Ctrl-C reaches only the parent, which then ends its workers.
        process_group=0 if os.name == "posix" else None,
    )
