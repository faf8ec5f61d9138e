"""Episodes of the small worlds, and what a refusal says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from experts.registry import make_expert
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from mode_imitation.worlds.protocol import World, open_worlds
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.worker import expert_setting
from tests import small_worlds
from tests.small_datasets import assert_same_episode

FILE = Path(small_worlds.__file__)
COLUMNS = {
    "body/lamps": Sensor(0, 2),
    "body/place": Sensor(2, 4),
    "gears": Sensor(4, 6, "token"),
    "wheel": Sensor(6, 7, "token"),
}
SEEDS = [3, 14, 15, 92, 65, 35, 89]


def drive(worlds: World | VectorEnv, seeds: Sequence[int] = SEEDS, n_steps: int = 12) -> list[Episode]:
    """Episodes of an expert with noise."""
    world = worlds if isinstance(worlds, World) else open_worlds(worlds)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    expert = make_expert(f"{FILE}:Pushing", expert_setting(world))
    try:
        return rollout(world, ExpertController(expert, n_steps, rngs, action_space=world.action_space), seeds, n_steps)
    finally:
        world.close()


def assert_same_episodes(found: Sequence[Episode], expected: Sequence[Episode]) -> None:
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        assert_same_episode(mine, other)


def refused(act: Callable[[], Any]) -> str:
    """What the one line says."""
    with pytest.raises(UserError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)
