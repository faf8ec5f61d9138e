"""The work behind `mode-imitation benchmark`: data, cells, results."""

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mode_imitation.atomic import check_folder, locked
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.benchmark.cells import Cell, code_digest, make_cell
from mode_imitation.reports.benchmark.config import (
    ENV_ID,
    EPISODES,
    GOAL_EXPERT,
    REFERENCE,
    REFERENCE_SEEDS,
    SAMPLED,
    STEPS,
    SWITCHING_LAYOUTS,
    BenchmarkConfig,
)
from mode_imitation.reports.benchmark.pool import run_cells
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.training.config import TrainConfig

if TYPE_CHECKING:
    from mode_imitation.worlds.config import GenerateConfig
    from mode_imitation.worlds.safety.tasks import Physics

ACTION_NOISE = 0.1
"""Of the experts, as in their demonstrations."""


@dataclass(frozen=True)
class Finished:
    """All cells of a benchmark, those that failed included."""

    cells: list[Cell]
    failed: dict[str, str]
    """ "ours, seed 3": why."""
    notes: list[str]
    default: list[Cell]
    """Those of the benchmark without options, where it is compared with; else none."""


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
    default = plan_cells(config.default) if config.compare_default else []
    # The experts do not depend on the options: their cells are in both lists.
    every = list({cell.folder: cell for cell in (*cells, *default)}.values())
    missing = [cell for cell in every if cell.read() is None]
    there = len(every) - len(missing)
    label = f"benchmark {config.set}" + (f", {there} cells were there" if there else "")
    if missing:
        from mode_imitation.worlds.safety.world_choice import cores

        # What a cell trains lies in a folder that two benchmarks would both write to.
        busy = f"another benchmark of {config.set} is at work in {config.out}; wait for it, or choose another --out"
        with (
            locked(config.out / config.set / ".lock", busy),
            progress(label, len(missing), "cells") as bar,
            closing(run_cells(missing, config.jobs or cores())) as ended,
        ):
            for cell, reason in ended:
                bar.advance(note=f"{cell.method}, seed {cell.seed}" + (f": {reason}" if reason else ""))
    own = {cell.folder for cell in cells}
    failed = {
        f"{cell.method}, seed {cell.seed}" + ("" if cell.folder in own else ", default"): reason
        for cell in every
        if (reason := cell.failure())
    }
    if all(cell.failure() for cell in cells):
        first, reason = next(iter(failed.items()))
        raise UserError(f"every cell of the benchmark failed; the first one ({first}): {reason}")
    other = [cell for cell in every if cell.read() is not None and cell.codes() != {code_digest()}]
    notes = []
    if other:
        notes.append(
            f"{len(other)} of {len(every)} cells were trained or measured by another state of this project's code; "
            f"to make them again, remove {config.out / config.set}"
        )
    return Finished(cells, failed, notes, default)


def plan_cells(config: BenchmarkConfig) -> list[Cell]:
    """Every cell of a benchmark, seed by seed, so that what is left takes as long as what is done.

    Raises:
        UserError: the data cannot be made or read.
    """
    data = {seed: prepare_data(config, seed) for seed in sorted({config.data_seed(n) for n in range(config.seeds)})}
    root = config.out / config.set
    common: dict[str, Any] = {
        "env": ENV_ID,
        "experts": list(config.experts),
        "goal_expert": GOAL_EXPERT,
        "layouts": held_out_layouts(config.layouts, config.layout_block),
        "switching_layouts": min(config.layouts, SWITCHING_LAYOUTS),
        "steps": config.steps,
    }
    if config.turn is not None:
        common["turn"] = config.turn
    if physics_of(config) != "exact":
        common["physics"] = physics_of(config)
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
                settings = TrainConfig(seed=seed, **config.train_settings())
                own = {"train": settings.to_dict(), "sampled": method in SAMPLED}
            job = {"method": method, "seed": seed, "dataset": shown, **common, **own}
            cells.append(make_cell(root, job, None if method == REFERENCE else dataset.checksum))
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
        burst_away=config.burst_away if config.turn is None else 0.0,
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
