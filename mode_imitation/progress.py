"""Progress of anything that takes over two seconds: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LOG_EVERY_S = 5.0


class Progress(Protocol):
    """What a long-running function reports to; `no_progress` is the silent one."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Tell that `steps` more units are done; `note` is a short text shown behind the bar."""


class _Silent:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


no_progress: Progress = _Silent()


class _Lines:
    """Plain lines, one every LOG_EVERY_S seconds and one at the end, for output that is not a terminal."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.note = ""
        self.started = self.printed = time.monotonic()
        self.first: tuple[float, int] | None = None

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        self.note = note or self.note
        now = time.monotonic()
        # What comes before the first unit is done, processes that start say, says nothing of how long the others take.
        self.first = self.first or (now, self.done)
        if now - self.printed >= LOG_EVERY_S and self.done < self.total:
            self.printed = now
            rate = f"{self.rate()}, " if self.unit else ""
            began, before = self.first
            if self.done > before:
                left = (self.total - self.done) * (now - began) / (self.done - before)
                self.print(f"{rate}{_clock(left)} left")
            else:
                self.print("just begun" if self.done else "none done yet")

    def rate(self) -> str:
        return _rate(self.done / max(time.monotonic() - self.started, 1e-9), self.unit)

    def print(self, tail: str) -> None:
        note = f"  {self.note}" if self.note else ""
        far = f"{self.done:,}/{self.total:,} {self.unit}" if self.unit else f"{self.done / self.total:.0%}"
        print(f"{self.label}: {far}, {tail}{note}", file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, bar, task, unit: str) -> None:
        self.bar, self.task, self.unit = bar, task, unit

    def advance(self, steps: int = 1, note: str = "") -> None:
        fields = {"note": note} if note else {}
        self.bar.update(self.task, advance=steps, **fields)
        speed = self.bar.tasks[self.task].speed
        self.bar.update(self.task, rate=_rate(speed, self.unit) if speed and self.unit else "")


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Progress]:
    """Show how far a long job is, its rate and the time left, on standard error.

    Args:
        label: what is being done, "generating" say.
        total: units of work in all.
        unit: what is counted, in the plural: "steps", "iterations"; "" for what is only a share of the whole.
    """
    if not sys.stderr.isatty():
        lines = _Lines(label, total, unit)
        yield lines
        if lines.done:
            rate = f"{lines.rate()}, " if unit else ""
            lines.print(f"{rate}took {_clock(time.monotonic() - lines.started)}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if unit else TextColumn("{task.percentage:.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(label, total=total, rate="", note=""), unit)


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second:,.0f} {unit}/s" if per_second >= 10 else f"{per_second:.2g} {unit}/s"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
