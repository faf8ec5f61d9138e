"""What report.json holds, from what was driven and sorted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.reports.clustering import exemplar_episodes
from mode_imitation.reports.guarantees import ASSUMPTIONS, SHARE, SIDES, TOP_SPEED, guarantees_of
from mode_imitation.reports.leak import measure_leak
from mode_imitation.reports.motion import column
from mode_imitation.reports.report_modes import drive_intervals, mode_entries
from mode_imitation.reports.report_work import Work
from mode_imitation.reports.requirements import judge
from mode_imitation.reports.statistics import bootstrap_ratio
from mode_imitation.versions import platform_name, versions

TYPICAL = 3
"""Episodes of the dataset shown for each mode."""


def as_data(work: Work) -> dict[str, Any]:
    """All of report.json."""
    values = {
        mode: {figure: column([drive.motion for drive in drives], figure) for figure in SIDES}
        for mode, drives in work.modes.items()
    }
    guarantees = _guarantees(work, values)
    entries = mode_entries(work)
    for entry in entries:
        entry["guarantees"] = guarantees.get(entry["mode"])
    return {
        "run": work.run.path.name,
        "dataset": work.dataset.name if work.dataset else work.run.info["dataset"]["name"],
        "env_id": work.config.env or work.run.info.get("env_id"),
        "n_modes": work.policy.n_modes,
        "n_codes": work.policy.n_codes,
        "modes": entries,
        "experts": {name: drive_intervals(drives, work) for name, drives in work.experts.items()},
        "own_figures": [figure.name for figure in work.own],
        "best_goal_mode": _best_goal_mode(work),
        "guarantees": {
            "confidence": work.config.confidence,
            "share": SHARE,
            "assumptions": ASSUMPTIONS.format(speed=TOP_SPEED.get(work.robot or "", "its top")),
        }
        if any(bound for bounds in guarantees.values() for bound in bounds.values())
        else None,
        "requirements": {
            "asked": [str(condition) for condition in work.conditions],
            "modes": [verdict.as_dict() for verdict in judge(work.conditions, guarantees, values)],
        }
        if work.conditions
        else None,
        "blend": work.blend.as_dict() if work.blend else None,
        "clustering": work.agreement.scores if work.agreement else None,
        "confusion": work.agreement and {unit: table.as_dict() for unit, table in work.agreement.tables.items()},
        "turns": work.turns,
        "leak": _leak(work),
        "layouts": work.layouts if work.modes else [],
        "steps": work.steps if work.modes else None,
        "settings": {
            "temperature": work.config.temperature,
            "action_noise": work.config.action_noise,
            "seed": work.config.seed,
            "window_every": work.config.window_every,
            "objective": (work.run.info.get("config") or {}).get("objective"),
            "context": work.policy.model.config.context,
        },
        "left_out": [f"left out: {line}" for line in work.left_out],
        "versions": versions(),
        "platform": platform_name(),
    }


def held_out(work: Work) -> list[int]:
    """Episodes that training did not see; none where another dataset is looked at."""
    assert work.dataset is not None
    return [] if work.config.dataset else work.run.held_out(len(work.dataset))


def typical_episodes(work: Work) -> dict[int, list[Episode]]:
    """Episodes of the dataset that were sorted into each mode, the most typical ones first."""
    if work.dataset is None or work.found is None:
        return {}
    found = {}
    for mode in work.policy.modes:
        chosen = [entry["episode"] for entry in exemplar_episodes(work.found, mode, TYPICAL)]
        found[mode] = [work.dataset.episodes[int(index)] for index in chosen]
    return found


def _guarantees(
    work: Work, values: Mapping[int, Mapping[str, np.ndarray | None]]
) -> dict[int, dict[str, dict[str, Any] | None]]:
    found = {}
    for mode, figures in values.items():
        assert work.steps is not None
        bounds = guarantees_of(
            figures,
            steps=work.steps,
            robot=work.robot,
            time_step=work.time_step,
            confidence=work.config.confidence,
            n_modes=work.policy.n_modes,
        )
        found[mode] = {name: bound.as_dict() if bound else None for name, bound in bounds.items()}
    for figure in SIDES:
        lacking = [
            mode for mode, bounds in found.items() if bounds[figure] is None and values[mode][figure] is not None
        ]
        if lacking:
            of_what = f"the robot {work.robot}" if work.robot else "this world"
            where = "" if len(lacking) == len(found) else f" (mode {', '.join(map(str, lacking))})"
            work.left_out.append(
                f"guarantees of the {figure}{where}: of {of_what} it is not known how low or high "
                "it can be, or a drive went beyond"
            )
    return found


def _best_goal_mode(work: Work) -> dict[str, Any] | None:
    """The mode with the most goals beside the expert with the most."""
    goals = {mode: column([drive.motion for drive in drives], "goals") for mode, drives in work.modes.items()}
    known = {mode: values for mode, values in goals.items() if values is not None}
    if not known:
        return None
    best = max(known, key=lambda mode: known[mode].mean())
    experts = {name: column([drive.motion for drive in drives], "goals") for name, drives in work.experts.items()}
    reached = {name: values for name, values in experts.items() if values is not None}
    expert = max(reached, key=lambda name: reached[name].mean()) if reached else None
    ratio = bootstrap_ratio(known[best], reached[expert], seed=work.config.seed) if expert else None
    return {
        "mode": best,
        "goals": float(known[best].mean()),
        "expert": expert,
        "expert_goals": float(reached[expert].mean()) if expert else None,
        "ratio": ratio.as_dict() if ratio else None,
    }


def _leak(work: Work) -> dict[str, float] | None:
    if work.dataset is None:
        return None
    unseen = held_out(work) or range(len(work.dataset))
    episodes = [work.dataset.episodes[index] for index in unseen]
    config: Mapping[str, Any] = work.run.info.get("config") or {}
    pool = int(config.get("pool") or 1)
    try:
        leak = measure_leak(
            work.policy.model,
            episodes,
            pool=pool,
            segment=config.get("segment"),
            every=work.config.window_every,
            seed=work.config.seed,
        )
    except UserError as error:
        work.left_out.append(f"leak: {error}")
        return None
    return leak.as_dict() | {"n_episodes": len(episodes), "held_out": bool(held_out(work))}
