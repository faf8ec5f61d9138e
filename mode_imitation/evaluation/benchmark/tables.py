"""The benchmark's results as tables of text, for the terminal and for results.md."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mode_imitation.evaluation.benchmark.config import REFERENCE
from mode_imitation.evaluation.benchmark.differences import DEFAULT

TIMES = ("training", "evaluation")


class Table(NamedTuple):
    """A title, columns and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Everything that is printed, in order."""
    methods, experts = results["methods"], results["experts"]
    found = [_discovery(methods, len(experts)), *(_closed_loop(methods, expert) for expert in experts)]
    if any(entry["switching"] for entry in methods.values()):
        found.append(_switching(methods))
    found += _differences(results["differences"])
    if results["targets"]:
        found.append(_targets(results["targets"]))
    return found


def _discovery(methods: Mapping[str, Any], n_experts: int) -> Table:
    columns = (
        *("method", "modes found", f"exactly the {n_experts}", "episode NMI", "window NMI", "in the arena", "ARI"),
        *("homogeneity", "completeness", "coverage", "within 5%", "fidelity", "leak (nat)"),
        *("entropy", "conditional", "training (s)", "driving (s)"),
    )
    rows = []
    for method, entry in methods.items():
        scores = entry.get("clustering") or {}
        rows.append(
            (
                method,
                " ".join(map(str, entry["n_modes"])) if "n_modes" in entry else "-",
                f"{entry['exact']} of {entry['seeds'] + entry.get('failed', 0)}" if "exact" in entry else "-",
                *(
                    _seeds(scores.get(name))
                    for name in ("episode_nmi", "window_nmi", "window_nmi_in_arena", "window_ari")
                ),
                *(_seeds(scores.get(name)) for name in ("homogeneity", "completeness")),
                *(_seeds(entry.get(name), 2) for name in ("coverage", "coverage_within_5_percent", "fidelity")),
                _seeds(entry.get("leak"), 3),
                *(_seeds(entry.get(name), 2) for name in ("entropy", "conditional_entropy")),
                *(f"{entry['seconds'][name]:.0f}" if name in entry["seconds"] else "-" for name in TIMES),
            )
        )
    return Table("Discovery: means over seeds, the least in brackets", columns, rows)


def _closed_loop(methods: Mapping[str, Any], expert: str) -> Table:
    columns = (
        *("method", "goals", "of the expert's", "return", "of the expert's", "normalised return"),
        *("cost", "straightness", "path (m)"),
    )
    rows = []
    for method, entry in methods.items():
        for place, label in (("experts", method), ("sampled", f"{method}, sampled")):
            if place not in entry or (place == "sampled" and method == REFERENCE):
                continue
            figures = entry[place].get(expert)
            if figures is None:  # sampled actions are driven for goal seekers only
                continue
            ratio = figures.get("ratio") or {}
            own = method == REFERENCE
            rows.append(
                (
                    label,
                    _text(figures["goals"]),
                    "1" if own else _text(ratio.get("goals"), 3),
                    _text(figures["return"]),
                    "1" if own else _text(ratio.get("return"), 3),
                    _text(figures["normalised_return"], 1),
                    _text(figures["cost"], 1),
                    _text(figures["straightness"], 3),
                    _text(figures["path_length"]),
                )
            )
    return Table(f"Closed loop: {expert} and the mode that stands for it", columns, rows)


def _switching(methods: Mapping[str, Any]) -> Table:
    names = list(next(iter(methods.values()))["switching"])
    columns = ["method"]
    for name in names:
        columns += [f"{name.replace(':', ' ')}: goals after", "of the experts'"]
    rows = []
    for method, entry in methods.items():
        cells = []
        for name in names:
            found = entry["switching"][name]
            cells.append(_text(found["goals"][-1]))
            cells.append("1" if method == REFERENCE else _text(found.get("ratio", [None])[-1]))
        rows.append((method, *cells))
    title = "Switching: goals in 250 steps after the goal mode was left for another one and taken up again"
    return Table(title, tuple(columns), rows)


def _differences(differences: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Ours minus the other methods, then every method minus itself without options: a column a method."""
    titles = {
        False: ("Differences: ours minus each other method", "minus"),
        True: ("Differences: each method minus itself without --burst-away and --history", "method"),
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
    return "-" if figure is None else f"{figure['mean']:.{digits}f} ({figure['least']:.{digits}f})"
