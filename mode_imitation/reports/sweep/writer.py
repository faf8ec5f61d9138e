"""sweep.json, sweep.md and the pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import write_json, write_text
from mode_imitation.reports.sweep.cells import FORMAT_VERSION, SUMMARY
from mode_imitation.reports.sweep.claims import Claim
from mode_imitation.reports.sweep.provenance import GRID, code_notes, codes_of, command_of, made_by
from mode_imitation.reports.sweep.recommendation import Setting
from mode_imitation.reports.sweep.sweep import Sweep
from mode_imitation.versions import platform_name, versions

TITLES = {"ours": "this project's objective", "original": "the original objective"}
LABEL_FREE = ("objective", "k", "stride", "modes", "cross-fitted NLL", "smallest gap", "stability")
WITH_LABELS = ("window NMI*", "in the arena*", "episode NMI*", "episode ARI*")


def columns(sweep: Sweep) -> tuple[str, ...]:
    """Of the table; the starred ones know labels and are for evaluation only."""
    return LABEL_FREE + (WITH_LABELS if sweep.dataset.labels is not None else ())


def rows(sweep: Sweep) -> list[tuple[str, ...]]:
    """A row for each objective, k and stride: likelihood of the best seed, smallest gap of all seeds, agreement as the
    median over seeds."""
    found = []
    for setting in sweep.settings:
        modes = sorted(set(setting.n_modes))
        row = (
            setting.objective + (" <" if is_chosen(sweep, setting) else ""),
            f"{setting.codes}",
            f"{setting.stride}",
            f"{modes[0]}" if len(modes) == 1 else f"{modes[0]} to {modes[-1]}",
            f"{setting.nll[0]:.3f}",
            number(setting.smallest_gap),
            number(setting.stability),
        )
        if sweep.dataset.labels is not None:
            row += tuple(number(value, 3) for value in agreement(sweep, setting))
        found.append(row)
    return found


def agreement(sweep: Sweep, setting: Setting) -> tuple[float | None, ...]:
    """Medians over seeds of the columns in WITH_LABELS."""
    wanted = setting.objective, setting.codes, setting.stride
    found = [
        cell["evaluation"]
        for cell in sweep.cells
        if cell["status"] == "done"
        and (cell["cell"]["objective"], cell["cell"]["codes"], cell["cell"]["stride"]) == wanted
    ]

    def median(part: str, score: str) -> float | None:
        values = [entry[part][score] for entry in found if entry[part] is not None]
        return float(np.median(values)) if values else None

    return median("window", "nmi"), median("window_in_arena", "nmi"), median("episode", "nmi"), median("episode", "ari")


def is_chosen(sweep: Sweep, setting: Setting) -> bool:
    """Whether this is the setting that is recommended."""
    chosen = sweep.recommendation
    return (setting.objective, setting.codes, setting.stride) == (chosen.objective, chosen.codes, chosen.stride)


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or '-' for what is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


def recommendation_lines(sweep: Sweep) -> list[str]:
    """What is recommended, why, and what to type."""
    chosen = sweep.recommendation
    return [
        f"recommended, without labels: k = {chosen.codes}, stride {chosen.stride}, seed {chosen.seed}, "
        f"which found {chosen.n_modes} mode{'s' * (chosen.n_modes != 1)}",
        f"because {chosen.reason}",
        f"next: {sweep.command}",
    ]


def claim_lines(claims: Mapping[str, list[Claim]]) -> list[str]:
    """The original's claims, a line each and objective."""
    return [
        f"{TITLES[objective]}: {claim.name}: {claim.verdict} ({claim.evidence})"
        for objective, found in claims.items()
        for claim in found
    ]


def notes(sweep: Sweep) -> list[str]:
    """What was left out, what failed, what other code made, how long a cell takes."""
    lines = list(sweep.left_out)
    lines += [f"failed: {cell_name(cell)}: {cell['reason']}" for cell in sweep.failed]
    lines += code_notes(sweep.cells)
    took = ", ".join(f"{seconds:.0f} s ({objective})" for objective, seconds in sweep.seconds_per_cell().items())
    return [*lines, f"a cell takes {took} on one core (median)"]


def cell_name(cell: Mapping[str, Any]) -> str:
    """How a cell is called in a line."""
    found = cell["cell"]
    return f"{found['objective']}, k = {found['codes']}, stride {found['stride']}, seed {found['seed']}"


def write_sweep(sweep: Sweep) -> list[Path]:
    """Write sweep.json, the pictures and sweep.md.

    Returns:
        The files, sweep.json first.
    """
    out = sweep.config.out
    files = [out / SUMMARY]
    write_json(files[0], as_dict(sweep))
    pictures: list[Path] = []
    if sweep.config.pictures:
        from mode_imitation.reports.sweep.pictures import draw

        pictures = draw(sweep, out)
    files.append(out / "sweep.md")
    write_text(files[1], markdown(sweep, pictures))
    return files + pictures


def as_dict(sweep: Sweep) -> dict[str, Any]:
    """What sweep.json holds: everything but the codes, likelihoods and curves by episode and iteration; those stay in
    the cells' files."""
    dataset, config = sweep.dataset, sweep.config
    return {
        "format_version": FORMAT_VERSION,
        "dataset": {"name": dataset.name, "checksum": dataset.checksum, "n_episodes": len(dataset)},
        "grid": {name: getattr(config, name) for name in GRID},
        "merge_gap": config.merge_gap,
        "recommendation": sweep.recommendation.to_dict() | {"command": sweep.command},
        "settings": [setting.to_dict() for setting in sweep.settings],
        "claims": {objective: [claim.to_dict() for claim in found] for objective, found in sweep.claims.items()},
        "left_out": sweep.left_out,
        "seconds_per_cell": sweep.seconds_per_cell(),
        "cells": [_compact(cell) for cell in sweep.cells],
        "command": command_of(config, dataset.name),
        "versions": versions(),
        "platform": platform_name(),
        # Of the cells, which may be older than the code that writes this.
        "code": codes_of(sweep.cells),
    }


def _compact(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell without what is long."""
    kept = {name: cell[name] for name in ("cell", "status", "reason", "n_modes", "seconds", "code") if name in cell}
    if cell["status"] == "done":
        kept |= {name: cell["criteria"][name] for name in ("nll", "smallest_gap")}
        if cell["evaluation"] is not None:
            kept["evaluation"] = {name: value for name, value in cell["evaluation"].items() if name != "fit"}
    return kept


def markdown(sweep: Sweep, pictures: list[Path]) -> str:
    """The page."""
    names = columns(sweep)
    lines = [f"# Sweep of {sweep.dataset.name}", ""]
    lines += [f"{line[0].upper()}{line[1:]}." for line in recommendation_lines(sweep)[:2]]
    lines += ["", "```bash", sweep.command, "```", ""]
    lines += ["| " + " | ".join(names) + " |", "|:--|" + "--:|" * (len(names) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(sweep)]
    lines += [
        "",
        "Cross-fitted NLL: nats per step of each episode's actions under a policy for its code that never saw the "
        "episode, best seed; the same split and the same fit for every row. Smallest gap: how much worse the two most "
        "similar codes of any seed explain each other's episodes, nats per step; training merges codes below "
        f"{sweep.config.merge_gap:g}. Stability: mean adjusted Rand index between the seeds' codes.",
    ]
    if sweep.dataset.labels is not None:
        lines.append("\\* Evaluation only, medians over seeds: the recommendation knows no labels.")
    lines += ["", *(f"- {line}" for line in notes(sweep)), ""]
    for picture in pictures:
        lines += [f"![{picture.stem}]({picture.name})", ""]
    if sweep.claims:
        lines += ["## What holds of the original's claims", ""]
        for objective, found in sweep.claims.items():
            lines += [f"With {TITLES[objective]}:", ""]
            lines += [f"- {claim.name}: **{claim.verdict}**. {claim.evidence}." for claim in found]
            lines.append("")
    return "\n".join([*lines, *made_by(sweep.config, sweep.dataset.name, sweep.cells)])
