"""`mode-imitation info DATASET`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mode_imitation.commands.pictures import PICTURES, picture_path
from mode_imitation.commands.tables import print_table
from mode_imitation.options import Argument


@dataclass(frozen=True, kw_only=True)
class InfoCommand:
    """Which dataset to look at."""

    dataset: Annotated[str, Argument("DATASET")]
    """Name below the root (namespace/name-vN), or a path."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    plot: Path | None = None
    """Where the overview picture goes; left out, runs/overview-<name>.png."""
    pictures: bool = True
    """Draw the overview; --no-pictures prints only the table."""
    overwrite: bool = False
    """Replace a picture of that name."""


def run(config: InfoCommand) -> int:
    """Print the table, draw the overview."""
    from mode_imitation.data import load_dataset, summarise

    own = Path("runs") / f"overview-{Path(config.dataset).as_posix().strip('/').replace('/', '-')}.png"
    target = picture_path(config.plot, own, PICTURES, overwrite=config.overwrite)
    dataset = load_dataset(config.dataset, config.root)
    summary = summarise(dataset)
    steps = int(dataset.lengths.sum())
    print(f"{dataset.name}: {len(dataset)} episodes, {steps:,} steps, env {dataset.env_id or 'unknown'}")
    print(
        f"observations ({dataset.obs_dim},), actions ({dataset.act_dim},), sha256 of the arrays {dataset.checksum[:16]}"
    )
    if dataset.observation_slices:
        parts = (f"{name} {part.start}:{part.stop}" for name, part in dataset.observation_slices.items())
        print("observation:", ", ".join(parts))
    columns = {
        "goals": [number(row.goals, 1) for row in summary.rows],
        "return": [number(row.reward_return, 2) for row in summary.rows],
        "cost": [number(row.cost, 1) for row in summary.rows],
        "in arena": [share(row.in_arena) for row in summary.rows],
        "disturbed": [share(row.disturbed) for row in summary.rows],
    }
    known = {name: column for name, column in columns.items() if set(column) != {"-"}}
    counts = [(row.expert, f"{row.episodes:,}", f"{row.steps:,}") for row in summary.rows]
    rows = [(*count, *(column[index] for column in known.values())) for index, count in enumerate(counts)]
    print_table("Means per episode, by expert", ("expert", "episodes", "steps", *known), rows)
    if any(row.disturbed and row.goals is not None for row in summary.rows):
        print("disturbed steps were not the experts' own: without them, experts reach more goals, as in the README")
    if summary.missing:
        print(f"not in this data, nor the figures that need it: {', '.join(summary.missing)}")
    if config.pictures:
        from mode_imitation.plots import plot_overview, save_figure

        print("overview:", save_figure(plot_overview(dataset), target))
    return 0


def number(value: float | None, digits: int) -> str:
    """A figure with a fixed number of digits; '-' for what the data lacks."""
    return "-" if value is None else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """0.42 -> '42%'"""
    return "-" if value is None else f"{value:.0%}"
