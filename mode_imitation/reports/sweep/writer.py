"""sweep.json, sweep.md and the picture of the choice."""

from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import write_json, write_text
from mode_imitation.reports.clustering import clustering_scores
from mode_imitation.reports.statistics import table
from mode_imitation.reports.sweep.cells import FORMAT, SUMMARY
from mode_imitation.reports.sweep.choice import Setting
from mode_imitation.reports.sweep.sweep import Sweep
from mode_imitation.reports.turns import take_turns
from mode_imitation.versions import platform_name, versions

COLUMNS = ("k", "stride", "modes", "cross-fitted NLL", "smallest gap", "stability")
WITH_LABELS = "episode NMI*"
LEGEND = (
    "Cross-fitted NLL: nats per step of each episode's actions under a policy for its code that never saw the episode, "
    "best seed; the same split and the same fit for every row. Smallest gap: how much worse the two most similar codes "
    "of any seed explain each other's episodes, nats per step; training merges codes below {merge_gap:g}. Stability: "
    "mean adjusted Rand index between the seeds' codes."
)
EVALUATION = "\\* Evaluation only, median over seeds: the recommendation knows no labels."


def has_labels(sweep: Sweep) -> bool:
    """Whether an episode's code can be compared with an expert; several in turn are no one's label."""
    return sweep.dataset.labels is not None and not take_turns(sweep.dataset)


def columns(sweep: Sweep) -> tuple[str, ...]:
    """Of the table; the starred one knows labels and is for evaluation only."""
    return (*COLUMNS, WITH_LABELS) if has_labels(sweep) else COLUMNS


def rows(sweep: Sweep) -> list[tuple[str, ...]]:
    """A row for each k and stride: likelihood of the best seed, smallest gap of all seeds; `<` is the recommended."""
    found = []
    for setting in sweep.settings:
        modes = sorted(set(setting.n_modes))
        row = (
            f"{setting.codes}" + (" <" if setting is sweep.recommendation.setting else ""),
            f"{setting.stride}",
            f"{modes[0]}" if len(modes) == 1 else f"{modes[0]} to {modes[-1]}",
            f"{setting.nll[0]:.3f}",
            number(setting.smallest_gap),
            number(setting.stability),
        )
        found.append((*row, f"{agreement(sweep, setting):.3f}") if has_labels(sweep) else row)
    return found


def agreement(sweep: Sweep, setting: Setting) -> float:
    """Episode NMI with the labels, the median over seeds."""
    place = {"codes": setting.codes, "stride": setting.stride}
    labels = sweep.dataset.labels or []
    scores = [
        clustering_scores(labels, np.array(cell["codes"]))["nmi"]
        for cell in sweep.cells
        if cell["status"] == "done" and cell["cell"].items() >= place.items()
    ]
    return float(np.median(scores))


def number(value: float | None) -> str:
    """A figure, or '-' for what is not known."""
    return "-" if value is None else f"{value:.2f}"


def recommendation_lines(sweep: Sweep) -> list[str]:
    """What is recommended, why, and what to type; or why nothing is."""
    chosen = sweep.recommendation.setting
    if chosen is None:
        return [f"nothing is recommended: {sweep.recommendation.reason}"]
    return [
        f"recommended, without labels: k = {chosen.codes}, stride {chosen.stride}, seed {chosen.seeds[0]}, which found "
        f"{chosen.n_modes[0]} modes",
        f"because {sweep.recommendation.reason}",
        f"next: {sweep.command}",
    ]


def write_sweep(sweep: Sweep) -> list[Path]:
    """Write sweep.json, sweep.md and choice.png; return them."""
    from mode_imitation.plots import plot_choice, save_figure

    out, chosen = sweep.config.out, sweep.recommendation.setting
    files = [out / SUMMARY, out / "sweep.md"]
    write_json(files[0], as_dict(sweep))
    figure = plot_choice(
        [setting.to_dict() for setting in sweep.settings],
        chosen=None if chosen is None else (chosen.codes, chosen.stride),
        title="Nothing is recommended" if chosen is None else f"Chosen: k = {chosen.codes}, stride {chosen.stride}",
    )
    files.append(save_figure(figure, out / "choice.png"))
    write_text(files[1], markdown(sweep))
    return files


def as_dict(sweep: Sweep) -> dict[str, Any]:
    """What sweep.json holds: everything but the codes and likelihoods of episodes; those stay in the cells' files."""
    dataset, config = sweep.dataset, sweep.config
    options = ("codes", "strides", "seeds", "seed", "iterations", "joint_iterations", "judge_iterations")
    cells = [{name: value for name, value in cell.items() if name not in ("codes", "criteria")} for cell in sweep.cells]
    return {
        "format_version": FORMAT,
        "dataset": {"name": dataset.name, "checksum": dataset.checksum, "n_episodes": len(dataset)},
        "grid": {name: getattr(config, name) for name in options},
        "merge_gap": config.merge_gap,
        "recommendation": sweep.recommendation.to_dict(),
        "command": sweep.command,
        "settings": [setting.to_dict() for setting in sweep.settings],
        "cells": cells,
        "notes": sweep.notes,
        "versions": versions(),
        "platform": platform_name(),
    }


def markdown(sweep: Sweep) -> str:
    """The page."""
    told, *rest = recommendation_lines(sweep)
    lines = [f"# Sweep of {sweep.dataset.name}", "", f"{told[0].upper()}{told[1:]}."]
    if rest:
        lines += [f"{rest[0][0].upper()}{rest[0][1:]}.", "", "```bash", str(sweep.command), "```"]
    lines += ["", table(columns(sweep), rows(sweep)), "", LEGEND.format(merge_gap=sweep.config.merge_gap)]
    lines += [EVALUATION] * has_labels(sweep)
    lines += ["", *(f"- {line}" for line in sweep.notes), "", "![What the choice goes by](choice.png)", ""]
    return "\n".join(lines)
