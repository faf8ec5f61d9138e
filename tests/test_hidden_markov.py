"""Fast recursions over batches beside every path written out."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.discovery.hidden_markov import forward_backward, lasting_path, runs_of, sticky_transitions, viterbi
from mode_imitation.errors import UserError


def random_chain(seed: int, n_states: int, lengths: list[int]) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    evidence = rng.normal(scale=2.0, size=(len(lengths), max(lengths), n_states))
    transitions = np.log(rng.dirichlet(np.ones(n_states), size=n_states))
    return evidence, transitions, np.log(rng.dirichlet(np.ones(n_states))), np.array(lengths)


def every_path(evidence: np.ndarray, transitions: np.ndarray, start: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log density of one sequence along each of its S ** T paths."""
    n_steps, n_states = evidence.shape
    return {
        path: start[path[0]]
        + sum(evidence[step, state] for step, state in enumerate(path))
        + sum(transitions[here, there] for here, there in itertools.pairwise(path))
        for path in itertools.product(range(n_states), repeat=n_steps)
    }


SEEDS, STATES = st.integers(0, 10_000), st.integers(1, 3)
LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@given(seed=SEEDS, n_states=STATES, lengths=LENGTHS)
def test_posteriors_equal_a_sum_over_every_path(seed: int, n_states: int, lengths: list[int]) -> None:
    evidence, transitions, start, ends = random_chain(seed, n_states, lengths)
    found = forward_backward(evidence, transitions, start, ends)
    for row, length in enumerate(lengths):
        paths = every_path(evidence[row, :length], transitions, start)
        total = np.log(sum(np.exp(value) for value in paths.values()))
        expected = np.zeros((evidence.shape[1], n_states))
        for path, value in paths.items():
            for step, state in enumerate(path):
                expected[step, state] += np.exp(value - total)
        np.testing.assert_allclose(found.probabilities[row], expected, atol=1e-9)
        np.testing.assert_allclose(found.log_likelihood[row], total, rtol=1e-9)


@given(seed=SEEDS, n_states=STATES, lengths=LENGTHS)
def test_the_path_is_the_best_of_every_path(seed: int, n_states: int, lengths: list[int]) -> None:
    evidence, transitions, start, ends = random_chain(seed, n_states, lengths)
    found = viterbi(evidence, transitions, start, ends)
    for row, length in enumerate(lengths):
        paths = every_path(evidence[row, :length], transitions, start)
        assert tuple(found[row, :length]) == max(paths, key=lambda path: paths[path])
        assert (found[row, length:] == found[row, length - 1]).all()


@given(
    seed=SEEDS,
    n_states=STATES,
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    shortest=st.integers(1, 9),
    cost=st.floats(0, 3),
)
def test_the_lasting_path_is_the_best_of_those_whose_stretches_last(
    seed: int, n_states: int, lengths: list[int], shortest: int, cost: float
) -> None:
    evidence, _, start, ends = random_chain(seed, n_states, lengths)
    found = lasting_path(evidence, cost, shortest, ends)
    change = np.where(np.eye(n_states, dtype=bool), 0.0, -cost)
    for row, length in enumerate(lengths):
        paths = every_path(evidence[row, :length], change, np.zeros_like(start))
        lasting = {
            path: value
            for path, value in paths.items()
            if all(last - first >= shortest for first, last in runs_of(np.array(path))[1:-1])
        }
        assert tuple(found[row, :length]) in lasting
        assert paths[tuple(found[row, :length])] == pytest.approx(max(lasting.values()))
        assert (found[row, length:] == found[row, length - 1]).all()


@given(seed=SEEDS, lengths=LENGTHS, padding=st.floats(-50, 50))
def test_what_stands_beyond_the_end_changes_nothing(seed: int, lengths: list[int], padding: float) -> None:
    evidence, transitions, start, ends = random_chain(seed, 3, lengths)
    padded = np.concatenate([evidence, np.full((len(lengths), 2, 3), padding)], axis=1)
    np.testing.assert_array_equal(
        forward_backward(padded, transitions, start, ends).probabilities[:, : evidence.shape[1]],
        forward_backward(evidence, transitions, start, ends).probabilities,
    )


def test_evidence_far_below_zero_does_not_underflow() -> None:
    evidence = np.full((1, 400, 2), -1000.0)
    evidence[0, :200, 0] += 1
    evidence[0, 200:, 1] += 1
    found = forward_backward(evidence, sticky_transitions(2, 50), np.log([0.5, 0.5]), np.array([400]))
    assert found.probabilities[0, 100, 0] > 0.99
    assert found.probabilities[0, 300, 1] > 0.99


@given(n_states=st.integers(1, 5), expected=st.floats(1.5, 1000))
def test_sticky_states_last_as_long_as_they_are_said_to(n_states: int, expected: float) -> None:
    transitions = np.exp(sticky_transitions(n_states, expected))
    np.testing.assert_allclose(transitions.sum(axis=1), 1.0)
    if n_states > 1:
        np.testing.assert_allclose(1 / (1 - np.diag(transitions)), expected)


@pytest.mark.parametrize("expected", [1.0, 0.0, -3.0, float("nan"), float("inf")])
def test_a_segment_of_no_length_is_a_mistake_in_one_line(expected: float) -> None:
    with pytest.raises(UserError, match="expected more than 1"):
        sticky_transitions(2, expected)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_runs_tile_the_steps_and_neighbours_differ(states: list[int]) -> None:
    runs = runs_of(np.array(states))
    assert [step for first, last in runs for step in range(first, last)] == list(range(len(states)))
    assert all(len(set(states[first:last])) == 1 for first, last in runs)
    assert all(states[a[0]] != states[b[0]] for a, b in itertools.pairwise(runs))
