"""What each scripted expert reaches: the table in the README, and the one that tells a user about their own expert."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from mode_imitation.config_checks import check_action_noise, check_seed
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.reports.motion import columns

WORLDS = 64
"""Most worlds driven side by side; the figures do not depend on it."""
FIGURES = ("goals", "cost", "return", "straightness")


def measure_experts(
    env_id: str,
    specs: Sequence[str],
    n_layouts: int = 50,
    n_steps: int = 1000,
    action_noise: float = 0.1,
    threads: int | None = None,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, dict[str, np.ndarray]]:
    """Drive every expert, undisturbed, on the same layouts: (N,) of each of FIGURES by expert.

    Args:
        specs: registered names, `file.py:Class` or `package.module:Class`.
        action_noise: standard deviation of the Gaussian noise added to every action.
        seed: of the noise.
        progress: advanced by steps, len(specs) * n_layouts * n_steps in all.

    Raises:
        UserError: a count below 1; a negative seed or action noise; an expert that does not exist or cannot drive this
            robot; two of the same label.
    """
    from mode_imitation.reports.closed_loop import run_experts
    from mode_imitation.worlds.safety import make_vec

    check_seed(seed)
    check_action_noise(action_noise)
    # Neither training nor a report sees these, so an expert may be tuned on them.
    layouts = held_out_layouts(n_layouts, "tuning")
    with closing(make_vec(env_id, min(n_layouts, WORLDS), threads=threads)) as env:
        driven = run_experts(specs, env, layouts, n_steps, action_noise=action_noise, seed=seed, progress=progress)
    found = {label: columns([drive.motion for drive in drives], FIGURES) for label, drives in driven.items()}
    return {
        label: {name: values for name, values in figures.items() if values is not None}
        for label, figures in found.items()
    }
