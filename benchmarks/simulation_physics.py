"""What do sleeping vases and fast physics (`make_vec(physics=...)`) bring, and what do they change?

    python benchmarks/simulation_physics.py [--env SafetyPointGoal1-v0] [--layouts 100] [--repeat 3]

Scripted experts drive the same tuning layouts with the same action noise, with exact, sleeping and fast physics in
turn, on one core. Told are the processor time of exact physics over the others' (median, least and largest of the
repetitions; resets, experts and recording included), in how many layouts an episode became another one, and what that
does to the mean goals, costs and ways: differences with 95% bootstrap intervals over layouts.
"""

import argparse
import time
from typing import Any

import numpy as np

from experts.registry import make_expert
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.reports.statistics import bootstrap
from mode_imitation.versions import versions
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.safety.tasks import Physics
from mode_imitation.worlds.worker import expert_setting

EXPERTS = ("goal_seeking", "forward_moving", "circling")
KINDS: tuple[Physics, ...] = ("exact", "sleeping", "fast")
ANOTHER = 1e-4
"""Largest difference of any sensor in an episode that is the same one; sleep alone makes 1e-9."""

FIGURES = {
    "goals": lambda episodes: np.array([one.goals_met.sum() for one in episodes], float),
    "cost": lambda episodes: np.array([one.costs.sum() for one in episodes], float),
    "way (m)": lambda episodes: np.array([way(one.positions) for one in episodes]),
}


def way(positions: np.ndarray) -> float:
    """Length of a path, (T + 1, 2)."""
    return float(np.linalg.norm(np.diff(positions.astype(float), axis=0), axis=1).sum())


def drive(env_id: str, expert: str, layouts: list[int], steps: int, physics: Physics) -> tuple[list[Any], float]:
    """One episode a layout, and the seconds of processor time of all of them."""
    env = make_vec(env_id, len(layouts), threads=1, max_episode_steps=steps, physics=physics)
    rngs = [np.random.default_rng([0, layout]) for layout in layouts]
    controller = ExpertController(make_expert(expert, expert_setting(env)), steps, rngs, action_noise=0.1)
    start = time.process_time()
    episodes = rollout(env, controller, layouts, steps)
    spent = time.process_time() - start
    env.close()
    return episodes, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="SafetyPointGoal1-v0")
    parser.add_argument("--layouts", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    layouts = held_out_layouts(arguments.layouts, "tuning")
    print(f"{arguments.env}, {len(layouts)} layouts, {arguments.steps} steps; 95% intervals over layouts")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    for expert in EXPERTS:
        spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
        found: dict[str, list[Any]] = {}
        for _ in range(arguments.repeat):
            for kind in KINDS:
                found[kind], seconds = drive(arguments.env, expert, layouts, arguments.steps, kind)
                spent[kind].append(seconds)
        exact = {name: figure(found["exact"]) for name, figure in FIGURES.items()}
        print(f"{expert}: " + ", ".join(f"{name} {values.mean():.2f}" for name, values in exact.items()))
        for kind in KINDS[1:]:
            ratios = np.array(spent["exact"]) / np.array(spent[kind])
            pairs = list(zip(found["exact"], found[kind], strict=True))
            other = sum(len(a) != len(b) or np.abs(a.observations - b.observations).max() > ANOTHER for a, b in pairs)
            changes = [
                f"{name} {bootstrap(figure(found[kind]) - exact[name]).text()}" for name, figure in FIGURES.items()
            ]
            print(
                f"    {kind}: {np.median(ratios):.2f} times as fast [{ratios.min():.2f}, {ratios.max():.2f}]; another "
                f"episode in {other} of {len(layouts)} layouts; differences: {', '.join(changes)}"
            )


if __name__ == "__main__":
    main()
