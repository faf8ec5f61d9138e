"""Where the time of our batched worlds goes, part by part, on one core and on several."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mode_imitation.worlds.safety import make_vec

PARTS = {
    "_advance": "physics: 10 substeps and a forward pass",
    "_integrate": "going from world to world, copying out of mujoco",
    "_observe": "observation",
    "_costs": "cost",
    "_respawn_goal": "goal respawns",
    "step": "reward, bookkeeping of the batched path",
    "reset": "resets",
    "_send": "orders to the other processes",
    "_receive": "waiting for the other processes",
    "env": "checks, infos, copies of the vector environment",
}
"""Functions of `BatchedWorlds` and `ProcessWorlds`, and what is left."""

EMPTY_ORDERS = 300


class Clock:
    """Time spent in wrapped functions, each without what it calls of the others."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self.inside = [0.0]

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            self.inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                total = time.perf_counter() - start
                self.spent[part] += total - self.inside.pop()
                self.inside[-1] += total

        return timed


def print_profile(env_id: str, steps: int, worlds: int, processes: int, raw_physics: Callable[..., Any]) -> None:
    """Print microseconds per environment step of every part, beside what the raw physics takes.

    Args:
        env_id: a task with a batched path.
        steps: between resets.
        worlds: side by side.
        processes: each with one thread. The parts are those of this process, which steps the first group itself; the
            others do the same meanwhile.
        raw_physics: measures the physics alone, on one core; takes `models`, how many are stepped in turn.
    """
    envs: Any = make_vec(env_id, worlds, path="batched", threads=1, processes=processes, max_episode_steps=steps + 1)
    envs.reset(seed=0)
    raw = {n: 1e6 / raw_physics(models=n).rate for n in (1, worlds)}
    round_trip_us = round_trip(envs._worlds) if processes > 1 else None
    clock = Clock()
    own = envs._worlds if processes == 1 else envs._worlds._own
    for part in PARTS:
        for owner in {own, envs._worlds}:
            if hasattr(owner, part) and (part.startswith("_") or owner is own):
                setattr(owner, part, clock.wrap(part, getattr(owner, part)))
    shape = envs.action_space.shape
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, *shape))

    def drive() -> None:
        envs.reset(seed=1)
        for action in actions:
            envs.step(action)

    clock.wrap("env", drive)()
    again = {n: 1e6 / raw_physics(models=n).rate for n in (1, worlds)}
    envs.close()

    how = "one thread" if processes == 1 else f"{processes} processes, as the first one sees it"
    print(f"\nWhere the time goes, {worlds} worlds, {how}, a reset per {steps} steps: microseconds per step")
    total = sum(clock.spent.values())
    for part, name in PARTS.items():
        if processes > 1 or part not in ("_send", "_receive"):
            print(f"{name:52}{1e6 * clock.spent[part] / (steps * worlds):8.1f}{clock.spent[part] / total:8.1%}")
    print(f"{'all':52}{1e6 * total / (steps * worlds):8.1f}")
    for n in raw:
        name = "raw mj_step, one warm model" if n == 1 else f"raw mj_step, {n} models in turn"
        print(f"{name + ', one core' * (processes > 1):52}{(raw[n] + again[n]) / 2:8.1f}")
    if round_trip_us is not None:
        print(f"an order without work, there and back: {round_trip_us:.0f} microseconds")


def round_trip(worlds: Any) -> float:
    """Microseconds from an order that asks another process for nothing to its reply."""
    start = time.perf_counter()
    for _ in range(EMPTY_ORDERS):
        worlds._ask({1: []})
    return 1e6 * (time.perf_counter() - start) / EMPTY_ORDERS
