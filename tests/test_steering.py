"""Steering: schedules, contexts, demonstrations, and the policy that they drive."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.config import ContextKind, ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.steering.infer import draw_weights, encode_windows, usable_starts
from mode_imitation.steering.known_contexts import context_distance
from mode_imitation.steering.policy import Policy, parse_context
from mode_imitation.steering.schedule import parse_schedule
from tests.small_models import draw_observations, make_model
from tests.tiny_runs import ACT_DIM, N_CODES, WINDOW, random_episode, random_model

segments = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20)), min_size=1, max_size=5)


@given(segments, st.integers(0, 120), st.booleans())
def test_a_schedule_names_the_mode_of_every_step(parts: list[tuple[int, int]], n_steps: int, open_end: bool) -> None:
    text = ",".join(f"{mode}:{steps}" for mode, steps in parts)
    if open_end:
        text = text.rpartition(":")[0]
    slow = [mode for mode, steps in parts for _ in range(steps)]
    slow = (slow + [parts[-1][0]] * n_steps)[:n_steps]
    np.testing.assert_array_equal(parse_schedule(text).modes(n_steps), slow)


def test_a_schedule_reads_back_as_it_was_written() -> None:
    schedule = parse_schedule(" 0:400, 1:100 ,0")
    assert str(schedule) == "0:400,1:100,0"
    assert schedule.switches() == [400, 500]
    assert schedule.in_words == "mode 0 for 400 steps, mode 1 for 100 steps, then mode 0"
    assert parse_schedule("3").modes(2).tolist() == [3, 3]
    assert parse_schedule("3").in_words == "mode 3"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' of schedule '' is not MODE:STEPS"),
        ("0:400,", "is not MODE:STEPS"),
        ("a:4", "'a:4' of schedule"),
        ("0,1:5", "'0' of schedule '0,1:5' says no number of steps"),
        ("0:0,1", "lasts 0 steps"),
        ("-1:5", "modes count from 0"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_one_clear_line(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        parse_schedule(text)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_schedule_with_a_mode_that_does_not_exist_names_the_ones_that_do() -> None:
    with pytest.raises(UserError, match=r"names mode 4; the run has modes 0, 1"):
        parse_schedule("0:5,4").check_modes([1, 0])


OBS_DIM = 5


def context_after(policy: Policy) -> np.ndarray:
    assert policy.context is not None
    return policy.context


@pytest.fixture
def policy() -> Policy:
    return Policy(random_model(obs_dim=OBS_DIM))


OBSERVATIONS = np.random.default_rng(0).normal(size=(6, OBS_DIM))


def test_a_policy_knows_its_modes_and_their_shares(policy: Policy) -> None:
    assert (policy.modes, policy.n_modes) == ([0, 1, 2], 3)
    assert policy.shares.shape == (N_CODES,)


def test_a_batch_acts_as_its_observations_do_one_by_one(policy: Policy) -> None:
    policy.steer(mode=1)
    batch = policy.act(OBSERVATIONS)
    assert batch.shape == (6, ACT_DIM)
    assert batch.dtype == np.float32
    single = np.stack([policy.act(observation) for observation in OBSERVATIONS])
    assert single.shape == (6, ACT_DIM)
    np.testing.assert_allclose(batch, single, rtol=1e-5, atol=1e-6)


def test_every_row_of_a_batch_can_have_its_own_mode_or_context(policy: Policy) -> None:
    modes = np.array([0, 1, 2, 2, 1, 0])
    batch = policy.steer(mode=modes).act(OBSERVATIONS)
    slow = np.stack([policy.steer(mode=int(m)).act(o) for m, o in zip(modes, OBSERVATIONS, strict=True)])
    np.testing.assert_allclose(batch, slow, rtol=1e-5, atol=1e-6)
    by_context = policy.steer(context=policy.mode_contexts(modes)).act(OBSERVATIONS)
    np.testing.assert_allclose(by_context, batch, rtol=1e-5, atol=1e-6)


def test_the_context_can_change_at_any_step(policy: Policy) -> None:
    first, second = (policy.steer(mode=mode).act(OBSERVATIONS[0]) for mode in (0, 1))
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(policy.steer(mode=0).act(OBSERVATIONS[0]), first)


def test_temperature_zero_is_the_mean_and_a_draw_spreads_by_sigma(policy: Policy) -> None:
    policy.steer(mode=0).reset(seed=3)
    many = np.tile(OBSERVATIONS[0], (4000, 1))
    np.testing.assert_allclose(policy.act(many)[7], policy.act(OBSERVATIONS[0]), rtol=1e-5, atol=1e-6)
    drawn = policy.act(many, temperature=1.0)
    rows = policy.model.features.rows(torch.tensor(OBSERVATIONS[:1], dtype=torch.float32))
    parameters = policy.model.predict(rows, torch.tensor(policy.context)[None])[0]
    np.testing.assert_allclose(drawn.mean(axis=0), policy.act(OBSERVATIONS[0]), atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), policy.model.actor.head.spread(parameters)[0], rtol=0.06)
    np.testing.assert_array_equal(policy.reset(seed=3).act(many, temperature=1.0), drawn)


def test_numbers_are_clipped_to_the_action_space_where_that_is_wished() -> None:
    policy = Policy(make_model(action_space=ActionSpace(2, low=(-0.1, -1e3), high=(0.1, 1e3)))).steer(mode=0)
    seen = draw_observations(policy.model.config, 50).numpy()
    free = policy.act(seen, clip=False)
    assert (np.abs(free) > 0.1).any(axis=0).all()
    expected = np.stack([free[:, 0].clip(-0.1, 0.1), free[:, 1]], axis=1)
    np.testing.assert_array_equal(policy.act(seen), expected)
    np.testing.assert_array_equal(policy.act(seen[3]), policy.act(seen[3:4])[0])
    np.testing.assert_array_equal(policy.actions(seen), free)
    assert policy.act(seen).dtype == np.float32


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(("choices", "starts"), [((3,), (5,)), ((3, 4), (1, -2)), ((3,), ())])
def test_choices_come_back_as_the_environment_counts_them(
    choices: tuple[int, ...], starts: tuple[int, ...], clip: bool
) -> None:
    space = ActionSpace(len(choices), choices, starts)
    policy = Policy(make_model(head="categorical", action_space=space)).steer(mode=1)
    seen = draw_observations(policy.model.config, 200).numpy()
    found = policy.reset().act(seen, temperature=1.0, clip=clip)
    expected = policy.reset().actions(seen, temperature=1.0) + np.array(starts or (0,))
    np.testing.assert_array_equal(found, expected[:, 0] if len(choices) == 1 else expected)
    for number, column in zip(choices, expected.T - np.array(starts or (0,))[:, None], strict=True):
        assert set(column) == set(range(number))
    one = policy.act(seen[0], clip=clip)
    assert one.shape == (() if len(choices) == 1 else (2,))
    assert found.dtype == one.dtype == np.int64


def test_predict_is_what_drives_policies_of_stable_baselines(policy: Policy) -> None:
    policy.steer(mode=1)
    starts = np.ones(6, dtype=bool)
    actions, state = policy.predict(OBSERVATIONS, state=None, episode_start=starts, deterministic=True)
    np.testing.assert_array_equal(actions, policy.act(OBSERVATIONS))
    assert state is None
    drawn, _ = policy.reset(seed=2).predict(OBSERVATIONS, state=state, episode_start=~starts)
    np.testing.assert_array_equal(drawn, policy.reset(seed=2).act(OBSERVATIONS, temperature=1.0))
    single, _ = policy.predict(OBSERVATIONS[0], deterministic=True)
    np.testing.assert_array_equal(single, policy.act(OBSERVATIONS[0]))


def test_a_policy_says_in_three_lines_what_it_is(policy: Policy) -> None:
    lines = repr(policy).splitlines()
    assert lines == [
        "Policy of 3 modes (mode 0 50%, mode 1 30%, mode 2 20% of the training steps)",
        "  observations of 5 numbers -> actions of 2 numbers, on cpu",
        "  not steered yet; policy.steer(mode=...).act(observation)",
    ]
    assert "context [0., 1., 0., 0.]" in repr(policy.steer(mode=1))
    assert "1 choices" in repr(Policy(make_model(head="categorical", action_space=ActionSpace(1, (3,)))))


def test_assignment_contexts_are_scaled_to_a_sum_of_one_and_distances_are_left_alone() -> None:
    weights = [0.2, 1.8, 0.0, 0.0]
    scaled = context_after(Policy(random_model("assignment", OBS_DIM)).steer(context=weights))
    np.testing.assert_allclose(scaled, [0.1, 0.9, 0, 0], rtol=1e-6)
    kept = context_after(Policy(random_model("distances", OBS_DIM)).steer(context=weights))
    np.testing.assert_allclose(kept, weights, rtol=1e-6)


@pytest.mark.parametrize("kind", ["assignment", "distances"])
def test_steering_like_an_episode_takes_the_context_of_its_pooled_distances(kind: ContextKind) -> None:
    model, demonstration = random_model(kind, OBS_DIM), random_episode(obs_dim=OBS_DIM)
    distances = []
    for start in range(40 - WINDOW.span + 1):
        steps = [start + i * WINDOW.gap for i in range(WINDOW.horizon)]
        states = torch.tensor(demonstration.observations[steps])
        deltas = torch.tensor(demonstration.observations[[step + WINDOW.stride for step in steps]]) - states
        z = model.encode(states[None], deltas[None], torch.tensor(demonstration.actions[steps])[None])
        distances.append(model.codebook.distances(z)[0].numpy())
    expected = model.context(torch.tensor(np.mean(distances, axis=0))[None])[0]
    steered = context_after(Policy(model).steer(like=demonstration))
    np.testing.assert_allclose(steered, expected.numpy(), rtol=1e-4, atol=1e-6)
    inferred = encode_windows(model, demonstration)
    assert len(inferred.starts) == len(distances)
    assert inferred.code == np.mean(distances, axis=0)[:3].argmin()


def test_windows_with_disturbed_steps_are_left_out_unless_there_are_no_others() -> None:
    disturbed = np.zeros(40, dtype=bool)
    disturbed[20:30] = True
    starts = usable_starts(random_episode(obs_dim=OBS_DIM, disturbed=disturbed), WINDOW)
    slow = [s for s in range(40 - WINDOW.span + 1) if not disturbed[s : s + WINDOW.span].any()]
    np.testing.assert_array_equal(starts, slow)
    assert (
        len(usable_starts(random_episode(obs_dim=OBS_DIM, disturbed=np.ones(40, dtype=bool)), WINDOW))
        == 40 - WINDOW.span + 1
    )


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({}, "exactly one"),
        ({"mode": 0, "context": [1, 0, 0, 0]}, "exactly one"),
        ({"mode": 3}, "there is no mode 3; this run has modes 0, 1, 2"),
        ({"mode": -1}, "there is no mode -1"),
        ({"mode": [0, 9]}, "there is no mode 9"),
        ({"mode": 0.5}, "whole number"),
        ({"context": [1.0, 0.0]}, "4 numbers, one for each code of the run; got 2"),
        ({"context": 1.0}, "got a single number"),
        ({"context": [1, -1.5, 0, 0]}, "must add up to more than 0; got"),
        ({"context": [1, np.nan, 0, 0]}, "must be finite"),
        ({"context": [np.inf, 0, 0, 0]}, "must be finite"),
        ({"context": [0, 0, 0, 0]}, "must add up to more than 0"),
        ({"context": ["a", 0, 0, 0]}, "4 numbers"),
        ({"like": random_episode(5, obs_dim=OBS_DIM)}, "has 5 steps, a window of this run spans 6"),
        (
            {"like": Episode(observations=np.zeros((41, 7)), actions=np.zeros((40, 2)))},
            "observations of 7 and actions of 2 numbers; the run was trained on 5 and 2",
        ),
    ],
)
def test_steering_that_makes_no_sense_is_one_clear_line(policy: Policy, how: dict, complaint: str) -> None:
    policy.steer(mode=2)
    before = context_after(policy)
    with pytest.raises(UserError) as error:
        policy.steer(**how)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(context_after(policy), before)


def test_contexts_can_be_added_and_subtracted_and_their_distance_is_known(policy: Policy) -> None:
    modes = [policy.mode_contexts(mode) for mode in range(3)]
    policy.steer(context=2.0 * modes[0] + modes[1] - modes[2])
    wanted = modes[0] + (modes[1] - modes[2]) / 2
    np.testing.assert_allclose(context_after(policy), wanted, atol=1e-6)
    assert np.isfinite(policy.act(OBSERVATIONS)).all()
    found = policy.context_distance(wanted)
    assert int(found.nearest) == 0
    units = min(np.abs(modes[0] - modes[1]).sum(), np.abs(modes[0] - modes[2]).sum())
    assert float(found.distance) == pytest.approx(np.abs(wanted - modes[0]).sum() / units, rel=1e-5)


def test_acting_on_what_does_not_fit_is_one_clear_line(policy: Policy) -> None:
    with pytest.raises(UserError, match="no context yet"):
        policy.act(OBSERVATIONS)
    policy.steer(mode=[0, 1])
    with pytest.raises(UserError, match="2 contexts were steered to"):
        policy.act(OBSERVATIONS)
    policy.steer(mode=0)
    with pytest.raises(UserError, match="trained on \\(5,\\)"):
        policy.act(np.zeros(4))
    with pytest.raises(UserError, match="NaN or infinity"):
        policy.act(np.full(OBS_DIM, np.nan))
    with pytest.raises(UserError, match="temperature is -1"):
        policy.act(OBSERVATIONS, temperature=-1)


def test_a_device_that_does_not_exist_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no device 'tpu'"):
        Policy(random_model(obs_dim=OBS_DIM), device="tpu")
    with pytest.raises(UserError, match="no device 'cuda:x'"):
        Policy(random_model(obs_dim=OBS_DIM), device="cuda:x")
    for there, asked in ((0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (2, "cuda:9")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: there)
        with pytest.raises(UserError, match=f"{asked} was asked for and torch finds {there} of them"):
            Policy(random_model(obs_dim=OBS_DIM), device=asked)


def test_a_written_context_is_read_and_a_wrong_one_refused() -> None:
    assert parse_context("0.1, 0.9,0,0") == [0.1, 0.9, 0.0, 0.0]
    with pytest.raises(UserError, match="not a list of numbers"):
        parse_context("0.1;0.9")


def test_a_modes_own_context_is_no_distance_away_and_another_modes_is_one(policy: Policy) -> None:
    own = policy.context_distance(policy.mode_contexts(np.array(policy.modes)))
    np.testing.assert_array_equal(own.nearest, policy.modes)
    np.testing.assert_allclose(own.distance, 0.0, atol=1e-5)
    np.testing.assert_allclose(own.on_pruned, 0.0, atol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=N_CODES, max_size=N_CODES).filter(lambda w: sum(w) > 0.01))
def test_the_distance_of_a_context_is_the_slow_one(weights: list[float]) -> None:
    policy = Policy(random_model(obs_dim=OBS_DIM))
    context = [weight / sum(weights) for weight in weights]
    known = {mode: policy.mode_contexts(mode).astype(float) for mode in policy.modes}
    away = {mode: sum(abs(a - b) for a, b in zip(context, other, strict=True)) for mode, other in known.items()}
    nearest = min(away, key=lambda mode: away[mode])
    unit = min(np.abs(known[nearest] - other).sum() for mode, other in known.items() if mode != nearest)
    found = policy.context_distance(weights)
    assert away[int(found.nearest)] == pytest.approx(away[nearest])
    if int(found.nearest) == nearest:
        assert float(found.distance) == pytest.approx(away[nearest] / unit)
    assert float(found.on_pruned) == pytest.approx(context[3])


def test_half_way_between_two_modes_is_half_a_mode_away() -> None:
    modes = np.eye(3)
    between = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.1, 0.9, 0]])
    half = context_distance(between, modes, [0, 1], weights=True)
    np.testing.assert_allclose(half.distance, [0.0, 0.5, 0.1])
    assert half.nearest.tolist()[::2] == [0, 1]
    on_pruned = context_distance(np.array([0.5, 0.0, 0.5]), modes, [0, 1], weights=True)
    assert "0.50 from mode 0" in on_pruned.text()
    assert "50% of it is on pruned codes" in on_pruned.text()
    alone = context_distance(np.array([0.0, 1.0, 0.0]), modes, [0], weights=True)
    assert float(alone.distance) == 2.0


def test_distances_as_contexts_have_a_distance_too() -> None:
    policy = Policy(random_model("distances", obs_dim=OBS_DIM))
    found = policy.context_distance(policy.mode_contexts(1))
    assert (int(found.nearest), float(found.distance), float(found.on_pruned)) == (1, 0.0, 0.0)


def test_what_is_no_demonstration_and_no_observation_is_one_clear_line(policy: Policy) -> None:
    with pytest.raises(UserError, match="like is 3; expected an episode"):
        policy.steer(like=3)  # type: ignore[arg-type]
    policy.steer(mode=0)
    with pytest.raises(UserError, match="the observation is 'x'; expected 5 numbers"):
        policy.act("x")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the observation is"):
        policy.act([[1.0] * 5, [1.0] * 4])  # type: ignore[arg-type]


def test_half_of_an_episodes_weight_lies_where_something_is_in_sight_as_in_training() -> None:
    """What an agent does that has lost everything says little about who drives."""
    inside = np.array([True, False, False, True, False])
    expected = np.array([0.35, 0.1, 0.1, 0.35, 0.1])
    np.testing.assert_allclose(draw_weights(inside), expected)
    for alike in (np.ones(4, bool), np.zeros(4, bool)):
        np.testing.assert_allclose(draw_weights(alike), 0.25)


def test_weights_are_the_shares_in_which_training_draws_windows() -> None:
    rng = np.random.default_rng(0)
    ring = np.where(rng.random(61) < 0.3, rng.random(61), 0.0)[:, None]
    observations = np.concatenate([rng.normal(size=(61, 2)), np.repeat(ring, 2, axis=1)], axis=1)
    episode = Episode(observations=observations, actions=rng.normal(size=(60, 1)), disturbed=rng.random(60) < 0.1)
    config = ModelConfig(4, ActionSpace(1), 3, window=WindowShape(2, 2, 1), rings=((2, 4),))
    model = ModeModel(config)
    windows = encode_windows(model, episode)
    dataset = TrajectoryDataset("test/one-v0", (episode,), {"some ring": Sensor(2, 4, "ring")})
    data = TrainingData(FlatEpisodes.of(dataset, [0]), config.window)
    drawn = data.draw_starts(torch.zeros(200_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    shares = np.bincount(drawn.numpy(), minlength=60) / len(drawn)
    assert set(np.flatnonzero(shares)) == set(windows.starts)
    np.testing.assert_allclose(windows.weights, shares[windows.starts], atol=0.003)
    np.testing.assert_allclose(windows.pooled, (shares[windows.starts, None] * windows.distances).sum(0), atol=0.05)
    blind = ModeModel(dataclasses.replace(config, rings=()))
    np.testing.assert_allclose(encode_windows(blind, episode).weights, 1 / len(windows.starts))
