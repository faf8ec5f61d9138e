"""What a report says of each mode: in words, in figures with intervals, and by what it goes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mode_imitation.data.spaces import in_sight
from mode_imitation.reports.closed_loop import Drive
from mode_imitation.reports.clustering import exemplar_episodes, exemplars, has_lidar
from mode_imitation.reports.contrasts import contrasts, traits
from mode_imitation.reports.describe import UNKNOWN, describe_modes
from mode_imitation.reports.motion import DRIVING_DIRECTION, FIGURES, Motion, column, means, measure
from mode_imitation.reports.reactions import reactions_of_modes
from mode_imitation.reports.report_work import Work
from mode_imitation.reports.statistics import bootstrap, bootstrap_ratio

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
