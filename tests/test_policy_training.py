"""Training the policy on settled codes: the schedule, what is imitated under which context, codes pruned and named."""

import dataclasses

import numpy as np
import pytest
import torch

from mode_imitation.discovery.starts import unit_distances
from mode_imitation.model.optimiser import adam, set_one_cycle
from mode_imitation.model.threads import side_by_side
from mode_imitation.training.diagnostics import LEAK_WINDOWS, evaluate, measure_leak
from mode_imitation.training.policy_training import BURN_IN, RARE, SEQUENCE, PolicyTraining, settle, settle_joint
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import SMALL, rich_dataset, small

CODES = torch.arange(8) % 3


def test_the_one_cycle_schedule_is_torch_s() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    own = adam([parameter], 1e-3)
    theirs = torch.optim.Adam([parameter], lr=1e-3, betas=(0.95, 0.999))
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 1e-3, 50, pct_start=0.1)
    for iteration in range(50):
        rate = set_one_cycle(own, iteration, 50, 1e-3)
        assert rate == own.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-6)
        assert own.param_groups[0]["betas"][0] == pytest.approx(theirs.param_groups[0]["betas"][0])
        theirs.step()
        schedule.step()


@pytest.mark.parametrize("changes", [{}, {"context": "distances"}, {"pool": 1}, {"segment": 20, "memory": 6}])
def test_the_leak_equals_a_slow_count(changes: dict) -> None:
    config = small(**changes)
    model, data = prepared(two_laws(n_each=3), config)
    torch.nn.init.normal_(model.actor.of_context.weight, generator=seeded())
    model.typical_distances.copy_(torch.rand(3, 3, generator=seeded(1)))
    codes, draws, pool = torch.arange(data.n_units) % 3, seeded(4), config.pool
    units = data.draw_units(LEAK_WINDOWS // pool, draws).repeat_interleave(pool)
    starts = data.draw_starts(units, draws)
    inferred, fixed = [], []
    with torch.no_grad():
        for first in range(0, len(units), pool):
            group = slice(first, first + pool)
            distances = model.codebook.distances(model.encode(*data.windows(starts[group]))).mean(0)
            contexts = model.context(distances[None]), model.mode_contexts()[codes[units[first]]][None]
            steps = (starts[group][:, None] + torch.arange(config.window.horizon) * config.window.gap).flatten()
            rows, actions = data.rows_at(steps, model.features), data.actions_at(steps)
            for nlls, context in zip((inferred, fixed), contexts, strict=True):
                parameters = model.predict(rows, context.expand(len(rows), -1))[:, 0]
                nlls.append(-model.log_prob(parameters, actions).sum(-1))
    leak = measure_leak(model, data, pool, codes, seed=4)
    assert leak.nll_inferred == pytest.approx(float(torch.cat(inferred).mean()), rel=1e-4)
    assert leak.nll_fixed == pytest.approx(float(torch.cat(fixed).mean()), rel=1e-4)
    assert leak.gap == leak.nll_fixed - leak.nll_inferred
    assert abs(leak.gap) > 1e-4
    figures = evaluate(model, data, config, codes, seed=4)
    assert figures["leak/gap"] == pytest.approx(leak.gap)


def test_contexts_of_the_only_code_do_not_leak() -> None:
    model, data = prepared(two_laws(n_each=3), SMALL)
    torch.nn.init.normal_(model.actor.of_context.weight, generator=seeded())
    model.alive.copy_(torch.tensor([False, True, False]))
    assert measure_leak(model, data, SMALL.pool).gap == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("changes", [{}, {"chunk": 3}, {"memory": 6}, {"memory": 6, "chunk": 3}])
def test_neither_disturbed_steps_nor_what_is_planned_beyond_them_is_imitated(changes: dict) -> None:
    config = small(**changes)
    model, data = prepared(rich_dataset(), config)
    training = PolicyTraining(model, data, CODES, config, seeded())

    def nll() -> float:
        training.generator = seeded(7)
        with torch.no_grad():
            return training.action_nll(training.draw()).item()

    before = nll()
    data.actions[~data.usable] = 1e3
    assert nll() == before
    data.actions[data.usable] += 1
    assert nll() != before


def test_an_actor_with_a_memory_is_shown_sequences_as_an_episode_would_show_them() -> None:
    """Where a sequence begins with its episode every step counts; elsewhere the first ones only fill the memory."""
    config = small(memory=6, batch=400)
    model, data = prepared(two_laws(n_each=4, steps=150), config)
    codes = torch.arange(8) % 2
    training = PolicyTraining(model, data, codes, config, seeded())
    with torch.no_grad():
        found = training.action_nll(training.draw()).item()
        draws = seeded()
        last = data.draw_training_steps(400 // (SEQUENCE - BURN_IN), draws)
        back = torch.randint(BURN_IN, SEQUENCE, (len(last),), generator=draws)
        nlls: list[float] = []
        for step, behind in zip(last.tolist(), back.tolist(), strict=True):
            episode, place = divmod(step, 150)
            begun = max(0, place - behind)
            steps = torch.arange(begun, min(begun + SEQUENCE, 150)) + 150 * episode
            rows = model.features.rows(data.observations[data.row_of_step[steps]])
            contexts = model.mode_contexts()[codes[[episode] * len(steps)]]
            nll = -model.log_prob(model.follow(rows, contexts)[:, 0], data.actions[steps]).sum(-1)
            counted = data.usable[steps] & (torch.arange(len(steps)) >= (BURN_IN if begun else 0))
            nlls += nll[counted].tolist()
    assert found == pytest.approx(np.mean(nlls), rel=1e-4)


def test_every_step_is_imitated_under_the_context_of_its_unit_s_mode() -> None:
    config = small(segment=20, context="distances")
    model, data = prepared(two_laws(n_each=4), config)
    model.typical_distances.copy_(torch.rand(3, 3, generator=seeded()))
    codes = torch.arange(data.n_units) % 3
    training = PolicyTraining(model, data, codes, config, seeded())
    steps = torch.arange(len(data.actions))
    expected = model.typical_distances[(steps // 20) % 3]
    assert torch.equal(training.contexts_at(steps), expected)
    assert not model.codebook.entries.requires_grad  # the distances are to codes that stay where they are


def test_settled_codes_are_pruned_and_ordered_by_their_share_of_the_steps() -> None:
    model, data = prepared(two_laws(n_each=4, ragged=True), small(codes=4))
    old = torch.tensor([3, 1, 1, 3, 1, 3, 1, 1])
    lengths = data.unit_lengths.astype(float)
    before, distances = model.codebook.entries.clone(), unit_distances(model, data, seeded())
    codes = settle(model, data, old, seeded())
    assert codes.tolist() == [1, 0, 0, 1, 0, 1, 0, 0]
    assert model.alive.tolist() == [True, True, False, False]
    shares = [lengths[codes == code].sum() / lengths.sum() for code in (0, 1)]
    assert model.mode_shares.tolist() == pytest.approx([*shares, 0, 0])
    torch.testing.assert_close(model.codebook.entries[:2].detach(), before[[1, 3]])
    for code, name in enumerate((1, 3)):
        expected = distances[old == name].mean(0)
        torch.testing.assert_close(model.typical_distances[code, :2], expected[[1, 3]])


def test_without_reassignment_rare_codes_are_pruned_and_units_have_the_nearest_that_is_left() -> None:
    model, data = prepared(two_laws(n_each=4), small(codes=4, refine=False))
    z = model.encode(*data.windows(data.draw_starts(data.draw_units(500, seeded()), seeded())))
    with torch.no_grad():
        model.codebook.place(z, seeded())
        model.codebook.entries[2] += 1e3
    codes = settle_joint(model, data, 2, seeded())
    assert not model.alive[3]
    assert 1 <= model.n_modes <= 3
    assert (model.mode_shares[: model.n_modes] >= RARE).all()
    assert (model.codebook.entries[3] > 900).all()
    assert torch.equal(codes, model.masked(unit_distances(model, data, seeded(5))).argmin(1))
    assert model.mode_shares.tolist() == sorted(model.mode_shares.tolist(), reverse=True)


def test_a_setting_of_python_decides_the_batch() -> None:
    assert small().policy_batch == 128
    assert [dataclasses.replace(SMALL, batch=None, ring=ring).policy_batch for ring in ("readings", "attention")] == [
        2048,
        512,
    ]


def test_halves_side_by_side_give_the_gradient_of_the_whole_batch_and_the_same_bits_on_any_number_of_threads() -> None:
    weights: list[dict[str, torch.Tensor]] = []
    for workers in (1, 2):
        config = small(workers=workers)
        model, data = prepared(two_laws(n_each=4), config)
        training = PolicyTraining(model, data, CODES, config, seeded())
        if not weights:
            training.step(0)
            got = [parameter.grad for parameter in training.of_actor]
            training.generator = seeded()
            model, data = prepared(two_laws(n_each=4), config)  # as it was before the step
            training = PolicyTraining(model, data, CODES, config, seeded())
            _, whole = training.gradients(training.draw())
            for half, expected in zip(got, whole, strict=True):
                assert half is not None
                torch.testing.assert_close(half, expected)
            training.generator = seeded()
        for iteration in range(8):
            training.step(iteration)
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_an_error_in_one_part_is_raised_once_the_others_are_done() -> None:
    done = []

    def work(part: torch.Tensor) -> int:
        if int(part) == 0:
            raise ValueError("the first")
        done.append(int(part))
        return int(part)

    assert side_by_side(work, [torch.tensor(part) for part in (1, 2, 3)], 2) == [1, 2, 3]
    done.clear()
    with pytest.raises(ValueError, match="the first"):
        side_by_side(work, [torch.tensor(part) for part in (0, 1, 2)], 2)
    assert sorted(done) == [1, 2]
