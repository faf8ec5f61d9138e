"""Experts that take turns within an episode: who drove each window, and whether training found whose turn it was.

Labels serve here only, for evaluation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import in_sight
from mode_imitation.data.windows import segment_lengths
from mode_imitation.reports.attribution import usable_steps
from mode_imitation.reports.clustering import SortedDataset, has_lidar
from mode_imitation.reports.switches import switch_line, switch_scores


def take_turns(dataset: TrajectoryDataset) -> bool:
    """Whether several experts drove some episode, each for a while."""
    return any(len(np.unique(episode.acting)) > 1 for episode in dataset.episodes if episode.acting is not None)


def drivers(dataset: TrajectoryDataset) -> list[str]:
    """Everybody who drove, by name, in the order of appearance."""
    found: dict[str, None] = {}
    for episode in dataset.episodes:
        if episode.expert_of_step is not None:
            found |= dict.fromkeys(map(str, episode.expert_of_step))
    return list(found)


def drivers_of_windows(dataset: TrajectoryDataset, found: SortedDataset, span: int) -> np.ndarray:
    """Who drove in the middle of each window.

    Args:
        dataset: all of whose steps say who drove.
        found: its W windows.
        span: steps of a window.

    Returns:
        (W,) str.
    """
    names = np.empty(len(found.starts), dtype=object)
    for index, episode in enumerate(dataset.episodes):
        rows = np.flatnonzero(found.episode_of_window == index)
        assert episode.expert_of_step is not None
        names[rows] = episode.expert_of_step[np.minimum(found.starts[rows] + span // 2, len(episode) - 1)]
    return names.astype(str)


def codes_of_steps(info: Mapping[str, Any], dataset: TrajectoryDataset, span: int) -> dict[int, np.ndarray]:
    """The code that training settled on for every step of its episodes.

    Args:
        info: run.json, with `switches` (first step and code of every stretch) or `segments` (codes of segments).
        dataset: what the run was trained on.
        span: steps of a window, which tells how the segments were cut.

    Returns:
        {episode: (T,) int64}; empty where episodes have one code each.
    """
    switches, segments = info.get("switches"), info.get("segments")
    found = {}
    for row, index in enumerate(info.get("training_episodes") or []):
        if not 0 <= index < len(dataset):
            continue
        length = len(dataset.episodes[index])
        if switches:
            starts, codes = (np.array(column, dtype=np.int64) for column in zip(*switches[row], strict=True))
            found[index] = np.repeat(codes, np.diff([*starts, length]))
        elif segments:
            lengths, _ = segment_lengths(np.array([length]), info["config"]["segment"], span)
            found[index] = np.repeat(np.array(segments[row], dtype=np.int64), lengths)
    return found


def turn_scores(codes: Mapping[int, np.ndarray], dataset: TrajectoryDataset) -> dict[str, Any] | None:
    """How far the codes of steps agree with whose turn it was.

    Each code stands for the expert that drove most of its undisturbed steps; a step is right if that expert drove. A
    disturbed step, at which no expert had its way, counts in `all_steps` alone. Switches: see `switch_scores`.

    Args:
        codes: {episode: (T,) int}, see `codes_of_steps`.
        dataset: all of whose steps say who drove.

    Returns:
        For JSON; None where there are no such codes.
    """
    if not codes:
        return None
    chosen = [(dataset.episodes[index], own) for index, own in codes.items()]
    truth = np.concatenate([_drivers(episode) for episode, _ in chosen])
    found = np.concatenate([own for _, own in chosen])
    usable = np.concatenate([usable_steps(episode) for episode, _ in chosen])
    inside = np.concatenate([in_sight(episode.observations[:-1], dataset.sensors) for episode, _ in chosen])
    inside &= has_lidar(dataset)  # without, nobody knows
    names = _most_frequent(found[usable], truth[usable])
    right = np.array([names.get(code, "") for code in found.tolist()]) == truth
    return {
        "episodes": len(chosen),
        "modes": {str(code): name for code, name in sorted(names.items())},
        "right_per_step": _mean(right[usable]),
        "right_per_step_in_arena": _mean(right[usable & inside]),
        "all_steps": {"right_per_step": _mean(right), "right_per_step_in_arena": _mean(right[inside])},
        "switches": switch_scores((_drivers(episode), own) for episode, own in chosen),
    }


def turn_line(scores: Mapping[str, Any]) -> str:
    """The scores in a sentence."""
    arena = scores["right_per_step_in_arena"]
    inside = f" (in the arena {arena:.3f})" if arena is not None else ""
    line = f"{scores['right_per_step']:.3f} of the undisturbed training steps{inside} have a mode of the expert that "
    line += f"drove, with {len(scores['modes'])} modes"
    if switches := switch_line(scores["switches"]):
        line += f"; {switches}"
    return line


def _drivers(episode: Episode) -> np.ndarray:
    assert episode.expert_of_step is not None
    return np.asarray(episode.expert_of_step, dtype=str)


def _most_frequent(codes: np.ndarray, names: np.ndarray) -> dict[int, str]:
    """Code: the name that it occurs with most often."""
    found = {}
    for code in np.unique(codes).tolist():
        values, counts = np.unique(names[codes == code], return_counts=True)
        found[code] = str(values[counts.argmax()])
    return found


def _mean(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None
