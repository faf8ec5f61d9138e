"""The mode model: windows to codes, codes to contexts, contexts to actions; and the config that describes it."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from mode_imitation.errors import UserError
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import Codebook, ModeModel, log_prob
from tests.small_models import (
    CHOICES,
    SENSORS,
    draw_actions,
    draw_observations,
    make_model,
    make_windows,
    model_config,
    seeded,
)

KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "mixture": {"head": "mixture"},
    "categorical": {"head": "categorical", "action_space": CHOICES},
    "ring attention": {"ring": "attention", **SENSORS},
    "readings, tokens": SENSORS,
    "memory and chunks": {"memory": 5, "chunk": 3},
    "distances": {"context": "distances"},
}


def parameters_of(model: ModeModel, contexts: Tensor, count: int = 4) -> Tensor:
    """(len(contexts), count, C, P) of the same observations under every context."""
    rows = model.features.rows(draw_observations(model.config, count))
    found = model.predict(rows.repeat(len(contexts), 1), contexts.repeat_interleave(count, 0))
    return found.unflatten(0, (len(contexts), count))


@pytest.mark.parametrize("context", ["assignment", "distances"])
def test_the_policy_s_gradient_reaches_the_encoder_through_the_context(context: str) -> None:
    model = make_model(context=context)
    inferred = model.infer(*make_windows(), group=2)
    parameters = model.predict(model.features.rows(draw_observations(model.config, 8)), inferred.contexts)[:, 0]
    (-model.log_prob(parameters, torch.zeros(8, 2))).mean().backward()
    for parameter in model.encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_contexts_are_one_hot_with_the_gradient_of_a_softmax() -> None:
    model = make_model()
    distances = model.infer(*make_windows()).distances.detach().requires_grad_()
    weights = torch.randn(8, 4, generator=seeded())
    contexts = model.context(distances)
    torch.testing.assert_close(contexts, torch.eye(4)[distances.argmin(1)], atol=1e-6, rtol=0)
    soft = torch.softmax(-distances / model.config.temperature, dim=-1)
    gradients = [torch.autograd.grad((found * weights).sum(), distances)[0] for found in (contexts, soft)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0
    assert torch.equal(model.mode_contexts(), torch.eye(4))


def test_windows_of_a_group_share_their_mean_distance_and_code() -> None:
    model = make_model()
    alone, grouped = model.infer(*make_windows()), model.infer(*make_windows(), group=4)
    expected = alone.distances.view(2, 4, 4).mean(1)
    torch.testing.assert_close(grouped.distances, expected.repeat_interleave(4, 0))
    assert torch.equal(grouped.codes, expected.argmin(1).repeat_interleave(4, 0))


def test_a_pruned_code_is_never_chosen_and_weighs_nothing() -> None:
    model = make_model()
    dead = int(model.infer(*make_windows(64)).codes.mode().values)
    model.alive[dead] = False
    after = model.infer(*make_windows(64))
    assert (after.codes != dead).all()
    assert (after.probabilities[:, dead] == 0).all()
    assert (after.contexts[:, dead] == 0).all()
    assert model.n_modes == 3


@pytest.mark.parametrize("kind", KINDS)
def test_reordered_codes_keep_their_behaviour(kind: str) -> None:
    model = make_model(**KINDS[kind])
    model.typical_distances.copy_(torch.rand(4, 4, generator=seeded(6)))
    model.mode_shares.copy_(torch.tensor([0.0, 0.5, 0.2, 0.3]))
    model.alive.copy_(torch.tensor([False, True, True, True]))
    order, windows = torch.tensor([1, 3, 2, 0]), make_windows(32, config=model.config)
    with torch.no_grad():
        before, codes = parameters_of(model, model.mode_contexts()), model.infer(*windows).codes
        model.reorder(order)
        after, new_codes = parameters_of(model, model.mode_contexts()), model.infer(*windows).codes
        model.codebook.update(torch.zeros(1, 6), torch.zeros(1, dtype=torch.long), 1.0, 0.0, seeded())
    torch.testing.assert_close(after, before[order])
    assert not torch.allclose(before[0], before[1])
    assert torch.equal(order[new_codes], codes)
    torch.testing.assert_close(model.mode_shares, torch.tensor([0.5, 0.3, 0.2, 0.0]))
    assert model.alive.tolist() == [True, True, True, False]


def test_following_an_episode_remembers_and_predicting_single_steps_does_not() -> None:
    plain, model = make_model(), make_model(memory=5)
    rows, contexts = model.features.rows(draw_observations(model.config, 6)), torch.eye(4)[torch.arange(6) % 4]
    torch.testing.assert_close(plain.predict(rows, contexts), plain.follow(rows, contexts))
    followed, single = model.follow(rows, contexts), model.predict(rows, contexts)
    torch.testing.assert_close(followed[0], single[0])
    assert not torch.allclose(followed[1:], single[1:])
    state, stepwise = None, []
    for step in range(6):
        parameters, state = model.actor.recall(rows[step][None, None], contexts[step][None, None], state)
        stepwise.append(parameters[0])
    torch.testing.assert_close(torch.stack(stepwise), followed)


def test_codes_are_looked_for_and_judged_without_memory_chunks_and_attention() -> None:
    whole = make_model(memory=5, chunk=3, context="distances", head="mixture", ring="attention", **SENSORS)
    model = ModeModel(whole.config.for_discovery, seeded())
    first, again = (model.judge(seeded(7)) for _ in range(2))
    rows = model.features.rows(draw_observations(model.config, 6))
    parameters = first(rows, torch.eye(4)[torch.arange(6) % 4])
    assert parameters.shape[:2] == (6, 1)
    assert torch.equal(parameters, again(rows, torch.eye(4)[torch.arange(6) % 4]))
    assert torch.isfinite(log_prob(first, model.features, parameters[:, 0], draw_actions(model.config, 6))).all()
    assert not hasattr(first, "memory")


@pytest.mark.parametrize("alike", [True, False])
def test_the_steered_model_takes_over_what_codes_were_found_with_but_for_an_actor_of_another_kind(alike: bool) -> None:
    whole = make_model(**({} if alike else {"memory": 5}), **SENSORS)
    found = ModeModel(whole.config.for_discovery, seeded(9))
    found.alive[1] = False
    before = whole.actor.of_inputs.weight.clone()
    whole.take_over(found)
    for name in ("encoder", "codebook", "decoder", "features"):
        for one, two in zip(getattr(whole, name).parameters(), getattr(found, name).parameters(), strict=True):
            assert torch.equal(one, two)
    assert torch.equal(whole.alive, found.alive)
    assert torch.equal(whole.actor.of_inputs.weight, found.actor.of_inputs.weight if alike else before)


def test_distances_are_mean_squares() -> None:
    model, z = make_model(), torch.randn(5, 6, generator=seeded())
    expected = [[((row - entry) ** 2).mean() for entry in model.codebook.entries] for row in z]
    torch.testing.assert_close(model.codebook.distances(z), torch.tensor(expected))


def test_the_moving_average_codebook_agrees_with_vector_quantize_pytorch() -> None:
    oracle = pytest.importorskip("vector_quantize_pytorch")
    decay, generator = 0.8, seeded()
    book = Codebook(3, 2, "ema", generator)
    other = oracle.VectorQuantize(dim=2, codebook_size=3, decay=decay, eps=0.0, threshold_ema_dead_code=0)
    other._codebook.embed.data.copy_(book.entries[None])
    other._codebook.embed_avg.data.copy_(book.entries[None])
    other._codebook.cluster_size.data.fill_(1.0)
    other.train()
    for _ in range(5):
        z = torch.randn(40, 2, generator=generator)
        codes = book.distances(z).argmin(1)
        _, their_codes, _ = other(z[None])
        assert (codes == their_codes[0]).all()
        assert book.update(z, codes, decay, 0.0, generator) == 0
        torch.testing.assert_close(book.entries.data, other._codebook.embed[0])


def test_dead_codes_are_revived_among_the_windows() -> None:
    generator = seeded()
    book = Codebook(3, 2, "ema", generator)
    z = 100 + torch.randn(30, 2, generator=generator)
    revived = sum(book.update(z, book.distances(z).argmin(1), 0.99, 0.01, generator) for _ in range(600))
    assert revived > 0
    assert (book.entries > 90).all()


def test_the_codebook_is_placed_in_separate_clusters() -> None:
    generator = seeded()
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = centres.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=generator)
    book = Codebook(3, 2, "ema", generator)
    book.place(z, generator)
    assert torch.cdist(centres, book.entries).amin(1).max() < 0.5
    book.place(torch.ones(5, 2), generator)  # where all windows coincide, too
    torch.testing.assert_close(book.entries.data, torch.ones(3, 2))


def test_only_a_gradient_codebook_has_a_gradient() -> None:
    for kind, expected in (("ema", False), ("gradient", True)):
        assert make_model(codebook=kind).codebook.entries.requires_grad is expected


@pytest.mark.parametrize("kind", KINDS)
def test_making_a_model_draws_nothing_from_torch_s_global_generator(kind: str) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again = make_model(**KINDS[kind]), make_model(**KINDS[kind])
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_goes_through_json(kind: str) -> None:
    config = model_config(**KINDS[kind])
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"wings": 2}, "unknown field 'wings'"),
        ({"n_codes": "4"}, "n_codes is '4'; expected a whole number"),
        ({"n_codes": 4.0}, "n_codes is 4.0; expected a whole number"),
        ({"n_codes": -1}, "n_codes is -1; expected at least 1"),
        ({"obs_dim": None}, "obs_dim is None; expected a whole number"),
        ({"code_dim": True}, "code_dim is True; expected a whole number"),
        ({"temperature": 0}, "temperature is 0; expected more than 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "x"}, "temperature is 'x'; expected a number"),
        ({"context": "distance"}, "did you mean 'distances'"),
        ({"codebook": None}, "codebook is None"),
        ({"ring": "attentoin"}, "did you mean 'attention'"),
        ({"memory": -1}, "memory is -1; expected at least 0"),
        ({"chunk": 0}, "chunk is 0; expected at least 1"),
        ({"actor_hidden": []}, "actor_hidden is empty"),
        ({"actor_hidden": [16, 0]}, "actor_hidden is 0; expected at least 1"),
        ({"actor_hidden": [2.5]}, "actor_hidden is 2.5; expected a whole number"),
        ({"actor_hidden": 5}, "cannot be read"),
        ({"rings": [[0, 200]]}, "a sensor has the columns 0:200; expected columns within 3"),
        ({"rings": [[1, 1]]}, "a sensor has the columns 1:1"),
        ({"rings": [[0, 1.5]]}, "a ring is [0, 1.5]; expected [start, stop]"),
        ({"rings": [[0, 1, 2]]}, "a ring is [0, 1, 2]; expected [start, stop]"),
        ({"rings": [[0]]}, "a ring is [0]; expected [start, stop]"),
        ({"rings": 5}, "cannot be read"),
        ({"tokens": [[0, 1]]}, "a token is [0, 1]; expected [start, stop, size]"),
        ({"tokens": [[0, 1, 0]]}, "a token sensor names 0 things or less"),
        ({"window": {"horizon": "3"}}, "horizon is '3'; expected a whole number"),
        ({"window": {"gap": 2.5}}, "gap is 2.5; expected a whole number"),
        ({"window": {"include_state": "no"}}, "include_state is 'no'; expected True or False"),
        ({"window": {"stride": 0}}, "stride is 0; expected at least 1"),
        ({"window": 5}, "cannot be read"),
        ({"action_space": 5}, "cannot be read"),
        ({"action_space": {"size": 0}}, "size is 0; expected at least 1"),
        ({"action_space": {"size": 1, "choices": [3]}}, "head is gaussian, but the actions are choices"),
        ({"head": "categorical"}, "head is categorical, but the actions are numbers"),
    ],
)
def test_an_edited_config_is_one_clear_line(changes: dict, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        ModelConfig.from_dict(model_config().to_dict() | changes)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_without_what_it_needs_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        ModelConfig.from_dict({"obs_dim": 3})
