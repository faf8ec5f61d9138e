"""Which of the original experiment's claims hold, decided from a sweep's numbers. Evaluation only: it takes labels.

"Multiple Experts, Multiple Objectives" (Eloundou 2021) says that with step size 1 the experts separate from k = 4 on,
that with larger steps they separate at smaller k, and that the simplest behaviour is learned first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

SEPARATED = 0.5
"""Codes separate the experts where a window's code tells at least this share of what there is to know about its expert
(homogeneity, which does not punish surplus codes; the median over seeds)."""
FROM_K = 4
"""k from which on the original reports separation at step size 1."""
AS_SIMPLE = 0.2
"""Nats per step: experts whose actions are at most so much more varied than the least varied ones are simplest."""
HALF_WAY = 0.5
"""An expert is learned when its fit has come so far from the uninformed one to the best that any expert reaches."""


@dataclass(frozen=True)
class Claim:
    name: str
    holds: bool | None
    """None where the sweep cannot tell."""
    evidence: str
    """The numbers that decide, in one sentence."""

    @property
    def verdict(self) -> str:
        return "cannot be told" if self.holds is None else "holds" if self.holds else "does not hold"


def separation(cells: Sequence[Mapping[str, Any]], objective: str) -> dict[int, dict[int, float]]:
    """{stride: {k: median over seeds of the windows' homogeneity}}"""
    values: dict[int, dict[int, list[float]]] = {}
    for entry in cells:
        cell = entry["cell"]
        if entry["status"] == "done" and cell["objective"] == objective:
            row = values.setdefault(cell["stride"], {})
            row.setdefault(cell["codes"], []).append(entry["homogeneity"])
    return {
        stride: {k: float(np.median(seeds)) for k, seeds in sorted(row.items())}
        for stride, row in sorted(values.items())
    }


def judge_claims(
    cells: Sequence[Mapping[str, Any]], objective: str, entropies: Mapping[str, float], uninformed: float
) -> list[Claim]:
    """The three claims for one objective.

    Args:
        cells: as their files hold them.
        objective: whose cells are looked at.
        entropies: how varied each expert's actions are, nats per step.
        uninformed: fit of one Gaussian for all actions, nats per step.
    """
    grid = separation(cells, objective)
    done = [entry for entry in cells if entry["status"] == "done" and entry["cell"]["objective"] == objective]
    curves = [entry["fit"] for entry in done]
    return [separates_from_four(grid), separates_earlier(grid), simplest_first(curves, entropies, uninformed)]


def separates_from_four(grid: Mapping[int, Mapping[int, float]]) -> Claim:
    """At step size 1: separated for every k from 4 on and for none below."""
    name = f"With step size 1 the experts separate from k = {FROM_K} on"
    row = grid.get(1, {})
    below = [value for k, value in row.items() if k < FROM_K]
    above = [value for k, value in row.items() if k >= FROM_K]
    if not below or not above:
        return Claim(name, None, f"The sweep has no step size 1 with k on both sides of {FROM_K}")
    holds = min(above) >= SEPARATED > max(below)
    listed = ", ".join(f"k = {k}: {value:.2f}" for k, value in row.items())
    early = min((k for k, value in row.items() if value >= SEPARATED and k < FROM_K), default=None)
    sooner = f"; they separate already at k = {early}" if early is not None else ""
    evidence = f"Homogeneity at step size 1 is {listed}; separated means {SEPARATED:g} or more{sooner}"
    return Claim(name, holds, evidence)


def separates_earlier(grid: Mapping[int, Mapping[int, float]]) -> Claim:
    """The smallest k that separates never rises with the step size, and falls from the smallest to the largest."""
    name = "With larger steps they separate at smaller k"
    if len(grid) < 2 or min(len(row) for row in grid.values()) < 2:
        return Claim(name, None, "The sweep has fewer than two step sizes or values of k")
    first = {
        stride: min((k for k, value in row.items() if value >= SEPARATED), default=None) for stride, row in grid.items()
    }
    order = [np.inf if k is None else k for k in first.values()]
    holds = all(later <= earlier for earlier, later in pairwise(order)) and order[-1] < order[0]
    listed = ", ".join(f"{stride}: {'none' if k is None else k}" for stride, k in first.items())
    return Claim(name, holds, f"The smallest k that separates is, by step size, {listed}")


def learned_level(fit: Mapping[str, Any], uninformed: float) -> float:
    """The fit, nats per step, from which on an expert counts as learned in this training."""
    best = max(max(values) for values in fit["fits"].values())
    return uninformed + HALF_WAY * (best - uninformed)


def learned_at(fit: Mapping[str, Any], uninformed: float) -> dict[str, float]:
    """The first iteration at which each expert's fit is half-way to the best that any reaches; inf for never.

    Args:
        fit: {"iterations": (N,), "fits": {expert: (N,)}}.
        uninformed: the fit that counts as nothing learned.
    """
    level = learned_level(fit, uninformed)
    found = {}
    for name, values in fit["fits"].items():
        reached = np.flatnonzero(np.asarray(values) >= level)
        found[name] = float(fit["iterations"][reached[0]]) if len(reached) else float("inf")
    return found


def simplest_first(curves: Sequence[Mapping[str, Any]], entropies: Mapping[str, float], uninformed: float) -> Claim:
    """In most trainings an expert of the least varied actions is learned before every expert of more varied ones."""
    name = "The simplest behaviour is learned first"
    simplest = {expert for expert, value in entropies.items() if value <= min(entropies.values()) + AS_SIMPLE}
    others = set(entropies) - simplest
    known = [fit for fit in curves if set(fit["fits"]) == set(entropies) and len(fit["iterations"])]
    if not others or not known:
        why = "All experts' actions are equally varied" if not others else "No training recorded every expert's fit"
        return Claim(name, None, why)
    times = [learned_at(fit, uninformed) for fit in known]
    firsts = [min(at[e] for e in simplest) < min(at[e] for e in others) for at in times]
    median = {expert: float(np.median([at[expert] for at in times])) for expert in sorted(entropies)}
    listed = ", ".join(
        f"{expert} {'never' if at == float('inf') else f'at iteration {at:,.0f}'}" for expert, at in median.items()
    )
    return Claim(
        name,
        sum(firsts) * 2 > len(firsts),
        f"The simplest (least varied actions) is {' or '.join(sorted(simplest))}, learned first in {sum(firsts)} of "
        f"{len(firsts)} trainings; half of the fit is reached, in the median, by {listed}",
    )
