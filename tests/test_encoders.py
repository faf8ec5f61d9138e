"""Every encoder: windows of any length, what is masked, order; and the decoder."""

import math

import pytest
import torch

from mode_imitation.errors import UserError
from mode_imitation.model.encoders import ENCODERS, AttentionBlock, Decoder, Encoder, make_encoder, rotated
from mode_imitation.model.layers import gru, linear, mlp
from tests.small_models import seeded

F, HIDDEN, D = 5, 16, 6


def encoder_of(kind: str) -> Encoder:
    return make_encoder(kind, F, HIDDEN, D, seeded(1)).requires_grad_(False)


def features(batch: int, horizon: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, horizon, F, generator=seeded(seed))


@pytest.mark.parametrize("horizon", [1, 2, 8, 31])
@pytest.mark.parametrize("kind", ENCODERS)
def test_windows_of_any_length_become_points_of_mean_zero_and_spread_one(kind: str, horizon: int) -> None:
    encoder, windows = encoder_of(kind), features(4, horizon)
    z = encoder(windows)
    assert z.shape == (4, D)
    torch.testing.assert_close(z.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(1, correction=0), torch.ones(4), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cat([encoder(window[None]) for window in windows]), z)


@pytest.mark.parametrize("kind", ENCODERS)
def test_what_lies_behind_the_mask_changes_nothing_and_equals_the_shorter_window(kind: str) -> None:
    encoder, windows = encoder_of(kind), features(3, 7)
    lengths = torch.tensor([1, 4, 7])
    mask = torch.arange(7) < lengths[:, None]
    masked = encoder(windows, mask)
    other = torch.where(mask[..., None], windows, 50 * features(3, 7, seed=9))
    torch.testing.assert_close(encoder(other, mask), masked)
    shorter = [encoder(window[None, :length]) for window, length in zip(windows, lengths.tolist(), strict=True)]
    torch.testing.assert_close(masked, torch.cat(shorter))
    torch.testing.assert_close(encoder(windows, torch.ones(3, 7, dtype=torch.bool)), encoder(windows))


@pytest.mark.parametrize("kind", ENCODERS)
def test_all_but_the_pooled_encoder_see_the_order(kind: str) -> None:
    encoder, windows = encoder_of(kind), features(3, 6)
    same = torch.allclose(encoder(windows), encoder(windows.flip(1)), atol=1e-3)
    assert same == (kind == "pooled")


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_transition_and_every_weight_takes_part(kind: str) -> None:
    encoder, windows = make_encoder(kind, F, HIDDEN, D, seeded(1)), features(2, 5).requires_grad_()
    encoder(windows)[:, 0].sum().backward()
    assert windows.grad is not None
    assert (windows.grad.abs().sum(-1) > 0).all()
    assert all(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in encoder.parameters())


def test_rotary_positions_depend_on_distances_alone() -> None:
    query, key = torch.randn(2, 8, generator=seeded(), dtype=torch.float64)
    queries, keys = rotated(query.expand(12, 8)), rotated(key.expand(12, 8))
    products = queries @ keys.T  # (12, 12)
    for distance in range(-5, 6):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))
    assert not torch.allclose(products[0, 0], products[0, 5])
    torch.testing.assert_close(queries.norm(dim=-1), query.norm().expand(12))
    torch.testing.assert_close(queries[0], query)


def test_attention_is_what_its_formula_says_position_by_position() -> None:
    block, x = AttentionBlock(8, 2, seeded(1)).requires_grad_(False), torch.randn(1, 3, 8, generator=seeded())
    normed = torch.nn.functional.layer_norm(x[0], (8,))
    query, key, value = block.query_key_value(normed).split(8, dim=-1)
    attended = torch.zeros(3, 8)
    for head in (slice(0, 4), slice(4, 8)):
        turned = rotated(query[:, head]), rotated(key[:, head])
        for here in range(3):
            scores = [float(turned[0][here] @ turned[1][there]) / math.sqrt(4) for there in range(3)]
            shares = torch.softmax(torch.tensor(scores), 0)
            attended[here, head] = sum(shares[there] * value[there, head] for there in range(3))
    after = x[0] + block.out(attended)
    expected = after + block.network(torch.nn.functional.layer_norm(after, (8,)))
    torch.testing.assert_close(block(x, None)[0], expected)


def test_an_encoder_that_does_not_exist_or_does_not_fit_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="there is no encoder 'atention', did you mean 'attention'"):
        make_encoder("atention", F, HIDDEN, D, seeded())
    with pytest.raises(UserError, match="encoder_hidden is 12; attention expects a multiple of 8"):
        make_encoder("attention", F, 12, D, seeded())


@pytest.mark.parametrize("horizon", [1, 6])
def test_the_decoder_gives_back_mean_and_spread_or_a_single_transition(horizon: int) -> None:
    decoder, windows, codes = Decoder(F, horizon, HIDDEN, D, seeded(1)), features(4, horizon), torch.randn(4, D)
    parts = [windows.mean(1)] + [windows.std(1, correction=0)] * (horizon > 1)
    target = torch.cat(parts, -1)
    torch.testing.assert_close(decoder.target(windows), target)
    expected = ((decoder.network(codes) - target) ** 2).mean(-1)
    torch.testing.assert_close(decoder.error(codes, windows), expected)


def test_initial_weights_are_as_wide_as_torch_s_and_come_from_the_generator() -> None:
    pairs = ((linear, torch.nn.Linear(64, 64)), (gru, torch.nn.GRU(64, 64)))
    before = torch.random.get_rng_state()
    for make, theirs in pairs:
        own, again = (make(64, 64, seeded(3)).requires_grad_(False) for _ in range(2))
        for weights, same, other in zip(own.parameters(), again.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(weights, same)
            assert weights.abs().max() <= 1 / 8
            assert weights.ndim == 1 or float(weights.std()) == pytest.approx(float(other.detach().std()), rel=0.05)
    assert [type(layer).__name__ for layer in mlp([2, 3, 4], seeded())] == ["Linear", "ReLU", "Linear"]
    assert torch.equal(torch.random.get_rng_state(), before)
