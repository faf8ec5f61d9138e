"""Who drove each step, beside the code or mode that the step was given: which experts modes stand for, how many steps
are right, and which switches from one expert to the next were found.

Labels serve here only, for evaluation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import in_sight, of_kind
from mode_imitation.data.windows import segment_lengths
from mode_imitation.reports.clustering import SortedDataset

NONE = -1
"""The state "none of the modes"."""
NEAR = 20
"""Steps within which a switch counts as found."""


def take_turns(dataset: TrajectoryDataset) -> bool:
    """Whether several experts drove some episode, each for a while."""
    return any(len(np.unique(episode.acting)) > 1 for episode in dataset.episodes if episode.acting is not None)


def drivers(dataset: TrajectoryDataset) -> list[str]:
    """Everybody who drove, by name, in the order of appearance."""
    named = [episode.expert_of_step for episode in dataset.episodes if episode.expert_of_step is not None]
    return list(dict.fromkeys(str(name) for names in named for name in names))


def drivers_of_windows(dataset: TrajectoryDataset, found: SortedDataset, span: int) -> np.ndarray:
    """(W,) str, who drove in the middle of each window of `span` steps; every step of the dataset says who drove."""
    names = np.empty(len(found.starts), dtype=object)
    for index, episode in enumerate(dataset.episodes):
        rows = np.flatnonzero(found.episode_of_window == index)
        assert episode.expert_of_step is not None
        names[rows] = episode.expert_of_step[np.minimum(found.starts[rows] + span // 2, len(episode) - 1)]
    return names.astype(str)


def codes_of_steps(
    info: Mapping[str, Any], dataset: TrajectoryDataset, span: int, *, whole: bool = False
) -> dict[int, np.ndarray]:
    """The code that training settled on for every step of its episodes.

    Args:
        info: run.json, with `switches` (first step and code of every stretch), `segments` (codes of segments) or
            `assignment` (codes of episodes).
        dataset: what the run was trained on.
        span: steps of a window, which tells how the segments were cut.
        whole: include episodes that have one code each.

    Returns:
        {episode: (T,) int64}
    """
    switches, segments = info.get("switches"), info.get("segments")
    codes = (info.get("assignment") or []) if whole else []
    found = {}
    for row, index in enumerate(info.get("training_episodes") or []):
        if not 0 <= index < len(dataset):
            continue
        length = len(dataset.episodes[index])
        if switches:
            starts, values = (np.array(column, dtype=np.int64) for column in zip(*switches[row], strict=True))
            found[index] = np.repeat(values, np.diff([*starts, length]))
        elif segments:
            lengths, _ = segment_lengths(np.array([length]), info["config"]["segment"], span)
            found[index] = np.repeat(np.array(segments[row], dtype=np.int64), lengths)
        elif row < len(codes):
            found[index] = np.full(length, codes[row], dtype=np.int64)
    return found


def usable_steps(episode: Episode) -> np.ndarray:
    """(T,) bool, the steps that were not disturbed."""
    return np.ones(len(episode), dtype=bool) if episode.disturbed is None else ~episode.disturbed


@dataclass(frozen=True)
class LabelledSteps:
    """The steps of E episodes that say who drove, one after the other; N steps."""

    lengths: list[int]
    """Steps of each episode."""
    names: np.ndarray
    """(N,) str, who drove."""
    states: np.ndarray
    """(N,) int, the code or mode of each step; NONE for none of them."""
    usable: np.ndarray
    """(N,) bool, not disturbed."""
    inside: np.ndarray
    """(N,) bool, some object was in sensor range; all False where no lidar is known."""

    @classmethod
    def of(cls, dataset: TrajectoryDataset, states: Mapping[int, np.ndarray]) -> "LabelledSteps":
        """Of the episodes in `states`, {episode: (T,) int}, that name somebody."""
        nothing = np.zeros(0, str), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool)
        known = bool(of_kind(dataset.sensors, "ring"))
        parts = [
            (
                np.asarray(episode.expert_of_step, dtype=str),
                own,
                usable_steps(episode),
                in_sight(episode.observations[:-1], dataset.sensors) & known,
            )
            for episode, own in ((dataset.episodes[index], own) for index, own in states.items())
            if episode.expert_of_step is not None
        ]
        return cls([len(part[0]) for part in parts], *map(np.concatenate, zip(nothing, *parts, strict=True)))

    def matches(self) -> dict[int, str]:
        """{mode: the expert that made most of its undisturbed steps}; modes without any are left out."""
        found = {}
        for state in np.unique(self.states[self.usable & (self.states != NONE)]).tolist():
            names, counts = np.unique(self.names[self.usable & (self.states == state)], return_counts=True)
            found[state] = str(names[counts.argmax()])
        return found

    def right(self, matches: Mapping[int, str]) -> np.ndarray:
        """(N,) bool, whether the expert that a step's mode stands for drove it."""
        return np.array([matches.get(state, "") for state in self.states.tolist()], dtype=str) == self.names

    def shares(self, right: np.ndarray, chosen: np.ndarray) -> dict[str, float | None]:
        """Share of the (N,) chosen steps that are right, and of those in the arena; None where there are none."""
        parts = {"right_per_step": chosen, "right_per_step_in_arena": chosen & self.inside}
        return {name: float(right[part].mean()) if part.any() else None for name, part in parts.items()}

    def switches(self) -> dict[str, Any]:
        """How many switches were found, and how far from the true ones.

        A true switch is found (recall), and a found one true (precision), where there is one of the other kind within
        NEAR steps.

        Returns:
            For JSON: true and found, their numbers; median_distance_steps from a true one to the nearest found one (the
            episode's length where there is none); recall and precision. None where there is nothing to count.
        """
        edges = np.cumsum(self.lengths)[:-1]
        misses: list[int] = []
        false: list[int] = []
        for names, states in zip(np.split(self.names, edges), np.split(self.states, edges), strict=True):
            true, found = (np.flatnonzero(values[1:] != values[:-1]) + 1 for values in (names, states))
            misses += _distances(true, found, len(names))
            false += _distances(found, true, len(names))
        return {
            "true": len(misses),
            "found": len(false),
            "median_distance_steps": float(np.median(misses)) if misses else None,
            "recall": float(np.mean(np.array(misses) <= NEAR)) if misses else None,
            "precision": float(np.mean(np.array(false) <= NEAR)) if false else None,
        }


def turn_scores(codes: Mapping[int, np.ndarray], dataset: TrajectoryDataset) -> dict[str, Any] | None:
    """How far the codes of steps agree with whose turn it was.

    Each code stands for the expert that drove most of its undisturbed steps; a step is right if that expert drove. A
    disturbed step, at which no expert had its way, counts in `all_steps` alone.

    Args:
        codes: {episode: (T,) int}, see `codes_of_steps`; None is returned where there are none.
        dataset: all of whose steps say who drove.
    """
    if not codes:
        return None
    steps = LabelledSteps.of(dataset, codes)
    matches = steps.matches()
    right = steps.right(matches)
    return {
        "episodes": len(codes),
        "modes": {str(code): name for code, name in matches.items()},
        **steps.shares(right, steps.usable),
        "all_steps": steps.shares(right, np.ones_like(right)),
        "switches": steps.switches(),
    }


def turn_line(scores: Mapping[str, Any]) -> str:
    """The scores in a sentence."""
    arena = scores["right_per_step_in_arena"]
    inside = f" (in the arena {arena:.3f})" if arena is not None else ""
    line = f"{scores['right_per_step']:.3f} of the undisturbed training steps{inside} have a mode of the expert that "
    line += f"drove, with {len(scores['modes'])} modes"
    switches = switch_line(scores["switches"])
    return f"{line}; {switches}" if switches else line


def switch_line(scores: Mapping[str, Any]) -> str:
    """The scores in a sentence; empty where nobody switched."""
    if not scores["true"]:
        return ""
    line = (
        f"of {scores['true']} switches {scores['recall']:.2f} have a found one within {NEAR} steps, the nearest "
        f"{scores['median_distance_steps']:.0f} off in the median"
    )
    if scores["found"]:
        line += f"; of {scores['found']} found ones {scores['precision']:.2f} have a true one"
    return line


def _distances(steps: np.ndarray, others: np.ndarray, length: int) -> list[int]:
    return [int(np.abs(others - step).min()) if len(others) else length for step in steps]
