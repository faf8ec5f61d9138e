"""Steps at which somebody else, or another mode, takes over: those that were found beside the true ones."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

NEAR = 20
"""Steps within which a switch counts as found."""


def switch_scores(episodes: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """How many switches were found, and how far from the true ones.

    A true switch is found (recall), and a found one true (precision), where there is one of the other kind within NEAR
    steps.

    Args:
        episodes: of each, (T,) who drove every step and (T,) the code or mode that it was given.

    Returns:
        For JSON: true and found, their numbers; median_distance_steps from a true one to the nearest found one (the
        episode's length where there is none); recall and precision. None where there is nothing to count.
    """
    misses: list[int] = []
    false: list[int] = []
    for drivers, given in episodes:
        true, found = changes(drivers), changes(given)
        misses += _distances(true, found, len(drivers))
        false += _distances(found, true, len(drivers))
    return {
        "true": len(misses),
        "found": len(false),
        "median_distance_steps": float(np.median(misses)) if misses else None,
        "recall": float(np.mean(np.array(misses) <= NEAR)) if misses else None,
        "precision": float(np.mean(np.array(false) <= NEAR)) if false else None,
    }


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


def changes(values: np.ndarray) -> np.ndarray:
    """Steps at which something else begins: (T,) -> (N,)"""
    return np.flatnonzero(values[1:] != values[:-1]) + 1


def _distances(steps: np.ndarray, others: np.ndarray, length: int) -> list[int]:
    return [int(np.abs(others - step).min()) if len(others) else length for step in steps]
