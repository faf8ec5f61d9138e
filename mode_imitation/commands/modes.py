"""`mode-imitation modes RUN`"""

from collections.abc import Mapping
from typing import Any

from mode_imitation.commands.tables import interval, print_table
from mode_imitation.reports.config import ModesConfig

COLUMNS = {"goals": 1, "return": 1, "length": 1, "success": 2, "cost": 1, "straightness": 3, "speed": 2}
"""Figure of the table: its digits."""


def run(config: ModesConfig) -> int:
    """Make the report card, print its tables, say where the rest is."""
    from mode_imitation.reports.report import make_report
    from mode_imitation.reports.report_writer import write_report

    report = make_report(config)
    files = write_report(report, config.out or config.run)
    print_report(report.data)
    for file in files:
        print("wrote", file)
    if report.data["requirements"] is None:
        return 0
    return 0 if any(verdict["qualifies"] for verdict in report.data["requirements"]["modes"]) else 1


def print_report(data: Mapping[str, Any]) -> None:
    """Modes beside experts, how modes and labels agree, and what had to be left out."""
    from mode_imitation.reports.report_writer import (
        blend_rows,
        clauses_of,
        guarantee_rows,
        summary_lines,
        verdict_lines,
    )

    for line in [*summary_lines(data), *data["left_out"]]:
        print(line)
    for entry in data["modes"]:
        if clauses := clauses_of(entry):
            print(f"mode {entry['mode']}: {clauses}")
    shown = columns_of(data)
    rows = [
        (f"mode {entry['mode']}" + (f" ({entry['expert']})" if entry["expert"] else ""), *cells(entry, shown))
        for entry in data["modes"]
    ]
    rows += [(f"expert {name}", *cells(figures, shown)) for name, figures in data["experts"].items()]
    if data["layouts"]:
        title = f"Modes and experts on the same {len(data['layouts'])} held-out layouts, mean and 95% interval"
        print_table(title, ("", *shown), rows)
    if data["guarantees"]:
        about = data["guarantees"]
        title = (
            f"Guaranteed over new layouts, at {about['confidence']:.4g} confidence: the mean, and what holds for most"
        )
        print_table(title, *guarantee_rows(data))
        print(about["assumptions"])
    if data["blend"]:
        print_table(f"Between two modes, on {len(data['blend']['layouts'])} tuning layouts", *blend_rows(data["blend"]))
    for line in verdict_lines(data) if data["requirements"] else []:
        print(line)


def columns_of(data: Mapping[str, Any]) -> dict[str, int]:
    """Figure: digits, of those that a mode or expert has; the length where some episode ended early."""
    known = COLUMNS | dict.fromkeys(data.get("own_figures") or (), 3)
    everyone = [*data["modes"], *data["experts"].values()]
    lengths = {entry["length"]["mean"] for entry in everyone if entry.get("length")}
    return {
        name: digits
        for name, digits in known.items()
        if any(entry.get(name) for entry in everyone) and (name != "length" or lengths != {data["steps"]})
    }


def cells(figures: Mapping[str, Any], shown: Mapping[str, int]) -> list[str]:
    """One table cell a figure."""
    return [interval(figures.get(name), digits) for name, digits in shown.items()]
