"""The results as tables of text, for the terminal and for results.md; each says what it is made of and no more."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.modes.config import REFERENCE
from mode_imitation.reports.turns import NEAR

MEAN_OVER_SEEDS = "means over seeds [least, largest]"
DISCOVERY = {
    "NMI of trajectories": "episode_nmi",
    "of windows": "window_nmi",
    "of windows in the arena": "window_nmi_in_arena",
}
"""Column: row of the results."""
RIGHT = {
    "undisturbed steps, in the arena": "right_per_step_in_arena",
    "undisturbed steps": "right_per_step",
    "all steps, in the arena": "all_right_per_step_in_arena",
    "all steps": "all_right_per_step",
}
SWITCHES = {
    "true ones": ("true", 0),
    "found": ("found", 0),
    "share of the true ones found": ("recall", 2),
    "share of the found ones that are true": ("precision", 2),
    "median distance (steps)": ("median_distance_steps", 1),
}
"""Column: figure and its decimals."""
DRIVING = {"goals": 2, "return": 2, "cost": 1, "straightness": 3, "path_length": 2}
"""Figure: its decimals."""
RATIOS = ("goals", "cost")
"""Figures that are shown over the expert's, too; results.json has all of them."""


class Table(NamedTuple):
    """A title, columns and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Everything that is printed, in order."""
    methods, experts = results["methods"], results["experts"]
    if results["turn"]:
        found = [_exact(methods, len(experts), "turns", RIGHT, "Right steps"), _switches(methods)]
    else:
        found = [_exact(methods, len(experts), "clustering", DISCOVERY, "Discovery")]
    found += [_driving(methods, expert) for expert in experts]
    if any(entry["switching"] for entry in methods.values()):
        found.append(_switching(methods))
    found.append(_checks(methods))
    if results["differences"]:
        found.append(_differences(results["differences"]))
    return found


def _exact(methods: Mapping[str, Any], n_experts: int, place: str, rows: Mapping[str, str], title: str) -> Table:
    found = [
        (
            method,
            " ".join(map(str, entry["n_modes"])),
            f"{entry['exact']} of {entry['seeds'] + entry['failed']}",
            *(seeds(entry[place].get(name)) for name in rows.values()),
        )
        for method, entry in methods.items()
        if place in entry
    ]
    return Table(f"{title}: {MEAN_OVER_SEEDS}", ("method", "modes found", f"exactly the {n_experts}", *rows), found)


def _switches(methods: Mapping[str, Any]) -> Table:
    rows = [
        (method, *(seeds(entry["turns"][f"switches_{name}"], digits) for name, digits in SWITCHES.values()))
        for method, entry in methods.items()
        if "turns" in entry
    ]
    title = f"Switches between experts: found within {NEAR} steps, {MEAN_OVER_SEEDS}"
    return Table(title, ("method", *SWITCHES), rows)


def _driving(methods: Mapping[str, Any], expert: str) -> Table:
    columns = ("method", *DRIVING, *(f"{name} / expert's" for name in RATIOS))
    rows = []
    for method, entry in methods.items():
        for place, label in (("experts", method), ("sampled", f"{method}, sampled")):
            figures = entry.get(place, {}).get(expert)
            if figures is None:  # sampled actions are driven for goal seekers only
                continue
            ratios = {} if method == REFERENCE else figures.get("ratio") or {}
            own = [text(figures[name], digits) for name, digits in DRIVING.items()]
            rows.append((label, *own, *(text(ratios.get(name), 3) for name in RATIOS)))
    return Table(f"Driving: {expert} and the mode that stands for it", columns, rows)


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
            mark = "*" * (found["merged"] > 0)
            cells.append("1" if own else text(ratios[0]))
            cells.append(text(found["goals"][-1]) + mark)
            cells.append("1" if own else text(ratios[-1]) + mark)
        rows.append((method, *cells))
    title = (
        "Switching: goals in 250 steps before the goal mode was left for another one, and after it was taken up again"
        " (*: with some seeds one mode stands for both experts, and nothing is switched)"
    )
    return Table(title, tuple(columns), rows)


def _checks(methods: Mapping[str, Any]) -> Table:
    rows = [
        (
            method,
            seeds(entry.get("fidelity"), 2),
            seeds(entry.get("leak")),
            *(f"{entry['seconds'][name]:.0f}" if name in entry["seconds"] else "-" for name in ("training", "driving")),
        )
        for method, entry in methods.items()
    ]
    title = f"Fidelity and leak: {MEAN_OVER_SEEDS}; seconds of a cell by the clock"
    return Table(title, ("method", "fidelity", "leak (nat)", "training (s)", "driving (s)"), rows)


def _differences(differences: Collection[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(one["minus"] for one in differences))
    shown = {(one["figure"], one["minus"]): text(one if "mean" in one else None, 3) for one in differences}
    rows = [
        (figure, *(shown.get((figure, column), "-") for column in columns))
        for figure in dict.fromkeys(one["figure"] for one in differences)
    ]
    return Table("Differences: ours minus each other method, in units of the experts'", ("figure", *columns), rows)


def text(figure: Mapping[str, float] | None, digits: int = 2) -> str:
    """`11.20 [10.90, 11.50]`, mean and interval; "-" of what is not known."""
    if figure is None:
        return "-"
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def seeds(figure: Mapping[str, Any] | None, digits: int = 3) -> str:
    """The same of figures of one number a seed: mean, least, largest."""
    if figure is None:
        return "-"
    mean, least, largest = (round(figure[key], digits) + 0.0 for key in ("mean", "least", "largest"))  # no "-0.000"
    return f"{mean:.{digits}f} [{least:.{digits}f}, {largest:.{digits}f}]"


def as_markdown(found: Sequence[Table]) -> list[str]:
    """Lines: a heading and a table each."""
    lines = []
    for table in found:
        lines += [f"## {table.title}", "", "| " + " | ".join(table.columns) + " |"]
        lines.append("|:--|" + "--:|" * (len(table.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in table.rows] + [""]
    return lines
