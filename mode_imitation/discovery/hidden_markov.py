"""Hidden Markov models over many sequences at once, in log space: which state made which step.

Rabiner, A Tutorial on Hidden Markov Models, 1989. E sequences, T steps of the longest, S states; shorter sequences are
padded at their end, and what stands there changes nothing.
"""

from typing import NamedTuple

import numpy as np

from mode_imitation.errors import UserError


class Posterior(NamedTuple):
    """What the whole of each sequence says about its steps."""

    probabilities: np.ndarray
    """(E, T, S) of each state at each step; 0 beyond a sequence's end."""
    log_likelihood: np.ndarray
    """(E,) of the evidence, summed over all paths."""


def sticky_transitions(n_states: int, expected_steps: float) -> np.ndarray:
    """Transitions of states that last `expected_steps` on average and then give way to any other alike.

    Returns:
        (S, S) log probabilities, row i from state i.

    Raises:
        UserError: the expected length is not more than one step.
    """
    if not (np.isfinite(expected_steps) and expected_steps > 1):
        raise UserError(f"the expected length of a segment is {expected_steps} steps; expected more than 1")
    if n_states == 1:
        return np.zeros((1, 1))
    leaving = 1.0 / expected_steps
    transitions = np.full((n_states, n_states), np.log(leaving / (n_states - 1)))
    np.fill_diagonal(transitions, np.log1p(-leaving))
    return transitions


def forward_backward(
    evidence: np.ndarray, transitions: np.ndarray, start: np.ndarray, lengths: np.ndarray
) -> Posterior:
    """The probability of each state at each step, given the whole sequence.

    Args:
        evidence: (E, T, S) log density of each step under each state.
        transitions: (S, S) log probabilities, from row to column.
        start: (S,) log probabilities at the first step.
        lengths: (E,) int, 1 .. T.
    """
    n_steps = evidence.shape[1]
    forward = np.empty_like(evidence, dtype=np.float64)
    forward[:, 0] = start + evidence[:, 0]
    for step in range(1, n_steps):
        reached = _log_sum(forward[:, step - 1, :, None] + transitions, axis=1)  # (E, S, S) -> (E, S)
        running = (step < lengths)[:, None]
        forward[:, step] = np.where(running, reached + evidence[:, step], forward[:, step - 1])
    backward = np.zeros_like(forward)
    for step in range(n_steps - 2, -1, -1):
        ahead = (evidence[:, step + 1] + backward[:, step + 1])[:, None, :]  # (E, 1, S)
        running = (step + 1 < lengths)[:, None]
        backward[:, step] = np.where(running, _log_sum(transitions + ahead, axis=2), 0.0)
    total = _log_sum(forward[:, -1], axis=1)
    probabilities = np.exp(forward + backward - total[:, None, None])
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    probabilities[np.arange(n_steps) >= np.asarray(lengths)[:, None]] = 0.0
    return Posterior(probabilities, total)


def viterbi(evidence: np.ndarray, transitions: np.ndarray, start: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The most probable path of states of each sequence; of equally probable states the first.

    Args:
        evidence, transitions, start, lengths: as in `forward_backward`.

    Returns:
        (E, T) int64; beyond a sequence's end its last state goes on.
    """
    n_sequences, n_steps, n_states = evidence.shape
    best = start + evidence[:, 0]
    came_from = np.zeros((n_sequences, n_steps, n_states), dtype=np.int64)
    for step in range(1, n_steps):
        ways = best[:, :, None] + transitions  # (E, S, S)
        running = (step < lengths)[:, None]
        came_from[:, step] = np.where(running, ways.argmax(axis=1), np.arange(n_states))
        best = np.where(running, ways.max(axis=1) + evidence[:, step], best)
    path = np.empty((n_sequences, n_steps), dtype=np.int64)
    path[:, -1] = best.argmax(axis=1)
    rows = np.arange(n_sequences)
    for step in range(n_steps - 1, 0, -1):
        path[:, step - 1] = came_from[rows, step, path[:, step]]
    return path


def lasting_path(evidence: np.ndarray, cost: float, shortest: int, lengths: np.ndarray) -> np.ndarray:
    """The best path of states in which each stretch of one state has at least `shortest` steps, but for the first and
    the last, which the sequence's ends may have cut; of equally good ones one whose changes come early.

    Args:
        evidence, lengths: as in `forward_backward`.
        cost: of every change of state, in the evidence's unit.
        shortest: steps, at least 1.

    Returns:
        (E, T) int64; beyond a sequence's end its last state goes on.
    """
    n_sequences, n_steps, n_states = evidence.shape
    total = np.concatenate([np.zeros((n_sequences, 1, n_states)), evidence.cumsum(axis=1)], axis=1)
    another = np.where(np.eye(n_states, dtype=bool), -np.inf, 0.0)
    # Of paths over the steps before t: the best whose last stretch is of this state, and long enough or the first one;
    # and the state before that stretch where it has just become long enough, else -1.
    best = np.full((n_sequences, n_steps + 1, n_states), -np.inf)
    before = np.full((n_sequences, n_steps + 1, n_states), -1)
    best[:, 1] = total[:, 1]
    for t in range(2, n_steps + 1):
        best[:, t] = best[:, t - 1] + evidence[:, t - 1]
        if t > shortest:
            ways = best[:, t - shortest, :, None] + another  # (E, S, S)
            begun = ways.max(axis=1) - cost + total[:, t] - total[:, t - shortest]
            before[:, t] = np.where(begun > best[:, t], ways.argmax(axis=1), -1)
            best[:, t] = np.maximum(best[:, t], begun)
    path = np.empty((n_sequences, n_steps), dtype=np.int64)
    for row, length in enumerate(np.asarray(lengths).tolist()):
        end, state = length, int(best[row, length].argmax())
        # A last stretch that is cut short: from each step on at which one could begin.
        cuts = np.arange(max(1, length - shortest + 1), length)
        if len(cuts) and n_states > 1:
            ways = best[row, cuts, :, None] + another  # (steps, S, S)
            cut = ways.max(axis=1) - cost + total[row, length] - total[row, cuts]
            if cut.max() > best[row, length].max():
                step, last = np.unravel_index(cut.argmax(), cut.shape)
                end, state = int(cuts[step]), int(ways[step, :, last].argmax())
                path[row, end:] = last
        if end == length:
            path[row, end:] = state
        while end > 0:
            steps, earlier = (shortest, before[row, end, state]) if before[row, end, state] >= 0 else (1, state)
            path[row, end - steps : end] = state
            end, state = end - steps, int(earlier)
    return path


def runs_of(states: np.ndarray) -> list[tuple[int, int]]:
    """(T,) states -> (first, last + 1) of every stretch of equal ones, in order."""
    edges = np.flatnonzero(states[1:] != states[:-1]) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(states)], strict=True))


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """log sum exp along an axis; -inf where all are."""
    top = values.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis)
