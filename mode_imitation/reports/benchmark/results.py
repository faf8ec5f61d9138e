"""Results of a benchmark on disk: results.json, results.md and figures."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mode_imitation.atomic import write_json, write_text
from mode_imitation.reports.benchmark.aggregate import aggregate
from mode_imitation.reports.benchmark.cells import Cell
from mode_imitation.reports.benchmark.config import (
    LAYOUTS,
    METHODS,
    OURS,
    SEEDS,
    SETS,
    SWITCHING_LAYOUTS,
    BenchmarkConfig,
)
from mode_imitation.reports.benchmark.differences import between_methods, to_default
from mode_imitation.reports.benchmark.run import Finished, physics_of
from mode_imitation.reports.benchmark.tables import tables
from mode_imitation.reports.benchmark.targets import CORE_MINUTES, Target, judge, within_time
from mode_imitation.versions import platform_name, versions

FORMAT = 1


def make_results(config: BenchmarkConfig, finished: Finished) -> dict[str, Any]:
    """What results.json holds: means and intervals, no raw figures."""
    by_method = _by_method(config, finished.cells)
    differences = between_methods(by_method, config.experts)
    if config.compare_default:
        differences += to_default(by_method, _by_method(config, finished.default), config.experts)
    methods = aggregate(by_method, config.experts)
    failed = Counter(cell.method for cell in finished.cells if cell.failure() is not None)
    for method, entry in methods.items():
        entry["failed"] = failed[method]
    # A method all of whose runs failed has no figures, and yet has missed what it was meant to reach.
    judged = ({OURS: {"seeds": 0, "failed": failed[OURS]}} if failed[OURS] else {}) | methods
    # Some say only how long they, or their training, took beside whatever else the machine did.
    every = [figures for cells in by_method.values() for figures in cells]
    spent = sum(figures.get("processor_seconds", sum(figures["seconds"].values())) for figures in every)
    by_the_clock = sum("processor_seconds" not in one or one.get("trained_by_the_clock", False) for one in every)
    told = [] if by_the_clock or finished.failed else time_of(config, spent)
    return {
        "format_version": FORMAT,
        "set": config.set,
        "experts": list(config.experts),
        "turn": config.turn,
        "codes": SETS[config.set].codes,
        "iterations": config.train_settings()["iterations"],
        "episodes": config.episodes,
        "steps": config.steps,
        "burst_away": config.burst_away if config.turn is None else 0.0,
        "fresh_demonstrations": config.fresh_demonstrations,
        "lidar_directions": config.lidar_directions,
        "history": config.history,
        "physics": physics_of(config),
        "layouts": config.layouts,
        "layout_block": config.layout_block,
        "seeds": config.seeds,
        "trial": not config.full,
        "switching_layouts": min(config.layouts, SWITCHING_LAYOUTS),
        "core_minutes": round(spent / 60, 1),
        "cells_by_the_clock": by_the_clock,
        "methods": methods,
        "differences": [difference.as_dict() for difference in differences],
        "targets": [target.as_dict() for target in (*judge(config.set, judged, config.experts), *told)],
        "failed": finished.failed,
        "notes": finished.notes,
        "command": command_of(config),
        "versions": versions(),
        "platform": platform_name(),
        # Of the cells, which may be older than the code that writes this.
        "code": sorted(set().union(*(cell.codes() for cell in finished.cells if cell.read() is not None))),
    }


def time_of(config: BenchmarkConfig, spent: float) -> list[Target]:
    """Whether a set that has a time to keep kept it; nothing where more or less was run than that time is meant for.

    Args:
        spent: seconds of processor time of all cells.
    """
    whole = config.chosen == list(SETS[config.set].methods) and (config.seeds, config.layouts) == (SEEDS, LAYOUTS)
    plain = config == replace(config.default, exact_physics=False, fresh_demonstrations=False)
    if config.set not in CORE_MINUTES or not (config.full and whole and plain):
        return []
    return [within_time(CORE_MINUTES[config.set], spent / 60)]


def _by_method(config: BenchmarkConfig, cells: Sequence[Cell]) -> dict[str, list[dict[str, Any]]]:
    """What the cells measured, method by method; nothing of those that failed."""
    found: dict[str, list[dict[str, Any]]] = {method: [] for method in config.chosen}
    for cell in cells:
        figures = cell.read()
        if figures is not None:
            found[cell.method].append(figures)
    return found


def command_of(config: BenchmarkConfig) -> str:
    """What to type to get these results again, without what only says where things go."""
    words = ["mode-imitation", "benchmark", config.set]
    default = BenchmarkConfig(set=config.set)
    trial = "layout_block", "episodes", "steps", "iterations"
    for name in ("seeds", "layouts", "methods", *trial, "burst_away", "history", "history_gap"):
        value = getattr(config, name)
        if value != getattr(default, name) or name in ("seeds", "layouts"):
            words += [f"--{name.replace('_', '-')}", shlex.quote(str(value))]
    flags = {
        "--fresh-demonstrations": config.fresh_demonstrations,
        "--no-lidar-directions": not config.lidar_directions,
        "--exact-physics": physics_of(config) == "exact",
        "--compare-default": config.compare_default,
    }
    return " ".join(words + [flag for flag, given in flags.items() if given])


def write_results(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write results.json, results.md and the figures; return their paths."""
    from mode_imitation.plots import benchmark as plots
    from mode_imitation.plots.style import save_figure

    written = [folder / "results.json", folder / "results.md"]
    write_json(written[0], results)
    pictures = {
        "goals.png": plots.plot_ratios,
        "agreement.png": plots.plot_agreement,
        "closed-loop.png": plots.plot_closed_loop,
        "switching.png": plots.plot_switching,
        "steering.png": plots.plot_steering,
    }
    for name, plot in pictures.items():
        figure = plot(results)
        if figure is not None:
            written.append(save_figure(figure, folder / name))
    write_text(written[1], as_markdown(results, [path.name for path in written[2:]]))
    return written


def as_markdown(results: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The page: what was run, tables, figures, versions."""
    what = "experts that take turns" if results.get("turn") else f"{results['set']} experts"
    lines = [f"# Mode benchmark, {what}", "", *headline(results), ""]
    lines += ["```bash", results["command"], "```", ""]
    for table in tables(results):
        lines += [f"## {table.title}", "", "| " + " | ".join(table.columns) + " |"]
        lines.append("|:--|" + "--:|" * (len(table.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in table.rows] + [""]
    lines += [f"![{name.removesuffix('.png')}]({name})\n" for name in pictures]
    lines += ["Methods:", "", *(f"- {name}: {METHODS[name]}" for name in results["methods"]), ""]
    lines += [f"- failed: {cell}: {reason}" for cell, reason in results["failed"].items()]
    lines += [f"- {note}" for note in results["notes"]]
    lines.append(", ".join(f"{name} {version}" for name, version in results["versions"].items()))
    return "\n".join([*lines, results["platform"], ""])


def _demonstrations(results: Mapping[str, Any]) -> str:
    experts, episodes = results["experts"], results["episodes"]
    if results.get("turn"):
        names, count = " and ".join(experts), episodes * len(experts)
        return f"{names} take turns, {results['turn']} steps each: {count} episodes"
    return f"{', '.join(experts)}: {episodes} episodes each"


def headline(results: Mapping[str, Any]) -> list[str]:
    """What was compared, in a few sentences."""
    by_the_clock = results["cells_by_the_clock"]
    lines = [
        f"{_demonstrations(results)}, {results['codes']} codes, "
        f"{results['seeds']} training seed{'s' * (results['seeds'] != 1)}, "
        f"{results['layouts']} layouts of the list {results['layout_block']} (switching: the first "
        f"{results['switching_layouts']}), intervals of 95% over seeds and layouts.",
        f"An expert's mode is the one that most of its {'windows' if results.get('turn') else 'demonstrations'} have, "
        "by the data's codes alone.",
        f"Training and driving took {results['core_minutes']} minutes of one core's time"
        + (
            f", {by_the_clock} cells of it, or their training, by the clock of a shared machine."
            if by_the_clock
            else "."
        ),
    ]
    if results.get("turn"):
        lines.append(
            "A step is right if its code stands for the expert that drove it; a code stands for the expert that drove "
            "most of its undisturbed steps. The policy that is given the labels is right throughout."
        )
    if results.get("burst_away"):
        lines.insert(1, f"{results['burst_away']:.0%} of the demonstrations' later bursts drive away.")
    if results.get("fresh_demonstrations"):
        lines.insert(1, "Every training seed has demonstrations of its own (data seeds 1, 2, ...).")
    if not results.get("lidar_directions"):
        lines.insert(1, "Policies are not shown the mean direction of what each lidar sees.")
    if results.get("history"):
        lines.insert(1, f"Policies see {results['history']} earlier observations beside the current one.")
    if results.get("physics") == "fast":
        lines.insert(-1, 'Policies and experts drove with fast physics (`make_vec(physics="fast")`).')
    if results["trial"]:
        lines.insert(0, "A TRIAL: cut short, or on layouts that were tuned on. Not a result.")
    return lines
