"""From cells to results: means over seeds and layouts, with intervals, and differences between methods."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.modes.config import GOAL_EXPERT, OURS, REFERENCE, seekers
from benchmarks.modes.measure import FIGURES
from benchmarks.modes.statistics import bootstrap_crossed

CLUSTERING = {
    "episode_nmi": ("episode", "nmi"),
    "window_nmi": ("window", "nmi"),
    "window_nmi_in_arena": ("window_in_arena", "nmi"),
}
"""Row: where `compare_with_labels` has it."""
RIGHT = ("right_per_step_in_arena", "right_per_step")
SWITCHES = ("true", "found", "recall", "precision", "median_distance_steps")

Figures = Mapping[str, Any]
Cells = Sequence[Figures]
"""What was measured with each seed, in the seeds' order."""


def aggregate(cells: Mapping[str, Cells], experts: Sequence[str]) -> dict[str, Any]:
    """Every method's figures.

    Args:
        cells: method -> its finished cells; REFERENCE is the experts'.
        experts: names, in the order of the tables.

    Returns:
        Method -> figures, as results.json has them under "methods".
    """
    reference = cells.get(REFERENCE, ())
    results: dict[str, Any] = {}
    for method, found in cells.items():
        if not found:
            continue
        names = dict.fromkeys(name for cell in found for name in cell["seconds"])
        entry: dict[str, Any] = {"seeds": len(found)}
        entry["seconds"] = {name: float(np.mean([cell["seconds"][name] for cell in found])) for name in names}
        if method != REFERENCE:
            entry |= clustering(found, len(experts))
            entry["fidelity"] = over_seeds([cell["fidelity"] for cell in found])
            entry["leak"] = over_seeds([cell["leak"]["gap"] for cell in found])
        entry["experts"] = {name: closed_loop(found, reference, name, "mean") for name in experts}
        if any("sampled" in cell["drives"] for cell in found):
            entry["sampled"] = {name: closed_loop(found, reference, name, "sampled") for name in seekers(experts)}
        entry["switching"] = switching(found, reference)
        results[method] = entry
    return results


def clustering(cells: Cells, n_experts: int) -> dict[str, Any]:
    """Agreement of codes with labels, and how many runs have found exactly the experts: where experts take turns, as
    many modes as experts."""
    rows = {
        name: over_seeds([(cell["clustering"][part] or {}).get(metric) for cell in cells])
        for name, (part, metric) in CLUSTERING.items()
    }
    found = {"clustering": rows, "n_modes": [cell["n_modes"] for cell in cells]}
    if all("turns" in cell for cell in cells):
        exact = [cell["n_modes"] == n_experts for cell in cells]
        found["turns"] = turns([cell["turns"] for cell in cells])
    else:
        nmi = [cell["clustering"]["episode"]["nmi"] for cell in cells]
        exact = [cell["n_modes"] == n_experts and round(own, 6) == 1.0 for cell, own in zip(cells, nmi, strict=True)]
    return found | {"exact": sum(exact)}


def turns(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of experts that take turns, over seeds: what `turn_scores` counts; "all_" stands for disturbed steps too."""
    found = {name: over_seeds([one[name] for one in scores]) for name in RIGHT}
    found |= {f"all_{name}": over_seeds([one["all_steps"][name] for one in scores]) for name in RIGHT}
    return found | {f"switches_{name}": over_seeds([one["switches"][name] for one in scores]) for name in SWITCHES}


def closed_loop(cells: Cells, reference: Cells, expert: str, drawn: str) -> dict[str, Any]:
    """How the mode that stands for an expert drives, over seeds and layouts.

    Args:
        cells: of one method.
        reference: the experts' cells.
        expert: whose mode.
        drawn: "mean" or "sampled" actions.

    Returns:
        An interval for each of FIGURES; "ratio" has those to the expert's on the same layouts, None where the expert's
        own is not surely positive.
    """
    own = {name: table(cells, expert, name, drawn) for name in FIGURES}
    trained = is_trained(cells)
    found: dict[str, Any] = {name: interval(values, trained=trained) for name, values in own.items()}
    if reference:
        theirs = {name: table(reference, expert, name, "mean") for name in FIGURES}
        found["ratio"] = {name: ratio(own[name], theirs[name], trained=trained) for name in FIGURES}
    return found


def interval(values: np.ndarray, reference: np.ndarray | None = None, **options: Any) -> dict[str, float] | None:
    """As `bootstrap_crossed`, for JSON."""
    found = bootstrap_crossed(values, reference, **options)
    return None if found is None else asdict(found)


def ratio(values: np.ndarray, reference: np.ndarray, *, trained: bool = True) -> dict[str, float] | None:
    """Interval of a ratio of means; None where the reference is not surely positive, and a ratio would mean nothing."""
    below = bootstrap_crossed(reference, trained=False)
    return None if below is None or below.low <= 0 else interval(values, reference, trained=trained)


def table(cells: Cells, expert: str, figure: str, drawn: str) -> np.ndarray:
    """(S, L) a figure of the mode that stands for an expert, or of the expert itself: seeds by layouts."""
    rows = []
    for cell in cells:
        mode = str(cell["matching"][expert]) if "matching" in cell else expert
        rows.append(cell["drives"][drawn][mode][figure])
    return np.array(rows, dtype=np.float64)


def after(cells: Cells, name: str) -> np.ndarray:
    """(S, 3, L) goals in each segment of a schedule ("forward_moving:50")."""
    return np.array([cell["switching"][name] for cell in cells], dtype=np.float64)


def switching(cells: Cells, reference: Cells) -> dict[str, Any]:
    """Goals in each segment of each schedule, and their ratio to the experts' under the same schedule.

    `merged` says with how many seeds one mode stands for both experts, so that nothing is switched; where that is so
    with all of them there is no ratio.
    """
    found = {}
    for name in cells[0]["switching"]:
        own, trained = after(cells, name), is_trained(cells)
        parts = range(own.shape[1])
        entry: dict[str, Any] = {"goals": [interval(own[:, part], trained=trained) for part in parts]}
        entry["merged"] = sum(not switches(cell, name) for cell in cells)
        if reference and entry["merged"] < len(cells):
            theirs = after(reference, name)
            entry["ratio"] = [ratio(own[:, part], theirs[:, part], trained=trained) for part in parts]
        found[name] = entry
    return found


def switches(cell: Figures, name: str) -> bool:
    """Whether the two modes of a schedule ("forward_moving:50") are two; the experts always are."""
    other = name.partition(":")[0]
    return "matching" not in cell or cell["matching"][GOAL_EXPERT] != cell["matching"][other]


def differences(cells: Mapping[str, Cells], experts: Sequence[str]) -> list[dict[str, Any]]:
    """Ours minus every other method, in units of the experts' figure.

    Two intervals that overlap say little about a difference: both drove the same layouts, and a hard layout pulls both
    down. Here every resample takes the same layouts for both, and seeds of each.

    Args:
        cells: method -> its finished cells; REFERENCE is the experts'.
        experts: names.

    Returns:
        For each figure and method {"figure", "minus" (the method), and the interval's numbers}, without numbers where
        the experts' own figure is 0, and a ratio to it would mean nothing.
    """
    ours, reference = cells.get(OURS, ()), cells.get(REFERENCE, ())
    found = []
    for method, others in cells.items():
        if method in (REFERENCE, OURS) or not (ours and others and reference):
            continue
        for figure, values, taken_off, theirs in compared(ours, others, reference, experts):
            found.append({"figure": figure, "minus": method} | (interval(values, theirs, minus=taken_off) or {}))
    return found


def compared(
    own: Cells, others: Cells, reference: Cells, experts: Sequence[str]
) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Goals of every goal seeker's mode, and those after each excursion: (name, (S, L) of each of the three)."""
    found = []
    for expert in seekers(experts):
        theirs = table(reference, expert, "goals", "mean")
        for drawn in ("mean", "sampled"):
            if all(drawn in cell["drives"] for cell in (*own, *others)):
                pair = (table(columns, expert, "goals", drawn) for columns in (own, others))
                found.append((f"{expert}: goals, {drawn} action", *pair, theirs))
    for name in own[0]["switching"]:
        if all(any(switches(cell, name) for cell in cells) for cells in (own, others)):
            other, _, steps = name.partition(":")
            last = (after(cells, name)[:, -1] for cells in (own, others, reference))
            found.append((f"goals after {steps} steps of {other}", *last))
    return found


def is_trained(cells: Cells) -> bool:
    """Whether these are cells of a trained method, and not the experts'."""
    return "matching" in cells[0]


def over_seeds(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean, least and largest over seeds, and all of them; None where a seed lacks it."""
    if any(value is None for value in values):
        return None
    numbers = [float(value) for value in values if value is not None]
    return {"mean": float(np.mean(numbers)), "least": min(numbers), "largest": max(numbers), "values": numbers}
