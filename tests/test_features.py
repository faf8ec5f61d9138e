"""Scales of raw numbers, and what actors and encoders see of sensors by their kind."""

import cmath
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from experts.lidar import centroid, single_object
from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError
from mode_imitation.model.features import (
    DELTA_LIMIT,
    Columns,
    Features,
    RingAttention,
    RingAttentionModule,
    RingReadings,
    TokenEmbedding,
    centre_and_spread,
    mean_direction,
    strongest,
)
from mode_imitation.model.mode_model import Actor
from tests.small_models import CHOICES, SENSORS, draw_actions, draw_observations, make_windows, model_config, seeded


def fitted(values: Tensor, **changes) -> Features:
    """Features of plain numbers, (N, obs_dim), that are observations, differences and actions at once."""
    features = Features(model_config(**{"obs_dim": values.shape[1], **changes}))
    features.fit(values, values, values[:, :2])
    return features


def test_normalised_columns_have_unit_spread_and_constant_ones_stay_quiet() -> None:
    values = 5 + 3 * torch.randn(1000, 3, generator=seeded())
    values[:, 2] = 7.0
    features = fitted(values)
    normal = features.states(values)
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(normal[:, :2].std(0), 1, atol=0.05)
    assert normal[:, 2].abs().max() < 1e-3
    assert features.states(values + 1e-4)[:, 2].abs().max() < 1e-3  # what is rounding beside 7 stays small
    constant = fitted(torch.ones(10, 3))
    assert torch.isfinite(constant.actions(torch.ones(1, 2))).all()
    assert torch.isfinite(fitted(torch.zeros(10, 3)).states(torch.zeros(1, 3))).all()


def test_a_column_that_is_nearly_always_one_value_keeps_what_there_is_to_see() -> None:
    values = torch.zeros(1000)
    values[:3] = 1.0
    mean, spread = centre_and_spread(values)
    assert (mean, spread) == pytest.approx((0.003, float(values.double().std(correction=0))))


@pytest.mark.parametrize("wild", [1e6, -1e6, 1e30])
def test_one_wild_value_among_thousands_decides_nothing(wild: float) -> None:
    values = 2 + torch.randn(5000, generator=seeded())
    spoiled = values.clone()
    spoiled[17] = wild
    assert centre_and_spread(spoiled) == pytest.approx(centre_and_spread(values), rel=0.01)
    uncentred = [centre_and_spread(each, centred=False)[1] for each in (spoiled, values)]
    assert uncentred[0] == pytest.approx(uncentred[1], rel=0.01)


BASE = torch.randint(-8, 9, (400, 3), generator=seeded()).float()
"""Whole numbers."""


@given(st.integers(-12, 12), st.sampled_from([0.0, 1e6, -1e6]), st.integers(0, 2))
def test_the_unit_and_the_zero_of_a_column_change_no_normalised_value(power: int, offset: float, column: int) -> None:
    factor = 10.0**power
    changed = BASE.double()
    changed[:, column] = factor * (changed[:, column] + offset)
    changed = changed.float()
    features, plain = fitted(changed), fitted(BASE)
    found, expected = features.states(changed), plain.states(BASE)
    others = [index for index in range(3) if index != column]
    assert torch.equal(found[:, others], expected[:, others])
    # Beside a million float32 tells numbers and their mean to 0.06, a hundredth of the spread.
    np.testing.assert_allclose(found[:, column], expected[:, column], atol=0.04 if offset else 1e-5)
    if not offset:
        np.testing.assert_allclose(changed / features.delta_scale, BASE / plain.delta_scale, rtol=1e-5)
        back = features.raw_actions(features.actions(changed[:, :2]))
        torch.testing.assert_close(back, changed[:, :2], rtol=1e-5, atol=1e-5 * max(factor, 1.0))


def test_differences_are_scaled_about_zero_and_clamped() -> None:
    values = 3 + torch.randn(2000, 3, generator=seeded())
    config = model_config(window=WindowShape(1, 1, 1, include_state=False, include_action=False))
    features = fitted(values, window=config.window)
    rest = torch.zeros(1, 1, 3)
    assert (features.window(rest, rest, torch.zeros(1, 1, 2)) == 0).all()
    scaled = features.window(values[:, None], values[:, None], values[:, None, :2])
    np.testing.assert_allclose(scaled.square().mean((0, 1)), 1, atol=0.02)
    assert features.window(rest, rest + 1e9, torch.zeros(1, 1, 2)).max() == DELTA_LIMIT


@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("action", [True, False])
@pytest.mark.parametrize("choices", [True, False])
def test_a_window_holds_states_names_and_actions_as_asked(state: bool, action: bool, choices: bool) -> None:
    shape = WindowShape(2, 1, 1, include_state=state, include_action=action)
    more = {"action_space": CHOICES, "head": "categorical"} if choices else {}
    config = model_config(window=shape, **SENSORS, **more)
    features, windows = Features(config), make_windows(config=config)
    seen, numbers = features.window(*windows), slice(0, 16)
    parts = [windows.states[..., numbers].clamp(-10, 10)] * state
    parts += [windows.deltas[..., numbers].clamp(-DELTA_LIMIT, DELTA_LIMIT)]
    named = [torch.eye(size)[windows.states[..., start].long()] for start, _, size in config.tokens]
    parts += named * state
    if action:
        chosen = [torch.eye(n)[windows.actions[..., i].long()] for i, n in enumerate(CHOICES.choices)]
        parts += chosen if choices else [windows.actions]
    torch.testing.assert_close(seen, torch.cat(parts, -1))
    assert seen.shape[-1] == features.window_size


def test_a_row_is_plain_numbers_then_rings_then_tokens_whatever_order_they_lie_in() -> None:
    config = model_config(obs_dim=7, rings=((1, 4),), tokens=((0, 1, 5),))
    features, seen = Features(config), draw_observations(model_config(obs_dim=7, rings=((1, 4),)), 6)
    seen[:, 0] = torch.arange(6) % 5
    rows = features.rows(seen)
    torch.testing.assert_close(rows[:, :3], seen[:, 4:])
    torch.testing.assert_close(rows[:, 3:6], seen[:, 1:4])
    assert torch.equal(rows[:, -1], seen[:, 0])
    assert rows.shape == (6, features.row_size)
    assert Actor(config, features, seeded()).row_sizes == [3, 2 * 3 + 3, 1]


def test_a_ring_s_readings_stand_beside_relative_ones_and_their_mean_direction() -> None:
    config = model_config(obs_dim=6, rings=((0, 3), (3, 5)))
    weak = torch.tensor([[0.001, 0.0, 0.0005, 0.2, 0.4, 9.0], [0.0, 0.0, 0.0, 0.0, 0.1, 9.0]])
    rows = Features(config).rows(weak)
    relative = RingReadings.RELATIVE * torch.tensor([[1.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    expected = [weak[:, 5:]]
    for start, stop in config.rings:
        readings = weak[:, start:stop]
        expected += [readings, relative[:, start:stop], RingReadings.DIRECTION * mean_direction(readings)]
    torch.testing.assert_close(rows, torch.cat(expected, -1))


@given(st.floats(1e-6, 1.0), st.lists(st.just(0.0) | st.floats(1e-6, 1), min_size=3, max_size=3))
def test_relative_readings_do_not_depend_on_the_distance(scale: float, readings: list[float]) -> None:
    features, values = Features(model_config(rings=((0, 3),))), torch.tensor([readings], dtype=torch.float64)
    near, far = (features.rows(factor * values)[:, 3:] for factor in (1.0, scale))
    torch.testing.assert_close(near, far)


def test_the_mean_direction_is_that_of_the_bearings_weighted_with_their_readings() -> None:
    # Four bearings with their middles at 45, 135, 225 and 315 degrees to the left of straight ahead.
    half = math.sqrt(0.5)
    readings = [[1.0, 0.0, 0.0, 0.0], [0.2, 0.2, 0.0, 0.0], [0.3, 0.0, 0.0, 0.1], [0.0, 0.0, 0.5, 0.0], [0.0] * 4]
    expected = [[half, half, 1], [0, half, 1], [half, half / 2, 1], [-half, -half, 1], [0, 0, 0]]
    torch.testing.assert_close(mean_direction(torch.tensor(readings)), torch.tensor(expected))


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1), min_size=16, max_size=16), st.integers(0, 15), st.floats(1e-3, 1))
def test_mean_directions_turn_with_the_world_and_do_not_depend_on_how_much_is_seen(
    readings: list[float], turn: int, scale: float
) -> None:
    values = torch.tensor(readings, dtype=torch.float64)
    ahead, left, seen = mean_direction(values).tolist()
    assert math.hypot(ahead, left) <= 1 + 1e-9
    assert seen == float(any(readings))
    turned = complex(ahead, left) * cmath.rect(1, turn * 2 * math.pi / 16)
    assert mean_direction(scale * values.roll(turn)).tolist() == pytest.approx([turned.real, turned.imag, seen])


def test_mean_and_strongest_direction_are_those_that_the_experts_read() -> None:
    rng = np.random.default_rng(0)
    readings = rng.random((50, 16)) * (rng.random((50, 16)) < 0.2)
    readings[0] = 0
    direction, seen = centroid(readings)
    found = mean_direction(torch.from_numpy(readings)).numpy()
    np.testing.assert_allclose(found[:, :2], direction, atol=1e-12)
    np.testing.assert_array_equal(found[:, 2], seen)
    offset, _ = single_object(readings)
    cues = strongest(torch.from_numpy(readings)).numpy()
    np.testing.assert_allclose(cues[:, :2] * cues[:, 2:3], offset, atol=1e-12)  # 3 m times what is missing to 1
    np.testing.assert_array_equal(cues[:, 3], seen)
    assert not seen.all()


@given(st.floats(0, 2 * math.pi, exclude_max=True), st.floats(0.01, 1))
def test_the_strongest_bearing_and_its_neighbour_tell_where_one_object_lies(angle: float, closeness: float) -> None:
    place = angle / (2 * math.pi / 16)
    bearing, share = int(place) % 16, place - int(place)
    readings = torch.zeros(16, dtype=torch.float64)
    readings[bearing] = closeness
    readings[(bearing + 1) % 16], readings[bearing - 1] = share * closeness, (1 - share) * closeness
    if share > 1 - 1e-9 or share < 1e-9:
        return  # two bearings read the same
    found = strongest(readings).tolist()
    assert found == pytest.approx([math.cos(angle), math.sin(angle), 3 * (1 - closeness), 1], abs=1e-6)


def test_what_is_cached_in_inference_can_be_trained_with() -> None:
    readings = torch.rand(2, 23, generator=seeded())
    with torch.inference_mode():
        mean_direction(readings)
    mean_direction(readings.requires_grad_()).sum().backward()
    assert readings.grad is not None


def test_tokens_are_looked_up_and_what_training_never_saw_counts_as_the_last() -> None:
    config = model_config(obs_dim=4, tokens=((0, 2, 3), (3, 4, 5)))
    kind = TokenEmbedding([Columns(0, 2, 3), Columns(3, 4, 5)], config)
    seen = torch.tensor([[0.0, 2.0, 7.7, 4.0], [1.01, 8.0, 7.7, 99.0], [0.99, -3.0, 7.7, 0.0]])
    rows = kind.rows(seen, Features(config))
    assert rows.tolist() == [[0, 2, 4], [1, 2, 4], [1, 0, 0]]
    module = kind.module(1, 4, seeded())
    first, second = module.tables  # type: ignore[misc]
    expected = [torch.cat([first[int(a)], first[int(b)], second[int(c)]]) for a, b, c in rows]
    torch.testing.assert_close(module(rows, torch.zeros(3, 5)), torch.stack(expected))
    assert module.n_out == len(expected[0])


def slow_ring_attention(module: RingAttentionModule, rings: list[Tensor], cues: list[Tensor], rest: Tensor) -> Tensor:
    """One row: readings (N,) and cues (4,) of every ring in order, plain numbers and context."""
    by_size: dict[int, list[int]] = {}
    for index, readings in enumerate(rings):
        by_size.setdefault(len(readings), []).append(index)
    ordered = torch.cat([cues[index] for members in by_size.values() for index in members])
    parts = [ordered]
    for group, (size, members) in enumerate(by_size.items()):
        tokens, scores = [], []
        for bearing in range(size):
            seen: list[float] = []
            for index in members:
                own, left, right = (float(rings[index][(bearing + step) % size]) for step in (0, 1, -1))
                peak = own >= left and own >= right and own > 1e-4
                shares = [min(other / max(own, 1e-6), 1.5) for other in (left, right)]
                seen += [own, *shares, float(peak), own**4]
            angle = (bearing + 0.5) * 2 * math.pi / size
            seen += [math.cos(angle), math.sin(angle), math.cos(2 * angle), math.sin(2 * angle)]
            under = module.under[group](torch.cat([rest, ordered]))
            tokens.append(module.token[group](module.read[group](torch.tensor(seen)) + under))
            scores.append(module.score[group](tokens[-1]))
        shares_of = torch.softmax(torch.stack(scores), 0)  # (N, heads)
        stacked = torch.stack(tokens)  # (N, W)
        parts += [(shares_of[:, head, None] * stacked).sum(0) for head in range(RingAttention.HEADS)]
        parts.append(stacked.amax(0))
    return torch.cat(parts)


def test_ring_attention_is_the_slow_one_bearing_by_bearing_and_ring_by_ring() -> None:
    rings = ((3, 8), (8, 11), (11, 16))  # two of one size, apart
    config = model_config(obs_dim=16, rings=rings, ring="attention")
    features, seen, contexts = Features(config), draw_observations(config, 5), torch.eye(4)[torch.arange(5) % 4]
    seen[1, 8:11] = 0  # nothing in reach
    features.fit(2 * seen, seen, torch.zeros(5, 2))  # its readings go up to twice what is seen
    kind = features.kinds[1]
    module = kind.module(3, 4, seeded()).requires_grad_(False)
    assert isinstance(module, RingAttentionModule)
    plain, rest = features.kinds[0].rows(seen, features), []
    for row in range(5):
        readings = [seen[row, start:stop] / (2 * seen[:, start:stop].amax()) for start, stop in rings]
        cues = [strongest(each) for each in readings]
        rest.append(slow_ring_attention(module, readings, cues, torch.cat([plain[row], contexts[row]])))
    found = module(kind.rows(seen, features), torch.cat([plain, contexts], -1))
    torch.testing.assert_close(found, torch.stack(rest), rtol=1e-4, atol=1e-5)
    assert found.shape[1] == module.n_out
    [(layer, first), (other, same)] = module.context_layers
    assert first == same == 3
    assert layer is not other


def test_the_actor_is_not_shown_what_is_hidden_and_the_encoder_is() -> None:
    config = model_config(obs_dim=9, rings=((4, 9),), hidden=((0, 2),))
    features, seen = Features(config), draw_observations(config, 5)
    features.fit(seen, seen, torch.zeros(5, 2))
    changed = seen.clone()
    changed[:, :2] += 1
    assert torch.equal(features.rows(changed), features.rows(seen))
    assert features.row_size == Features(dataclasses.replace(config, hidden=())).row_size - 2
    windows = [features.window(each[:, None], each[:, None], torch.zeros(5, 1, 2)) for each in (seen, changed)]
    assert not torch.equal(*windows)
    with pytest.raises(UserError, match="all sensors are hidden"):
        model_config(obs_dim=9, hidden=((0, 4), (4, 9)))


def test_a_ring_that_never_saw_anything_gives_finite_numbers() -> None:
    for ring in ("attention", "readings"):
        config = model_config(obs_dim=6, rings=((0, 6),), ring=ring)
        features = Features(config)
        features.fit(torch.zeros(9, 6), torch.zeros(9, 6), torch.zeros(9, 2))
        assert torch.isfinite(features.rows(torch.tensor([[0.0] * 6, [0.5] * 6]))).all()


def test_choices_stay_what_they_are() -> None:
    config = dataclasses.replace(model_config(), action_space=CHOICES, head="categorical")
    features, actions = Features(config), draw_actions(config, 20)
    features.fit(torch.randn(20, 3, generator=seeded()), torch.ones(20, 3), actions)
    assert torch.equal(features.actions(actions), actions)
    assert torch.equal(features.raw_actions(actions), actions)
    assert torch.equal(features.act_scale, torch.ones(2))
