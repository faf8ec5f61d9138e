"""Late rounds of reassignment: what goes back and forth teaches no policy, and what explains nothing better stays."""

import dataclasses

import torch
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.training.assignment import FEW, reassign, undecided
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.splitting import SPLIT_BEFORE, settles, splits_before
from tests.synthetic import two_laws
from tests.test_training_splitting import CONFIG, generator, model_for

N_EACH = 12
EPISODES = two_laws(N_EACH).episodes
TRUE = torch.tensor([episode.expert == "plus" for episode in EPISODES]).long()


def only(*units: int) -> torch.Tensor:
    chosen = torch.zeros(len(EPISODES), dtype=torch.bool)
    chosen[list(units)] = True
    return chosen


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_undecided_units_moved_are_few_and_leave_every_code_half_of_its_units(codes: list[int], random) -> None:
    every = torch.tensor(codes)
    moved = torch.tensor([random.random() < 0.1 for _ in codes])
    chosen = undecided(every, moved)
    if chosen is None:
        return
    assert chosen.any()
    assert not (chosen & ~moved).any()
    assert moved.double().mean() <= FEW
    for code in set(codes):
        assert (every[~chosen] == code).sum() * 2 >= (every == code).sum()


def test_nothing_is_undecided_where_nothing_or_much_moved() -> None:
    codes = torch.zeros(40, dtype=torch.long)
    few, many = torch.zeros(40, dtype=torch.bool), torch.zeros(40, dtype=torch.bool)
    few[:4], many[:5] = True, True
    assert undecided(codes, torch.zeros(40, dtype=torch.bool)) is None
    assert torch.equal(undecided(codes, few), few)  # pyright: ignore[reportArgumentType]
    assert undecided(codes, many) is None
    codes[:4] = 1  # all that this code has
    assert undecided(codes, few) is None


def test_what_an_undecided_unit_does_changes_nothing_for_the_others() -> None:
    wild = [
        dataclasses.replace(episode, actions=-episode.actions) if index == 4 else episode
        for index, episode in enumerate(EPISODES)
    ]
    tame_data, wild_data = (TrainingData(list(found), None, CONFIG.window, None) for found in (EPISODES, wild))
    model = model_for(tame_data)
    tame, other = (
        reassign(model, data, TRUE, CONFIG, generator(), merge=False, moved=only(4)) for data in (tame_data, wild_data)
    )
    rest = ~only(4)
    assert torch.equal(tame.codes[rest], other.codes[rest])
    before = [reassign(model, data, TRUE, CONFIG, generator(), merge=False).nll for data in (tame_data, wild_data)]
    assert before[0] != before[1]
    assert torch.equal(tame.codes, TRUE)
    assert other.codes[4] == 1 - TRUE[4]  # it does as the other expert does, so it goes there


def test_a_unit_keeps_its_code_where_another_explains_it_no_better() -> None:
    """Halves of one expert: which one a unit has makes no difference."""
    episodes = [episode for episode in EPISODES if episode.expert == "plus"]
    data = TrainingData(episodes, None, CONFIG.window, None)
    model, halves = model_for(data), torch.arange(len(episodes)) % 2
    at_will = reassign(model, data, halves, CONFIG, generator(), merge=False)
    settling = reassign(
        model, data, halves, CONFIG, generator(), merge=False, moved=torch.zeros(len(episodes), dtype=torch.bool)
    )
    assert at_will.changed > 0
    assert torch.equal(at_will.moved, at_will.codes != halves)
    assert settling.changed < at_will.changed


def test_codes_settle_only_after_the_last_parts_were_merged() -> None:
    assert not any(settles(iteration) for iteration in range(max(SPLIT_BEFORE) + 2))
    for rounds in range(1, 9):
        for iteration in range(rounds):
            assert not (
                settles(iteration) and any(splits_before(later, rounds) for later in (iteration - 1, iteration))
            )
    assert settles(4)
