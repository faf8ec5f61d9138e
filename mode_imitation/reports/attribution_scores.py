"""Attributions beside labels: right mode per step, switches found, and whether the probabilities can be believed.

Labels serve here only; nothing of this reaches an attribution.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import in_sight
from mode_imitation.reports.attribution import NONE, Attribution, usable_steps
from mode_imitation.reports.clustering import has_lidar
from mode_imitation.reports.switches import switch_scores

EDGES = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)
"""Of the classes of probabilities."""


def match_modes(episodes: Sequence[Episode], states: Sequence[np.ndarray]) -> dict[int, str]:
    """The expert that made most of the undisturbed steps that a mode explains; modes without any are left out.

    Args:
        episodes: those that name nobody have no say.
        states: (T,) int of each, the mode of every step, NONE for none of them.
    """
    votes: dict[int, dict[str, int]] = {}
    for episode, modes in zip(episodes, states, strict=True):
        names = episode.expert_of_step
        if names is None:
            continue
        usable = usable_steps(episode)
        for mode in np.unique(modes[modes != NONE]).tolist():
            for name, count in _counts(names[usable & (modes == mode)]).items():
                of_mode = votes.setdefault(mode, {})
                of_mode[name] = of_mode.get(name, 0) + count
    return {mode: max(counts, key=lambda name: counts[name]) for mode, counts in sorted(votes.items())}


def attribution_scores(
    dataset: TrajectoryDataset, found: Sequence[Attribution], experts: Mapping[int, str], known: Sequence[str]
) -> dict[str, Any] | None:
    """How far attributions agree with the labels; disturbed steps are not judged.

    A step is right if its mode matches the expert that drove, or if it is none of the modes and the run never saw that
    expert. An expert that the run saw and that no mode matches is always wrong.

    Args:
        dataset: the episodes.
        found: one attribution an episode.
        experts: mode -> the expert that it matches.
        known: experts that the run was trained on.

    Returns:
        For JSON; None where no step is labelled.
    """
    names, right, sure, arena, by_episode, states = [], [], [], [], [], []
    switching: list[tuple[np.ndarray, np.ndarray]] = []
    for episode, attribution in zip(dataset.episodes, found, strict=True):
        of_step = episode.expert_of_step
        if of_step is None:
            continue
        usable = usable_steps(episode)
        named = np.array([experts.get(int(state), "") for state in attribution.states])
        ok = np.where(attribution.states == NONE, ~np.isin(of_step, list(known)), named == of_step)
        names.append(of_step[usable])
        right.append(ok[usable])
        sure.append(attribution.probability[usable])
        seen = in_sight(episode.observations[:-1], dataset.sensors) & has_lidar(dataset)
        arena.append(seen[usable])
        states.append(attribution.states[usable])
        if usable.any():
            by_episode.append(bool(ok[usable].mean() > 0.5))
        switching.append((of_step, attribution.states))
    if not right or not sum(map(len, right)):
        return None
    every = np.concatenate(right)
    inside, who = np.concatenate(arena), np.concatenate(names)
    where = np.concatenate(states)
    return {
        "right_per_step": float(every.mean()),
        "right_per_step_in_arena": float(every[inside].mean()) if inside.any() else None,
        "right_by_episode": float(np.mean(by_episode)),
        "experts": {
            str(name): {
                "seen_in_training": str(name) in known,
                "steps": int((who == name).sum()),
                "right": float(every[who == name].mean()),
                "shares": {
                    "none" if state == str(NONE) else state: count / int((who == name).sum())
                    for state, count in _counts(where[who == name]).items()
                },
            }
            for name in np.unique(who)
        },
        "switches": switch_scores(switching),
        "calibration": reliability(np.concatenate(sure), every),
    }


def reliability(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Whether what is said with probability p is right in a share p of the cases.

    Args:
        probabilities: (N,) of what was said.
        right: (N,) bool.

    Returns:
        error: expected calibration error, the mean over N of |probability - share right| by class of probability
        (Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015); classes: those.
    """
    classes, error = [], 0.0
    which = np.clip(np.searchsorted(EDGES, probabilities, side="right") - 1, 0, len(EDGES) - 2)
    for index, (low, high) in enumerate(itertools.pairwise(EDGES)):
        members = which == index
        if not members.any():
            continue
        said, was = float(probabilities[members].mean()), float(right[members].mean())
        classes.append({"from": low, "to": high, "steps": int(members.sum()), "probability": said, "right": was})
        error += abs(said - was) * float(members.mean())
    return {"error": error, "classes": classes}


def _counts(values: np.ndarray) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(map(str, found), counts.tolist(), strict=True))
