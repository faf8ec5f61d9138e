"""Policies that remember and plan ahead: what `act` carries from step to step, beside worlds that are driven alone."""

from typing import Any

import numpy as np
import pytest
import torch

from mode_imitation.errors import UserError
from mode_imitation.steering.policy import Policy
from tests.small_models import CHOICES, draw_observations, make_model

N_WORLDS, N_STEPS = 3, 12
KINDS: dict[str, dict[str, Any]] = {
    "memory": {"memory": 5},
    "chunks": {"chunk": 4},
    "an odd chunk": {"chunk": 5},
    "memory and chunks": {"memory": 5, "chunk": 4},
    "memory and chunks of choices": {"memory": 5, "chunk": 4, "head": "categorical", "action_space": CHOICES},
}


def policy_of(**changes: Any) -> Policy:
    model = make_model(**changes)
    with torch.no_grad():  # so that no chunk is the same as the one before
        for name, weights in model.actor.named_parameters():
            if "context" not in name:
                weights.mul_(2)
    return Policy(model)


def seen_by(policy: Policy, n_worlds: int = N_WORLDS, n_steps: int = N_STEPS) -> np.ndarray:
    return draw_observations(policy.model.config, n_steps, n_worlds).numpy()


class Alone:
    """One world, driven slowly: all that its episode showed since it began is read again at every plan."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.model = policy, policy.model
        self.begin()

    def begin(self) -> None:
        self.rows: list[torch.Tensor] = []
        self.contexts: list[torch.Tensor] = []
        self.plan: list[np.ndarray] = []

    def act(self, observation: np.ndarray, context: np.ndarray) -> np.ndarray:
        told = torch.tensor(context, dtype=torch.float32)
        if self.contexts and not torch.equal(told, self.contexts[-1]):
            self.plan = []
        self.rows.append(self.model.features.rows(torch.from_numpy(observation)))
        self.contexts.append(told)
        if not self.plan:
            found = self.model.follow(torch.stack(self.rows), torch.stack(self.contexts))[-1]
            actions = self.model.features.raw_actions(self.model.actor.head.mode(found)).numpy()
            self.plan = list(actions[: max(1, self.model.config.chunk // 2)])
        return self.plan.pop(0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_acts_as_every_world_does_alone_whenever_episodes_end_and_contexts_change(kind: str) -> None:
    policy = policy_of(**KINDS[kind])
    seen, rng = seen_by(policy), np.random.default_rng(0)
    ended = rng.random((N_STEPS, N_WORLDS)) < 0.2
    modes = np.repeat(rng.integers(0, 4, (4, N_WORLDS)), 3, axis=0)
    alone = [Alone(policy) for _ in range(N_WORLDS)]
    for step in range(N_STEPS):
        for world in np.flatnonzero(ended[step]):
            alone[world].begin()
        contexts = policy.mode_contexts(modes[step])
        slow = [each.act(*shown) for each, *shown in zip(alone, seen[step], contexts, strict=True)]
        found = policy.steer(mode=modes[step]).begin(ended[step]).act(seen[step])
        np.testing.assert_allclose(found, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_state_that_predict_hands_over_is_the_one_that_act_keeps(kind: str, temperature: float) -> None:
    policy = policy_of(**KINDS[kind]).steer(mode=[0, 1, 2])
    seen, ended = seen_by(policy), np.random.default_rng(1).random((N_STEPS, N_WORLDS)) < 0.2
    policy.reset()
    kept = [policy.begin(first).act(shown, temperature) for first, shown in zip(ended, seen, strict=True)]
    policy.reset()
    state, handed, between = None, [], policy_of(**KINDS[kind]).steer(mode=3)
    for first, shown in zip(ended, seen, strict=True):
        before = None if state is None else {name: value.copy() for name, value in vars(state).items()}
        actions, later = policy.predict(shown, state, first, deterministic=temperature == 0)
        handed.append(actions)
        between.act(shown)  # another policy's own state is its own
        if before is not None:  # what was handed over may be used again
            for name, value in vars(state).items():
                np.testing.assert_array_equal(value, before[name])
        state = later
    np.testing.assert_array_equal(kept, handed)


def test_only_rows_that_begin_forget() -> None:
    policy, fresh = (policy_of(memory=5).steer(mode=0) for _ in range(2))
    seen = seen_by(policy, n_steps=4)
    for shown in seen[:3]:
        on, new = policy.act(shown), fresh.begin().act(shown)
    other = policy_of(memory=5).steer(mode=0)
    for shown in seen[:3]:
        other.act(shown)
    goes_on = other.act(seen[3])
    mixed = policy.begin(np.array([False, True, False])).act(seen[3])
    anew = fresh.begin().act(seen[3])
    np.testing.assert_allclose(mixed[[0, 2]], goes_on[[0, 2]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mixed[1], anew[1], rtol=1e-5, atol=1e-6)
    assert not np.allclose(on, new)
    assert not np.allclose(goes_on[1], anew[1])
    # What begins is remembered until the next action, however often it is said, and reset forgets all of it.
    policy.begin(np.array([True, False, False])).begin(np.array([False, True, True]))
    np.testing.assert_allclose(policy.act(seen[3]), anew, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(policy.reset().act(seen[3]), anew, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("chunk", "carried"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4)])
def test_half_of_a_chunk_is_carried_out_and_then_planned_anew(chunk: int, carried: int) -> None:
    policy = policy_of(chunk=chunk).steer(mode=0)
    assert policy.carried == carried
    seen = seen_by(policy, 1, 2 * carried)[:, 0]
    rows = policy.model.features.rows(torch.from_numpy(seen))
    told = torch.eye(4)[[0] * len(seen)]
    plans = policy.model.features.raw_actions(policy.model.actor.head.mode(policy.model.predict(rows, told))).numpy()
    expected = [*plans[0, :carried], *plans[carried, :carried]]
    np.testing.assert_allclose([policy.act(shown) for shown in seen], expected, rtol=1e-4, atol=1e-5)


def test_another_context_is_followed_at_once_and_the_same_one_again_changes_nothing() -> None:
    policy, other = (policy_of(chunk=8).steer(mode=0) for _ in range(2))
    seen = seen_by(policy, 2, 2)
    policy.act(seen[0])
    np.testing.assert_allclose(
        policy.steer(mode=[1, 0]).act(seen[1])[0], other.steer(mode=1).act(seen[1])[0], rtol=1e-4, atol=1e-5
    )
    goes_on, again = (policy_of(chunk=8).steer(mode=0) for _ in range(2))
    goes_on.act(seen[0])
    again.act(seen[0])
    np.testing.assert_array_equal(goes_on.act(seen[1]), again.steer(context=[2, 0, 0, 0]).act(seen[1]))


@pytest.mark.parametrize("kind", ["memory", "chunks"])
def test_a_batch_of_another_size_is_one_clear_line_until_other_episodes_begin(kind: str) -> None:
    policy = policy_of(**KINDS[kind]).steer(mode=0)
    seen = seen_by(policy)[0]
    policy.act(seen)
    with pytest.raises(UserError, match=r"there were 3 observations at the last step and there are 2 now; call policy"):
        policy.act(seen[:2])
    with pytest.raises(UserError, match=r"there were 3 .* there are 1 now"):
        policy.act(seen[0])
    assert policy.begin().act(seen[0]).shape == (2,)


@pytest.mark.parametrize("kind", ["memory", "nothing"])
@pytest.mark.parametrize("ended", [np.zeros(3), np.zeros((3, 1), bool), np.zeros(2, bool)])
def test_what_does_not_say_of_each_row_whether_it_begins_is_one_clear_line(kind: str, ended: np.ndarray) -> None:
    policy = policy_of(**KINDS.get(kind, {})).steer(mode=0)
    seen = seen_by(policy)[0]

    def after_an_action() -> None:
        policy.act(seen)
        policy.begin(ended).act(seen)

    ways = [after_an_action, lambda: policy.begin(ended).act(seen), lambda: policy.begin(seen[:, 0] > 0).begin(ended)]
    for way in [*ways, *([lambda: policy.predict(seen, None, ended)] if ended.dtype == bool else [])]:
        policy.begin()
        with pytest.raises(UserError, match=r"which rows begin is .*; expected \((3|N),\) bool") as error:
            way()
        assert "\n" not in str(error.value)
    assert policy.begin().act(seen).shape == (3, 2)
