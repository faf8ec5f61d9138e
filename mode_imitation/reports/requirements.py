"""`--require "goals>=9,cost<=60"`: which modes are good enough, judged by their guarantees and never by their means."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.reports.guarantees import SIDES, log_capital
from mode_imitation.reports.layouts import BLOCK

SIGNS = {"at_least": ">=", "at_most": "<="}
_CONDITION = re.compile(r"\s*([A-Za-z_]+)\s*(>=|<=|==|=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Condition:
    """One bound that is asked for."""

    figure: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.figure}{SIGNS[SIDES[self.figure]]}{self.threshold:g}"


@dataclass(frozen=True)
class Verdict:
    """Whether one mode meets every condition, and what is missing where it does not."""

    mode: int
    qualifies: bool
    missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"mode": self.mode, "qualifies": self.qualifies, "missing": list(self.missing)}


def parse_requirements(text: str) -> list[Condition]:
    """Read `goals>=9,cost<=60`; whitespace does not matter.

    Raises:
        UserError: it cannot be read, names a figure without guarantees, or asks for a bound from the other side.
    """
    example = "expected conditions with commas, as in `goals>=9,cost<=60`"
    conditions: list[Condition] = []
    for part in text.split(","):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise UserError(f"--require: {part.strip() or 'nothing'!r} is not a condition; {example}")
        figure, sign, number = match.groups()
        if figure not in SIDES:
            raise UserError(f"--require: there is no guarantee for {figure!r}; there are ones for {', '.join(SIDES)}")
        if sign != SIGNS[SIDES[figure]]:
            side = "a lower" if SIDES[figure] == "at_least" else "an upper"
            raise UserError(
                f"--require: {part.strip()!r}; {figure} has {side} bound: `{figure}{SIGNS[SIDES[figure]]}...`"
            )
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if not math.isfinite(threshold):
            raise UserError(f"--require: {number!r} in {part.strip()!r} is not a number; {example}")
        conditions.append(Condition(figure, threshold))
    return conditions


def judge(
    conditions: Sequence[Condition],
    guarantees: Mapping[int, Mapping[str, Mapping[str, Any] | None]],
    values: Mapping[int, Mapping[str, np.ndarray | None]],
) -> list[Verdict]:
    """A verdict for each mode.

    A mode that falls short of one condition qualifies wrongly only if that condition's bound is wrong, so that several
    conditions cost no confidence; that there are several modes to choose from is in the bounds already.

    Args:
        conditions: all of which must be met.
        guarantees: of each mode, by figure, as `Guarantee.as_dict` has them.
        values: (N,) of each mode and figure, from which the number of layouts that would do is guessed.
    """
    verdicts = []
    for mode, known in guarantees.items():
        missing = [
            text
            for condition in conditions
            if (text := _missing(condition, known.get(condition.figure), values[mode].get(condition.figure)))
        ]
        verdicts.append(Verdict(mode, not missing, tuple(missing)))
    return verdicts


def _missing(condition: Condition, guarantee: Mapping[str, Any] | None, values: np.ndarray | None) -> str | None:
    """What keeps a mode from meeting a condition; None where it meets it."""
    if guarantee is None or values is None:
        return f"{condition}: nothing is guaranteed of its {condition.figure}"
    sign = 1.0 if guarantee["side"] == "at_least" else -1.0
    if sign * (guarantee["bound"] - condition.threshold) >= 0:
        return None
    found = f"{condition}: guaranteed is {guarantee['bound']:.4g}, its mean {values.mean():.4g}"
    if sign * (values.mean() - condition.threshold) <= 0:
        return found
    n = layouts_needed(
        sign * (values - guarantee["edge"]), sign * (condition.threshold - guarantee["edge"]), guarantee["confidence"]
    )
    return f"{found}; " + (f"about --layouts {n} might show it" if n else f"{BLOCK:,} layouts, which is all, would not")


def layouts_needed(values: np.ndarray, threshold: float, confidence: float) -> int | None:
    """How many values like these it takes to guarantee that their expectation is at least `threshold`.

    Args:
        values: (N,) >= 0, with a mean above the threshold.
        threshold: > 0.
        confidence: of the guarantee.

    Returns:
        Rounded up to two digits; None where it is more layouts than there are.
    """
    distinct, counts = np.unique(values, return_counts=True)
    target = -math.log(1.0 - confidence)
    low, high = 0, BLOCK + 1
    while high - low > 1:
        middle = (low + high) // 2
        enough = log_capital(distinct, counts * (middle / len(values)), threshold) >= target
        low, high = (low, middle) if enough else (middle, high)
    if high > BLOCK:
        return None
    step = 10 ** max(len(str(high)) - 2, 0)
    return -(-high // step) * step
