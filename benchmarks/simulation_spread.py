"""One thread, a thread a core or a process a core: which is faster for how many worlds?"""

import time
from typing import Any

import numpy as np

from mode_imitation.worlds.safety import make_vec

WORLDS = (2, 4, 8, 16, 32, 64)
BLOCKS = 40
BLOCK_S = 0.12
FOREVER = 10**9


def print_spread(env_id: str, cores: int) -> None:
    """Print how many times faster than one thread they are: median and quartiles of blocks of steps taken in turn.

    A machine whose speed drifts within seconds then slows all of them alike.
    """
    if cores == 1:
        print("\none core: nothing to spread worlds over")
        return
    print(f"\nTimes as fast as one thread: median [quartiles] of {BLOCKS} blocks in turn, no resets")
    print(f"{'':>10}{f'{cores} threads':>22}{f'{cores} processes':>22}{'us/step, one thread':>22}")
    for worlds in WORLDS:
        if worlds >= cores:
            took = in_turn(env_id, worlds, cores)
            cells = [quartiles(took["one"] / took[name]) for name in ("threads", "processes")]
            print(f"{worlds:3} worlds{cells[0]:>22}{cells[1]:>22}{1e6 * np.median(took['one']):22.0f}", flush=True)


def in_turn(env_id: str, worlds: int, cores: int) -> dict[str, np.ndarray]:
    """(BLOCKS,) seconds per environment step of each way, block by block in an order drawn anew every time."""
    ways: dict[str, Any] = {
        "one": {"threads": 1},
        "threads": {"threads": cores},
        "processes": {"threads": 1, "processes": cores},
    }
    ways = {name: make_vec(env_id, worlds, max_episode_steps=FOREVER, **way) for name, way in ways.items()}
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (64, *ways["one"].action_space.shape))

    def run(envs: Any, steps: int) -> float:
        start = time.perf_counter()
        for step in range(steps):
            envs.step(actions[step % len(actions)])
        return (time.perf_counter() - start) / (steps * worlds)

    for envs in ways.values():
        envs.reset(seed=0)
        run(envs, 10)
    steps = max(2, round(BLOCK_S / (run(ways["one"], 10) * worlds)))
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(BLOCKS):
        for name in rng.permutation(list(ways)).tolist():
            took[name].append(run(ways[name], steps))
    for envs in ways.values():
        envs.close()
    return {name: np.array(seconds) for name, seconds in took.items()}


def quartiles(ratios: np.ndarray) -> str:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"
