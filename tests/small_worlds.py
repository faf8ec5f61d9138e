"""Worlds, experts and figures of a few lines for the tests of what drives any gymnasium environment."""

import warnings
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

ACTIONS: dict[str, spaces.Space] = {
    "numbers": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 3], np.float32)),
    "a table of numbers": spaces.Box(-1.0, 1.0, (2, 2)),
    "one of three": spaces.Discrete(3),
    "one of three from -1 on": spaces.Discrete(3, start=-1),
    "several": spaces.MultiDiscrete([3, 2]),
    "several from elsewhere": spaces.MultiDiscrete([3, 2], start=[5, -1]),
    "switches": spaces.MultiBinary(3),
}
LEAST, MOST = 3, 9
"""Steps of an episode, but for the first where it is `endless`."""


class Walker(gymnasium.Env):
    """A point that actions push about; the seed decides where it starts and after how many steps it falls."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    dt = 0.25

    def __init__(self, actions: str = "numbers", *, endless: bool = False, render_mode: str | None = None) -> None:
        self.action_space = ACTIONS[actions]
        self.endless, self.render_mode = endless, render_mode
        self.observation_space = spaces.Dict(
            {
                "wheel": spaces.Discrete(4, start=10),
                "body": spaces.Dict({"place": spaces.Box(-np.inf, np.inf, (2,)), "lamps": spaces.MultiBinary(2)}),
                "gears": spaces.MultiDiscrete([3, 5]),
            }
        )
        self.taken: list[Any] = []
        """Every action, as it came."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2).astype(np.float32)
        self.left, self.steps = int(self.np_random.integers(LEAST, MOST)), 0
        return self._seen(), self._told(0.0)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.taken.append(np.array(action))
        self.steps += 1
        self.place = (self.place + 0.1 * np.sum(action) + 0.01 * self.np_random.normal(size=2)).astype(np.float32)
        fallen = self.steps == self.left and not self.endless
        return self._seen(), float(self.place[0]), fallen, False, self._told(float(np.sum(action)))

    def render(self) -> Any:
        """A grey picture, lighter at every step."""
        return np.full((9, 12, 3), 20 * self.steps, np.uint8)

    def _seen(self) -> dict[str, Any]:
        return {
            "wheel": 10 + self.steps % 4,
            "body": {"place": self.place.copy(), "lamps": np.array([self.steps % 2, 1], np.int8)},
            "gears": np.array([self.steps % 3, self.left % 5]),
        }

    def _told(self, cost: float) -> dict[str, Any]:
        x, y = self.place.tolist()
        return {"x_position": x, "y_position": y, "cost": cost, "is_success": self.steps == 2}


class Seedless(SyncVectorEnv, gymnasium.Env):  # type: ignore[misc]
    """As EnvPool is: seeds are fixed when it is made. Its spec has no id and keeps the time limit in its config.

    Args:
        num_envs: how many worlds.
        says: whether a reset warns that it ignores seeds.
        starts: of each world before it begins again at its first; None for no end of them.
    """

    def __init__(self, num_envs: int = 3, says: bool = True, starts: int | None = None) -> None:
        super().__init__([Walker] * num_envs)
        self.spec: Any = SimpleNamespace(config=SimpleNamespace(max_episode_steps=6))
        self.says, self.starts, self.resets = says, starts, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None and self.says:
            warnings.warn("seeds are fixed when it is made. reset(seed=...) is ignored", stacklevel=2)
        start = self.resets % self.starts if self.starts else self.resets
        self.resets += 1
        return super().reset(seed=[1000 * start + world for world in range(self.num_envs)], options=options)


def silent(num_envs: int = 3) -> VectorEnv:
    return Seedless(num_envs, says=False)


def few_starts(num_envs: int = 3) -> VectorEnv:
    return Seedless(num_envs, says=False, starts=2)


def endless(**options: Any) -> gymnasium.Env:
    return Walker(endless=True, **options)


def one(render_mode: str | None = None) -> gymnasium.Env:
    return Walker(render_mode=render_mode)


def several(num_envs: int = 2) -> VectorEnv:
    return SyncVectorEnv([Walker] * num_envs)


def always_three() -> VectorEnv:
    return SyncVectorEnv([Walker] * 3)


def blind(**options: Any) -> gymnasium.Env:
    return Walker()


def neither() -> str:
    return "a world"


def broken() -> gymnasium.Env:
    raise RuntimeError("the wheel is off")


def vector(actions: str, n_worlds: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> VectorEnv:
    return SyncVectorEnv([lambda: Walker(actions)] * n_worlds, autoreset_mode=mode)


class Pushing:
    """An expert that answers with what the place makes of it, in the world's own actions."""

    def __init__(self, setting: Any) -> None:
        self.place, self.size, self.choices = setting.slices["body/place"], setting.act_dim, setting.choices

    def act(self, observations: np.ndarray) -> np.ndarray:
        wanted = np.sin(50 * observations[:, self.place].sum(axis=1, keepdims=True) * (1 + np.arange(self.size)))
        return np.floor(5 * wanted + 5) % self.choices if self.choices else wanted


class TwoNumbers:
    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 2))


class ThirdChoice:
    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.full(len(observations), 2)


def length(episode: Any) -> float:
    return len(episode)


def raises(episode: Any) -> float:
    return episode.actions[10_000][0]


def says_nothing(episode: Any) -> None:
    return None


if "Walker-v0" not in gymnasium.registry:  # this file is loaded by its path, too
    gymnasium.register("Walker-v0", entry_point="tests.small_worlds:endless", max_episode_steps=5)
