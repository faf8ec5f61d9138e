"""An actor with a history sees what lies before in its own episode, in training as in driving; without one nothing is
different."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import ACT_DIM, random_dataset, random_episode, random_model

from benchmarks.modes.methods import train_method
from mode_imitation.data.dataset import in_arena
from mode_imitation.data.windows import NO_MEMORY, Memory
from mode_imitation.errors import UserError
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import FIRST_WEIGHT
from mode_imitation.model.normalizer import Normalizer
from mode_imitation.reports.attribution import log_densities
from mode_imitation.reports.closed_loop import PolicyController
from mode_imitation.reports.leak import measure_leak
from mode_imitation.reports.reactions import reactions_of_modes, states_of
from mode_imitation.steering.policy import Policy, load_policy
from mode_imitation.training import batches, session
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.trainer import train
from tests.synthetic import two_laws
from tests.test_training import SMALL, same_weights, small
from tests.test_training_batches import numbered_episodes

MEMORY = Memory(2, 3)
HISTORY: dict[str, Any] = {"history": MEMORY.history, "history_gap": MEMORY.gap}
OBS_DIM = 5


def slow_rows(step: int, history: int, gap: int) -> list[int]:
    """Rows of an episode that are seen at a step, the newest first."""
    return [max(step - index * gap, 0) for index in range(1 + history)]


def stacked(observations: np.ndarray) -> torch.Tensor:
    """(T, obs_dim) -> (T, 1 + history, obs_dim)"""
    rows = [slow_rows(step, MEMORY.history, MEMORY.gap) for step in range(len(observations))]
    return torch.tensor(observations[np.array(rows)], dtype=torch.float32)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 40))
def test_earlier_rows_are_the_slow_ones_and_none_is_before_the_episode(history: int, gap: int, step: int) -> None:
    assert Memory(history, gap).rows(np.array([step, 0])).tolist() == [
        slow_rows(step, history, gap),
        [0] * (1 + history),
    ]
    assert Memory(0, gap).rows(np.array([step])).tolist() == [step]


@pytest.mark.parametrize("segment", [None, 8])
def test_training_sees_what_lies_before_in_the_episode_across_segments(segment: int | None) -> None:
    lengths = (20, 9, 15)
    episodes = numbered_episodes(lengths)
    data = TrainingData(episodes, None, SMALL.window, segment, memory=MEMORY).recalling()
    expected = [
        episodes[episode].observations[slow_rows(step, MEMORY.history, MEMORY.gap)]
        for episode, length in enumerate(lengths)
        for step in range(length)
    ]
    np.testing.assert_array_equal(data.observations_at(torch.arange(sum(lengths))).numpy(), np.stack(expected))
    starts, transitions = torch.tensor([0, 21, 29]), torch.tensor([[0, 3], [1, 1], [2, 0]])
    asked = data.asked(starts, transitions)
    assert asked.observations.shape == (3, 2, 1 + MEMORY.history, 2)
    flat = starts[:, None] + transitions * SMALL.gap
    np.testing.assert_array_equal(asked.observations.numpy(), np.stack(expected)[flat.numpy()])


def test_codes_are_looked_for_without_a_history(tmp_path: Path) -> None:
    data, plain = (
        TrainingData(two_laws().episodes, None, SMALL.window, memory=memory) for memory in (MEMORY, NO_MEMORY)
    )
    steps = torch.tensor([[0, 7], [60, 100]])
    current = plain.observations_at(steps)
    assert torch.equal(data.observations_at(steps), current)
    assert torch.equal(data.recalling().observations_at(steps)[:, :, 0], current)
    assert torch.equal(data.recalling().recalling(False).observations_at(steps), current)
    sizes = {"iterations": 5, "discovery_iterations": 40, "scoring_iterations": 20, "restarts": 2, "codes": 4}
    for name, history in (("with", HISTORY), ("without", {})):
        train(two_laws(), small(**sizes, **history), tmp_path / name)
    found, expected = (load_run(tmp_path / name).info for name in ("with", "without"))
    assert found["assignment"] == expected["assignment"]
    assert found["summary"]["restarts"] == expected["summary"]["restarts"]
    with pytest.raises(UserError, match="history needs refine"):
        small(history=1, refine=False)


def test_without_a_history_the_actor_is_asked_about_the_states_of_the_windows() -> None:
    data = TrainingData(two_laws(ragged=True).episodes, None, SMALL.window)
    generator = torch.Generator().manual_seed(0)
    starts = data.draw_starts(data.draw_units(50, generator), generator)
    transitions = torch.randint(SMALL.horizon, (50, 2), generator=generator)
    windows, asked = data.windows(starts), data.asked(starts, transitions)
    rows = torch.arange(50)[:, None]
    assert torch.equal(asked.observations, windows.states[rows, transitions])
    assert torch.equal(asked.actions, windows.actions[rows, transitions])


@pytest.mark.parametrize("directions", [False, True])
def test_every_earlier_observation_is_given_as_the_current_one_is(directions: bool) -> None:
    lidars = ((1, 4),)
    now, before = (Normalizer(OBS_DIM, 2, lidars, history, directions) for history in (0, MEMORY.history))
    seen = torch.rand(7, 2, 1 + MEMORY.history, OBS_DIM, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([now.actor_inputs(seen[:, :, index]) for index in range(1 + MEMORY.history)], dim=-1)
    assert torch.equal(before.actor_inputs(seen), expected)
    config = ModelConfig(OBS_DIM, 2, 4, lidars=lidars, directions=directions, **HISTORY)
    assert config.actor_inputs == expected.shape[-1]


def test_a_history_that_is_added_is_not_heeded_yet() -> None:
    lidars = ((1, 4),)
    plain = random_model(obs_dim=OBS_DIM, lidars=lidars)
    wide = plain.with_history(MEMORY)
    assert wide.config.memory == MEMORY
    assert plain.with_history(NO_MEMORY) is plain
    generator = torch.Generator().manual_seed(0)
    seen, contexts = torch.randn(7, 1 + MEMORY.history, OBS_DIM, generator=generator), torch.eye(plain.config.n_codes)
    contexts = contexts[torch.arange(7) % len(contexts)]
    for found, expected in zip(
        wide.action_distribution(seen, contexts), plain.action_distribution(seen[:, 0], contexts), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    same = {
        name: torch.equal(value, wide.state_dict()[name])
        for name, value in plain.state_dict().items()
        if name != FIRST_WEIGHT
    }
    assert all(same.values())
    # But it can be learned: every weight of an earlier observation has a gradient.
    wide.action_distribution(seen, contexts)[0].sum().backward()
    first = dict(wide.named_parameters())[FIRST_WEIGHT]
    assert first.grad is not None
    assert (first.grad[:, plain.config.actor_inputs : wide.config.actor_inputs].abs().sum(0) > 0).all()


def test_no_history_is_the_default_of_new_runs_and_of_old_ones(tmp_path: Path) -> None:
    train(two_laws(), small(iterations=20, discovery_iterations=20), tmp_path / "default")
    explicit = small(iterations=20, discovery_iterations=20, history=0, history_gap=9)
    train(two_laws(), explicit, tmp_path / "explicit")
    assert same_weights(tmp_path / "default", tmp_path / "explicit")
    for config in (SMALL, load_run(tmp_path / "default").model.config):
        old = {name: value for name, value in config.to_dict().items() if not name.startswith("history")}
        assert type(config).from_dict(old) == config
    for name, value in (("history", -1), ("history_gap", 0)):
        with pytest.raises(UserError, match=f"{name} is {value}; expected"):
            small(**{name: value})


@pytest.fixture
def policy() -> Policy:
    return Policy(random_model(obs_dim=OBS_DIM, **HISTORY)).steer(mode=1)


def walks(n_worlds: int = 3, steps: int = 12) -> np.ndarray:
    """(T, N, obs_dim)"""
    return np.random.default_rng(0).normal(size=(steps, n_worlds, OBS_DIM)).astype(np.float32)


def expected_actions(policy: Policy, observations: np.ndarray) -> np.ndarray:
    """(T, obs_dim) of one episode -> (T, act_dim), from the data at once."""
    context = torch.tensor(policy.context).expand(len(observations), -1)
    return policy.model.action_distribution(stacked(observations), context)[0].numpy()


def test_a_policy_that_is_driven_step_by_step_acts_as_on_recorded_episodes(policy: Policy) -> None:
    worlds = walks()
    actions = np.stack([policy.act(observations) for observations in worlds])
    for world in range(worlds.shape[1]):
        alone = policy.reset()
        single = np.stack([alone.act(observation) for observation in worlds[:, world]])
        assert single.shape == (12, ACT_DIM)
        expected = expected_actions(policy, worlds[:, world])
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(actions[:, world], expected, rtol=1e-5, atol=1e-6)
    assert np.abs(policy.reset().act(worlds[-1]) - actions[-1]).max() > 1e-3


def test_worlds_whose_episode_has_ended_begin_anew_and_the_others_go_on(policy: Policy) -> None:
    worlds = walks()
    ended = {4: [0, 2], 5: [0], 9: [1]}
    actions = []
    for step, observations in enumerate(worlds):
        policy.forget(np.isin(np.arange(3), ended.get(step, [])))
        actions.append(policy.act(observations))
    for world in range(3):
        edges = [0, *[step for step, rows in ended.items() if world in rows], len(worlds)]
        pieces = [worlds[start:stop, world] for start, stop in pairwise(edges)]
        expected = np.concatenate([expected_actions(policy, piece) for piece in pieces])
        np.testing.assert_allclose(np.stack(actions)[:, world], expected, rtol=1e-5, atol=1e-6)


def test_a_batch_of_another_size_and_a_wrong_mask_are_one_clear_line(policy: Policy) -> None:
    first = policy.act(walks()[0])
    with pytest.raises(UserError, match=r"3 observations at the last step and there are 2 now; call policy.reset\(\)"):
        policy.act(walks(2)[0])
    for mask in (np.zeros(2, bool), np.zeros(3), np.zeros((3, 1), bool)):
        with pytest.raises(UserError, match=r"which rows to forget is .*; expected \(3,\) bool"):
            policy.forget(mask)
    with pytest.raises(UserError, match="NaN"):
        policy.act(np.full((3, OBS_DIM), np.nan))  # a refused observation is not remembered
    np.testing.assert_array_equal(policy.forget(np.ones(3, bool)).act(walks()[0]), first)
    assert policy.reset().act(walks(2)[0]).shape == (2, ACT_DIM)
    memoryless = Policy(random_model(obs_dim=OBS_DIM)).steer(mode=0)
    assert memoryless.forget(np.ones(7, bool)).act(walks(2)[0]).shape == (2, ACT_DIM)


def test_every_group_of_episodes_begins_with_an_empty_memory_and_draws_on(policy: Policy) -> None:
    worlds, slow = walks(), Policy(policy.model).reset(3)
    controller = PolicyController(policy.reset(3), modes=np.array([0, 1, 2, 1, 0]), temperature=0.5)
    for group in (np.array([0, 1, 2]), np.array([3, 4])):
        controller.reset(worlds[0, : len(group)], group)
        slow.steer(mode=np.array([0, 1, 2, 1, 0])[group]).forget()
        for step in range(6):
            actions, _ = controller.act(worlds[step, : len(group)], step)
            expected = slow.act(worlds[step, : len(group)], temperature=0.5)
            np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("writes", [1, 4, 9])
def test_a_run_with_a_history_that_dies_is_resumed_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    data, sizes = two_laws(n_each=4), {"iterations": 30, "discovery_iterations": 20, "scoring_iterations": 10}
    config = small(**HISTORY, **sizes, restarts=2, checkpoint_every=7)
    train(data, config, tmp_path / "whole")
    original, count = session.save_checkpoint, 0

    def dying(*arguments) -> None:
        nonlocal count
        count += 1
        original(*arguments)
        if count == writes:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session, "save_checkpoint", dying)
        with pytest.raises(KeyboardInterrupt):
            train(data, config, tmp_path / "run")
    train(data, None, tmp_path / "run", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "run")
    assert load_run(tmp_path / "run").model.config.memory == MEMORY


def test_experts_that_answer_what_they_saw_before_are_imitated_with_a_history_only(tmp_path: Path) -> None:
    delay = 4
    data = two_laws(n_each=8, delay=delay, disturbed=False)
    errors = {}
    for history in (0, 1):
        config = small(codes=2, iterations=400, history=history, history_gap=delay, held_out=0.25)
        train_method("true-label", data, config, tmp_path / str(history))
        run = load_run(tmp_path / str(history))
        policy, off = load_policy(run), []
        for index in run.info["held_out_episodes"]:
            episode = data.episodes[index]
            # The modes' numbers are those of their shares: the expert's is the one of its training episodes.
            others = zip(run.info["training_episodes"], run.info["assignment"], strict=True)
            policy.reset().steer(mode=next(mode for i, mode in others if data.episodes[i].expert == episode.expert))
            driven = np.stack([policy.act(observation) for observation in episode.observations[:-1]])
            off.append(driven - episode.actions)
        errors[history] = float(np.sqrt(np.mean(np.concatenate(off) ** 2)))
    assert errors[1] < 0.2
    assert errors[0] > 0.5


@pytest.mark.parametrize("method", ["ours", "kmeans", "categorical-vae", "bc"])
def test_every_method_gives_its_policy_the_history(method: str, tmp_path: Path) -> None:
    tiny = small(**HISTORY, codes=3, iterations=6, discovery_iterations=6, scoring_iterations=4, rounds=2)
    train_method(method, two_laws(), tiny, tmp_path / "run")
    assert load_run(tmp_path / "run").model.config.memory == MEMORY


def test_reports_and_attribution_ask_the_actor_as_driving_does() -> None:
    model, dataset = random_model(**HISTORY), random_dataset()
    policy, episode = Policy(model), random_episode(seed=3)
    found = log_densities(model, episode)
    for column, mode in enumerate(policy.modes):
        context = torch.tensor(policy.mode_contexts(mode)).expand(len(episode), -1)
        mean, log_sigma = model.action_distribution(stacked(episode.observations[:-1]), context)
        normal = torch.distributions.Normal(mean, log_sigma.exp())
        expected = normal.log_prob(torch.tensor(episode.actions)).sum(-1)
        np.testing.assert_allclose(found[:, column], expected.numpy(), rtol=1e-4)
    assert np.isfinite(measure_leak(model, dataset.episodes, pool=2).gap)
    states = states_of(dataset, [2], memory=MEMORY)
    every = stacked(dataset.episodes[2].observations[:-1]).numpy()
    inside = every[in_arena(every[:, 0], dataset.observation_slices)]
    assert sorted(states.tolist()) == sorted(inside.tolist())
    assert set(reactions_of_modes(policy, dataset, np.zeros(len(dataset), int))[0]) == set(
        dataset.observation_slices or {}
    )


@pytest.mark.parametrize("history", [0, 2])
def test_what_the_actor_is_shown_is_the_same_computed_once_or_for_every_batch(
    history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(history, 3) if history else NO_MEMORY
    episodes = two_laws(ragged=True).episodes
    data = TrainingData(episodes, None, SMALL.window, memory=memory).recalling(bool(history))
    normalizer = Normalizer(3, 1, ((0, 2),), history, directions=True)
    normalizer.fit(data.observations, data.some_deltas(), data.actions)
    steps = torch.randint(len(data.actions), (200,), generator=torch.Generator().manual_seed(0))
    expected = normalizer.actor_inputs(data.observations_at(steps))
    monkeypatch.setattr(batches, "TABLE_ROWS", 7)
    shown = data.showing(normalizer)
    assert shown is not data
    assert shown.showing(normalizer) is shown
    monkeypatch.setattr(normalizer, "shown", None)  # not asked again
    torch.testing.assert_close(shown.actor_inputs_at(steps, normalizer), expected, rtol=0, atol=1e-6)
    other = Normalizer(3, 1, ((0, 2),), history, directions=True)
    assert torch.equal(shown.actor_inputs_at(steps, other), other.actor_inputs(data.observations_at(steps))), (
        "what another normaliser makes of it"
    )
    monkeypatch.setattr(batches, "TABLE_BYTES", 8)
    assert data.showing(other) is data


def test_training_is_the_same_where_the_table_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(**HISTORY, iterations=20, discovery_iterations=20, scoring_iterations=20)
    train(two_laws(), settings, tmp_path / "once")
    monkeypatch.setattr(batches, "TABLE_BYTES", 0)
    train(two_laws(), settings, tmp_path / "each")
    once, each = (load_run(tmp_path / name).model.state_dict() for name in ("once", "each"))
    for name, weights in once.items():
        torch.testing.assert_close(weights, each[name], rtol=0, atol=1e-4)
