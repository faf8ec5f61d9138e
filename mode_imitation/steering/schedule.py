"""Which mode drives when: "0:400,1:100,0" is mode 0 for 400 steps, mode 1 for 100, then mode 0 to the end."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mode_imitation.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """Segments of one mode each; the last one goes on for as long as the episode does."""

    segments: tuple[tuple[int, int | None], ...]
    """(mode, steps) in order; only the last segment may have None steps."""

    def modes(self, n_steps: int) -> np.ndarray:
        """(n_steps,) int64: the mode that drives each step of an episode."""
        modes = np.array([mode for mode, _ in self.segments])
        return modes[np.searchsorted(self.switches(), np.arange(n_steps), side="right")]

    def switches(self) -> list[int]:
        """First step of every segment but the first."""
        return np.cumsum([steps or 0 for _, steps in self.segments[:-1]]).tolist()

    @property
    def in_words(self) -> str:
        """ "mode 0 for 400 steps, mode 1 for 100 steps, then mode 0"."""
        *before, (last, _) = self.segments
        stretches = [f"mode {mode} for {steps} steps" for mode, steps in before]
        return ", ".join([*stretches, f"{'then ' if before else ''}mode {last}"])

    def check_modes(self, known: Collection[int]) -> None:
        """Refuse a schedule with a mode that is not in `known`.

        Raises:
            UserError: naming the ones that exist.
        """
        for mode, _ in self.segments:
            if mode not in known:
                raise UserError(
                    f"the schedule names mode {mode}; the run has modes {', '.join(map(str, sorted(known)))}"
                )

    def __str__(self) -> str:
        return ",".join(str(mode) if steps is None else f"{mode}:{steps}" for mode, steps in self.segments)


def parse_schedule(text: str) -> Schedule:
    """Read a schedule, `MODE:STEPS,MODE:STEPS,...,MODE`.

    Args:
        text: whitespace is ignored; steps may be left out in the last segment, which goes on to the end anyway.

    Raises:
        UserError: it cannot be read, or a segment has no steps.
    """
    segments: list[tuple[int, int | None]] = []
    parts = [part.strip() for part in text.split(",")]
    for position, part in enumerate(parts):
        mode, colon, steps = part.partition(":")
        try:
            segment = (int(mode), int(steps) if colon else None)
        except ValueError:
            raise UserError(f"{part!r} of schedule {text!r} is not MODE:STEPS; expected `0:400,1:100,0`") from None
        if segment[0] < 0:
            raise UserError(f"schedule {text!r} names mode {segment[0]}; modes count from 0")
        if segment[1] is None and position < len(parts) - 1:
            raise UserError(
                f"{part!r} of schedule {text!r} says no number of steps; only the last one may leave it out"
            )
        if segment[1] is not None and segment[1] < 1:
            raise UserError(f"{part!r} of schedule {text!r} lasts {segment[1]} steps; expected at least 1")
        segments.append(segment)
    return Schedule(tuple(segments))
