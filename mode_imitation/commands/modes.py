"""`mode-imitation modes RUN`"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mode_imitation.commands.tables import print_table
from mode_imitation.reports.config import ModesConfig

if TYPE_CHECKING:
    from mode_imitation.reports.report_data import Figures, ReportData

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
    if report.data.requirements is None:
        return 0
    return 0 if any(verdict.qualifies for verdict in report.data.requirements.modes) else 1


def print_report(data: "ReportData") -> None:
    """Modes beside experts, how modes and labels agree, and what had to be left out."""
    from mode_imitation.reports.report_writer import (
        blend_table,
        guarantee_table,
        guaranteed_percent,
        summary_lines,
        verdict_lines,
    )

    for line in [*summary_lines(data), *data.left_out]:
        print(line)
    for entry in data.modes:
        if entry.clauses:
            print(f"mode {entry.mode}: {entry.clauses}")
        if entry.text:
            print(f"mode {entry.mode}, its words: {', '.join(entry.text.words) or 'none of its own'}")
            for text in entry.text.samples:
                print(f"    {' '.join(text.split())}")
    rows = {f"mode {e.mode}" + (f" ({e.expert})" if e.expert else ""): e.figures for e in data.modes}
    rows |= {f"expert {name}": figures for name, figures in data.experts.items()}
    if data.layouts:
        title = f"Modes and experts on the same {len(data.layouts)} held-out layouts, mean and 95% interval"
        print_figures(title, rows, data)
    if data.guarantees:
        confidence = f"{data.guarantees.confidence:.4g}"
        reached = f"the mean, and what at least {guaranteed_percent(data)}% of them keep to"
        title = f"Guaranteed over new layouts, at {confidence} confidence: {reached}"
        print_table(title, *guarantee_table(data))
        print(data.guarantees.assumptions)
    if data.blend:
        print_table(f"Between two modes, on {len(data.blend.layouts)} tuning layouts", *blend_table(data.blend))
    for line in verdict_lines(data):
        print(line)


def print_figures(title: str, rows: "Mapping[str, Figures]", data: "ReportData") -> None:
    """The figures that a mode or expert has; the length where some episode ended early."""
    from mode_imitation.reports.statistics import cell

    lengths = {figure.mean for figures in rows.values() if (figure := figures["length"])}
    shown = {
        name: digits
        for name, digits in (COLUMNS | dict.fromkeys(data.own_figures, 3)).items()
        if any(figures.get(name) for figures in rows.values()) and (name != "length" or lengths != {data.steps})
    }
    cells = {label: [cell(found.get(name), digits) for name, digits in shown.items()] for label, found in rows.items()}
    print_table(title, ("", *shown), [(label, *own) for label, own in cells.items()])
