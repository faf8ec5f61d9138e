"""Every head beside the torch distribution that it stands for."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    TransformedDistribution,
)

from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.model.heads import HEADS, MIN_LOG_SIGMA, Head, MixtureHead, make_head
from tests.small_models import CHOICES, NUMBERS, make_model, seeded

SPACES: dict[str, ActionSpace] = {"gaussian": NUMBERS, "mixture": NUMBERS, "categorical": CHOICES}
WIDTH, K, B, C = 6, 4, 5, 3


def head_of(kind: str, chunk: int = 1) -> Head:
    head = make_head(kind, WIDTH, K, SPACES[kind], chunk, seeded(1))
    for layer in head.context_layers:
        torch.nn.init.normal_(layer.weight, std=0.5, generator=seeded(2))
    return head.requires_grad_(False)


def parameters_of(kind: str, chunk: int = 1) -> Tensor:
    """(B, C, P)"""
    hidden = 2 * torch.randn(B, WIDTH, generator=seeded(3))
    return head_of(kind, chunk)(hidden, torch.eye(K)[torch.arange(B) % K])


def mixture(logits: Tensor, means: Tensor, sigmas: Tensor) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(means, sigmas), 1))


def oracles(kind: str, parameters: Tensor, temperature: float = 1.0) -> list[Distribution]:
    """Of (..., P) the distributions of the action's independent parts; a low temperature narrows them."""
    if kind == "gaussian":
        means, log_sigmas = parameters.chunk(2, -1)
        return [Normal(means[..., i], temperature * log_sigmas[..., i].exp()) for i in range(NUMBERS.size)]
    if kind == "categorical":
        return [Categorical(logits=part / temperature) for part in parameters.split(list(CHOICES.choices), -1)]
    shape, m = (*parameters.shape[:-1], MixtureHead.COMPONENTS, NUMBERS.size), MixtureHead.COMPONENTS
    numbers = m * NUMBERS.size
    logits, means, log_sigmas = parameters.split([m, numbers, numbers], -1)
    return [mixture(logits / temperature, means.view(shape), temperature * log_sigmas.view(shape).exp())]


def parts_of(kind: str, actions: Tensor) -> list[Tensor]:
    return [actions] if kind == "mixture" else list(actions.unbind(-1))


def some_actions(kind: str, *shape: int) -> Tensor:
    if kind != "categorical":
        return torch.randn(*shape, 2, generator=seeded(5))
    return torch.stack([torch.randint(n, shape, generator=seeded(5)) for n in CHOICES.choices], -1)


@pytest.mark.parametrize("chunk", [1, C])
@pytest.mark.parametrize("kind", HEADS)
def test_log_densities_are_those_of_torch(kind: str, chunk: int) -> None:
    head, parameters = head_of(kind, chunk), parameters_of(kind, chunk)
    assert parameters.shape[:2] == (B, chunk)
    actions = some_actions(kind, B, chunk)
    parts = zip(oracles(kind, parameters), parts_of(kind, actions), strict=True)
    expected = torch.stack([oracle.log_prob(part) for oracle, part in parts], -1)
    found = head.log_prob(parameters, actions)
    torch.testing.assert_close(found, expected)
    one_by_one = [head.log_prob(parameters[b, c], actions[b, c]) for b in range(B) for c in range(chunk)]
    torch.testing.assert_close(torch.stack(one_by_one).view_as(found), found)


@pytest.mark.parametrize("kind", HEADS)
def test_the_spread_is_the_standard_deviation_or_the_entropy(kind: str) -> None:
    parameters = parameters_of(kind, C)
    found = head_of(kind).spread(parameters)
    every = oracles(kind, parameters)
    if kind == "mixture":
        expected = every[0].stddev
    else:
        expected = torch.stack([one.entropy() if kind == "categorical" else one.stddev for one in every], -1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert found.shape == (B, C, 2)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("kind", HEADS)
def test_draws_have_the_moments_of_the_distribution_and_a_low_temperature_narrows_it(
    kind: str, temperature: float
) -> None:
    parameters = parameters_of(kind)[:1, 0].expand(40_000, -1)
    drawn = head_of(kind).sample(parameters, temperature, seeded(6))
    assert torch.equal(drawn, head_of(kind).sample(parameters, temperature, seeded(6)))
    every = oracles(kind, parameters[0], temperature)
    if kind == "categorical":
        for column, oracle in enumerate(every):
            shares = np.bincount(drawn[:, column], minlength=CHOICES.choices[column]) / len(drawn)
            np.testing.assert_allclose(shares, oracle.probs, atol=0.01)  # type: ignore[attr-defined]
        return
    expected = [torch.stack([getattr(one, name) for one in every]).flatten() for name in ("mean", "stddev")]
    np.testing.assert_allclose(drawn.mean(0), expected[0], atol=0.03)
    np.testing.assert_allclose(drawn.std(0), expected[1], rtol=0.03)


@pytest.mark.parametrize("kind", HEADS)
def test_the_mode_is_what_a_draw_of_temperature_zero_gives(kind: str) -> None:
    head, parameters = head_of(kind, C), parameters_of(kind, C)
    mode = head.mode(parameters)
    assert mode.shape == (B, C, 2)
    assert mode.dtype == (torch.int64 if kind == "categorical" else torch.float32)
    torch.testing.assert_close(head.sample(parameters, 0.0, seeded()), mode)


def test_the_mode_of_a_mixture_is_no_compromise_between_two_components() -> None:
    head = head_of("mixture")
    logits = torch.tensor([1.0, 1.1, -9.0, -9.0, -9.0])
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    parameters = torch.cat([logits, means.flatten(), torch.full((10,), -2.0)])
    torch.testing.assert_close(head.mode(parameters), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_spreads_depend_on_the_context_alone_and_are_bounded_below(kind: str) -> None:
    head, contexts = head_of(kind), torch.eye(K)
    size = 2 if kind == "gaussian" else 2 * MixtureHead.COMPONENTS
    here, there = (head(torch.randn(K, WIDTH, generator=seeded(seed)), contexts)[..., -size:] for seed in (1, 2))
    assert torch.equal(here, there)
    assert not torch.allclose(here[0], here[1])
    torch.nn.init.constant_(head.context_layers[0].bias, -50.0)
    narrow = head(torch.zeros(K, WIDTH), contexts)
    assert (narrow[..., -size:] == MIN_LOG_SIGMA).all()


@pytest.mark.parametrize("kind", HEADS)
def test_all_codes_begin_alike_but_for_what_the_actor_hands_over(kind: str) -> None:
    fresh = make_head(kind, WIDTH, K, SPACES[kind], C, seeded(1))
    found = fresh(torch.ones(K, WIDTH), torch.eye(K))
    torch.testing.assert_close(found, found[:1].expand_as(found))


@pytest.mark.parametrize("kind", HEADS)
def test_densities_of_a_model_are_those_of_raw_actions(kind: str) -> None:
    model = make_model(head=kind, action_space=SPACES[kind])
    features, parameters, actions = model.features, parameters_of(kind)[:, 0], some_actions(kind, B)
    found = model.log_prob(parameters, actions).sum(-1)
    every = oracles(kind, parameters)
    if kind == "gaussian":
        every = [
            TransformedDistribution(one, [AffineTransform(features.act_mean[i], features.act_scale[i])])
            for i, one in enumerate(every)
        ]
    if kind == "mixture":
        affine = AffineTransform(features.act_mean, features.act_scale, event_dim=1)
        every = [TransformedDistribution(every[0], [affine])]
    parts = [one.log_prob(part) for one, part in zip(every, parts_of(kind, actions), strict=True)]
    torch.testing.assert_close(found, torch.stack(parts).sum(0))
    torch.testing.assert_close(features.raw_actions(features.actions(actions)), actions)


def test_a_head_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="there is no head 'mixtur', did you mean 'mixture'"):
        make_head("mixtur", WIDTH, K, NUMBERS, 1, seeded())
