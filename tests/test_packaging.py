"""What the packaging promises: two routes that pin the same versions, and a command line that answers at once."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import mode_imitation

ROOT = Path(__file__).parent.parent


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names_and_versions(lines: list[str]) -> dict[str, str]:
    """'minari[hdf5]==0.5.4' -> {'minari': '==0.5.4'}"""
    matches = [re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?(.*)", line) for line in lines]
    return {match[1].lower(): match[2].strip() for match in matches if match}


def requirement_lines() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_pip_route_pins_what_uv_pins() -> None:
    pins = names_and_versions(pyproject()["tool"]["uv"]["constraint-dependencies"])
    by_pip = names_and_versions(requirement_lines())
    assert pins == {name: by_pip[name] for name in pins}


def test_the_pip_route_names_every_dependency_except_the_one_with_stale_pins() -> None:
    declared = set(names_and_versions(pyproject()["project"]["dependencies"]))
    assert declared - set(names_and_versions(requirement_lines())) == {"safety-gymnasium"}


def test_version_is_the_same_everywhere() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "mode_imitation", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["mode-imitation", mode_imitation.__version__]
    heading = "Unreleased" if ".dev" in mode_imitation.__version__ else mode_imitation.__version__
    assert f"## {heading}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_machine_path_or_registry_host_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        return  # an unpacked archive has no index to check
    # Spelled apart so that this file does not find itself.
    words = ["py" + "pi.org", "python" + "hosted", "/ro" + "ot/", "/wo" + "rk/"]
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".ipynb", ".json", ""} and path.is_file():
            text = path.read_text(errors="ignore")
            assert not [word for word in words if word in text], name
