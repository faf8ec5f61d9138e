"""The benchmark's results as tables of text, for the terminal and for results.md."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mode_imitation.reports.benchmark.config import REFERENCE
from mode_imitation.reports.benchmark.differences import DEFAULT
from mode_imitation.reports.switches import NEAR

MEAN_OVER_SEEDS = "means over seeds [least, largest]"
AGREEMENT = {"NMI": "nmi", "ARI": "ari", "homogeneity": "homogeneity", "completeness": "completeness"}
WINDOWS = {"nmi": "window_nmi", "ari": "window_ari"}
"""Rows of windows that do not go by the score's own name."""
STEERING = {
    "coverage": ("coverage", 2),
    "within 5%": ("coverage_within_5_percent", 2),
    "coverage, also sampled": ("coverage_also_sampled", 2),
    "within 5%, also sampled": ("coverage_within_5_percent_also_sampled", 2),
    "fidelity": ("fidelity", 2),
    "its NMI": ("fidelity_nmi", 2),
    "leak (nat)": ("leak", 3),
    "entropy": ("entropy", 2),
    "conditional": ("conditional_entropy", 2),
    "processor (s)": ("processor_seconds", 0),
}
"""Column: row of the results, and its decimals."""
RIGHT = {
    "right_per_step_in_arena": "undisturbed steps, in the arena",
    "right_per_step": "undisturbed steps",
    "all_right_per_step_in_arena": "all steps, in the arena",
    "all_right_per_step": "all steps",
}
"""Row: column."""
SWITCHES = {
    "true ones": ("true", 0),
    "found": ("found", 0),
    "share of the true ones found": ("recall", 2),
    "share of the found ones that are true": ("precision", 2),
    "median distance (steps)": ("median_distance_steps", 1),
}
"""Column: figure and its decimals."""
TIMES = {"training (s)": "training", "driving (s)": "evaluation"}
CLOSED_LOOP = {
    "goals": ("goals", 2, 3),
    "return": ("return", 2, 3),
    "normalised return": ("normalised_return", 1, None),
    "cost": ("cost", 1, 2),
    "straightness": ("straightness", 3, 3),
    "path (m)": ("path_length", 2, 3),
}
"""Column: figure, its decimals, and those of its ratio to the expert's; None where there is no ratio."""


class Table(NamedTuple):
    """A title, columns and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Everything that is printed, in order."""
    methods, experts = results["methods"], results["experts"]
    found = [_discovery(methods, len(experts)), _windows(methods), _steering(methods)]
    if results.get("turn"):
        found[:1] = [_turns(methods, len(experts)), _switches(methods)]
    for expert in experts:
        found += [_closed_loop(methods, expert), _over_the_expert(methods, expert)]
    if any(entry["switching"] for entry in methods.values()):
        found.append(_switching(methods))
        found += _leaving(methods)
    found += _differences(results["differences"])
    if results["targets"]:
        found.append(_targets(results["targets"]))
    return found


def _discovery(methods: Mapping[str, Any], n_experts: int) -> Table:
    columns = ("method", "modes found", f"exactly the {n_experts}", *AGREEMENT)
    scores = [f"episode_{score}" for score in AGREEMENT.values()]
    return Table(f"Discovery: trajectories, {MEAN_OVER_SEEDS}", columns, _found(methods, "clustering", scores))


def _turns(methods: Mapping[str, Any], n_experts: int) -> Table:
    columns = ("method", "modes found", f"exactly {n_experts}", *RIGHT.values())
    title = f"Share of the training steps with a mode of the expert that drove, {MEAN_OVER_SEEDS}"
    return Table(title, columns, _found(methods, "turns", RIGHT))


def _found(methods: Mapping[str, Any], place: str, scores: Collection[str]) -> list[tuple[str, ...]]:
    """A row for every method that has these scores: the modes of its runs, how many runs are exact, the scores."""
    return [
        (
            method,
            " ".join(map(str, entry["n_modes"])),
            f"{entry['exact']} of {entry['seeds'] + entry.get('failed', 0)}",
            *(_seeds(entry[place].get(name)) for name in scores),
        )
        for method, entry in methods.items()
        if place in entry
    ]


def _switches(methods: Mapping[str, Any]) -> Table:
    rows = [
        (method, *(_seeds(entry["turns"][f"switches_{name}"], digits) for name, digits in SWITCHES.values()))
        for method, entry in methods.items()
        if "turns" in entry
    ]
    title = f"Switches between experts: found within {NEAR} steps, {MEAN_OVER_SEEDS}"
    return Table(title, ("method", *SWITCHES), rows)


def _windows(methods: Mapping[str, Any]) -> Table:
    names = [WINDOWS.get(score, score) for score in AGREEMENT.values()]
    columns = ("method", *AGREEMENT, *(f"{score} in the arena" for score in AGREEMENT))
    rows = [
        (method, *(_seeds(entry["clustering"].get(name)) for name in (*names, *(f"{name}_in_arena" for name in names))))
        for method, entry in methods.items()
        if "clustering" in entry
    ]
    return Table(f"Discovery: windows, {MEAN_OVER_SEEDS}", columns, rows)


def _steering(methods: Mapping[str, Any]) -> Table:
    rows = [
        (
            method,
            *(_seeds(entry.get(name), digits) for name, digits in STEERING.values()),
            *(f"{entry['seconds'][name]:.0f}" if name in entry["seconds"] else "-" for name in TIMES.values()),
        )
        for method, entry in methods.items()
    ]
    title = f"Steering and time of a cell: {MEAN_OVER_SEEDS}; training and driving by the clock"
    return Table(title, ("method", *STEERING, *TIMES), rows)


def _driven(methods: Mapping[str, Any], expert: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Label and figures of every method's mode that stands for an expert, mean actions and sampled ones."""
    for method, entry in methods.items():
        for place, label in (("experts", method), ("sampled", f"{method}, sampled")):
            if place == "sampled" and method == REFERENCE:
                continue
            figures = entry.get(place, {}).get(expert)
            if figures is not None:  # sampled actions are driven for goal seekers only
                yield label, figures


def _closed_loop(methods: Mapping[str, Any], expert: str) -> Table:
    rows = [
        (label, *(_text(figures[name], digits) for name, digits, _ in CLOSED_LOOP.values()))
        for label, figures in _driven(methods, expert)
    ]
    return Table(f"Closed loop: {expert} and the mode that stands for it", ("method", *CLOSED_LOOP), rows)


def _over_the_expert(methods: Mapping[str, Any], expert: str) -> Table:
    shown = {
        column.removesuffix(" (m)"): (name, digits)
        for column, (name, _, digits) in CLOSED_LOOP.items()
        if digits is not None
    }
    rows = [
        (label, *(_text((figures.get("ratio") or {}).get(name), digits) for name, digits in shown.values()))
        for label, figures in _driven(methods, expert)
        if label != REFERENCE
    ]
    return Table(f"Over the expert's: {expert}", ("method", *shown), rows)


def _switching(methods: Mapping[str, Any]) -> Table:
    names = list(next(iter(methods.values()))["switching"])
    columns = ["method"]
    for name in names:
        columns += [f"{name.replace(':', ' ')}: before, of the experts'", "goals after", "of the experts'"]
    rows = []
    for method, entry in methods.items():
        cells = []
        for name in names:
            found, own = entry["switching"][name], method == REFERENCE
            ratios = found.get("ratio") or [None]
            mark = "*" * (found.get("merged", 0) > 0)
            cells.append("1" if own else _text(ratios[0]))
            cells.append(_text(found["goals"][-1]) + mark)
            cells.append("1" if own else _text(ratios[-1]) + mark)
        rows.append((method, *cells))
    title = (
        "Switching: goals in 250 steps before the goal mode was left for another one, and after it was taken up again"
        " (*: with some seeds one mode stands for both experts, and nothing is switched)"
    )
    return Table(title, tuple(columns), rows)


def _leaving(methods: Mapping[str, Any]) -> list[Table]:
    """None where the cells do not know, being of an earlier version, or nothing ever left."""
    names = [
        name
        for name in next(iter(methods.values()))["switching"]
        if any((entry["switching"].get(name, {}).get("left") or {"mean": 0})["mean"] > 0 for entry in methods.values())
    ]
    if not names:
        return []
    columns = ["method"]
    for name in names:
        columns += [f"{name.replace(':', ' ')}: left", "lost at the end", "goals of those that left"]
    rows = []
    for method, entry in methods.items():
        cells = []
        for name in names:
            found = entry["switching"][name]
            goals = found.get("goals_after_leaving")
            cells += [_text(found.get("left")), _text(found.get("lost")), "-" if goals is None else f"{goals:.2f}"]
        rows.append((method, *cells))
    title = "Leaving the arena: share of drives with nothing in reach once the goal mode is back, and at the end"
    return [Table(title, tuple(columns), rows)]


def _differences(differences: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Ours minus the other methods, then every method minus itself without options: a column a method."""
    titles = {
        False: ("Differences: ours minus each other method", "minus"),
        True: (
            "Differences: each method minus itself with the usual --burst-away, --lidar-directions and --history",
            "method",
        ),
    }
    found = []
    for options_are_compared, (title, heads) in titles.items():
        those = [one for one in differences if (one["minus"] == DEFAULT) is options_are_compared]
        if not those:
            continue
        columns = list(dict.fromkeys(one[heads] for one in those))
        shown = {(one["figure"], one[heads]): _text(one if "mean" in one else None, 3) for one in those}
        rows = [
            (figure, *(shown.get((figure, column), "-") for column in columns))
            for figure in dict.fromkeys(one["figure"] for one in those)
        ]
        found.append(Table(f"{title}, in units of the experts'", ("figure", *columns), rows))
    return found


def _targets(targets: Sequence[Mapping[str, Any]]) -> Table:
    words = {True: "met", False: "missed", None: "-"}
    rows = [(target["name"], target["wanted"], target["found"], words[target["met"]]) for target in targets]
    return Table("Targets", ("figure", "aim", "found", ""), rows)


def _text(figure: Mapping[str, float] | None, digits: int = 2) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def _seeds(figure: Mapping[str, Any] | None, digits: int = 3) -> str:
    if figure is None:
        return "-"
    mean, least, largest = (round(figure[key], digits) + 0.0 for key in ("mean", "least", "largest"))  # no "-0.000"
    return f"{mean:.{digits}f} [{least:.{digits}f}, {largest:.{digits}f}]"
