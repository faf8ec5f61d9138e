"""How well discovery and steering do over training seeds: the table under Results in the README.

    python benchmarks/seeds.py --experts two --seeds 4 --layouts 100
    python benchmarks/seeds.py --experts four --seeds 4 --layouts 100

Makes the dataset where it is missing, trains one run a seed, one on each core at a time, and drives every mode
and every expert on the same held-out layouts. What an earlier call finished is kept, so it can be stopped at any time.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.commands.tables import interval, print_table

SETS = {
    "two": (4, ("goal_seeking", "forward_moving")),
    "four": (8, ("goal_seeking", "forward_moving", "circling", "backward_moving")),
}
"""Name: entries of the codebook, experts. There are more entries than experts: the number has to be found too."""
EPISODES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", choices=SETS, default="two")
    parser.add_argument("--seeds", type=int, default=4, help="training seeds 0, 1, ...")
    parser.add_argument("--layouts", type=int, default=100, help="held-out layouts")
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    arguments = parser.parse_args()
    codes, experts = SETS[arguments.experts]
    dataset = f"pointgoal1/{arguments.experts}-experts-v0"
    root = arguments.out / "data"
    if not (root / dataset).exists():
        call("generate", "--out", dataset, "--root", root, *(f"--expert={name}={EPISODES}" for name in experts))

    def run(seed: int) -> dict[str, Any]:
        return train_and_report(arguments, dataset, root, codes, seed)

    # One thread a run, as many runs as cores: small networks gain nothing from more threads.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        reports = list(pool.map(run, range(arguments.seeds)))
    show(arguments, reports, experts)


def train_and_report(arguments: argparse.Namespace, dataset: str, root: Path, codes: int, seed: int) -> dict[str, Any]:
    """report.json of one seed's run."""
    run = arguments.out / f"{arguments.experts}-{seed}"
    if not (run / "model.json").exists():
        begun = ["--resume", run] if (run / "run.json").exists() else [dataset, "--root", root, "--out", run]
        fresh = [] if begun[0] == "--resume" else ["--codes", codes, "--seed", seed, "--threads", 1, "--no-pictures"]
        call("train", *begun, *fresh)
    report = run / "report.json"
    if not report.exists() or len(json.loads(report.read_text())["layouts"]) != arguments.layouts:
        call("modes", run, "--root", root, "--layouts", arguments.layouts)
    return json.loads(report.read_text())


def call(*words: object) -> None:
    """One command of the project's, in a process of its own."""
    subprocess.run([sys.executable, "-m", "mode_imitation", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def show(arguments: argparse.Namespace, reports: list[dict[str, Any]], experts: tuple[str, ...]) -> None:
    """A row a seed, and how much they spread."""
    rows, ratios = [], []
    for seed, report in enumerate(reports):
        scores, best = report["clustering"], report["best_goal_mode"]
        ratios.append(best["ratio"]["mean"])
        straight = [mode["straightness"]["mean"] for mode in report["modes"] if mode["expert"] == "forward_moving"]
        rows.append(
            (
                f"{seed}",
                f"{report['n_modes']}",
                f"{scores['episode_nmi']:.3f}",
                f"{scores['window_nmi']:.3f}",
                f"{scores['window_nmi_in_arena']:.3f}",
                f"{best['goals']:.2f}",
                f"{best['expert_goals']:.2f}",
                interval(best["ratio"], 3),
                f"{min(straight):.3f}" if straight else "-",
                f"{report['leak']['gap']:.3f}",
            )
        )
    print_table(
        f"{', '.join(experts)}: {len(reports)} training seeds, {arguments.layouts} held-out layouts",
        (
            *("seed", "modes", "episode NMI", "window NMI", "in the arena"),
            *("goals", "expert's", "ratio and 95% interval", "forward straightness", "leak (nat)"),
        ),
        rows,
    )
    print(f"ratio over {len(ratios)} seeds: mean {np.mean(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
