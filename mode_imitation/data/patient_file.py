"""What the HDF5 library needs of us: a file that cannot fail under it, and signals that wait while it is at work.

An exception in one of the library's calls to us is dropped there: then data is missing without a word, or the process
crashes.
"""

import io
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")


class PatientFile(io.RawIOBase):
    """A file, emptied at first, that keeps the first error to itself until it is asked, and drops what comes after it.

    The library cannot close a file on a full disk: it tries again and again, prints, and may crash at exit. So where it
    stands and how large the file is are kept here, as the library believes them to be, and asking for them cannot fail.

    Raises:
        OSError: the file cannot be opened.
        BaseException: the first error, by `check` and on leaving, when the library has closed its own file.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._position = self._size = 0
        self.error: BaseException | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._kept(lambda: self._write_all(view))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def _write_all(self, view: memoryview) -> None:
        written = 0
        while self.error is None and written < len(view):
            written += os.pwrite(self._handle, view[written:], self._position + written)

    def truncate(self, size: int | None = None, /) -> int:
        self._size = self._position if size is None else size
        # Growing a file by truncation can meet the same limit as writing.
        self._kept(lambda: os.ftruncate(self._handle, self._size))
        return self._size

    def flush(self) -> None:
        """Nothing is held back here."""

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        view[:count] = bytes(count)  # what was dropped reads as zeros
        self._kept(lambda: self._read_all(view[:count]))
        self._position += count
        return count

    def _read_all(self, view: memoryview) -> None:
        done = 0
        while done < len(view) and (part := os.pread(self._handle, len(view) - done, self._position + done)):
            view[done : done + len(part)] = part
            done += len(part)

    def _kept(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            self.error = self.error or error

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Close it; again is harmless."""
        if not self.closed:
            super().close()
            os.close(self._handle)

    def __exit__(self, *error: Any) -> None:
        self.close()
        # Whatever the library complained of came of this.
        self.check()


class WaitingSignals:
    """Inside `with`, in the main thread, signals that Python handles wait, as a handler may raise; Ctrl-C's does.

    They come back in on leaving, and between items.
    """

    def __init__(self) -> None:
        self.waiting = True
        self.arrived: list[int] = []
        self.handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self.handlers[number] = handler
                        signal.signal(number, self._handle)
            except BaseException:  # one came before it was to wait
                self._restore()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()
        self._deliver()

    def between(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; signals do not wait while the next one is made, however long that takes."""
        iterator = iter(items)
        while True:
            self._deliver()
            self.waiting = False
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.waiting = True
            yield item

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.waiting:
            self.arrived.append(number)
            return
        # If it raises, what follows is clearing up.
        self.waiting = True
        self.handlers[number](number, frame)
        self.waiting = False

    def _restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _deliver(self) -> None:
        while self.arrived:
            number = self.arrived.pop(0)
            self.handlers[number](number, None)
