"""What the HDF5 library needs of us: a file that cannot fail under it, and signals that wait while it is at work.

An exception in one of the library's calls to us is dropped there: then data is missing without a word, or the process
crashes.
"""

import io
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")


class PatientFile(io.FileIO):
    """A file that keeps the first error to itself until it is asked, and drops what is written after it.

    The library cannot close a file on a full disk: it tries again and again, prints, and may crash at exit.

    Raises:
        BaseException: that error, by `check` and on leaving, when the library has closed its own file.
    """

    error: BaseException | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._kept(lambda: self._write_all(view), None)
        return len(view)

    def _write_all(self, view: memoryview) -> None:
        written = 0
        while self.error is None and written < len(view):
            written += super().write(view[written:]) or 0

    def truncate(self, size: int | None = None, /) -> int:
        # Growing a file by truncation can meet the same limit as writing.
        return self._kept(lambda: super(PatientFile, self).truncate(size), size or 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._kept(lambda: super(PatientFile, self).seek(offset, whence), offset)

    def tell(self) -> int:
        return self._kept(super().tell, 0)

    def flush(self) -> None:
        self._kept(super().flush, None)

    def readinto(self, buffer: Any, /) -> int:
        return self._kept(lambda: super(PatientFile, self).readinto(buffer), 0) or 0

    def read(self, size: int | None = -1, /) -> bytes:
        return self._kept(lambda: super(PatientFile, self).read(size), b"") or b""

    def _kept(self, call: Callable[[], Item], otherwise: Item) -> Item:
        try:
            return call()
        except BaseException as error:
            self.error = self.error or error
            return otherwise

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
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
