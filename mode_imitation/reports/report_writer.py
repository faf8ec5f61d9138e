"""A report on disk: report.json for programs, report.md for people, pictures for both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mode_imitation.atomic import write_json, write_text
from mode_imitation.reports.closed_loop import Blend
from mode_imitation.reports.clustering import Clustering
from mode_imitation.reports.guarantees import SIDES, Guarantee
from mode_imitation.reports.report_data import Figures, LeakEntry, ModeEntry, Report, ReportData
from mode_imitation.reports.report_pictures import MARKDOWN, PICTURES, draw_pictures
from mode_imitation.reports.statistics import cell, table
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

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.md and the pictures into a folder, each as a whole; report.json comes last.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    pictures = draw_pictures(report, folder)
    write_text(folder / MARKDOWN, as_markdown(report.data, [path.name for path in pictures]))
    write_json(folder / JSON, report.data.as_dict())
    return [folder / JSON, folder / MARKDOWN, *pictures]


def summary_lines(data: ReportData) -> list[str]:
    """What was found, in a few lines; the command line prints them."""
    lines = []
    for entry in data.modes:
        expert = f", matches {entry.expert}" if entry.expert else ""
        reached = entry.figures["goals"]
        goals = f"; {reached.text(1)} goals" if reached else ""
        lines.append(f"mode {entry.mode}: {entry.description} ({entry.share:.0%} of the data{expert}){goals}")
    if best := data.best_goal_mode:
        lines.append(
            f"mode {best.mode} reaches {best.goals:.1f} goals, the expert {best.expert} {best.expert_goals:.1f}, "
            f"on the same {len(data.layouts)} held-out layouts: a ratio of {best.ratio.text()}"
        )
    if scores := data.clustering:
        lines.append(
            "codes against labels: "
            + (f"episode NMI {scores.episode['nmi']:.3f}, " if scores.episode else "")
            + f"window NMI {scores.window['nmi']:.3f}"
            + (f" (in the arena {scores.window_in_arena['nmi']:.3f})" if scores.window_in_arena else "")
            + f"; {round(scores.coverage * scores.n_experts)} of {scores.n_experts} experts have a mode"
        )
    if data.turns:
        lines.append(turn_line(data.turns))
    if leak := data.leak:
        lines.append(
            f"action NLL {leak.nll_inferred:.2f} under inferred contexts, {leak.nll_fixed:.2f} under the modes' "
            f"fixed ones: the context leaks {max(leak.gap, 0.0):.2f} nat/step"
        )
    return lines


def as_markdown(data: ReportData, pictures: Sequence[str] = ()) -> str:
    """report.md."""

    def picture(name: str, words: str) -> list[str]:
        return [f"![{words}]({PICTURES[name]})"] if PICTURES[name] in pictures else []

    parts = [f"# Modes of {data.run}", listed(summary_lines(data))]
    parts += picture("panels", "every mode and every expert on one layout")
    parts += ["## What each mode is", listed([_mode_line(entry, data.dataset) for entry in data.modes])]
    for name, text in ABOUT.items():
        if shown := picture(name, PICTURES[name]):
            parts += [*shown, f"{text}."]
    if texts := {entry.mode: entry.text for entry in data.modes if entry.text}:
        parts.append("## What each mode writes")
        for mode, own in texts.items():
            parts += [f"**mode {mode}**: {', '.join(own.words)}", listed([code_of(text) for text in own.samples])]
    parts += ["## Modes", _mode_table(data)]
    if data.layouts:
        temperature = data.settings["temperature"]
        drawn = "mean action" if temperature == 0 else f"sampled actions at temperature {temperature:g}"
        words = (
            f"Means with 95% bootstrap intervals over {len(data.layouts)} held-out layouts of {data.env_id}, "
            f"{data.steps} steps each, {drawn}."
        )
        if any(entry.figures["approach"] for entry in data.modes):
            words += " Approach is metres gained towards the goal per metre driven."
        if not data.settings["memory"]:
            words += " The policy has no memory: what an expert did by the clock, a mode cannot do."
        parts.append(words)
    if data.guarantees:
        parts += ["## Guarantees", table(*guarantee_table(data)), _guarantee_text(data)]
    if data.requirements:
        parts += ["## Requirements", listed(verdict_lines(data))]
    if data.blend:
        parts += ["## Between two modes", table(*blend_table(data.blend)), BLEND_TEXT]
        parts += picture("blend", "figures against the weight of the second mode")
    if data.experts:
        header, rows = figure_table(data.experts, "expert")
        noise = data.settings["action_noise"]
        parts += ["## Experts on the same layouts", table(header, rows), f"With action noise {noise}, undisturbed."]
    parts += picture("bars", "modes beside experts")
    if data.clustering:
        parts += ["## Codes against labels", _clustering_table(data.clustering), *_confusion_tables(data)]
        parts += picture("confusion", "confusion of codes and labels")
    if data.leak:
        parts += ["## Does the context know the action?", _leak_text(data.leak)]
    if any(entry.exemplars for entry in data.modes):
        windows = [", ".join(f"episode {w.episode} from step {w.start}" for w in e.exemplars) for e in data.modes]
        rows = [[str(entry.mode), words] for entry, words in zip(data.modes, windows, strict=True)]
        parts += ["## Windows nearest to each code", table(["mode", "windows"], rows)]
    parts += picture("shares", "share of the data of each mode")
    if data.left_out:
        parts += ["## Left out", listed([line.removeprefix("left out: ") for line in data.left_out])]
    made = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    parts.append(f"Made with {made} on {data.platform}.")
    return "\n\n".join(parts) + "\n"


def code_of(text: str) -> str:
    """A text in one line, which Markdown shows as it is."""
    one_line = " ".join(text.split()).replace("`", "'")
    return f"`{one_line}`"


def listed(lines: Sequence[str]) -> str:
    """As a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def figure_table(rows: Mapping[str, Figures], name: str) -> Table:
    """A row each, a column for every one of COLUMNS that some row knows; the first column is called `name`."""
    shown = [figure for figure in COLUMNS if any(figures.get(figure) for figures in rows.values())]
    header = [name, *(COLUMNS[figure][0] for figure in shown)]
    cells = [[label, *(cell(found[one], COLUMNS[one][1]) for one in shown)] for label, found in rows.items()]
    return header, cells


def _mode_table(data: ReportData) -> str:
    (first, *header), rows = figure_table({str(entry.mode): entry.figures for entry in data.modes}, "mode")
    labelled = any(entry.expert for entry in data.modes)
    about = [
        [f"{entry.share:.1%}", entry.description, *([entry.expert or "-"] if labelled else [])] for entry in data.modes
    ]
    rows = [[mode, *words, *figures] for (mode, *figures), words in zip(rows, about, strict=True)]
    return table([first, "share", "in words", *(["expert"] if labelled else []), *header], rows)


def _clustering_table(scores: Clustering) -> str:
    groups = {
        "windows": scores.window,
        "windows in the arena": scores.window_in_arena,
        "episodes": scores.episode,
        "held-out episodes": scores.episode_held_out,
    }
    header = ["", "NMI", "ARI", "homogeneity", "completeness", "purity", "Hungarian accuracy"]
    return table(
        header, [[name, *(f"{value:.3f}" for value in found.values())] for name, found in groups.items() if found]
    )


def _confusion_tables(data: ReportData) -> list[str]:
    modes, tables = [entry.mode for entry in data.modes], []
    for unit, confusion in (data.confusion or {}).items():
        pairs = zip(confusion["labels"], confusion["counts"], strict=True)
        rows = [[label, *(str(counts[mode]) for mode in modes)] for label, counts in pairs]
        tables.append(table([unit, *(f"mode {mode}" for mode in modes)], rows))
    return tables


def _leak_text(leak: LeakEntry) -> str:
    where = f"{'held-out ' * leak.held_out}episode{'s' * (leak.n_episodes != 1)}"
    return (
        f"Mean action NLL on {leak.n_episodes} {where}: {leak.nll_inferred:.3f} nat/step under contexts inferred "
        f"from the windows that hold the action, {leak.nll_fixed:.3f} under the fixed context of the mode. "
        f"The gap of {leak.gap:.3f} is what the context knows of the action beyond the mode; it should be near 0."
    )


def _mode_line(entry: ModeEntry, dataset: str) -> str:
    """A mode in a sentence or two, without labels."""
    text = f"**mode {entry.mode}** {entry.description}" + (f": {entry.clauses}" if entry.clauses else "")
    if reactions := entry.reactions:
        order = sorted(reactions, key=lambda name: -reactions[name])
        noticed = [name for name in order if reactions[name] >= NOTICED]
        hardly = [name for name in order if reactions[name] < HARDLY]
        parts = [f"{name} ({reactions[name]:.1f}{' sigmas' * (name == noticed[0])})" for name in noticed]
        text += f". It goes by {', '.join(parts)}" if noticed else ". It goes by no single sensor"
        text += f"; hardly by {', '.join(hardly)}" if noticed and hardly else ""
    if entry.exemplar_episodes:
        typical = [f"{dataset}#{index}" for index in entry.exemplar_episodes]
        text += f". Typical: {', '.join(typical)}"
    return f"{text}."


def guarantee_table(data: ReportData) -> Table:
    """Each mode's bounds of the mean, and what holds for so many new layouts, where there are any."""
    bounds, percent = {entry.mode: entry.guarantees or {} for entry in data.modes}, guaranteed_percent(data)
    shown = [figure for figure in SIDES if any(found.get(figure) for found in bounds.values())]
    header = [""]
    for figure in shown:
        sign = "≥" if SIDES[figure] == "at_least" else "≤"
        header += [f"mean {figure} {sign}", f"{percent}% {sign}"]
    rows = []
    for mode, found in bounds.items():
        pairs = [(found.get(figure), 3 if figure == "straightness" else 1) for figure in shown]
        cells = [_safely(bound, name, digits) for bound, digits in pairs for name in ("bound", "quantile")]
        rows.append([f"mode {mode}", *cells])
    return header, rows


def guaranteed_percent(data: ReportData) -> int:
    """Of new layouts, that so many layouts suffice to speak of."""
    bounds = (bound for entry in data.modes for bound in (entry.guarantees or {}).values() if bound)
    return math.floor(100 * next(bounds).share + 1e-9)


def _safely(guarantee: Guarantee | None, name: str, digits: int) -> str:
    """Rounded to the side on which it still holds."""
    if guarantee is None:
        return "-"
    towards = math.floor if guarantee.side == "at_least" else math.ceil
    return f"{towards(round(getattr(guarantee, name) * 10**digits, 6)) / 10**digits:.{digits}f}"


def _guarantee_text(data: ReportData) -> str:
    """What the bounds mean and rest on."""
    assert data.guarantees
    return (
        f"With a probability of at least {data.guarantees.confidence:.4g} over the draw of {len(data.layouts)} "
        "layouts, a bound of a figure holds for all modes together: that of its mean over new layouts and, apart from "
        "it, that of so many percent of them. Nothing is assumed of the distribution. The bounds of means hold at "
        "every number of layouts at once, so that --layouts may be raised until they suffice; those of percents hold "
        f"at the number chosen beforehand. {data.guarantees.assumptions}"
    )


def verdict_lines(data: ReportData) -> list[str]:
    """Which modes meet --require, and what the others lack."""
    lines = []
    for verdict in data.requirements.modes if data.requirements else []:
        if verdict.qualifies and data.requirements and data.guarantees:
            asked = " and ".join(data.requirements.asked)
            lines.append(f"mode {verdict.mode} qualifies: {asked} at {data.guarantees.confidence:.4g}")
        else:
            lines.append(f"mode {verdict.mode} does not qualify: {'; '.join(verdict.missing)}")
    return lines


def blend_table(blend: Blend) -> Table:
    """A row for each weight of the second mode."""
    figures = {name: column for name, column in blend.figures.items() if column is not None}
    rows = []
    for index, (weight, distance) in enumerate(zip(blend.weights, blend.distances, strict=True)):
        cells = [column[index].text(3 if name == "straightness" else 2) for name, column in figures.items()]
        rows.append([f"{weight:.1f}", f"{distance:.2f}", *cells])
    return [f"weight of mode {blend.modes[1]}", "distance", *figures], rows
