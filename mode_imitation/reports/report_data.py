"""What report.json holds, from what was driven and sorted: an entry for each mode, and what is said of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import in_sight
from mode_imitation.errors import UserError
from mode_imitation.reports.blends import Blend
from mode_imitation.reports.closed_loop import Drive
from mode_imitation.reports.clustering import Agreement, SortedDataset, exemplar_episodes, exemplars, has_lidar
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.contrasts import contrasts, traits
from mode_imitation.reports.describe import UNKNOWN, describe_modes
from mode_imitation.reports.guarantees import ASSUMPTIONS, SHARE, SIDES, TOP_SPEED, guarantees_of
from mode_imitation.reports.latent_map import LatentMap
from mode_imitation.reports.leak import measure_leak
from mode_imitation.reports.motion import DRIVING_DIRECTION, FIGURES, Motion, column, means, measure
from mode_imitation.reports.own_figures import OwnFigure
from mode_imitation.reports.reactions import reactions_of_modes
from mode_imitation.reports.requirements import Condition, judge
from mode_imitation.reports.statistics import bootstrap, bootstrap_ratio
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import Run
from mode_imitation.versions import platform_name, versions


@dataclass
class Report:
    """What `modes` found."""

    data: dict[str, Any]
    """What report.json holds."""
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    """Each mode on every layout; empty without a simulator."""
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    agreement: Agreement | None = None
    latent: LatentMap | None = None
    demonstrations: Mapping[int, list[Episode]] = field(default_factory=dict)
    """The episodes of the dataset that were sorted into each mode, the most typical ones first."""


@dataclass
class Work:
    """What the steps of a report hand to each other."""

    config: ModesConfig
    run: Run
    policy: Policy
    conditions: list[Condition] = field(default_factory=list)
    """What --require asks for."""
    pair: tuple[int, int] | None = None
    """What --blend asks for."""
    left_out: list[str] = field(default_factory=list)
    dataset: TrajectoryDataset | None = None
    found: SortedDataset | None = None
    agreement: Agreement | None = None
    turns: dict[str, Any] | None = None
    """Where experts take turns within an episode: whether training found whose turn it was."""
    latent: LatentMap | None = None
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    blend: Blend | None = None
    layouts: list[int] = field(default_factory=list)
    own: list[OwnFigure] = field(default_factory=list)
    """What --figure asks for."""
    steps: int | None = None
    robot: str | None = None
    time_step: float | None = None


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


EXEMPLARS = 3
"""Windows and episodes shown for each mode."""
UNTIMED = [name for name in FIGURES if name not in ("speed", "turn_rate", "turning")]
"""Figures that need no seconds per step, which a dataset does not state."""


def mode_entries(work: Work) -> list[dict[str, Any]]:
    """An entry for each mode, for report.json."""
    demonstrations = {mode: _demonstrations(work, mode) for mode in work.policy.modes}
    motions = {mode: [drive.motion for drive in drives] for mode, drives in work.modes.items()} or demonstrations
    sentences = describe_modes([means(motions[mode]) for mode in work.policy.modes])
    apart = _contrasts(work)
    reactions: dict[int, Any] = {}
    if work.dataset is not None and work.found is not None:
        reactions = reactions_of_modes(work.policy, work.dataset, work.found.episode_codes, seed=work.config.seed)
    if work.found is not None:
        sentences = [
            f"mean action {_mean_action(work, mode)}; {sentence}" if sentence == UNKNOWN else sentence
            for mode, sentence in zip(work.policy.modes, sentences, strict=True)
        ]
    experts = _matched_experts(work)
    timed = FIGURES if work.dataset and work.dataset.metadata.get("time_step") else UNTIMED
    entries = []
    for mode, sentence in zip(work.policy.modes, sentences, strict=True):
        drives = work.modes.get(mode, [])
        entries.append(
            {
                "mode": mode,
                "share": float(work.policy.shares[mode]),
                "description": sentence,
                "traits": traits(means(motions[mode])),
                "contrasts": apart.get(mode, []),
                "expert": experts[mode],
                **drive_intervals(drives, work),
                "ratio_to_expert": _ratios(drives, work.experts.get(experts[mode] or "", []), work.config.seed),
                "demonstrations": intervals(demonstrations[mode], work, timed),
                "reactions": reactions.get(mode),
                "exemplars": exemplars(work.found, mode, EXEMPLARS) if work.found else [],
                "exemplar_episodes": exemplar_episodes(work.found, mode, EXEMPLARS) if work.found else [],
            }
        )
    return entries


def _contrasts(work: Work) -> dict[int, list[str]]:
    """How modes differ on the same layouts; nothing where they did not drive, for a dataset's episodes are no pairs."""
    return contrasts(
        {
            mode: {figure: column([drive.motion for drive in drives], figure) for figure in FIGURES}
            for mode, drives in work.modes.items()
        },
        seed=work.config.seed,
    )


def _matched_experts(work: Work) -> list[str | None]:
    """(K,) the label that most of a mode's episodes have; where it has no episodes, most of its windows."""
    if work.agreement is None:
        return [None] * work.policy.n_codes
    by_window = work.agreement.windows.matched_labels()
    if work.agreement.episodes is None:
        return by_window
    by_episode = work.agreement.episodes.matched_labels()
    return [episode or window for episode, window in zip(by_episode, by_window, strict=True)]


def _mean_action(work: Work, mode: int) -> str:
    """ "(0.80, 0.01)", over the windows' first steps that were sorted into a mode."""
    assert work.dataset is not None
    assert work.found is not None
    rows = np.flatnonzero(work.found.codes == mode)
    if not len(rows):
        return "unknown"
    steps = zip(work.found.episode_of_window[rows], work.found.starts[rows], strict=True)
    mean = np.mean([work.dataset.episodes[episode].actions[start] for episode, start in steps], axis=0)
    return f"({', '.join(f'{value:.2f}' for value in mean)})"


def _demonstrations(work: Work, mode: int) -> list[Motion]:
    """Figures of the dataset's episodes that were sorted into a mode."""
    if work.dataset is None or work.found is None:
        return []
    env_id = work.dataset.env_id or ""
    direction = next((angle for robot, angle in DRIVING_DIRECTION.items() if env_id.startswith(f"Safety{robot}")), 0.0)
    return [
        measure(
            episode,
            time_step=float(work.dataset.metadata.get("time_step") or 1.0),
            driving_direction=direction,
            in_arena=in_sight(episode.observations, work.dataset.sensors) if has_lidar(work.dataset) else None,
        )
        for episode, code in zip(work.dataset.episodes, work.found.episode_codes, strict=True)
        if code == mode
    ]


def intervals(motions: Sequence[Motion], work: Work, figures: Sequence[str] = FIGURES) -> dict[str, Any]:
    """{figure: {mean, low, high, n}}, None for what is not known."""
    columns = {figure: column(motions, figure) for figure in figures if figure != "steps"}
    return {
        name: None if values is None else bootstrap(values, seed=work.config.seed).as_dict()
        for name, values in columns.items()
    }


def drive_intervals(drives: Sequence[Drive], work: Work) -> dict[str, Any]:
    """The same of drives, with their length in steps and the user's own figures."""
    motions, seed = [drive.motion for drive in drives], work.config.seed
    own = {figure.name: [figure(drive.episode) for drive in drives] for figure in work.own}
    more = {"length": column(motions, "steps")} | {name: np.array(values) for name, values in own.items() if values}
    return intervals(motions, work) | {
        name: None if values is None else bootstrap(values, seed=seed).as_dict() for name, values in more.items()
    }


def _ratios(drives: Sequence[Drive], reference: Sequence[Drive], seed: int) -> dict[str, Any]:
    """A mode's goals and return over its expert's, on the same layouts; None where the expert's are not surely
    positive, and a ratio would mean nothing."""
    found: dict[str, Any] = {}
    for figure in ("goals", "return"):
        values, expert = (column([drive.motion for drive in side], figure) for side in (drives, reference))
        found[figure] = None
        if values is not None and expert is not None and bootstrap(expert, seed=seed).low > 0:
            ratio = bootstrap_ratio(values, expert, seed=seed)
            found[figure] = ratio and ratio.as_dict()
    return found
