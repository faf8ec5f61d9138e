"""A report on disk: report.json for programs, report.md for people, pictures for both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mode_imitation.atomic import write_json, write_text
from mode_imitation.reports.guarantees import SIDES
from mode_imitation.reports.markdown import cell, table
from mode_imitation.reports.report_data import Report
from mode_imitation.reports.report_pictures import MARKDOWN, PICTURES, draw_pictures
from mode_imitation.reports.turns import turn_line

JSON = "report.json"
COLUMNS = {
    "goals": ("goals", 1),
    "return": ("return", 1),
    "success": ("success", 2),
    "cost": ("cost", 1),
    "straightness": ("straightness", 3),
    "speed": ("speed (m/s)", 2),
    "turn_rate": ("turn rate (rad/s, left +)", 2),
    "approach": ("approach to the goal", 2),
    "arena_share": ("share in the arena", 2),
}
"""Figure: its column's title and digits."""


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.md and the pictures, each as a whole; report.json comes last.

    Args:
        report: from `make_report`.
        folder: is created.

    Returns:
        The files.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    pictures = draw_pictures(report, folder)
    text = as_markdown(report.data, [path.name for path in pictures])
    write_text(folder / MARKDOWN, text)
    write_json(folder / JSON, report.data)
    return [folder / JSON, folder / MARKDOWN, *pictures]


def summary_lines(data: Mapping[str, Any]) -> list[str]:
    """What was found, in a few lines; the command line prints them."""
    lines = []
    for entry in data["modes"]:
        expert = f", matches {entry['expert']}" if entry["expert"] else ""
        goals = f"; {cell(entry['goals'], 1)} goals" if entry.get("goals") else ""
        lines.append(f"mode {entry['mode']}: {entry['description']} ({entry['share']:.0%} of the data{expert}){goals}")
    best = data["best_goal_mode"]
    if best and best["ratio"]:
        lines.append(
            f"mode {best['mode']} reaches {best['goals']:.1f} goals, the expert {best['expert']} "
            f"{best['expert_goals']:.1f}, on the same {len(data['layouts'])} held-out layouts: "
            f"a ratio of {cell(best['ratio'], 2)}"
        )
    scores = data["clustering"]
    if scores:
        arena = scores["window_nmi_in_arena"]
        lines.append(
            "codes against labels: "
            + (f"episode NMI {scores['episode_nmi']:.3f}, " if scores["episode_nmi"] is not None else "")
            + f"window NMI {scores['window_nmi']:.3f}"
            + (f" (in the arena {arena:.3f})" if arena is not None else "")
            + f"; {round(scores['coverage'] * scores['n_experts'])} of {scores['n_experts']} experts have a mode"
        )
    if data["turns"]:
        lines.append(turn_line(data["turns"]))
    leak = data["leak"]
    if leak:
        lines.append(
            f"action NLL {leak['nll_inferred']:.2f} under inferred contexts, {leak['nll_fixed']:.2f} under the modes' "
            f"fixed ones: the context leaks {max(leak['gap'], 0.0):.2f} nat/step"
        )
    return lines


def as_markdown(data: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
    """report.md."""
    parts = [f"# Modes of {data['run']}", "\n".join(f"- {line}" for line in summary_lines(data))]
    if PICTURES["panels"] in pictures:
        parts.append(f"![every mode and every expert on one layout]({PICTURES['panels']})")
    parts += ["## What each mode is", "\n".join(f"- {line}" for line in mode_lines(data))]
    for name, text in ABOUT.items():
        if PICTURES[name] in pictures:
            parts += [f"![{PICTURES[name]}]({PICTURES[name]})", f"{text}."]
    parts += ["## Modes", _mode_table(data)]
    if data["layouts"]:
        parts.append(
            f"Means with 95% bootstrap intervals over {len(data['layouts'])} held-out layouts of {data['env_id']}, "
            f"{data['steps']} steps each, {_temperature(data['settings']['temperature'])}. Approach is metres gained "
            "towards the goal per metre driven."
        )
    if data["guarantees"]:
        parts += ["## Guarantees", guarantee_table(data), guarantee_text(data)]
    if data["requirements"]:
        parts += ["## Requirements", "\n".join(f"- {line}" for line in verdict_lines(data))]
    if data["blend"]:
        parts += ["## Between two modes", blend_table(data["blend"]), BLEND_TEXT]
        if PICTURES["blend"] in pictures:
            parts.append(f"![figures against the weight of the second mode]({PICTURES['blend']})")
    if data["experts"]:
        noise = data["settings"]["action_noise"]
        parts += ["## Experts on the same layouts", _expert_table(data), f"With action noise {noise}, undisturbed."]
    if PICTURES["bars"] in pictures:
        parts.append(f"![modes beside experts]({PICTURES['bars']})")
    if data["clustering"]:
        parts += ["## Codes against labels", _clustering_table(data["clustering"]), *_confusion_tables(data)]
        if PICTURES["confusion"] in pictures:
            parts.append(f"![confusion of codes and labels]({PICTURES['confusion']})")
    if data["leak"]:
        parts += ["## Does the context know the action?", _leak_text(data["leak"])]
    if any(entry["exemplars"] for entry in data["modes"]):
        parts += ["## Windows nearest to each code", _exemplar_table(data)]
    if PICTURES["shares"] in pictures:
        parts.append(f"![share of the data of each mode]({PICTURES['shares']})")
    if data["left_out"]:
        parts += ["## Left out", "\n".join(f"- {line.removeprefix('left out: ')}" for line in data["left_out"])]
    made = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    parts.append(f"Made with {made} on {data['platform']}.")
    return "\n\n".join(parts) + "\n"


def _mode_table(data: Mapping[str, Any]) -> str:
    shown = _shown(data["modes"])
    labelled = any(entry["expert"] for entry in data["modes"])
    header = ["mode", "share", "in words", *(["expert"] if labelled else []), *(COLUMNS[name][0] for name in shown)]
    rows = [
        [
            str(entry["mode"]),
            f"{entry['share']:.1%}",
            entry["description"],
            *([entry["expert"] or "-"] if labelled else []),
            *(cell(entry[name], COLUMNS[name][1]) for name in shown),
        ]
        for entry in data["modes"]
    ]
    return table(header, rows)


def _expert_table(data: Mapping[str, Any]) -> str:
    shown = _shown(list(data["experts"].values()))
    header = ["expert", *(COLUMNS[name][0] for name in shown)]
    rows = [
        [name, *(cell(figures[column], COLUMNS[column][1]) for column in shown)]
        for name, figures in data["experts"].items()
    ]
    return table(header, rows)


def _clustering_table(scores: Mapping[str, Any]) -> str:
    groups = {
        "windows": scores["window"],
        "windows in the arena": scores["window_in_arena"],
        "episodes": scores["episode"],
        "held-out episodes": scores["episode_held_out"],
    }
    known = {name: values for name, values in groups.items() if values}
    header = ["", "NMI", "ARI", "homogeneity", "completeness", "purity", "Hungarian accuracy"]
    return table(header, [[name, *(f"{value:.3f}" for value in values.values())] for name, values in known.items()])


def _confusion_tables(data: Mapping[str, Any]) -> list[str]:
    modes = [entry["mode"] for entry in data["modes"]]
    tables = []
    for unit, confusion in data["confusion"].items():
        rows = [
            [label, *(str(counts[mode]) for mode in modes)]
            for label, counts in zip(confusion["labels"], confusion["counts"], strict=True)
        ]
        tables.append(table([unit, *(f"mode {mode}" for mode in modes)], rows))
    return tables


def _leak_text(leak: Mapping[str, Any]) -> str:
    where = "held-out episodes" if leak["held_out"] else "episodes"
    return (
        f"Mean action NLL on {leak['n_episodes']} {where}: {leak['nll_inferred']:.3f} nat/step under contexts inferred "
        f"from the windows that hold the action, {leak['nll_fixed']:.3f} under the fixed context of the mode. "
        f"The gap of {leak['gap']:.3f} is what the context knows of the action beyond the mode; it should be near 0."
    )


def _exemplar_table(data: Mapping[str, Any]) -> str:
    rows = [
        [str(entry["mode"]), ", ".join(f"episode {w['episode']} from step {w['start']}" for w in entry["exemplars"])]
        for entry in data["modes"]
    ]
    return table(["mode", "windows"], rows)


def _shown(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in COLUMNS if any(entry.get(name) for entry in entries)]


def _temperature(temperature: float) -> str:
    return "mean action" if temperature == 0 else f"sampled actions at temperature {temperature:g}"


NOTICED, HARDLY = 0.5, 0.1
"""Sigmas from which a mode is said to go by a sensor, and below which hardly to."""
ABOUT = {
    "maps": "Where each mode goes; the darker, the more of its time",
    "reactions": "Which sensors each mode goes by: how far its mean action moves, in units of its noise, when a "
    "sensor's readings are exchanged with those of another state of the mode",
    "exemplars": "The demonstrations nearest to each code",
    "latent": "Windows as the encoder sees them, on their two principal axes; diamonds are the codebook (an entry lies "
    "at the mean of its mode's windows, for distances are averaged over a trajectory), crosses its pruned entries",
}
"""What is said of a picture."""
BLEND_TEXT = (
    "Contexts on the line from the first mode's to the second's, on layouts put aside for tuning. Distance is that to "
    "the nearest mode's context: 0 is as in training, 1 as far as another mode."
)


def mode_lines(data: Mapping[str, Any]) -> list[str]:
    """Each mode in a sentence or two, without labels."""
    lines = []
    for entry in data["modes"]:
        clauses = clauses_of(entry)
        text = f"**mode {entry['mode']}** {entry['description']}" + (f": {clauses}" if clauses else "")
        if entry["reactions"]:
            text += f". {_reaction_text(entry['reactions'])}"
        if entry["exemplar_episodes"]:
            typical = ", ".join(f"{data['dataset']}#{one['episode']}" for one in entry["exemplar_episodes"])
            text += f". Typical: {typical}"
        lines.append(text + ".")
    return lines


def clauses_of(entry: Mapping[str, Any]) -> str:
    """What sets a mode apart: "turns left constantly; twice the speed of mode 2"."""
    return "; ".join([*entry["traits"], *entry["contrasts"]])


def _reaction_text(reactions: Mapping[str, Mapping[str, float]]) -> str:
    """ "It goes by goal_lidar (5.2 sigmas), gyro (1.1), ..., hardly by vases_lidar": those that move it noticeably."""
    order = sorted(reactions, key=lambda name: -reactions[name]["sigmas"])
    noticed = [name for name in order if reactions[name]["sigmas"] >= NOTICED]
    if not noticed:
        return "It goes by no single sensor"
    parts = [f"{name} ({reactions[name]['sigmas']:.1f}{' sigmas' * (name == noticed[0])})" for name in noticed]
    hardly = [name for name in order if reactions[name]["sigmas"] < HARDLY]
    return f"It goes by {', '.join(parts)}" + (f"; hardly by {', '.join(hardly)}" if hardly else "")


def guarantee_rows(data: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: each mode's bounds of the mean, and what holds for so many new layouts, where there are any."""
    known = [found for entry in data["modes"] for found in (entry["guarantees"] or {}).values() if found]
    share = math.floor(100 * known[0]["share"] + 1e-9) if known else 0
    shown = [figure for figure in SIDES if any((entry["guarantees"] or {}).get(figure) for entry in data["modes"])]
    header = [""]
    for figure in shown:
        sign = "≥" if SIDES[figure] == "at_least" else "≤"
        header += [f"mean {figure} {sign}", f"{share}% {sign}"]
    rows = []
    for entry in data["modes"]:
        cells = [f"mode {entry['mode']}"]
        for figure in shown:
            bound = (entry["guarantees"] or {}).get(figure)
            digits = 3 if figure == "straightness" else 1
            cells += [_safely(bound, name, digits) for name in ("bound", "quantile")]
        rows.append(cells)
    return header, rows


def _safely(guarantee: Mapping[str, Any] | None, name: str, digits: int) -> str:
    """Rounded to the side on which it still holds."""
    if guarantee is None:
        return "-"
    towards = math.floor if guarantee["side"] == "at_least" else math.ceil
    return f"{towards(round(guarantee[name] * 10**digits, 6)) / 10**digits:.{digits}f}"


def guarantee_table(data: Mapping[str, Any]) -> str:
    """The bounds as Markdown."""
    return table(*guarantee_rows(data))


def guarantee_text(data: Mapping[str, Any]) -> str:
    """What the bounds mean and rest on."""
    about = data["guarantees"]
    return (
        f"With a probability of at least {about['confidence']:.4g} over the draw of {len(data['layouts'])} layouts, a "
        "bound of a figure holds for all modes together: that of its mean over new layouts and, apart from it, that of "
        "so many percent of them. Nothing is assumed of the distribution. The bounds of means hold at every number of "
        "layouts at once, so that --layouts may be raised until they suffice; those of percents hold at the number "
        "chosen beforehand. "
        f"{about['assumptions']}"
    )


def verdict_lines(data: Mapping[str, Any]) -> list[str]:
    """Which modes meet --require, and what the others lack."""
    about = data["requirements"]
    asked = " and ".join(about["asked"])
    lines = []
    for verdict in about["modes"]:
        if verdict["qualifies"]:
            lines.append(f"mode {verdict['mode']} qualifies: {asked} at {data['guarantees']['confidence']:.4g}")
        else:
            lines.append(f"mode {verdict['mode']} does not qualify: {'; '.join(verdict['missing'])}")
    return lines


def blend_rows(blend: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a row for each weight of the second mode."""
    figures = {name: rows for name, rows in blend["figures"].items() if rows is not None}
    header = [f"weight of mode {blend['modes'][1]}", "distance", *figures]
    rows = []
    for index, weight in enumerate(blend["weights"]):
        cells = [cell(found[index], 3 if name == "straightness" else 2) for name, found in figures.items()]
        rows.append([f"{weight:.1f}", f"{blend['distances'][index]:.2f}", *cells])
    return header, rows


def blend_table(blend: Mapping[str, Any]) -> str:
    """The blends as Markdown."""
    return table(*blend_rows(blend))
