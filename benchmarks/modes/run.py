"""The work behind `python -m benchmarks.modes`: data, cells, results."""

import shlex
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.modes.aggregate import aggregate, differences
from benchmarks.modes.cells import Cell, code_digest, make_cell, run_cells
from benchmarks.modes.config import (
    ACTION_NOISE,
    ENV_ID,
    EPISODES,
    GOAL_EXPERT,
    METHODS,
    REFERENCE,
    REFERENCE_SEEDS,
    SAMPLED,
    SETS,
    STEPS,
    SWITCHING_LAYOUTS,
    BenchmarkConfig,
)
from benchmarks.modes.core import TrainConfig
from benchmarks.modes.tables import as_markdown, tables
from mode_imitation.atomic import check_folder, locked, write_json, write_text
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.versions import platform_name, versions

if TYPE_CHECKING:
    from mode_imitation.worlds.config import GenerateConfig
    from mode_imitation.worlds.safety.tasks import Physics

FORMAT = 2


@dataclass(frozen=True)
class Finished:
    """All cells of a benchmark, those that failed included."""

    cells: list[Cell]
    notes: list[str]

    @property
    def failed(self) -> dict[str, str]:
        """Cell: why."""
        return {str(cell): reason for cell in self.cells if (reason := cell.failure())}


def run_benchmark(config: BenchmarkConfig) -> Finished:
    """Make the data where it is missing, and every cell that is not there yet.

    Raises:
        UserError: a folder cannot hold what goes there, another benchmark is at work there, the data cannot be made or
            read, or every cell failed.
        KeyboardInterrupt: after Ctrl-C; no process is left behind, and the same command goes on from here.
    """
    for name in (config.set, config.name):
        check_folder(config.out / name, "the benchmark")
    if config.publish is not None:
        check_folder(config.publish, "the results", "--publish")
    cells = plan_cells(config)
    missing = [cell for cell in cells if cell.read() is None]
    there = len(cells) - len(missing)
    if missing:
        from mode_imitation.processes import cores

        # What a cell trains lies in a folder that two benchmarks would both write to.
        busy = f"another benchmark of {config.set} is at work in {config.out}; wait for it, or choose another --out"
        label = f"benchmark {config.set}" + (f", {there} cells were there" if there else "")
        with (
            locked(config.out / config.set / ".lock", busy),
            progress(label, len(missing), "cells") as bar,
            closing(run_cells(missing, config.jobs or cores())) as ended,
        ):
            for cell, reason in ended:
                bar.advance(note=str(cell) + (f": {reason}" if reason else ""))
    finished = Finished(cells, [])
    if len(finished.failed) == len(cells):
        first, reason = next(iter(finished.failed.items()))
        raise UserError(f"every cell of the benchmark failed; the first one ({first}): {reason}")
    other = [cell for cell in cells if cell.read() is not None and cell.codes() != {code_digest()}]
    if other:
        finished.notes.append(
            f"{len(other)} of {len(cells)} cells were trained or measured by another state of this project's code; "
            f"to make them again, remove {config.out / config.set}"
        )
    return finished


def plan_cells(config: BenchmarkConfig) -> list[Cell]:
    """Every cell of a benchmark, seed by seed, so that what is left takes as long as what is done.

    Raises:
        UserError: the data cannot be made or read.
    """
    data = {seed: prepare_data(config, seed) for seed in sorted({config.data_seed(n) for n in range(config.seeds)})}
    common: dict[str, Any] = {
        "env": ENV_ID,
        "experts": list(config.experts),
        "goal_expert": GOAL_EXPERT,
        "layouts": held_out_layouts(config.layouts, config.layout_block),
        "switching_layouts": min(config.layouts, SWITCHING_LAYOUTS),
        "steps": config.steps,
        "turn": config.turn,
        "physics": physics_of(config),
    }
    cells = []
    for seed in range(config.seeds):
        dataset = data[config.data_seed(seed)]
        shown = {"name": dataset.name, "root": str((config.out / "data").resolve())}
        for method in config.chosen:
            if method == REFERENCE and seed >= REFERENCE_SEEDS:
                continue
            own: dict[str, Any] = {"action_noise": ACTION_NOISE}
            if method != REFERENCE:
                # All of them, so that another default makes another cell.
                settings = TrainConfig(seed=seed, **config.train_settings(method))
                own = {"train": settings.to_dict(), "sampled": method in SAMPLED}
            job = {"method": method, "seed": seed, "dataset": shown, **common, **own}
            cells.append(make_cell(config.out / config.set, job, None if method == REFERENCE else dataset.checksum))
    return cells


def physics_of(config: BenchmarkConfig) -> "Physics":
    """See `make_vec`: where policies and experts drive, and nowhere else; the demonstrations are the library's."""
    from mode_imitation.worlds.safety.sleep import can_sleep

    return "fast" if can_sleep() and not config.exact_physics else "exact"


def prepare_data(config: BenchmarkConfig, seed: int = 0) -> TrajectoryDataset:
    """The set's demonstrations of a data seed, generated where they are missing.

    Raises:
        UserError: they cannot be made or read, or another dataset has their name.
    """
    from mode_imitation.worlds.config import GenerateConfig
    from mode_imitation.worlds.generate import generate

    root = config.out / "data"
    size = "" if (config.episodes, config.steps) == (EPISODES, STEPS) else f"-{config.episodes}x{config.steps}"
    made = f"-data{seed}" if seed else ""
    # Noise and the other disturbances as they come.
    wanted = GenerateConfig(
        out=f"pointgoal1/{config.set}-experts{config.away}{made}{size}-v0",
        expert=config.demonstrations,
        env=ENV_ID,
        steps=config.steps,
        seed=seed,
        root=root,
        workers=config.jobs,
        burst_away=config.away_share,
    )
    if not (root / wanted.out).exists():
        generate(wanted)
    dataset = load_dataset(wanted.out, root)
    check_made_by(wanted, dataset)
    return dataset


def check_made_by(wanted: "GenerateConfig", dataset: TrajectoryDataset) -> None:
    """Refuse data of the right name that were made in another way.

    Raises:
        UserError: a setting that is on record differs, or none is on record.
    """
    recorded = dataset.metadata.get("settings") or {}
    for name, expected in wanted.settings.items():
        if recorded.get(name) != expected:
            raise UserError(
                f"{wanted.root}/{wanted.out} is not the benchmark's data: {name} is {recorded.get(name)}, "
                f"expected {expected}; remove it, or choose another --out"
            )


def make_results(config: BenchmarkConfig, finished: Finished) -> dict[str, Any]:
    """What results.json holds: means and intervals, no raw figures."""
    by_method: dict[str, list[dict[str, Any]]] = {method: [] for method in config.chosen}
    for cell in finished.cells:
        figures = cell.read()
        if figures is not None:
            by_method[cell.method].append(figures)
    methods = aggregate(by_method, config.experts)
    failed = Counter(cell.method for cell in finished.cells if cell.failure() is not None)
    for method, entry in methods.items():
        entry["failed"] = failed[method]
    options = ("set", "episodes", "steps", "fresh_demonstrations", "ring", "memory", "layouts", "seeds")
    return {
        "format_version": FORMAT,
        **{name: getattr(config, name) for name in options},
        "experts": list(config.experts),
        "turn": config.turn,
        "codes": SETS[config.set].codes,
        "burst_away": config.away_share,
        "physics": physics_of(config),
        "layout_block": config.layout_block,
        "trial": not config.full,
        "methods": methods,
        "differences": differences(by_method, config.experts),
        "failed": finished.failed,
        "notes": finished.notes,
        "command": command_of(config),
        "versions": versions(),
        "platform": platform_name(),
        # Of the cells, which may be older than the code that writes this.
        "code": sorted(set().union(*(cell.codes() for cell in finished.cells if cell.read() is not None))),
    }


def command_of(config: BenchmarkConfig) -> str:
    """What to type to get these results again, without what only says where things go."""
    words = ["python", "-m", "benchmarks.modes", config.set]
    default = BenchmarkConfig(set=config.set)
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        if name in ("set", "out", "jobs", "publish", "exact_physics"):
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words += [f"--{option}" if value else f"--no-{option}"] * (value != getattr(default, name))
        elif value != getattr(default, name) or name in ("seeds", "layouts"):
            words += [f"--{option}", shlex.quote(str(value))]
    return " ".join(words + ["--exact-physics"] * (physics_of(config) == "exact"))


def write_results(results: dict[str, Any], config: BenchmarkConfig) -> list[Path]:
    """Write results.json and results.md, and the published copy; return their paths."""
    folder = config.out / config.name
    written = [folder / "results.json", folder / "results.md"]
    if config.publish is not None:
        written.append(config.publish / f"benchmark-{config.name}.json")
    for path in written:
        if path.suffix == ".json":
            write_json(path, results)
    what = "experts that take turns" if results["turn"] else f"{results['set']} experts"
    lines = [f"# Mode benchmark, {what}", "", *headline(results), "", "```bash", results["command"], "```", ""]
    lines += as_markdown(tables(results))
    lines += [*(f"- {name}: {METHODS[name]}" for name in results["methods"]), ""]
    lines += [f"- failed: {cell}: {reason}" for cell, reason in results["failed"].items()]
    lines += [f"- {note}" for note in results["notes"]]
    lines += [", ".join(f"{name} {version}" for name, version in results["versions"].items()), results["platform"], ""]
    write_text(written[1], "\n".join(lines))
    return written


def headline(results: dict[str, Any]) -> list[str]:
    """What was compared, in a few sentences."""
    names, episodes = results["experts"], f"{results['episodes']} episodes each"
    if results["turn"]:
        names = [f"{' and '.join(names)} take turns, {results['turn']} steps each"]
        episodes = f"{results['episodes'] * len(results['experts'])} episodes"
    lines = [
        f"{', '.join(names)}: {episodes}, {results['codes']} codes, "
        f"{results['seeds']} training seed{'s' * (results['seeds'] != 1)}, "
        f"{results['layouts']} layouts of the list {results['layout_block']} (switching: the first "
        f"{min(results['layouts'], SWITCHING_LAYOUTS)}), {results['physics']} physics, intervals of 95% over seeds and "
        "layouts.",
        f"An expert's mode is the one that most of its {'windows' if results['turn'] else 'demonstrations'} have, "
        "by the data's codes alone.",
    ]
    if results["turn"]:
        lines.append(
            "A step is right if its code stands for the expert that drove it; a code stands for the expert that drove "
            "most of its undisturbed steps. The policy that is given the labels is right throughout."
        )
    if results["trial"]:
        lines.insert(0, "A TRIAL: cut short, or on layouts that were tuned on. Not a result.")
    return lines
