"""What cells of the benchmark hold, made up; and cells that are done without another process."""

from collections.abc import Generator

import numpy as np

from benchmarks.modes.cells import Cell
from benchmarks.modes.measure import FIGURES
from benchmarks.modes.worker import do_cell

EXPERTS = ("goal_seeking", "forward_moving")


def a_cell(shift: float, seed: int, n_layouts: int = 12) -> dict:
    """Mode 1 stands for goal_seeking, mode 0 for forward_moving."""
    rng = np.random.default_rng(seed)

    def drive(goals: float, cost: float, path: float) -> dict[str, list[float]]:
        centre = dict.fromkeys(FIGURES, 1.0) | {"goals": goals + shift, "cost": cost, "path_length": path}
        return {name: (value + 0.1 * rng.normal(size=n_layouts)).tolist() for name, value in centre.items()}

    def scores() -> dict[str, float]:
        return dict(zip(("nmi", "ari", "homogeneity", "completeness"), rng.uniform(0.9, 1.0, 4).tolist(), strict=True))

    return {
        "n_modes": 2,
        "matching": {"goal_seeking": 1, "forward_moving": 0},
        "clustering": {
            "window": scores(),
            "window_in_arena": scores(),
            "episode": scores() | {"nmi": 1.0},
            "episode_held_out": None,
        },
        "leak": {"gap": 0.01 * seed},
        "fidelity": 1.0,
        "drives": {"mean": {"0": drive(0.1, 5, 30), "1": drive(11, 50, 17)}, "sampled": {"1": drive(11, 50, 17)}},
        "switching": {"forward_moving:50": rng.poisson(3, (3, n_layouts)).tolist()},
        "seconds": {"training": 50.0, "driving": 20.0},
    }


def an_experts_cell(seed: int) -> dict:
    cell = a_cell(0.0, seed)
    drives = {"goal_seeking": cell["drives"]["mean"]["1"], "forward_moving": cell["drives"]["mean"]["0"]}
    return {"drives": {"mean": drives}, "switching": cell["switching"], "seconds": {"driving": 20.0}}


def in_this_process(cells: list[Cell], n_jobs: int) -> Generator[tuple[Cell, None]]:
    """In place of `benchmarks.modes.cells.run_cells`."""
    for cell in cells:
        do_cell(cell)
        yield cell, None
