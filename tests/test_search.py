"""The search for codes: what belongs together comes together, chance is not taken for an expert."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.discovery import search
from mode_imitation.discovery.evidence import Evidence, evidence_of
from mode_imitation.discovery.search import (
    find_codes,
    first_groups,
    join,
    numbered,
    pairs,
    reassigned,
    same_partition,
    score,
    told_apart,
    unit_scores,
)
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import small

CONFIG = small(codes=4)
CONFIDENCE = 0.99
N_EACH = 8
DATA = two_laws(N_EACH, disturbed=False)
TRUE = torch.arange(2 * N_EACH) % 2
PLUS = dataclasses.replace(DATA, episodes=DATA.episodes[::2])


def evidence(dataset: TrajectoryDataset, **changes) -> Evidence:
    config = small(**changes)
    return evidence_of(*prepared(dataset, config), config, seeded())


OF_DATA = evidence(DATA)


@pytest.mark.parametrize("most", [2, 4, 12])
@pytest.mark.parametrize("start", ["each by itself", "by chance"])
def test_the_experts_are_found_from_anywhere_however_many_codes_there_may_be(most: int, start: str) -> None:
    starts = {
        "each by itself": torch.arange(2 * N_EACH),
        "by chance": torch.randint(6, (2 * N_EACH,), generator=seeded()),
    }
    found = find_codes(OF_DATA, starts[start], most, CONFIDENCE).codes
    assert same_partition(found, TRUE)


def test_experts_of_choices_are_found() -> None:
    chosen = [dataclasses.replace(one, actions=(one.actions > 0).astype(np.int64)) for one in DATA.episodes]
    space = dataclasses.replace(DATA.action_space, choices=(2,), low=(), high=())
    of = evidence(dataclasses.replace(DATA, episodes=tuple(chosen), action_space=space))
    assert same_partition(find_codes(of, torch.arange(16), 4, CONFIDENCE).codes, TRUE)


def test_two_trajectories_of_a_rare_expert_are_not_lost() -> None:
    rare = dataclasses.replace(DATA, episodes=(*DATA.episodes[::2], *DATA.episodes[1:4:2]))
    found = find_codes(evidence(rare), torch.arange(10), 4, CONFIDENCE).codes
    assert same_partition(found, (torch.arange(10) > 7).long())


@pytest.mark.parametrize("seed", range(4))
def test_one_expert_is_one_code(seed: int) -> None:
    data = two_laws(8, seed=seed)
    of = evidence(dataclasses.replace(data, episodes=data.episodes[::2]))
    assert len(find_codes(of, torch.arange(8), 4, CONFIDENCE).codes.unique()) == 1
    assert told_apart(of, torch.randperm(8, generator=seeded(seed)) % 2, 0, 1, CONFIDENCE).clarity < 1


def test_what_two_experts_do_is_told_apart_and_more_confidence_asks_for_more() -> None:
    apart = [told_apart(OF_DATA, TRUE, 0, 1, confidence) for confidence in (0.9, 0.99, 0.999)]
    assert apart[0].clarity > apart[1].clarity > apart[2].clarity > 1
    assert apart[0].gap == apart[1].gap > 0.5
    swapped = told_apart(OF_DATA, 1 - TRUE, 0, 1, 0.99)
    assert swapped == pytest.approx(apart[1])


def test_no_more_codes_are_left_than_there_may_be() -> None:
    halves = TRUE + 2 * (torch.arange(16) >= 8)
    assert len(join(OF_DATA, halves, 1, CONFIDENCE).unique()) == 1
    assert same_partition(join(OF_DATA, halves, 2, CONFIDENCE), TRUE)
    # Gains alone never join what two experts did.
    gained = join(OF_DATA, torch.arange(16), 1, CONFIDENCE, only_gains=True)
    assert all(len(TRUE[gained == code].unique()) == 1 for code in gained.unique().tolist())


def test_a_stray_unit_goes_to_the_code_that_explains_it() -> None:
    stray = TRUE.clone()
    stray[5] = 0
    assert torch.equal(reassigned(OF_DATA, stray), TRUE)


def with_silent_starts() -> tuple[Evidence, Tensor]:
    """Segments of 20 steps, the first one of every episode disturbed throughout; and which segments these are."""
    episodes = (dataclasses.replace(one, disturbed=np.arange(len(one)) < 20) for one in DATA.episodes)
    of = evidence(dataclasses.replace(DATA, episodes=tuple(episodes)), segment=20)
    return of, torch.arange(of.n_units) % 3 == 0


def test_segments_without_a_step_to_go_by_are_never_left_alone_with_a_code() -> None:
    of, silent = with_silent_starts()
    experts = torch.arange(of.n_units) // 3 % 2
    found = find_codes(of, torch.where(silent, 2, experts), 4, CONFIDENCE)
    assert same_partition(found.codes[~silent], experts[~silent])
    assert torch.isin(found.codes[silent], found.codes[~silent]).all()
    assert np.isfinite(found.score)
    assert unit_scores(of, found.codes).isnan().equal(silent)


def test_the_better_codes_have_the_better_score_whatever_they_are_called() -> None:
    wrong = (torch.arange(16) < 8).long()
    right = score(OF_DATA, TRUE)
    assert right > score(OF_DATA, wrong)
    assert right > score(OF_DATA, torch.zeros_like(TRUE))
    assert right > score(OF_DATA, TRUE + 2 * (torch.arange(16) >= 8))  # halves of an expert have less to learn from
    assert score(OF_DATA, 1 - TRUE) == pytest.approx(right)


def test_the_least_clear_pair_comes_first() -> None:
    halves = TRUE + 2 * (torch.arange(16) >= 8)
    found = pairs(OF_DATA, halves, CONFIDENCE)
    assert len(found) == 6
    assert [{entry["first"], entry["second"]} for entry in found[:2]] in ([{0, 2}, {1, 3}], [{1, 3}, {0, 2}])
    assert all((entry["clarity"] >= 1) == ((entry["first"] + entry["second"]) % 2 == 1) for entry in found)


def test_of_many_units_clusters_within_the_start_s_codes_are_what_joining_begins_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, data = prepared(DATA, CONFIG)
    assert torch.equal(first_groups(data, TRUE, seeded()), torch.arange(16))
    monkeypatch.setattr(search, "MOST_GROUPS", 8)
    groups = first_groups(data, TRUE, seeded())
    assert 2 <= len(groups.unique()) <= 8
    assert all(len(TRUE[groups == group].unique()) == 1 for group in groups.unique().tolist())
    assert same_partition(find_codes(OF_DATA, groups, 4, CONFIDENCE).codes, TRUE)


def test_same_law_other_states_is_one_policy_and_two_behaviours() -> None:
    """Every second episode is shifted by much, and answered as if it were not: the law in a state is the same."""
    far = []
    for index, episode in enumerate(PLUS.episodes):
        hidden = np.concatenate(
            [episode.observations, np.full((len(episode.observations), 1), 0.0, np.float32)], axis=1
        )
        hidden[:, -1] = (4.0 if index % 2 else -4.0) + 0.5 * np.random.default_rng(index).normal(size=len(hidden))
        far.append(dataclasses.replace(episode, observations=hidden.astype(np.float32)))
    shifted = dataclasses.replace(PLUS, episodes=tuple(far))
    every = torch.arange(8)
    assert len(find_codes(evidence(shifted), every, 4, CONFIDENCE).codes.unique()) == 1
    found = find_codes(evidence(shifted, evidence="behaviour"), every, 4, CONFIDENCE).codes
    assert same_partition(found, every % 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_numbered_codes_have_no_gaps_and_the_same_groups(codes: list[int]) -> None:
    every = torch.tensor(codes)
    found = numbered(every)
    assert found.unique().tolist() == list(range(len(set(codes))))
    assert same_partition(every, found)


def test_groups_are_compared_whatever_they_are_called() -> None:
    codes = torch.tensor([0, 0, 2, 2, 1])
    assert same_partition(codes, torch.tensor([3, 3, 0, 0, 2]))
    for other in ([3, 3, 0, 2, 2], [3, 3, 0, 0, 0], [0, 1, 2, 3, 4]):
        assert not same_partition(codes, torch.tensor(other))
        assert not same_partition(torch.tensor(other), codes)
