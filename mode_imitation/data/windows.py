"""Transition windows as index arithmetic on one flat axis of steps.

The steps of all episodes lie one after another, (S,) in all. An episode of T steps has T + 1 observations, so the
observation before step s of episode e is row s + e of the observations laid out in the same way.

A window is `horizon` transitions spread over time: (s[t], s[t + stride] - s[t], a[t]) at t, t + gap, t + 2 gap, ...
"""

from dataclasses import dataclass

import numpy as np

from mode_imitation.config_checks import Count, check_fields
from mode_imitation.errors import UserError


@dataclass(frozen=True)
class WindowShape:
    """Which transitions a window holds; everything in simulator steps."""

    horizon: Count = 8
    """Transitions in a window."""
    gap: Count = 5
    """Steps from one transition of a window to the next."""
    stride: Count = 5
    """Steps that one transition spans: s[t + stride] - s[t]."""
    include_state: bool = True
    """Whether the encoder sees s[t] beside the difference."""
    include_action: bool = True
    """Whether the encoder sees a[t]."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def span(self) -> int:
        """Steps from a window's first observation to its last one, which may be the one after the last action."""
        return (self.horizon - 1) * self.gap + self.stride


def window_starts(lengths: np.ndarray, span: int) -> np.ndarray:
    """First step of every run of `span` steps that stays inside one unit.

    Args:
        lengths: (U,) int, steps per unit (episode or segment), one after another on the flat axis.
        span: steps from a window's first observation to its last one, at least 1.

    Returns:
        (N,) int64, indices on the flat step axis, ascending.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    counts = np.maximum(lengths - span + 1, 0)
    offsets = np.cumsum(lengths) - lengths
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(offsets, counts) + within


def window_steps(starts: np.ndarray, shape: WindowShape) -> np.ndarray:
    """(N,) starts -> (N, horizon) steps of each window's transitions."""
    return np.asarray(starts)[:, None] + np.arange(shape.horizon) * shape.gap


def all_inside(usable: np.ndarray, starts: np.ndarray, span: int) -> np.ndarray:
    """Whether every one of the `span` steps from each start is usable.

    Args:
        usable: (S,) bool on the flat step axis.
        starts: (N,) int, each at most S - span.
        span: steps.

    Returns:
        (N,) bool.
    """
    blocked = np.concatenate([[0], np.cumsum(~np.asarray(usable, dtype=bool))])
    return blocked[np.asarray(starts) + span] == blocked[np.asarray(starts)]


def unit_of_step(lengths: np.ndarray) -> np.ndarray:
    """(U,) steps per unit -> (S,) int64, which unit each step belongs to."""
    return np.repeat(np.arange(len(lengths)), lengths)


def segment_lengths(lengths: np.ndarray, segment: int | None, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut episodes into the units that get a code of their own.

    Args:
        lengths: (E,) int, steps per episode.
        segment: steps per segment; None leaves every episode whole. A rest that is too short for a window is added to
            the segment before it.
        span: steps that one window needs.

    Returns:
        (U,) int64 steps per segment, in order, and (U,) int64 the episode of each.

    Raises:
        UserError: a segment, or an episode, is too short for a window.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    short = np.flatnonzero(lengths < span)
    if len(short):
        episode = int(lengths.argmin())
        raise UserError(
            f"{len(short)} of {len(lengths)} episodes are shorter than a window, which spans {span} steps; the "
            f"shortest, episode {episode}, has {lengths[episode]}; leave out horizon, gap and stride for a window "
            "that fits"
        )
    if segment is None:
        return lengths.copy(), np.arange(len(lengths))
    if segment < span:
        raise UserError(f"segments of {segment} steps are too short for a window of {span}; raise --segment")
    cut: list[int] = []
    episodes: list[int] = []
    for episode, length in enumerate(lengths.tolist()):
        pieces = [segment] * (length // segment) or [0]
        rest = length - sum(pieces)
        if rest >= span and sum(pieces):
            pieces.append(rest)
        else:
            pieces[-1] += rest
        cut += pieces
        episodes += [episode] * len(pieces)
    return np.array(cut, dtype=np.int64), np.array(episodes, dtype=np.int64)
