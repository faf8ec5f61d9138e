"""Who may import whom. Data flows one way: experts, worlds, data, model, discovery, training, steering, reports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SIMULATORS = {"mujoco", "safety_gymnasium"}

# room: (rooms of the project it may import, libraries it may not)
TABLE = {
    "experts": (set(), SIMULATORS | {"torch", "gymnasium", "minari", "matplotlib"}),
    "data": (set(), SIMULATORS | {"torch", "matplotlib"}),
    "worlds": ({"data", "experts"}, {"torch", "matplotlib"}),
    "model": ({"data"}, SIMULATORS | {"minari", "matplotlib", "gymnasium"}),
    "discovery": ({"data", "model"}, SIMULATORS | {"minari", "matplotlib", "gymnasium"}),
    "training": ({"data", "model", "discovery"}, SIMULATORS | {"matplotlib"}),
    "steering": ({"data", "model", "training"}, SIMULATORS | {"matplotlib"}),
    "plots": ({"data"}, SIMULATORS | {"torch"}),
    "reports": ({"data", "model", "discovery", "training", "steering", "worlds", "experts", "plots"}, SIMULATORS),
}


def imported_modules(path: Path) -> set[str]:
    """Absolute names of every module that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the project uses absolute ones"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "experts":
        return "experts"
    return parts[1] if parts[0] == "mode_imitation" and len(parts) > 1 else None


def files_of(room: str) -> list[Path]:
    folder = ROOT / room if room == "experts" else ROOT / "mode_imitation" / room
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("room", TABLE)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    rooms, forbidden = TABLE[room]
    assert files_of(room)
    for path in files_of(room):
        for module in imported_modules(path):
            top = module.split(".")[0]
            assert top not in forbidden, f"{path.name} imports {module}"
            other = room_of(module)
            if (other and (ROOT / "mode_imitation" / other).is_dir()) or other == "experts":
                assert other in rooms | {room}, f"{path.name} imports {module}"


def test_nothing_that_is_shipped_imports_the_benchmarks_or_the_tests() -> None:
    for folder in ("mode_imitation", "experts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tops = {module.split(".")[0] for module in imported_modules(path)}
            assert not tops & {"benchmarks", "tests"}, path.name


def test_only_the_simulation_imports_the_simulator() -> None:
    for path in sorted((ROOT / "mode_imitation").rglob("*.py")):
        if path.parent.name != "safety":
            tops = {module.split(".")[0] for module in imported_modules(path)}
            assert not tops & SIMULATORS, path.name


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("mode_imitation.cli", {"torch", "mujoco", "matplotlib", "minari", "safety_gymnasium"}),
        ("mode_imitation", {"torch", "mujoco", "matplotlib", "minari", "safety_gymnasium"}),
        ("mode_imitation.training.fit", {"mujoco", "safety_gymnasium"}),
        ("mode_imitation.steering.policy", {"mujoco", "safety_gymnasium"}),
        ("mode_imitation.worlds.rollout", {"torch"}),
        ("experts.registry", {"torch", "mujoco", "safety_gymnasium"}),
    ],
)
def test_importing_a_module_does_not_load(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not unwanted & set(loaded)


def test_help_of_every_command_is_there_at_once() -> None:
    code = """
import contextlib, io, sys
from mode_imitation.cli import COMMANDS, main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    main([])
    for name in COMMANDS:
        try:
            main([name, "--help"])
        except SystemExit:
            pass
assert shown.getvalue().count("usage: ") == 1 + len(COMMANDS)
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {"torch", "gymnasium", "rich", "yaml", "matplotlib", "minari", "h5py", "sklearn", *SIMULATORS}
    assert not unwanted & set(loaded)
