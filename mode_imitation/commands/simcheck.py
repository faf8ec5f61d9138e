"""`mode-imitation simcheck`"""

from dataclasses import dataclass

from mode_imitation.commands.tables import print_table
from mode_imitation.errors import UserError
from mode_imitation.options import Repeated
from mode_imitation.progress import progress


@dataclass(frozen=True, kw_only=True)
class SimcheckCommand:
    """How much to compare."""

    env: Repeated = ()
    """A task; may be repeated. Left out: every task that has the batched path."""
    seeds: int = 10
    """Worlds per task, with layout seeds 0, 1, 2, ..."""
    steps: int = 1000
    """Steps per episode; each world drives three times as many: seeded, reset without a seed, and with no place to be
    found for a goal."""
    threads: int = 1
    """Threads of the batched simulator."""


def run(config: SimcheckCommand) -> int:
    """Print the largest difference of each quantity; exit status 1 when a task is not equal."""
    from mode_imitation.worlds.safety.equality import LIDAR_TOLERANCE, QUANTITIES, report_equality
    from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS

    if min(config.seeds, config.steps, config.threads) < 1:
        raise UserError("seeds, steps and threads must each be at least 1")
    tasks = config.env or tuple(BATCHED_ENV_IDS)
    with progress("comparing", len(tasks) * config.seeds * config.steps * 3, "steps") as shown:
        report = report_equality(tasks, range(config.seeds), config.steps, threads=config.threads, progress=shown)
    names = [name.replace("_", " ") for name in QUANTITIES]
    print_table(
        "Largest difference between the batched simulator and the untouched library in one process",
        ("task", *names, "equal"),
        [
            (
                task.env_id,
                *(f"{task.largest_difference[name]:.2g}" for name in QUANTITIES),
                "yes" if task.equal else "NO",
            )
            for task in report.tasks
        ],
    )
    print_table(
        f"What was compared (lidar within {LIDAR_TOLERANCE:g}, all else exactly)",
        ("task", "worlds", "episodes", "steps", "goals", "failed respawns", "cost steps", "vases pushed"),
        [
            (
                task.env_id,
                f"{task.worlds}",
                f"{task.episodes}",
                f"{task.steps:,}",
                f"{task.goals}",
                f"{task.failed_respawns}",
                f"{task.cost_steps:,}",
                f"{task.vases_pushed}",
            )
            for task in report.tasks
        ],
    )
    return 0 if report.equal else 1
