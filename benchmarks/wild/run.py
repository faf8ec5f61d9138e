"""The work behind `python -m benchmarks.wild`: rows, cells, results."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.wild.cells import Cell, code_of, make, read
from benchmarks.wild.config import WildConfig
from benchmarks.wild.methods import METHODS, Method, chosen_methods
from benchmarks.wild.rows import Row, chosen_rows
from benchmarks.wild.tables import as_markdown, tables
from mode_imitation.atomic import check_folder, locked, write_json, write_text
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.versions import platform_name, versions

FORMAT = 1


def run_benchmark(config: WildConfig) -> dict[str, Any]:
    """Make the cells that are missing, seed by seed, so that what an interrupted call leaves behind is a table.

    Returns:
        What results.json holds.

    Raises:
        UserError: an option, a folder or a row's data cannot be used, or another benchmark is at work in the folder.
        KeyboardInterrupt: after Ctrl-C; the cell in work is lost, the same command goes on from there.
    """
    methods = chosen_methods(config)
    rows, notes = chosen_rows(config)
    check_folder(config.out, "the benchmark")
    if config.publish is not None:
        check_folder(config.publish, "the results", "--publish")
    if not rows:
        raise UserError("there is no row; give --data, or --rows made")
    if config.finished:
        rows = [row for row in rows if row.there]
        return summary(config, rows, methods, notes)
    busy = f"another benchmark is at work in {config.out}; wait for it, or choose another --out"
    with locked(config.out / ".lock", busy):
        return summary(config, rows, methods, notes)


def summary(config: WildConfig, rows: list[Row], methods: dict[str, Method], notes: list[str]) -> dict[str, Any]:
    """See `run_benchmark`."""
    plan = [cell for seed in range(config.seeds) for row in rows for cell in cells_of(row, methods, config, seed)]
    loaded: dict[str, TrajectoryDataset] = {}
    with progress("wild", len(rows), "rows read or made") as bar:
        for row in rows:
            bar.advance(0, note=row.name)
            loaded[row.name] = load(row)
            bar.advance()
    paths = {cell: cell.path(config.out, loaded[cell.row].checksum) for cell in plan}
    found = {cell: result for cell, path in paths.items() if (result := read(path)) is not None}
    missing = [] if config.finished else [cell for cell in plan if found.get(cell, {}).get("status") != "complete"]
    if missing:
        label = "wild" + (f", {len(plan) - len(missing)} cells were there" if len(missing) < len(plan) else "")
        with progress(label, len(missing), "cells") as bar:
            for cell in missing:
                bar.advance(0, note=str(cell))
                found[cell] = make(cell, loaded[cell.row], paths[cell])
                bar.advance()
    other = sum(result["code"] != code_of(cell) for cell, result in found.items())
    if other:
        notes.append(f"{other} of {len(found)} cells were made by another state of this project's code")
    return results(config, rows, methods, loaded, found, notes)


def load(row: Row) -> TrajectoryDataset:
    """
    Raises:
        UserError: the data cannot be read, or have no labels to judge by.
    """
    dataset = row.load()
    if dataset.labels is None or len(set(dataset.labels)) < 2:
        raise UserError(f"row {row.name} has no labels of two classes; expected one label a trajectory, to judge by")
    return dataset


def cells_of(row: Row, methods: dict[str, Method], config: WildConfig, seed: int) -> list[Cell]:
    """Of a row and seed; methods that are told the classes have one each."""
    return [
        Cell(row.name, name, times, seed)
        for name, method in methods.items()
        for times in ([None] if method.told else config.multiples)
    ]


def results(
    config: WildConfig,
    rows: list[Row],
    methods: dict[str, Method],
    loaded: dict[str, TrajectoryDataset],
    found: dict[Cell, dict[str, Any]],
    notes: list[str],
) -> dict[str, Any]:
    """What results.json holds: each row's figures by method, over seeds."""
    listed = {}
    for row in rows:
        dataset = loaded[row.name]
        own = {
            cell: result for cell, result in found.items() if cell.row == row.name and result["status"] == "complete"
        }
        figures = {name: of_method({cell: one for cell, one in own.items() if cell.method == name}) for name in methods}
        listed[row.name] = {
            "group": row.group,
            "trajectories": len(dataset),
            "steps": [int(dataset.lengths.min()), int(dataset.lengths.max())],
            "classes": len(set(dataset.labels or [])),
            "methods": {name: entry for name, entry in figures.items() if entry},
        }
    failed = {str(cell): result["reason"] for cell, result in found.items() if result["status"] == "failed"}
    return {
        "format_version": FORMAT,
        "seeds": config.seeds,
        "times": config.multiples,
        "rows": listed,
        "methods": {name: method.what for name, method in methods.items()},
        "failed": failed,
        "notes": notes,
        "command": command_of(config),
        "versions": versions(),
        "platform": platform_name(),
        "code": sorted({result["code"] for result in found.values()}),
    }


def of_method(cells: dict[Cell, dict[str, Any]]) -> dict[str, Any]:
    """Figures of one row and method: a seed's is the mean over the numbers of codes; and each number by itself."""
    if not cells:
        return {}
    seeds = sorted({cell.seed for cell in cells})
    entry: dict[str, Any] = {"seeds": len(seeds), "seconds": float(np.mean([one["seconds"] for one in cells.values()]))}
    for figure in ("nmi", "ari"):
        entry[figure] = interval(
            [float(np.mean([one[figure] for cell, one in cells.items() if cell.seed == seed])) for seed in seeds]
        )
    multiples = sorted({cell.times for cell in cells if cell.times is not None})
    if multiples:
        entry["by_times"] = {
            str(times): {
                "nmi": interval([one["nmi"] for cell, one in cells.items() if cell.times == times]),
                "modes": [one["modes"] for cell, one in sorted(cells.items(), key=order) if cell.times == times],
            }
            for times in multiples
        }
    else:
        entry["modes"] = [one["modes"] for _, one in sorted(cells.items(), key=order)]
    return entry


def order(item: tuple[Cell, Any]) -> int:
    """By seed."""
    return item[0].seed


def interval(values: list[float]) -> dict[str, Any]:
    """Mean and Student's 95% interval, within what NMI and ARI can be; of one value, the value."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return {"mean": mean, "low": max(mean - half, min(0.0, mean)), "high": min(mean + half, 1.0), "values": values}


def command_of(config: WildConfig) -> str:
    """What to type to get these results again; where the data lie is the reader's."""
    words = ["python", "-m", "benchmarks.wild", *(["--data", "FOLDER"] if config.data else [])]
    words += ["--seeds", str(config.seeds), "--times", config.times]
    for name in ("rows", "methods"):
        if value := getattr(config, name):
            words += [f"--{name}", shlex.quote(value)]
    return " ".join(words)


def write_results(results: dict[str, Any], config: WildConfig) -> list[Path]:
    """Write results.json and results.md, and the published copy; return their paths."""
    lines = ["# The wild benchmark", "", "```bash", results["command"], "```", "", *as_markdown(tables(results))]
    lines += [f"- {METHODS[name].title}: {what}" for name, what in results["methods"].items()]
    lines += ["", *(f"- failed: {cell}: {reason}" for cell, reason in results["failed"].items())]
    lines += [f"- {note}" for note in results["notes"]]
    lines += ["", ", ".join(f"{name} {version}" for name, version in results["versions"].items()), ""]
    written = [config.out / "results.json", config.out / "results.md"]
    write_json(written[0], results)
    write_text(written[1], "\n".join(lines))
    if config.publish is not None:
        written.append(config.publish / "wild.json")
        write_text(written[2], json.dumps(results) + "\n")  # indented, it takes twice the room
    return written
