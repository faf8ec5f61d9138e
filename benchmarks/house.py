"""How large the house is: lines of the core path and of the package by room, and options a command shows in its help.

python -m benchmarks.house
"""

from pathlib import Path

from mode_imitation.cli import COMMANDS, config_of
from mode_imitation.commands.tables import print_table
from mode_imitation.options import all_options

ROOT = Path(__file__).parents[1]
CORE = (
    "training/fit.py",
    "training/policy_training.py",
    "model/mode_model.py",
    "model/encoders.py",
    "model/heads.py",
    "model/objective.py",
    "discovery/starts.py",
    "discovery/evidence.py",
    "discovery/search.py",
    "discovery/panel.py",
)
"""Model, losses, discovery and loop: what lies between trajectories and a steerable policy, in no other file."""
AIM_CORE_FILES, AIM_CORE_LINES, AIM_PACKAGE_LINES, AIM_OPTIONS = 8, 1500, 17_000, 15


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    package = ROOT / "mode_imitation"
    core = {name: lines_of(package / name) for name in CORE}
    print_table(
        f"the core path: {len(core)} files (aim {AIM_CORE_FILES}), {sum(core.values()):,} lines (aim {AIM_CORE_LINES})",
        ("file", "lines"),
        [(name, f"{count}") for name, count in core.items()],
    )
    rooms: dict[str, int] = {}
    for path in sorted([*package.rglob("*.py"), *(ROOT / "experts").rglob("*.py")]):
        first, *rest = path.relative_to(ROOT).parts
        room = f"{first}/{rest[0]}" if first == "mode_imitation" and len(rest) > 1 else first
        rooms[room] = rooms.get(room, 0) + lines_of(path)
    print_table(
        f"the package: {sum(rooms.values()):,} lines (aim {AIM_PACKAGE_LINES:,})",
        ("room", "lines"),
        [(room, f"{count:,}") for room, count in rooms.items()],
    )
    options = {name: sum(option.listed for option in all_options(config_of(name)).values()) for name in COMMANDS}
    print_table(
        f"options that --help lists (aim {AIM_OPTIONS})",
        ("command", "options"),
        [(name, f"{count}") for name, count in options.items()],
    )


if __name__ == "__main__":
    main()
