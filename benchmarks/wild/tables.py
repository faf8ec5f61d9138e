"""The results as two tables: all methods, and those that are not told the number of classes by their codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.wild.methods import METHODS

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns, rows of text."""


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Both; the second only where there are several numbers of codes."""
    methods = list(results["methods"])
    swept = [name for name in methods if not METHODS[name].told]
    found = [_all(results, methods)]
    if swept and len(results["times"]) > 1:
        found.append(_by_codes(results, swept))
    return found


def _all(results: Mapping[str, Any], methods: Sequence[str]) -> Table:
    rows = []
    for name, row in results["rows"].items():
        least, most = row["steps"]
        steps = str(most) if least == most else f"{least}-{most}"
        figures = [of_seeds(row["methods"].get(method, {}), results["seeds"]) for method in methods]
        rows.append((name, str(row["trajectories"]), steps, str(row["classes"]), *figures))
    fewer = any(
        entry["seeds"] < results["seeds"] for row in results["rows"].values() for entry in row["methods"].values()
    )
    some = " (in brackets: how many seeds, where fewer)" * fewer
    times = ", ".join(map(str, results["times"]))
    title = (
        f"NMI of trajectories and classes: means over {results['seeds']} seeds{some} with 95% intervals; methods that "
        f"are not told the number of classes are given {times} times as many codes; their figures are means of these"
    )
    return title, ("row", "trajectories", "steps", "classes", *(METHODS[name].title for name in methods)), rows


def _by_codes(results: Mapping[str, Any], swept: Sequence[str]) -> Table:
    columns = [(name, str(times)) for name in swept for times in results["times"]]
    rows = []
    for row_name, row in results["rows"].items():
        by_times = [row["methods"].get(name, {}).get("by_times", {}).get(times, {}) for name, times in columns]
        rows.append((row_name, *(text(entry.get("nmi")) for entry in by_times)))
    titles = (f"{METHODS[name].title}, {times} times" for name, times in columns)
    return "NMI by the number of codes that is given", ("row", *titles), rows


def of_seeds(entry: Mapping[str, Any], seeds: int) -> str:
    """A method's NMI, and how many seeds it is of, where it is fewer than were asked for."""
    return text(entry.get("nmi")) + (f" ({entry['seeds']})" if 0 < entry.get("seeds", 0) < seeds else "")


def text(figure: Mapping[str, Any] | None) -> str:
    """`0.84 [0.80, 0.88]`; one number where there is one value or all are the same; "-" of what is not known."""
    if figure is None:
        return "-"
    mean, low, high = (f"{figure[name] + 0.0:.2f}" for name in ("mean", "low", "high"))
    return mean if low == high else f"{mean} [{low}, {high}]"


def as_markdown(found: Sequence[Table]) -> list[str]:
    """Lines: a heading and a table each."""
    lines = []
    for title, columns, rows in found:
        lines += [f"{title}:", "", "| " + " | ".join(columns) + " |", "|:--|" + "--:|" * (len(columns) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return lines
