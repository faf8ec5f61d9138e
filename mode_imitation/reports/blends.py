"""What the policy does between two modes: contexts on the line from one to the other, driven on tuning layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.closed_loop import PolicyController, drive_policy
from mode_imitation.reports.motion import column
from mode_imitation.reports.statistics import bootstrap
from mode_imitation.steering.policy import Policy

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from mode_imitation.worlds.protocol import World

WEIGHTS = tuple(step / 10 for step in range(11))
FIGURES = ("goals", "cost", "straightness", "speed")


@dataclass(frozen=True)
class Blend:
    """Figures along the way from one mode to another."""

    first: int
    second: int
    weights: tuple[float, ...]
    """Of the second mode."""
    distances: list[float]
    """How far each context lies from the nearest mode's, as `Policy.context_distance` measures it."""
    figures: dict[str, list[dict[str, float]] | None]
    """Of FIGURES: mean, low, high and n for each weight."""
    layouts: list[int]
    steps: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "modes": [self.first, self.second],
            "weights": list(self.weights),
            "distances": self.distances,
            "figures": self.figures,
            "layouts": self.layouts,
            "steps": self.steps,
        }


def parse_blend(text: str, modes: Sequence[int]) -> tuple[int, int]:
    """Read `0,1`, two modes of the run.

    Raises:
        UserError: it is something else.
    """
    try:
        pair = [int(part) for part in text.split(",")]
    except ValueError:
        pair = []
    if len(pair) != 2 or pair[0] == pair[1]:
        raise UserError(f"--blend is {text!r}; expected two different modes, as in `0,1`")
    for mode in pair:
        if mode not in modes:
            raise UserError(f"--blend names mode {mode}; this run has modes {', '.join(map(str, modes))}")
    return pair[0], pair[1]


def drive_blend(
    policy: Policy,
    env: "World | VectorEnv",
    pair: tuple[int, int],
    layouts: Sequence[int],
    n_steps: int,
    *,
    weights: Sequence[float] = WEIGHTS,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Blend:
    """Drive every blend of two modes on every layout, all in one batch of worlds.

    Args:
        policy: a run's policy.
        env: any number of worlds.
        pair: the two modes.
        layouts: best those for tuning: nothing here is a result of the run's modes.
        n_steps: per episode.
        weights: of the second mode, each in [0, 1].
        temperature: 0 for the mean action.
        seed: of the intervals.
        progress: advanced by steps.
    """
    first, second = policy.mode_contexts(np.array(pair)).astype(np.float64)
    contexts = first + np.outer(weights, second - first)  # (W, K)
    controller = PolicyController(policy, contexts=np.repeat(contexts, len(layouts), axis=0), temperature=temperature)
    drives = drive_policy(controller, env, [*layouts] * len(weights), n_steps, progress=progress)
    figures: dict[str, list[dict[str, float]] | None] = {}
    for figure in FIGURES:
        values = column([drive.motion for drive in drives], figure)
        rows = None if values is None else values.reshape(len(weights), len(layouts))
        figures[figure] = None if rows is None else [bootstrap(row, seed=seed).as_dict() for row in rows]
    return Blend(
        *pair,
        weights=tuple(float(weight) for weight in weights),
        distances=policy.context_distance(contexts).distance.tolist(),
        figures=figures,
        layouts=list(layouts),
        steps=n_steps,
    )
