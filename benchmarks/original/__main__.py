"""`python -m benchmarks.original DATASET`: which of the original experiment's claims hold, for both objectives."""

import hashlib
import json
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from benchmarks.command import run_command
from benchmarks.original.method import original_method
from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.config import SweepConfig, whole_numbers
from mode_imitation.training.config import TrainConfig
from mode_imitation.versions import versions

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset

OBJECTIVES = {"ours": "this project's objective", "original": "the original objective"}
CURVE_POINTS = 40
"""About so often is a training's fit looked at."""


@dataclass(frozen=True, kw_only=True)
class OriginalConfig:
    """Train a grid of k, step size and seed by the original objective and by ours, and compare with labels."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name below the root, or a path; with the labels of two experts or more, each with episodes of its own."""
    codes: str = "2,3,4,8"
    """k to try."""
    strides: str = "1,5,10,20"
    """Step sizes to try."""
    seeds: int = 3
    """Trainings of every k and stride, seeds 0, 1, ..."""
    original_iterations: int = 3000
    """Of the original method, which has one phase; its codes change little after that. Ours is as in `sweep`."""
    out: Path = Path("runs/original-experiment")
    """Folder; what is finished there is kept."""
    jobs: int | None = None
    """Trainings at a time, each on one core; left out, one a core."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""

    def __post_init__(self) -> None:
        self.grid()

    def grid(self) -> list[tuple[dict[str, Any], TrainConfig]]:
        """Every cell, {objective, codes, stride, seed}, and its settings."""
        sweep = SweepConfig(
            dataset=self.dataset, codes=self.codes, strides=self.strides, seeds=self.seeds, jobs=self.jobs
        )
        ours = max(1, (sweep.iterations + sweep.joint_iterations) // CURVE_POINTS)
        theirs = max(1, self.original_iterations // CURVE_POINTS)
        found = []
        for cell in sweep.cells():
            common: dict[str, Any] = sweep.training(cell).to_dict()
            found.append(({"objective": "ours", **vars(cell)}, TrainConfig.from_dict(common | {"hook_every": ours})))
            kept = ("codes", "stride", "seed", "held_out", "device")
            changes = {name: common[name] for name in kept} | {"joint_iterations": self.original_iterations}
            found.append(({"objective": "original", **vars(cell)}, original_method(**changes, hook_every=theirs)))
        return found


def train_grid(config: OriginalConfig, dataset: "TrajectoryDataset") -> list[dict[str, Any]]:
    """Every cell, trained where it is missing."""
    from benchmarks.original.worker import prepare
    from mode_imitation.atomic import write_json
    from mode_imitation.data.storage import resolve_root
    from mode_imitation.processes import cores, one_line, run_tasks
    from mode_imitation.progress import progress

    grid, found = config.grid(), {}
    for index, (cell, training) in enumerate(grid):
        key = [cell, training.to_dict(), dataset.checksum, dataset.labels, versions()]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        found[index] = config.out / "cells" / f"{'-'.join(str(value) for value in cell.values())}-{digest}.json"
    missing = [index for index, path in found.items() if not path.exists()]
    root = resolve_root(config.root)
    place = Path(config.dataset)
    name = str(place.resolve()) if place.exists() and not (root / place).exists() else config.dataset
    job, tasks = {"dataset": name, "root": str(root.resolve())}, [grid[index][1].to_dict() for index in missing]
    failed = []
    with (
        progress("original experiment", len(tasks), "trainings") as bar,
        closing(run_tasks(prepare, job, tasks, config.jobs or cores())) as outcomes,
    ):
        for position, outcome in outcomes:
            index = missing[position]
            cell = grid[index][0]
            if isinstance(outcome, Exception):
                failed.append({"cell": cell, "status": "failed", "reason": one_line(outcome)})
            else:
                write_json(found[index], {"cell": cell, **outcome})
            bar.advance()
    return [json.loads(path.read_text(encoding="utf-8")) for path in found.values() if path.exists()] + failed


def run(config: OriginalConfig) -> int:
    """Train, judge the claims, print, draw; 1 where a training failed."""
    from benchmarks.original.claims import judge_claims
    from benchmarks.original.fit import action_entropies, uninformed_fit
    from benchmarks.original.maps import plot_code_maps
    from mode_imitation.commands.tables import print_table
    from mode_imitation.data import load_dataset
    from mode_imitation.plots import save_figure
    from mode_imitation.reports.turns import take_turns

    dataset = load_dataset(config.dataset, config.root)
    if len(set(dataset.labels or [])) < 2 or take_turns(dataset):
        raise UserError(f"dataset {dataset.name} does not name two experts or more, each with episodes of its own")
    cells = train_grid(config, dataset)
    entropies, uninformed = action_entropies(dataset), uninformed_fit(dataset)
    for objective, title in OBJECTIVES.items():
        done = [cell for cell in cells if cell["status"] == "done" and cell["cell"]["objective"] == objective]
        rows, maps = [], {}
        for stride in whole_numbers("strides", config.strides, 1):
            for k in whole_numbers("codes", config.codes, 2):
                own = [cell for cell in done if (cell["cell"]["stride"], cell["cell"]["codes"]) == (stride, k)]
                if own:
                    middle = [float(np.median([cell[name] for cell in own])) for name in ("homogeneity", "episode_nmi")]
                    modes = " ".join(str(cell["n_modes"]) for cell in own)
                    rows.append((f"{k}", f"{stride}", modes, *(f"{value:.2f}" for value in middle), *ends(own)))
                    # Of the seeds that whose figure is the median, as in the table.
                    shown = sorted(own, key=lambda cell: cell["homogeneity"])[(len(own) - 1) // 2]
                    maps[stride, k] = np.array(shown["counts"]), f"homogeneity {shown['homogeneity']:.2f}"
        columns = ("k", "stride", "modes", "window homogeneity", "episode NMI", "fit, other windows", "fit, own window")
        print_table(f"{title}: medians over seeds; fits of the worst expert, nats per step", columns, rows)
        for claim in judge_claims(cells, objective, entropies, uninformed):
            print(f"{claim.name}: {claim.verdict} ({claim.evidence})")
        figure = plot_code_maps(maps, done[0]["experts"], title=f"{title[0].upper()}{title[1:]}, the middle seed")
        print("wrote", save_figure(figure, config.out / f"maps-{objective}.png"))
    failed = [cell for cell in cells if cell["status"] == "failed"]
    for cell in failed:
        print(f"failed: {cell['cell']}: {cell['reason']}")
    return 1 if failed else 0


def ends(cells: list[dict[str, Any]]) -> tuple[str, str]:
    """Where the fits end that a steered policy can have, and those under the context of the action's own window."""
    kinds = ("fits", "own_window_fits")
    worst = [np.median([min(values[-1] for values in cell["fit"][kind].values()) for cell in cells]) for kind in kinds]
    return f"{worst[0]:.2f}", f"{worst[1]:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """See `run_command`."""
    return run_command("python -m benchmarks.original", OriginalConfig, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
