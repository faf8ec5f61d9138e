"""Sections of a report card: what a mode is, what is guaranteed of it, which modes qualify, what lies between two."""

import math
from collections.abc import Mapping
from typing import Any

from mode_imitation.reports.guarantees import SIDES
from mode_imitation.reports.markdown import cell, table

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
