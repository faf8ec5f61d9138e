"""How far apart two columns are: differences of ratios, with what both faced drawn again together.

Two intervals that overlap say little about a difference: both columns drove the same layouts, and a hard layout pulls
both down. Here every resample takes the same layouts for both, and seeds of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.reports.benchmark.aggregate import Cells, switches, table
from mode_imitation.reports.benchmark.config import OURS, REFERENCE, seekers
from mode_imitation.reports.statistics import Interval, bootstrap_crossed


@dataclass(frozen=True)
class Difference:
    """Of one figure, in units of the experts'."""

    figure: str
    method: str
    minus: str
    """What is taken off: another method, or DEFAULT."""
    interval: Interval | None
    """None where the experts' own figure is 0, and a ratio to it would mean nothing."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the interval's numbers beside the names."""
        names = {"figure": self.figure, "method": self.method, "minus": self.minus}
        return names | ({} if self.interval is None else self.interval.as_dict())


DEFAULT = "default"
"""The same method on the set's data and with the actor as they are without options."""


def between_methods(cells: Mapping[str, Cells], experts: Sequence[str]) -> list[Difference]:
    """Ours minus every other method.

    Args:
        cells: method -> its finished cells; REFERENCE is the experts'.
        experts: names.
    """
    found = []
    for method, others in cells.items():
        if method not in (REFERENCE, OURS):
            found += _differences(OURS, method, cells.get(OURS, ()), others, cells.get(REFERENCE, ()), experts)
    return found


def to_default(cells: Mapping[str, Cells], default: Mapping[str, Cells], experts: Sequence[str]) -> list[Difference]:
    """Every method minus itself as it is without options.

    Args:
        cells: method -> its finished cells.
        default: the same of the benchmark without options; on the same layouts.
        experts: names.
    """
    found = []
    for method, own in cells.items():
        if method != REFERENCE:
            found += _differences(method, DEFAULT, own, default.get(method, ()), cells.get(REFERENCE, ()), experts)
    return found


def _differences(
    method: str, minus: str, own: Cells, others: Cells, reference: Cells, experts: Sequence[str]
) -> list[Difference]:
    """Goals of every goal seeker's mode, and those after each excursion, over the experts'."""
    if not (own and others and reference):
        return []
    tables = {}
    for expert in seekers(experts):
        theirs = table(reference, expert, "goals", "mean")
        for drawn in ("mean", "sampled"):
            if all(drawn in cell["drives"] for cell in (*own, *others)):
                pair = (table(columns, expert, "goals", drawn) for columns in (own, others))
                tables[f"{expert}: goals, {drawn} action"] = (*pair, theirs)
    for name in own[0]["switching"]:
        other, _, steps = name.partition(":")
        if not all(any(switches(cell, name) for cell in cells) for cells in (own, others)):
            continue
        triple = (np.array([cell["switching"][name][-1] for cell in cells]) for cells in (own, others, reference))
        tables[f"goals after {steps} steps of {other}"] = tuple(triple)
    found = []
    for figure, (values, taken_off, theirs) in tables.items():
        found.append(Difference(figure, method, minus, bootstrap_crossed(values, theirs, minus=taken_off)))
    return found
