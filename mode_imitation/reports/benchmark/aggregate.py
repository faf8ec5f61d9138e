"""From cells to results: means over seeds and layouts, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mode_imitation.reports.benchmark.behaviour import BehaviourClassifier, behaviour_entropy
from mode_imitation.reports.benchmark.config import GOAL_EXPERT, REFERENCE, seekers
from mode_imitation.reports.statistics import Interval, bootstrap_crossed, iqm

DSRL_RANGE = (0.012, 30.07)
"""Least and largest return on PointGoal1 in DSRL (arXiv 2306.09303), which normalised returns refer to."""
SHOWN = ("goals", "return", "normalised_return", "cost", "straightness", "path_length")
RATIOS = ("goals", "return", "cost", "straightness", "path_length")
CLUSTERING = {
    "episode_nmi": ("episode", "nmi"),
    "episode_ari": ("episode", "ari"),
    "episode_homogeneity": ("episode", "homogeneity"),
    "episode_completeness": ("episode", "completeness"),
    "window_nmi": ("window", "nmi"),
    "window_ari": ("window", "ari"),
    "homogeneity": ("window", "homogeneity"),
    "completeness": ("window", "completeness"),
    "window_nmi_in_arena": ("window_in_arena", "nmi"),
    "window_ari_in_arena": ("window_in_arena", "ari"),
    "homogeneity_in_arena": ("window_in_arena", "homogeneity"),
    "completeness_in_arena": ("window_in_arena", "completeness"),
    "held_out_episode_nmi": ("episode_held_out", "nmi"),
}
"""Row: where `compare_with_labels` has it."""
RIGHT = ("right_per_step_in_arena", "right_per_step")
SWITCHES = ("true", "found", "recall", "precision", "median_distance_steps")
MATCHED = ("cost", "path_length")
MEAN_ACTIONS = ("mean",)
COVERAGES = {
    "coverage": (0.0, MEAN_ACTIONS),
    "coverage_within_5_percent": (0.05, MEAN_ACTIONS),
    "coverage_also_sampled": (0.0, ("mean", "sampled")),
    "coverage_within_5_percent_also_sampled": (0.05, ("mean", "sampled")),
}
"""Row: by which share of the expert's own figure a mode may leave the expert's interval and still match it, and by
which actions it may be driven. Modes of goal seekers alone are driven by sampled ones, and of some methods only."""

Figures = Mapping[str, Any]
Bounds = Mapping[str, Interval]
"""Figure: the expert's own interval."""
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
    classify = None
    bounds = bounds_of(reference, experts) if reference else {}
    if reference:
        pooled = {name: _joined([cell["drives"]["mean"][name] for cell in reference]) for name in experts}
        classify = BehaviourClassifier(pooled)
    results: dict[str, Any] = {}
    for method, found in cells.items():
        if not found:
            continue
        entry: dict[str, Any] = {"seeds": len(found), "seconds": _seconds(found)}
        # None where a cell is of an earlier version, which did not count them.
        entry["processor_seconds"] = _over_seeds([cell.get("processor_seconds") for cell in found])
        if method != REFERENCE:
            entry |= clustering(found, len(experts))
            for key, figure in (("fidelity", "accuracy"), ("fidelity_nmi", "nmi")):
                entry[key] = _over_seeds([cell["fidelity"] and cell["fidelity"][figure] for cell in found])
            entry["leak"] = _over_seeds([cell["leak"]["gap"] for cell in found])
        entry["experts"] = {name: closed_loop(found, reference, name, "mean") for name in experts}
        if any("sampled" in cell["drives"] for cell in found):
            entry["sampled"] = {name: closed_loop(found, reference, name, "sampled") for name in seekers(experts)}
        entry["switching"] = switching(found, reference)
        if reference:
            for key, (margin, drawn) in COVERAGES.items():
                if all(actions in cell["drives"] for cell in found for actions in drawn):
                    entry[key] = _over_seeds([coverage(cell, bounds, margin, drawn) for cell in found])
        if classify is not None and len(experts) > 1:
            spread = [entropies(cell, classify, experts) for cell in found]
            entry["entropy"] = _over_seeds([value["entropy"] for value in spread])
            entry["conditional_entropy"] = _over_seeds([value["conditional"] for value in spread])
        results[method] = entry
    return results


def clustering(cells: Cells, n_experts: int) -> dict[str, Any]:
    """Agreement of codes with labels, and how many runs have found exactly the experts: where experts take turns, as
    many modes as experts."""
    rows = {
        name: _over_seeds([(cell["clustering"][part] or {}).get(metric) for cell in cells])
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
    found = {name: _over_seeds([one[name] for one in scores]) for name in RIGHT}
    found |= {f"all_{name}": _over_seeds([one["all_steps"][name] for one in scores]) for name in RIGHT}
    return found | {f"switches_{name}": _over_seeds([one["switches"][name] for one in scores]) for name in SWITCHES}


def closed_loop(cells: Cells, reference: Cells, expert: str, drawn: str) -> dict[str, Any]:
    """How the mode that stands for an expert drives, over seeds and layouts.

    Args:
        cells: of one method.
        reference: the experts' cells.
        expert: whose mode.
        drawn: "mean" or "sampled" actions.

    Returns:
        An interval for each of SHOWN; "ratio" has those of RATIOS to the expert's on the same layouts, None where the
        expert's own is not surely positive; "iqm_normalised_return" is a number.
    """
    own = {name: table(cells, expert, name, drawn) for name in SHOWN}
    trained = _trained(cells)
    intervals = {name: _as_dict(bootstrap_crossed(values, trained=trained)) for name, values in own.items()}
    found: dict[str, Any] = dict(intervals)
    found["iqm_normalised_return"] = float(iqm(own["normalised_return"].ravel()))
    if reference:
        theirs = {name: table(reference, expert, name, "mean") for name in RATIOS}
        found["ratio"] = {name: ratio(own[name], theirs[name], trained=trained) for name in RATIOS}
    return found


def ratio(values: np.ndarray, reference: np.ndarray, *, trained: bool = True) -> dict[str, float] | None:
    """Interval of a ratio of means; None where the reference is not surely positive, and a ratio would mean nothing."""
    below = bootstrap_crossed(reference, trained=False)
    if below is None or below.low <= 0:
        return None
    return _as_dict(bootstrap_crossed(values, reference, trained=trained))


def table(cells: Cells, expert: str, figure: str, drawn: str) -> np.ndarray:
    """(S, L) a figure of the mode that stands for an expert, or of the expert itself: seeds by layouts."""
    if figure == "normalised_return":
        low, high = DSRL_RANGE
        return 100 * (table(cells, expert, "return", drawn) - low) / (high - low)
    rows = []
    for cell in cells:
        mode = str(cell["matching"][expert]) if "matching" in cell else expert
        rows.append(cell["drives"][drawn][mode][figure])
    return np.array(rows, dtype=np.float64)


def switching(cells: Cells, reference: Cells) -> dict[str, Any]:
    """Goals in each segment of each schedule, and their ratio to the experts' under the same schedule.

    `merged` says with how many seeds one mode stands for both experts, so that nothing is switched; where that is so
    with all of them there is no ratio.
    """
    found = {}
    for name in cells[0]["switching"]:
        own = np.array([cell["switching"][name] for cell in cells], dtype=np.float64)  # (S, 3, L)
        trained, parts = _trained(cells), range(own.shape[1])
        entry: dict[str, Any] = {
            "goals": [_as_dict(bootstrap_crossed(own[:, part], trained=trained)) for part in parts]
        }
        entry["merged"] = sum(not switches(cell, name) for cell in cells)
        if reference and entry["merged"] < len(cells):
            theirs = np.array([cell["switching"][name] for cell in reference], dtype=np.float64)
            entry["ratio"] = [ratio(own[:, part], theirs[:, part], trained=trained) for part in parts]
        if all("outside" in cell for cell in cells):  # cells of earlier versions lack it
            entry |= leaving(cells, name)
        found[name] = entry
    return found


def switches(cell: Figures, name: str) -> bool:
    """Whether the two modes of a schedule ("forward_moving:50") are two; the experts always are."""
    other = name.partition(":")[0]
    return "matching" not in cell or cell["matching"][GOAL_EXPERT] != cell["matching"][other]


def leaving(cells: Cells, name: str) -> dict[str, Any]:
    """What becomes of the drives that leave everything behind after an excursion.

    Returns:
        left: share of the drives in which nothing is within reach at some step of the last segment; lost: share in
        which nothing is at its end; goals_after_leaving: mean goals in it of those that left, None where none did.
    """
    steps = np.array([cell["outside"][name]["steps"] for cell in cells])  # (S, L)
    at_end = np.array([cell["outside"][name]["at_end"] for cell in cells], dtype=np.float64)
    goals = np.array([cell["switching"][name][-1] for cell in cells], dtype=np.float64)
    left, trained = steps > 0, _trained(cells)
    return {
        "left": _share(left.astype(np.float64), trained),
        "lost": _share(at_end, trained),
        "goals_after_leaving": float(goals[left].mean()) if left.any() else None,
    }


def bounds_of(reference: Cells, experts: Sequence[str]) -> dict[str, Bounds]:
    """Of every expert the intervals of the figures that a mode has to match, see `coverage`."""
    found = {}
    for expert in experts:
        intervals = {name: bootstrap_crossed(table(reference, expert, name, "mean"), trained=False) for name in MATCHED}
        found[expert] = {name: interval for name, interval in intervals.items() if interval is not None}
    return found


def coverage(
    cell: Figures, bounds: Mapping[str, Bounds], margin: float = 0.0, drawn: Sequence[str] = MEAN_ACTIONS
) -> float:
    """Share of the experts that some mode matches: its mean cost and its mean path length over the layouts both lie in
    the 95% interval of the expert's means, widened by `margin` of those means.

    The interval tells only how well the expert's mean is known. It shrinks as layouts are added, and a policy without
    the expert's action noise drives paths that differ by a few percent; hence the second row with a margin.

    Args:
        cell: of one method.
        bounds: the experts' own, see `bounds_of`.
        margin: a share.
        drawn: by which actions a mode may be driven, "mean" or "sampled" ones.
    """
    return float(np.mean([any_mode_matches(cell, own, margin, drawn) for own in bounds.values()]))


def any_mode_matches(cell: Figures, bounds: Bounds, margin: float = 0.0, drawn: Sequence[str] = MEAN_ACTIONS) -> bool:
    """Whether some mode of a cell matches the expert whose bounds these are, see `coverage`."""

    def inside(name: str, values: Sequence[float]) -> bool:
        own = bounds[name]
        extra = margin * abs(own.mean)
        return own.low - extra <= float(np.mean(values)) <= own.high + extra

    return any(
        all(inside(name, figures[name]) for name in bounds)
        for actions in drawn
        for figures in cell["drives"][actions].values()
    )


def entropies(cell: Figures, classify: BehaviourClassifier, experts: Sequence[str]) -> dict[str, float]:
    """Behaviour entropy of a cell whose modes are driven as often as the data has them; of the experts, evenly."""
    drives = cell["drives"]["mean"]
    shares = [cell["shares"][int(mode)] if "shares" in cell else 1.0 for mode in drives]
    return behaviour_entropy(
        np.stack([classify(figures) for figures in drives.values()]), np.array(shares), len(experts)
    )


def _share(values: np.ndarray, trained: bool) -> dict[str, float] | None:
    """Interval of a share; what is stretched may reach beyond 0 and 1, where no share lies."""
    found = bootstrap_crossed(values, trained=trained)
    return found and _as_dict(replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0)))


def _trained(cells: Cells) -> bool:
    """Whether these are cells of a trained method, and not the experts'."""
    return "matching" in cells[0]


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean, least and largest over seeds, and all of them; None where a seed lacks it."""
    if any(value is None for value in values):
        return None
    numbers = [float(value) for value in values if value is not None]
    return {"mean": float(np.mean(numbers)), "least": min(numbers), "largest": max(numbers), "values": numbers}


def _seconds(cells: Cells) -> dict[str, float]:
    names = dict.fromkeys(name for cell in cells for name in cell["seconds"])
    return {name: float(np.mean([cell["seconds"].get(name, 0.0) for cell in cells])) for name in names}


def _joined(tables: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    return {name: [value for one in tables for value in one[name]] for name in tables[0]}


def _as_dict(interval: Any) -> dict[str, float] | None:
    return None if interval is None else interval.as_dict()
