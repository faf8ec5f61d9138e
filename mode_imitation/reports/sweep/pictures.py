"""The sweep's figures, drawn from its cells."""

from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.reports.sweep.claims import FROM_K, learned_level
from mode_imitation.reports.sweep.config import chosen_objectives
from mode_imitation.reports.sweep.fit import action_entropies, uninformed_fit
from mode_imitation.reports.sweep.sweep import Sweep

HEADINGS = {"original": "The original objective", "ours": "This project's objective"}
MAPS_TITLE = "Which codes take which expert's windows, by step size and number of codes"


def draw(sweep: Sweep, out: Path) -> list[Path]:
    """choice.png always; maps.png and learning-order.png where the dataset has labels.

    Returns:
        The files.
    """
    from mode_imitation.plots import plot_choice, plot_code_maps, plot_learning_orders, save_figure

    objectives = chosen_objectives(sweep.config.objectives)
    chosen = sweep.recommendation
    figure = plot_choice(
        [setting.to_dict() for setting in sweep.settings if setting.objective == chosen.objective],
        chosen=(chosen.codes, chosen.stride),
        merge_gap=sweep.config.merge_gap,
        title=f"Chosen without labels: k = {chosen.codes}, stride {chosen.stride}",
    )
    files = [save_figure(figure, out / "choice.png")]
    if sweep.dataset.labels is None:
        return files
    maps = {objective: code_maps(sweep, objective) for objective in reversed(objectives)}
    maps = {HEADINGS[objective]: found for objective, found in maps.items() if found}
    claims = {
        HEADINGS[objective]: [
            f"{number}. {claim.name}: {claim.verdict}. {claim.evidence}."
            for number, claim in enumerate(sweep.claims.get(objective, []), start=1)
        ]
        for objective in reversed(objectives)
    }
    experts = sorted(set(sweep.dataset.labels))
    files.append(save_figure(plot_code_maps(maps, experts, claims=claims, title=MAPS_TITLE), out / "maps.png"))
    orders = {HEADINGS[objective]: learning_curve(sweep, objective) for objective in reversed(objectives)}
    figure = plot_learning_orders({name: curve for name, curve in orders.items() if curve is not None})
    files.append(save_figure(figure, out / "learning-order.png"))
    return files


def code_maps(sweep: Sweep, objective: str) -> dict[tuple[int, int], tuple[np.ndarray, str]]:
    """{(stride, k): (L, K) windows of each expert with each code, and a caption}, of the seed of the best likelihood,
    which is the one that a user would train."""
    found = {}
    for setting in sweep.settings:
        if setting.objective == objective:
            cell = cell_of(sweep, objective, setting.codes, setting.stride, setting.seeds[0])
            caption = f"homogeneity {cell['evaluation']['window']['homogeneity']:.2f}"
            found[setting.stride, setting.codes] = np.array(cell["evaluation"]["counts"]), caption
    return found


def learning_curve(sweep: Sweep, objective: str) -> dict[str, Any] | None:
    """Fits of all seeds of the setting that is shown: for the original the one that its paper shows, else the
    recommended k and stride, where this objective has them.

    Returns:
        What plot_learning_orders takes, the simplest expert first; None where no cell finished.
    """
    settings = [setting for setting in sweep.settings if setting.objective == objective]
    if not settings:
        return None
    chosen = sweep.recommendation
    wanted = [(FROM_K, 1)] if objective == "original" else []
    wanted.append((chosen.codes, chosen.stride))
    by_grid = {(setting.codes, setting.stride): setting for setting in settings}
    shown = next((by_grid[place] for place in wanted if place in by_grid), settings[0])
    fits = [
        cell_of(sweep, objective, shown.codes, shown.stride, seed)["evaluation"]["fit"] for seed in sorted(shown.seeds)
    ]
    entropies = action_entropies(sweep.dataset)
    names = sorted(fits[0]["fits"], key=lambda name: entropies[name])
    kinds = ("fits", "own_window_fits")
    uninformed = uninformed_fit(sweep.dataset)
    phases = {"second phase": sweep.config.discovery_iterations} if objective == "ours" else {}
    return {
        "title": f"k = {shown.codes}, stride {shown.stride}",
        "iterations": fits[0]["iterations"],
        "level": float(np.mean([learned_level(fit, uninformed) for fit in fits])),
        "marks": phases,
        **{kind: {name: np.array([fit[kind][name] for fit in fits]) for name in names} for kind in kinds},
    }


def cell_of(sweep: Sweep, objective: str, codes: int, stride: int, seed: int) -> dict[str, Any]:
    """The cell of these settings."""
    wanted = {"objective": objective, "codes": codes, "stride": stride, "seed": seed}
    return next(cell for cell in sweep.cells if cell["cell"] == wanted)
