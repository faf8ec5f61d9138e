import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from experts.lidar import centroid
from mode_imitation.errors import UserError
from mode_imitation.model.actor import log_density
from mode_imitation.model.codebook import Codebook
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.normalizer import DELTA_LIMIT, DIRECTION_SCALE, RELATIVE_SCALE, Normalizer, mean_direction
from mode_imitation.model.objective import Windows


def make_model(**changes) -> ModeModel:
    sizes = {"obs_dim": 3, "act_dim": 2, "n_codes": 4, "actor_hidden": (16, 16), "encoder_hidden": 8, "code_dim": 6}
    model = ModeModel(ModelConfig(**(sizes | changes)), torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    # Codes that lie apart, and a normaliser that does something.
    with torch.no_grad():
        model.codebook.entries.copy_(torch.randn(model.codebook.entries.shape, generator=generator))
    values = torch.randn(50, 3, generator=generator)
    model.normalizer.fit(2 + 3 * values, values, 0.5 * torch.randn(50, 2, generator=generator) - 1)
    return model


def make_windows(batch: int = 8, horizon: int = 8, seed: int = 0) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    return Windows(*(torch.randn(batch, horizon, size, generator=generator) for size in (3, 3, 2)))


def observations(count: int = 10) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("context", ["assignment", "distances"])
def test_the_policy_s_gradient_reaches_the_encoder_through_the_context(context: str) -> None:
    model = make_model(context=context)
    inferred = model.infer(*make_windows(), group=2)
    mean, log_sigma = model.action_distribution(observations(8), inferred.contexts)
    (-log_density(torch.zeros(8, 2), mean, log_sigma)).mean().backward()
    for parameter in model.encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_training_contexts_are_one_hot_and_steering_contexts_nearly() -> None:
    model = make_model()
    contexts = model.infer(*make_windows()).contexts
    np.testing.assert_allclose(contexts.detach(), torch.eye(4)[contexts.argmax(1)], atol=1e-6)
    steering = model.mode_contexts()
    np.testing.assert_allclose(steering.sum(1), 1, atol=1e-6)
    assert (steering.argmax(1) == torch.arange(4)).all()


def test_windows_of_a_group_share_their_mean_distance_and_code() -> None:
    model = make_model()
    alone, grouped = model.infer(*make_windows()), model.infer(*make_windows(), group=4)
    expected = alone.distances.view(2, 4, 4).mean(1)
    torch.testing.assert_close(grouped.distances, expected.repeat_interleave(4, 0))
    assert (grouped.codes.view(2, 4) == grouped.codes.view(2, 4)[:, :1]).all()


def test_a_pruned_code_is_never_chosen_and_weighs_nothing() -> None:
    model = make_model()
    before = model.infer(*make_windows(64))
    dead = int(before.codes.mode().values)
    model.keep_codes(torch.arange(4) != dead)
    after = model.infer(*make_windows(64))
    assert (after.codes != dead).all()
    assert (after.probabilities[:, dead] == 0).all()
    assert (model.mode_contexts()[:, dead] == 0).all()
    assert model.n_modes == 3


@pytest.mark.parametrize("context", ["assignment", "distances"])
@pytest.mark.parametrize("sigma", ["mode", "state"])
def test_reordered_codes_keep_their_behaviour(context: str, sigma: str) -> None:
    model = make_model(context=context, sigma=sigma)
    torch.nn.init.normal_(model.actor.log_sigma.weight, generator=torch.Generator().manual_seed(5))
    model.typical_distances.copy_(torch.rand(4, 4, generator=torch.Generator().manual_seed(6)))
    model.mode_shares.copy_(torch.tensor([0.0, 0.5, 0.2, 0.3]))
    model.keep_codes(torch.tensor([False, True, True, True]))
    order = torch.tensor([1, 3, 2, 0])
    seen = observations(4)

    def acts() -> tuple[Tensor, Tensor, Tensor]:
        mean, log_sigma = model.action_distribution(seen.repeat(4, 1), model.mode_contexts().repeat_interleave(4, 0))
        return mean.view(4, 4, 2), log_sigma.view(4, 4, 2), model.infer(*make_windows()).codes

    with torch.no_grad():
        mean, log_sigma, codes = acts()
        model.reorder(order)
        new_mean, new_log_sigma, new_codes = acts()
    torch.testing.assert_close(new_mean, mean[order])
    torch.testing.assert_close(new_log_sigma, log_sigma[order])
    torch.testing.assert_close(order[new_codes], codes)
    torch.testing.assert_close(model.mode_shares, torch.tensor([0.5, 0.3, 0.2, 0.0]))
    assert model.alive.tolist() == [True, True, True, False]


def test_distances_are_mean_squares() -> None:
    model = make_model()
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    expected = [[((row - entry) ** 2).mean() for entry in model.codebook.entries] for row in z]
    torch.testing.assert_close(model.distances(z), torch.tensor(expected))


def test_the_log_density_is_the_normal_one_of_raw_actions() -> None:
    model = make_model()
    actions = torch.randn(10, 2, generator=torch.Generator().manual_seed(4))
    mean, log_sigma = model.action_distribution(observations(), torch.eye(4)[torch.arange(10) % 4])
    expected = torch.distributions.Normal(mean, log_sigma.exp()).log_prob(actions)
    torch.testing.assert_close(log_density(actions, mean, log_sigma), expected)


def test_sigma_is_bounded_below() -> None:
    model = make_model(min_log_sigma=-2.0)
    torch.nn.init.constant_(model.actor.log_sigma.bias, -50.0)
    _, log_sigma = model.actor(observations(), torch.eye(4)[torch.zeros(10, dtype=torch.long)])
    torch.testing.assert_close(log_sigma, torch.full((10, 2), -2.0))


def test_the_normaliser_gives_unit_spread_and_leaves_constant_columns_quiet() -> None:
    generator = torch.Generator().manual_seed(0)
    values = 5 + 3 * torch.randn(1000, 3, generator=generator)
    values[:, 2] = 7.0
    normalizer = Normalizer(3, 2)
    normalizer.fit(values, values - 5, torch.ones(10, 2))
    normal = normalizer.states(values)
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(normal[:, :2].std(0), 1, atol=0.05)
    assert normal[:, 2].abs().max() < 1e-3
    assert normalizer.deltas(torch.full((1, 3), 1e9)).max() == DELTA_LIMIT
    # Actions that never vary give no infinite density.
    assert torch.isfinite(normalizer.actions(torch.ones(1, 2))).all()


def test_the_actor_sees_each_lidar_relative_to_its_largest_reading() -> None:
    normalizer = Normalizer(6, 1, ((0, 3), (3, 5)))
    weak = torch.tensor([[0.001, 0.0, 0.0005, 0.2, 0.4, 9.0], [0.0, 0.0, 0.0, 0.0, 0.1, 9.0]])
    seen = normalizer.actor_inputs(weak)
    torch.testing.assert_close(seen[:, :6], normalizer.states(weak))
    expected = torch.tensor([[1.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(seen[:, 6:], RELATIVE_SCALE * expected)


@given(st.floats(1e-6, 1.0), st.lists(st.just(0.0) | st.floats(1e-6, 1), min_size=3, max_size=3))
def test_relative_readings_do_not_depend_on_the_distance(scale: float, readings: list[float]) -> None:
    normalizer = Normalizer(3, 1, ((0, 3),))
    values = torch.tensor([readings], dtype=torch.float64)
    near, far = (normalizer.actor_inputs(factor * values)[:, 3:] for factor in (1.0, scale))
    torch.testing.assert_close(near, far)


def test_the_mean_direction_is_that_of_the_sectors_weighted_with_their_readings() -> None:
    # Four sectors with their middles at 45, 135, 225 and 315 degrees to the left of straight ahead.
    half = math.sqrt(0.5)
    readings = [[1.0, 0.0, 0.0, 0.0], [0.2, 0.2, 0.0, 0.0], [0.3, 0.0, 0.0, 0.1], [0.0, 0.0, 0.5, 0.0], [0.0] * 4]
    expected = [[half, half, 1], [0, half, 1], [half, half / 2, 1], [-half, -half, 1], [0, 0, 0]]
    torch.testing.assert_close(mean_direction(torch.tensor(readings)), torch.tensor(expected))


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1), min_size=16, max_size=16), st.integers(0, 15), st.floats(1e-3, 1))
def test_mean_directions_turn_with_the_world_and_do_not_depend_on_how_much_is_seen(
    readings: list[float], sectors: int, scale: float
) -> None:
    values = torch.tensor(readings, dtype=torch.float64)
    ahead, left, seen = mean_direction(values).tolist()
    assert math.hypot(ahead, left) <= 1 + 1e-9
    assert seen == float(any(readings))
    turned = complex(ahead, left) * cmath.rect(1, sectors * 2 * math.pi / 16)
    found = mean_direction(scale * values.roll(sectors)).tolist()
    assert found == pytest.approx([turned.real, turned.imag, seen])


def test_the_mean_direction_is_the_one_that_the_experts_read() -> None:
    readings = np.random.default_rng(0).random((50, 16)) * (np.random.default_rng(1).random((50, 16)) < 0.2)
    readings[0] = 0
    direction, seen = centroid(readings)
    found = mean_direction(torch.from_numpy(readings)).numpy()
    np.testing.assert_allclose(found[:, :2], direction, atol=1e-12)
    np.testing.assert_array_equal(found[:, 2], seen)
    assert not seen.all()


def test_mean_directions_follow_each_lidar_in_the_actors_inputs() -> None:
    lidars = ((0, 3), (3, 5))
    values = torch.rand(7, 6, generator=torch.Generator().manual_seed(0))
    seen, plain = (Normalizer(6, 1, lidars, directions=wanted).actor_inputs(values) for wanted in (True, False))
    first, second = (DIRECTION_SCALE * mean_direction(values[:, start:stop]) for start, stop in lidars)
    expected = [plain[:, :9], first, plain[:, 9:], second]
    torch.testing.assert_close(seen, torch.cat(expected, dim=-1))
    assert make_model(lidars=lidars[:1], directions=True).config.actor_inputs == 3 + 3 + 3


def test_a_lidar_adds_inputs_to_the_actor_alone() -> None:
    plain, other = make_model(), make_model(lidars=((0, 2),))
    assert other.config.actor_inputs == plain.config.actor_inputs + 2
    assert other.config == ModelConfig.from_dict(other.config.to_dict())
    windows = make_windows()
    assert other.features(*windows).shape == plain.features(*windows).shape
    before = other.action_distribution(observations(), torch.eye(4)[torch.zeros(10, dtype=torch.long)])
    order = torch.tensor([3, 0, 1, 2])
    other.reorder(order)
    after = other.action_distribution(observations(), torch.eye(4)[torch.ones(10, dtype=torch.long)])
    torch.testing.assert_close(before, after)


def test_the_moving_average_codebook_agrees_with_vector_quantize_pytorch() -> None:
    oracle = pytest.importorskip("vector_quantize_pytorch")
    decay, generator = 0.8, torch.Generator().manual_seed(0)
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
    generator = torch.Generator().manual_seed(0)
    book = Codebook(3, 2, "ema", generator)
    z = 100 + torch.randn(30, 2, generator=generator)
    revived = 0
    for _ in range(600):
        revived += book.update(z, book.distances(z).argmin(1), 0.99, 0.01, generator)
    assert revived > 0
    assert (book.entries > 90).all()


def test_the_codebook_starts_in_separate_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = centres.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=generator)
    book = Codebook(3, 2, "ema", generator)
    book.start_from(z, generator)
    assert torch.cdist(centres, book.entries).amin(1).max() < 0.5


def test_only_a_gradient_codebook_has_a_gradient() -> None:
    for kind, expected in (("ema", False), ("gradient", True)):
        assert make_model(codebook=kind).codebook.entries.requires_grad is expected


def test_making_a_model_draws_nothing_from_torch_s_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    make_model()
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_config_goes_through_json_and_refuses_what_it_does_not_know() -> None:
    config = make_model().config
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(UserError, match="unknown field 'wings'"):
        ModelConfig.from_dict(config.to_dict() | {"wings": 2})
    with pytest.raises(UserError, match="cannot be read"):
        ModelConfig.from_dict({"obs_dim": 3})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n_codes": "4"}, "n_codes is '4'; expected a whole number"),
        ({"n_codes": 4.0}, "n_codes is 4.0; expected a whole number"),
        ({"n_codes": -1}, "n_codes is -1; expected at least 1"),
        ({"obs_dim": None}, "obs_dim is None; expected a whole number"),
        ({"code_dim": True}, "code_dim is True; expected a whole number"),
        ({"temperature": 0}, "temperature is 0; expected more than 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "x"}, "temperature is 'x'; expected a number"),
        ({"min_log_sigma": float("nan")}, "min_log_sigma is nan; expected a finite number"),
        ({"context": "distance"}, "did you mean 'distances'"),
        ({"sigma": ["mode"]}, "expected mode or state"),
        ({"codebook": None}, "codebook is None"),
        ({"history": "1"}, "history is '1'; expected a whole number"),
        ({"history": -1}, "history is -1; expected 0 or more"),
        ({"history_gap": 0}, "history_gap is 0; expected at least 1"),
        ({"actor_hidden": []}, "actor_hidden is empty"),
        ({"actor_hidden": [16, 0]}, "a width in actor_hidden is 0; expected at least 1"),
        ({"actor_hidden": [2.5]}, "a width in actor_hidden is 2.5; expected a whole number"),
        ({"actor_hidden": 5}, "cannot be read"),
        ({"lidars": [[0, 200]]}, "a lidar is [0, 200]; expected [start, stop] within 3 columns"),
        ({"lidars": [[1, 1]]}, "a lidar is [1, 1]"),
        ({"lidars": [[0, 1.5]]}, "a lidar is [0, 1.5]"),
        ({"lidars": [[0, 1, 2]]}, "a lidar is [0, 1, 2]"),
        ({"lidars": 5}, "cannot be read"),
        ({"window": {"horizon": "3"}}, "a window's horizon is '3'; expected a whole number"),
        ({"window": {"gap": 2.5}}, "a window's gap is 2.5; expected a whole number"),
        ({"window": {"include_state": "no"}}, "a window's include_state is 'no'; expected True or False"),
        ({"window": {"stride": 0}}, "a window's stride is 0; expected at least 1"),
        ({"window": 5}, "cannot be read"),
    ],
)
def test_an_edited_config_is_one_clear_line(changes: dict, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        ModelConfig.from_dict(make_model().config.to_dict() | changes)
    assert complaint in str(error.value)
    assert str(error.value).startswith("the model's config cannot be read: ")
    assert "\n" not in str(error.value)
