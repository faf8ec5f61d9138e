"""Where a sweep's figures come from: the command that makes them again, and the code that made its cells."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mode_imitation.config_file import as_arguments
from mode_imitation.reports.sweep.config import SweepConfig
from mode_imitation.versions import digest_of_code, platform_name, versions

ALWAYS = ("codes", "strides", "seeds")
"""Said even where they are the default: they are what a sweep is."""
LENGTHS = ("iterations", "discovery_iterations", "original_iterations", "scoring_iterations")
GRID = (*ALWAYS, "seed", "objectives", *LENGTHS, "lidar_directions")
"""All options that decide what comes out, beside the dataset."""
CODE = ("data", "model", "training", "steering", "reports", "reports/sweep")
"""Rooms of the project whose code decides what is in a cell."""


def command_of(config: SweepConfig, dataset: str) -> str:
    """What to type to get these figures again, without what only says where things are.

    Args:
        config: the sweep.
        dataset: its name; the configuration may have a path.
    """
    default = SweepConfig(dataset=dataset)
    settings = {name: getattr(config, name) for name in GRID}
    told = {name: value for name, value in settings.items() if name in ALWAYS or value != getattr(default, name)}
    return shlex.join(["mode-imitation", "sweep", dataset, *as_arguments(told)])


def code_digest() -> str:
    """sha256, shortened, of the code that decides what is in a cell; recorded with each and no part of its key."""
    return digest_of_code(tuple(f"mode_imitation/{room}" for room in CODE))


def code_of(cell: Mapping[str, Any]) -> str:
    """Digest of the code that made a finished cell; "unknown" for one from before it was recorded."""
    return cell.get("code", "unknown")


def codes_of(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every digest of the finished cells, once."""
    return sorted({code_of(cell) for cell in cells if cell["status"] == "done"})


def code_notes(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line where cells were made by other code than this; none where all were made by this."""
    done = [cell for cell in cells if cell["status"] == "done"]
    other = sum(code_of(cell) != code_digest() for cell in done)
    if not other:
        return []
    return [
        f"{other} of {len(done)} cells were made by another state of this project's code; to make them again, remove "
        "the sweep's folder `cells`"
    ]


def made_by(config: SweepConfig, dataset: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The end of the page, lines of Markdown: command, versions, platform, code of the cells."""
    return [
        "## What made these figures",
        "",
        "```bash",
        command_of(config, dataset),
        "```",
        "",
        "- " + ", ".join(f"{name} {version}" for name, version in versions().items()),
        f"- {platform_name()}",
        f"- cells made by this project's code {', '.join(codes_of(cells))}",
        "",
    ]
