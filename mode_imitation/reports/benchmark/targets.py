"""What the project's own method is meant to reach, and whether it does: each figure beside its threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mode_imitation.reports.benchmark.config import CEILING, OURS, PLANNER, REFERENCE, seekers

STRAIGHT = ("forward_moving", "backward_moving")
EXACT_SHARE = {"two": 0.9, "four": 0.9, "six": 0.8}
"""Of the runs that find exactly the experts."""
GOAL_RATIO = {"mean": 0.96, "sampled": 0.95}
"""Lower bound of the goal mode's goals over its expert's, with two and four experts."""
SIX_RATIO = 0.9
RIGHT_PER_STEP = 0.92
"""Of the steps in the arena, where experts take turns."""
SWITCHED = 0.9
"""Of the experts' goals in the last segment."""

CORE_MINUTES = {"two": 60.0}
"""Processor time of all cells with five seeds and 200 layouts: half an hour on two cores."""


@dataclass(frozen=True)
class Target:
    """One figure that was aimed at."""

    name: str
    wanted: str
    found: str
    met: bool | None
    """None where it was not measured."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judge(name: str, methods: Mapping[str, Any], experts: Sequence[str]) -> list[Target]:
    """Every target of a set, met or missed.

    Args:
        name: of the set.
        methods: what `aggregate` returns.
        experts: names.

    Returns:
        Nothing where the project's own method was not run. A run that failed meets nothing, and is told of first.
    """
    ours = methods.get(OURS)
    if ours is None:
        return []
    failed = [_failed(ours)] if ours.get("failed") else []
    if not ours["seeds"]:
        return failed
    return [*failed, *_targets(name, methods, ours, experts)]


def _targets(name: str, methods: Mapping[str, Any], ours: Mapping[str, Any], experts: Sequence[str]) -> list[Target]:
    """Of the runs that did not fail."""
    ceiling = methods.get(CEILING)
    if "turns" in ours:
        return [*_right_per_step(ours), *_switching(ours), _leak(ours)]
    targets = [_exact(name, ours, len(experts)), *(_window_nmi(ours) if name == "two" else [])]
    for drawn in ("mean", "sampled"):
        for expert in seekers(experts):
            targets.append(_ratio(name, ours, expert, drawn))
            if ceiling is not None:
                targets.append(_beside_ceiling(ours, ceiling, expert, drawn))
    for expert in experts:
        if expert in STRAIGHT:
            found = ours["experts"][expert]["straightness"]
            targets.append(Target(f"{expert}: straightness", ">= 0.99", f"{found['mean']:.3f}", found["mean"] >= 0.99))
    if PLANNER in experts:
        targets.append(_planner(methods))
    targets += [*_coverage(ours), *_switching(ours), _leak(ours)]
    if name == "two":
        seconds = ours["seconds"]["training"]
        targets.append(Target("training of one seed", "<= 120 s", f"{seconds:.0f} s", seconds <= 120))
    return targets


def within_time(wanted: float, minutes: float) -> Target:
    """Whether all cells together took no longer than `wanted` minutes of one core's time."""
    return Target(
        "processor time of all cells", f"<= {wanted:.0f} min of one core", f"{minutes:.1f} min", minutes <= wanted
    )


def _failed(ours: Mapping[str, Any]) -> Target:
    runs = ours["seeds"] + ours["failed"]
    return Target("runs that failed, and are in none of the figures", "none", f"{ours['failed']} of {runs}", False)


def _exact(name: str, ours: Mapping[str, Any], n_experts: int) -> Target:
    # A run that failed has found nothing.
    wanted, runs = EXACT_SHARE[name], ours["seeds"] + ours.get("failed", 0)
    return Target(
        f"runs with {n_experts} modes and an episode NMI of 1",
        f">= {wanted:.0%} of the runs",
        f"{ours['exact']} of {runs}",
        ours["exact"] >= wanted * runs,
    )


def _right_per_step(ours: Mapping[str, Any]) -> list[Target]:
    return [
        _over_seeds(
            f"right mode per step in the arena, {label}", ours["turns"][f"{key}right_per_step_in_arena"], RIGHT_PER_STEP
        )
        for key, label in (("", "undisturbed steps"), ("all_", "all steps"))
    ]


def _window_nmi(ours: Mapping[str, Any]) -> list[Target]:
    return [
        _over_seeds(f"window NMI {label}", ours["clustering"][key], wanted)
        for key, label, wanted in (("window_nmi", "overall", 0.95), ("window_nmi_in_arena", "in the arena", 0.9))
    ]


def _over_seeds(name: str, found: Mapping[str, Any] | None, wanted: float) -> Target:
    """A figure of one number a seed, whose mean is to reach `wanted`."""
    return Target(
        f"{name}, mean over seeds",
        f">= {wanted}",
        f"{found['mean']:.3f}, least {found['least']:.3f}" if found else "not measured",
        found["mean"] >= wanted if found else None,
    )


def _ratio(name: str, ours: Mapping[str, Any], expert: str, drawn: str) -> Target:
    entry = ours["experts" if drawn == "mean" else "sampled"][expert] if drawn == "mean" or "sampled" in ours else {}
    ratio = (entry.get("ratio") or {}).get("goals")
    wanted = SIX_RATIO if name == "six" else GOAL_RATIO[drawn]
    return Target(
        f"{expert}: goals over the expert's, {drawn} action, lower bound",
        f">= {wanted}",
        f"{ratio['low']:.3f} (of {_interval(ratio)})" if ratio else "not measured",
        ratio["low"] >= wanted if ratio else None,
    )


def _beside_ceiling(ours: Mapping[str, Any], ceiling: Mapping[str, Any], expert: str, drawn: str) -> Target:
    place = "experts" if drawn == "mean" else "sampled"
    own, theirs = ((entry.get(place) or {}).get(expert, {}).get("ratio", {}).get("goals") for entry in (ours, ceiling))
    name = f"{expert}: not below the true-label policy by more than its interval, {drawn} action"
    if own is None or theirs is None:
        return Target(name, "-", "not measured", None)
    found = f"{own['mean']:.3f}, true-label {_interval(theirs)}"
    return Target(name, f">= {theirs['low']:.3f}", found, own["mean"] >= theirs["low"])


def _coverage(ours: Mapping[str, Any]) -> list[Target]:
    targets = []
    for key, label in (
        ("coverage", ""),
        ("coverage_within_5_percent", ", widened by 5%"),
        ("coverage_also_sampled", "; goal seekers' modes by sampled actions, too"),
        ("coverage_within_5_percent_also_sampled", ", widened by 5%; goal seekers' modes by sampled actions, too"),
    ):
        found = ours.get(key)
        targets.append(
            Target(
                f"share of experts matched by some mode (cost and path in the expert's interval{label})",
                "1 with every seed",
                f"{found['mean']:.2f}, least {found['least']:.2f}" if found else "not measured",
                found["least"] == 1.0 if found else None,
            )
        )
    return targets


def _switching(ours: Mapping[str, Any]) -> list[Target]:
    targets = []
    for name, entry in ours["switching"].items():
        other, _, steps = name.partition(":")
        ratio = entry.get("ratio", [None])[-1]
        targets.append(
            Target(
                f"goals after {steps} steps of {other}, mean over the experts' under the same schedule",
                f">= {SWITCHED}",
                _interval(ratio) if ratio else "not measured",
                ratio["mean"] >= SWITCHED if ratio else None,
            )
        )
    return targets


def _planner(methods: Mapping[str, Any]) -> Target:
    found = [
        f"{name} {methods[name]['experts'][PLANNER]['cost']['mean']:.1f}"
        for name in (REFERENCE, CEILING, OURS)
        if name in methods
    ]
    return Target(f"{PLANNER}: cost of its mode", "reported", ", ".join(found), None)


def _leak(ours: Mapping[str, Any]) -> Target:
    found = ours["leak"]
    return Target(
        "leak, largest over seeds",
        "<= 0.05 nat per step",
        f"{found['largest']:.3f}, least {found['least']:.3f}",
        found["largest"] <= 0.05,
    )


def _interval(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
