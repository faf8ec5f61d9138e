"""What does it bring, and what does it change, if vases that nobody touches sleep (`make_vec(sleeping_vases=True)`)?

    python benchmarks/simulation_sleep.py [--env SafetyPointGoal1-v0] [--layouts 100] [--repeat 3]

Scripted experts drive the same tuning layouts with the same action noise, with and without sleep, in turn, on one core.
Told are the processor time of the one over the other's (median, least and largest of the repetitions; resets, experts
and recording included), in how many layouts an episode became another one (someone pushed a vase), and what that does
to the mean goals and costs: differences with 95% bootstrap intervals over layouts.
"""

import argparse
import time
from typing import Any

import numpy as np

from experts.registry import make_expert
from mode_imitation.evaluation.layouts import held_out_layouts
from mode_imitation.evaluation.statistics import bootstrap
from mode_imitation.simulation import ExpertController, make_vec
from mode_imitation.simulation.rollout import rollout
from mode_imitation.simulation.worker import expert_setting
from mode_imitation.versions import versions

EXPERTS = ("goal_seeking", "forward_moving", "circling")
ANOTHER = 1e-4
"""Largest difference of any sensor in an episode that is the same one; sleep alone makes 1e-9."""


def drive(env_id: str, expert: str, layouts: list[int], steps: int, sleeping: bool) -> tuple[list[Any], float]:
    """One episode a layout, and the seconds of processor time of all of them."""
    env = make_vec(env_id, len(layouts), threads=1, max_episode_steps=steps, sleeping_vases=sleeping)
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
        spent: dict[bool, list[float]] = {False: [], True: []}
        found: dict[bool, list[Any]] = {}
        for _ in range(arguments.repeat):
            for sleeping in (False, True):
                found[sleeping], seconds = drive(arguments.env, expert, layouts, arguments.steps, sleeping)
                spent[sleeping].append(seconds)
        ratios = np.array(spent[False]) / np.array(spent[True])
        pairs = list(zip(found[False], found[True], strict=True))
        other = sum(len(a) != len(b) or np.abs(a.observations - b.observations).max() > ANOTHER for a, b in pairs)
        print(
            f"{expert}: {np.median(ratios):.2f} times as fast [{ratios.min():.2f}, {ratios.max():.2f}]; "
            f"another episode in {other} of {len(layouts)} layouts"
        )
        for name in ("goals_met", "costs"):
            exact, asleep = (np.array([getattr(one, name).sum() for one in found[how]], float) for how in (False, True))
            change = bootstrap(asleep - exact)
            print(f"    {name}: {exact.mean():.2f} and, asleep, {asleep.mean():.2f}; difference {change.text()}")


if __name__ == "__main__":
    main()
