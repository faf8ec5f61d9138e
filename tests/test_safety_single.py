"""A navigation world as gymnasium makes one: it steps as one of many does."""

import warnings
from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from mode_imitation.worlds.safety.single_env import NavigationEnv


def test_gymnasium_makes_a_navigation_world_that_its_own_checks_accept() -> None:
    env = gymnasium.make("mode_imitation/SafetyPointGoal1-v0")
    with warnings.catch_warnings():
        # It recommends actions and observations within other bounds than the library's, and a render mode.
        warnings.filterwarnings("ignore", module="gymnasium")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_a_single_navigation_world_lasts_as_long_as_gymnasium_is_told() -> None:
    for steps, expected in ((None, 1000), (1003, 1003)):
        options = {} if steps is None else {"max_episode_steps": steps}
        env = gymnasium.make("mode_imitation/SafetyPointGoal0-v0", **options)  # type: ignore[arg-type]
        env.reset(seed=1)
        assert env.spec is not None
        assert env.spec.max_episode_steps == expected
        ends = [any(env.step(np.zeros(2))[2:4]) for _ in range(expected)]
        assert ends.index(True) == expected - 1
        env.close()


@pytest.mark.parametrize("make", [gymnasium.make, NavigationEnv])
def test_a_single_navigation_world_steps_as_one_of_many_does(make: Callable[..., gymnasium.Env]) -> None:
    env_id = "mode_imitation/SafetyPointGoal1-v0" if make is gymnasium.make else "SafetyPointGoal1-v0"
    one = make(env_id, max_episode_steps=4)
    many = gymnasium.make_vec("mode_imitation/SafetyPointGoal1-v0", 2, max_episode_steps=4)
    seen, told = one.reset(seed=8)
    all_seen, all_told = many.reset(seed=[7, 8])  # type: ignore[arg-type]
    for step in range(5):
        np.testing.assert_array_equal(seen, all_seen[1])
        for name in ("cost", "goal_met", "position", "heading", "goal_position"):
            np.testing.assert_array_equal(told[name], all_told[name][1], err_msg=name)
        if step == 4:
            break
        action = np.array([0.5, -0.3 * step])
        seen, reward, terminated, truncated, told = one.step(action)
        all_seen, rewards, terminations, truncations, all_told = many.step(np.stack([-action, action]))
        assert (reward, terminated, truncated) == (rewards[1], terminations[1], truncations[1])
        assert truncated == (step == 3)
    one.close()
    many.close()
