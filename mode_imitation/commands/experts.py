"""`mode-imitation experts`"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mode_imitation.commands.tables import print_table
from mode_imitation.options import Repeated
from mode_imitation.progress import progress

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class ExpertsCommand:
    """Which experts drive where."""

    env: str = "SafetyPointGoal1-v0"
    """The safety-gymnasium task."""
    expert: Repeated = ()
    """An expert: a name of ours, path/to/file.py:Class or package.module:Class; may be repeated. Left out: all ours."""
    layouts: int = 50
    """How many layouts each drives; the same ones for all, and never those of reports."""
    steps: int = 1000
    """Steps per episode."""
    action_noise: float = 0.1
    """Standard deviation of the Gaussian noise added to every action."""
    threads: int | None = None
    """Threads of the simulator; left out, one a core. Does not change the figures."""
    seed: int = 0
    """Of the noise."""


def run(config: ExpertsCommand) -> int:
    """Print the table."""
    from experts.registry import expert_names
    from mode_imitation.reports.expert_table import FIGURES, measure_experts

    specs = config.expert or tuple(expert_names())
    with progress("driving", len(specs) * max(config.layouts, 1) * max(config.steps, 1), "steps") as shown:
        rows = measure_experts(
            config.env,
            specs,
            config.layouts,
            config.steps,
            config.action_noise,
            config.threads,
            seed=config.seed,
            progress=shown,
        )
    print_table(
        f"{config.env}, {config.layouts} layouts x {config.steps} steps, action noise {config.action_noise:g}: "
        "mean ± standard error per episode",
        ("expert", *FIGURES),
        [
            (expert, *(mean_and_error(values, 3 if name == "straightness" else 1) for name, values in found.items()))
            for expert, found in rows.items()
        ],
    )
    return 0


def mean_and_error(values: "np.ndarray", digits: int) -> str:
    """`11.3 ± 0.2`: mean over layouts and its standard error, 0 for a single layout."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"
