"""Codes that hold two experts are taken apart, and what belongs together comes together again."""

import dataclasses

import numpy as np
import pytest
import torch

from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.assignment import reassign
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.refinement import settle
from mode_imitation.training.splitting import (
    FEWEST,
    PRIOR_STEPS,
    split_codes,
    splits_before,
    splits_to_come,
    two_means,
    unit_laws,
)
from tests.synthetic import two_laws

CONFIG = TrainConfig(
    codes=4,
    horizon=4,
    gap=2,
    stride=2,
    actor_hidden=(16, 16),
    learning_rate=1e-2,
    scoring_iterations=150,
    scoring_batch=64,
)
N_EACH = 8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data_of(*experts: str, segment: int | None = None) -> TrainingData:
    episodes = [episode for episode in two_laws(N_EACH).episodes if episode.expert in experts]
    return TrainingData(episodes, None, CONFIG.window, segment)


def model_for(data: TrainingData, codes: int = 4) -> ModeModel:
    config = CONFIG.model_config(data.observations.shape[1], data.actions.shape[1])
    model = ModeModel(type(config)(**{**vars(config), "n_codes": codes}), generator())
    model.normalizer.fit(data.observations, data.some_deltas(), data.actions)
    return model


def partition(codes: torch.Tensor) -> set[frozenset[int]]:
    return {frozenset((codes == code).nonzero()[:, 0].tolist()) for code in codes.unique()}


def test_a_code_of_two_experts_is_taken_apart() -> None:
    data = data_of("plus", "minus")
    codes = split_codes(model_for(data), data, torch.zeros(2 * N_EACH, dtype=torch.long), generator())
    evens = frozenset(range(0, 2 * N_EACH, 2))
    assert partition(codes) == {evens, frozenset(range(2 * N_EACH)) - evens}


def test_the_halves_of_one_expert_are_joined_again() -> None:
    data = data_of("plus")
    model = model_for(data)
    draws = generator()
    codes = split_codes(model, data, torch.zeros(N_EACH, dtype=torch.long), draws)
    if len(codes.unique()) == 1:  # nothing to take apart: make halves
        codes = torch.arange(N_EACH) % 2
    for merge in (False, True):
        codes = reassign(model, data, codes, CONFIG, draws, merge=merge).codes
    assert len(codes.unique()) == 1


def test_reassignment_alone_leaves_two_experts_together() -> None:
    """What splitting is there for."""
    data = data_of("plus", "minus")
    codes = torch.zeros(2 * N_EACH, dtype=torch.long)
    assert len(reassign(model_for(data), data, codes, CONFIG, generator(), merge=False).codes.unique()) == 1


def test_only_free_codes_are_given_and_the_clearest_splits_come_first() -> None:
    data = data_of("plus", "minus")
    index = torch.arange(2 * N_EACH)
    # Code 2 holds both experts, code 0 only one: with one free code it is 2 that is split.
    codes = torch.where((index % 2 == 0) & (index < N_EACH), 0, 2)
    split = split_codes(model_for(data, codes=3), data, codes, generator())
    assert (split[codes == 0] == 0).all()
    assert set(split[codes == 2].tolist()) == {1, 2}
    full = index % 4
    assert torch.equal(split_codes(model_for(data), data, full, generator()), full)


def test_small_codes_are_left_alone_and_the_generator_decides() -> None:
    data = data_of("plus", "minus")
    codes = (torch.arange(2 * N_EACH) >= FEWEST - 1).long()
    split = split_codes(model_for(data), data, codes, generator(3))
    assert (split[: FEWEST - 1] == 0).all()
    assert torch.equal(split, split_codes(model_for(data), data, codes, generator(3)))


def test_laws_are_ridge_regressions_towards_the_law_of_all() -> None:
    data = data_of("plus", "minus")
    model = model_for(data)
    units = torch.arange(5)
    laws = unit_laws(model, data, units, 1).reshape(5, -1)
    features, actions = [], []
    for unit in units:
        steps = data.trainable[data.unit_of_step[data.trainable] == unit]
        states = model.normalizer.states(data.observations_at(steps))
        context = model.mode_contexts()[1].expand(len(steps), -1)
        hidden = model.actor.trunk(torch.cat([states, context], 1)).detach().double().numpy()
        features.append(np.hstack([hidden, np.ones((len(hidden), 1))]))
        actions.append(model.normalizer.actions(data.actions_at(steps)).double().numpy())
    everything, wanted = np.concatenate(features), np.concatenate(actions)
    typical = everything.T @ everything / len(everything)
    typical += 1e-4 * np.diag(typical).mean() * np.eye(len(typical))
    law = np.linalg.solve(typical, everything.T @ wanted / len(everything))
    left = ((wanted - everything @ law) ** 2).mean(0)
    own = [
        np.linalg.solve(f.T @ f + PRIOR_STEPS * typical, f.T @ a + PRIOR_STEPS * typical @ law)
        for f, a in zip(features, actions, strict=True)
    ]
    for first in range(5):
        for second in range(5):
            gap = own[first] - own[second]
            expected = (np.einsum("fa,fg,ga->a", gap, typical, gap) / left).sum()
            assert float(((laws[first] - laws[second]) ** 2).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_two_means_finds_two_heaps_and_says_how_clear_they_are() -> None:
    noise = torch.randn(20, 6, generator=generator(), dtype=torch.double)
    heaps = noise + 10 * (torch.arange(20) % 2)[:, None]
    side, clarity = two_means(heaps, generator())
    assert partition(side.long()) == {frozenset(range(0, 20, 2)), frozenset(range(1, 20, 2))}
    _, unclear = two_means(noise, generator())
    assert clarity > 10 * unclear
    assert not two_means(torch.zeros(6, 3), generator())[0].any()


def with_disturbed_starts() -> TrainingData:
    """Segments of 20 steps; the first one of every episode is disturbed throughout."""
    episodes = [
        dataclasses.replace(episode, disturbed=np.arange(len(episode)) < 20) for episode in two_laws(N_EACH).episodes
    ]
    return TrainingData(episodes, None, CONFIG.window, 20)


def test_segments_are_split_and_those_without_a_step_to_go_by_keep_their_code() -> None:
    data = with_disturbed_starts()
    silent = torch.arange(data.n_units) % 3 == 0
    codes = split_codes(model_for(data), data, torch.zeros(data.n_units, dtype=torch.long), generator())
    assert len(codes.unique()) == 2
    assert not codes[silent].any()
    # A code that holds nothing else has nothing to be told by, either.
    alone = split_codes(model_for(data), data, silent.long(), generator())
    assert (alone[silent] == 1).all()


def test_what_cannot_be_judged_is_never_left_alone_with_a_code() -> None:
    data = with_disturbed_starts()
    silent = torch.arange(data.n_units) % 3 == 0
    codes = torch.arange(data.n_units) // 3 % 2  # the experts
    for stray in (torch.full_like(codes, 3), codes):
        done = reassign(model_for(data), data, torch.where(silent, stray, codes), CONFIG, generator(), merge=True)
        assert done.n_codes == 2
        assert torch.equal(done.codes[~silent], codes[~silent])
        assert torch.isin(done.codes[silent], codes).all()
    assert torch.equal(done.codes, codes)  # whose code others have, it keeps


def test_splitting_is_followed_by_sorting_out_and_merging() -> None:
    assert [splits_before(i, 6) for i in range(6)] == [True, False, True, False, False, False]
    assert [splits_before(i, 3) for i in range(3)] == [True, False, False]
    assert not splits_before(0, 1)
    assert [splits_to_come(i, 6) for i in range(6)] == [True, True, True, False, False, False]
    assert not splits_to_come(1, 3)


@pytest.mark.parametrize("gap", [0.0, 1e-3, 0.3])
def test_a_mode_s_context_is_its_own_even_where_a_split_took_an_entry_beside_another(gap: float) -> None:
    data = data_of("plus", "minus")
    model = model_for(data)
    codes = torch.arange(2 * N_EACH) % 3
    entries = model.codebook.entries
    with torch.no_grad():
        entries[1] = entries[0] + gap * torch.randn(16, generator=generator())
        entries[2] = entries[0]
    before = entries.clone()
    settle(model, data, codes, generator())
    assert (model.mode_contexts()[:3].max(1).values > 0.99).all()
    assert torch.equal(model.mode_contexts()[:3].argmax(1), torch.arange(3))
    assert sum(torch.equal(old, new) for old, new in zip(before[:3], model.codebook.entries[:3], strict=True)) == 1


def test_entries_that_lie_apart_stay_where_they_are() -> None:
    data = data_of("plus", "minus")
    model = model_for(data)
    with torch.no_grad():
        model.codebook.entries.copy_(3 * torch.eye(4, 16))
    before = model.codebook.entries.clone()
    settle(model, data, torch.arange(2 * N_EACH) % 4, generator())
    assert torch.equal(model.codebook.entries, before)
