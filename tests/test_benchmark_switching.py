"""The benchmark's drives in which modes, or experts, are switched, beside drives step by step in one world."""

from typing import Any

import numpy as np
import pytest
from tiny_runs import random_dataset, random_model

from benchmarks.modes import measure
from benchmarks.modes.switching import EXCURSIONS, GOAL_STEPS
from experts.registry import make_expert
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.worker import expert_setting

ENV, NAMES = "SafetyPointGoal1-v0", ("forward_moving", "goal_seeking")
LAYOUTS = held_out_layouts(2, "tuning")
LONGEST = 2 * GOAL_STEPS + max(EXCURSIONS)
NOISE = 0.1


class Actors(Policy):
    """A policy whose mode 0 drives straight ahead and whose mode 1 seeks goals; the third one drives straight, too."""

    experts: Any = ()

    def actions(self, observations: np.ndarray, temperature: float = 0.0) -> np.ndarray:
        contexts = np.broadcast_to(np.asarray(self.context), (len(observations), self.n_codes))
        wanted = [expert.act(observations) for expert in self.experts]
        return np.stack([wanted[mode % 2][row] for row, mode in enumerate(contexts.argmax(axis=1))]).astype(np.float32)


def scripted() -> list[Any]:
    env = make_vec(ENV, 1, threads=1)
    setting = expert_setting(env)
    env.close()
    return [make_expert(name, setting) for name in NAMES]


def step_by_step(layout: int, steps: int, noise: np.ndarray | None) -> list[int]:
    """Goals in each of the three segments, as a cell holds them for one layout."""
    experts = scripted()
    env = make_vec(ENV, 1, threads=1)
    observation, _ = env.reset(seed=[layout])
    goals = [0, 0, 0]
    for step in range(2 * GOAL_STEPS + steps):
        segment = 0 if step < GOAL_STEPS else 1 if step < GOAL_STEPS + steps else 2
        action = np.asarray(experts[0 if segment == 1 else 1].act(observation), dtype=np.float64)
        wanted = action if noise is None else action + noise[step]
        observation, _, _, _, infos = env.step(wanted.astype(np.float32).clip(-1, 1))
        goals[segment] += int(infos["goal_met"][0])
    env.close()
    return goals


def compare(found: dict[str, Any], noises: list[np.ndarray] | None) -> None:
    assert list(found["switching"]) == [f"forward_moving:{steps}" for steps in EXCURSIONS]
    total = 0
    for steps in EXCURSIONS:
        name = f"forward_moving:{steps}"
        for place, layout in enumerate(LAYOUTS):
            noise = None if noises is None else noises[place][: 2 * GOAL_STEPS + steps]
            slow = step_by_step(layout, steps, noise)
            assert [segment[place] for segment in found["switching"][name]] == slow
            total += slow[0] + slow[2]
    assert total > 2, "a drive without goals would compare nothing"


def test_the_goal_mode_is_left_for_the_other_one_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "match_experts", lambda units: {"goal_seeking": 1, "forward_moving": 0})
    env = make_vec(ENV, 2, threads=1)
    policy = Actors(random_model())
    policy.experts = scripted()
    found = measure.measure_policy(
        policy,
        random_dataset(),
        env,
        LAYOUTS,
        LONGEST,
        pool=2,
        held_out=[0],
        goal_expert="goal_seeking",
        sampled=False,
        switching_layouts=2,
    )
    env.close()
    compare(found, None)


def test_the_experts_are_switched_by_the_same_schedule_with_noise_drawn_by_layout() -> None:
    env = make_vec(ENV, 2, threads=1)
    found = measure.measure_experts(
        NAMES,
        env,
        LAYOUTS,
        LONGEST,
        goal_expert="goal_seeking",
        switching_layouts=2,
        action_noise=NOISE,
        seed=3,
    )
    env.close()
    # Noise is drawn for the whole of a schedule at once, so that its length is part of the draw.
    draws = [NOISE * np.random.default_rng([3, layout]).normal(size=(LONGEST, 2)) for layout in LAYOUTS]
    compare(found, draws)
