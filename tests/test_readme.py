"""The README and the pages under docs: commands are commands, Python is Python, links lead somewhere, and the table of
results has the figures that the benchmark wrote."""

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.modes.config import BenchmarkConfig
from benchmarks.original.__main__ import OriginalConfig
from mode_imitation.cli import COMMANDS, config_of, parse
from mode_imitation.options import all_options, read_options

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
BOTH = PAGES | {"README.md": README}
OF_RELEASE_0_1 = {"docs/results.md", "docs/tried.md"}
"""Their sentences name options of 0.1, too."""
DOCS = "\n".join(PAGES.values())


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def commands(program: str) -> list[str]:
    found = [*blocks("bash"), *blocks("bash", DOCS)]
    lines = dict.fromkeys(line.partition(" #")[0].strip() for block in found for line in block.splitlines())
    return [line for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("line", commands("mode-imitation"))
def test_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # --config names a file of the project's
    _, name, *arguments = shlex.split(line)
    assert parse(name, arguments)


OPTIONS_OF_OTHERS = {"--no-deps"}  # pip's


@pytest.mark.parametrize("name", ["README", *sorted(PAGES.keys() - OF_RELEASE_0_1)])
def test_options_in_sentences_are_taken_by_a_command(name: str) -> None:
    page = README if name == "README" else PAGES[name]
    configs = [config_of(command) for command in COMMANDS]
    known = {"help", "version"}.union(*map(all_options, [*configs, BenchmarkConfig, OriginalConfig]))
    taken = {f"--{no}{name.replace('_', '-')}" for name in known for no in ("", "no-")} | OPTIONS_OF_OTHERS
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    ours = [words for words in map(str.split, spans) if words[0] in COMMANDS or words[0].startswith("--")]
    named = {word.split("=")[0] for words in ours for word in words if word.startswith("--")}
    assert named - taken == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_at_work(name: str) -> None:
    assert any(line.split()[1] == name for line in commands("mode-imitation")) or f"make {name}" in README


def test_the_readme_has_less_than_200_lines() -> None:
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("code", [*blocks("python"), *blocks("python", DOCS)])
def test_python_compiles(code: str) -> None:
    compile(code, "README.md or docs", "exec")


def links(page: str) -> list[tuple[str, str]]:
    """The file that each link leads to, itself for a link within the page, and the heading, "" for none."""
    found = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", BOTH[page])
    files = [((ROOT / page).parent / target).resolve() if target else ROOT / page for target, _ in found]
    return [(str(file.relative_to(ROOT)), anchor) for file, (_, anchor) in zip(files, found, strict=True)]


@pytest.mark.parametrize("page", BOTH)
def test_links_lead_to_files(page: str) -> None:
    assert [target for target, _ in links(page) if not (ROOT / target).exists()] == []


def anchors(page: str) -> set[str]:
    """Of a page's headings, as they are made from them: lower case, hyphens for spaces, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", BOTH)
def test_links_into_a_page_lead_to_headings(page: str) -> None:
    assert [link for link in links(page) if link[1] and link[1] not in anchors(BOTH[link[0]])] == []


@pytest.mark.parametrize("line", commands("python"))
def test_benchmarks_exist_and_understand_their_options(line: str) -> None:
    _, first, *rest = shlex.split(line)
    if first == "-m":
        module, *arguments = rest
        config = {"benchmarks.modes": BenchmarkConfig, "benchmarks.original": OriginalConfig}.get(module)
        assert config is None or read_options(f"python -m {module}", config, arguments, "")
        assert find_spec(module)
    else:
        assert (ROOT / first).is_file()


METHODS = {
    "**ours**": "ours",
    "labels given (the ceiling)": "true-label",
    "k-means of trajectories": "kmeans",
    "categorical VAE": "categorical-vae",
    "the original method": "original",
    "cloning without context": "bc",
}


def published(experts: str, method: str) -> dict[str, Any]:
    results = json.loads((ROOT / "docs" / "results" / f"benchmark-{experts}.json").read_text())
    return results["methods"][method]


def interval(figure: dict[str, float], digits: int) -> str:
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def seeds(figure: dict[str, float]) -> str:
    mean, least, largest = (round(figure[name], 3) + 0.0 for name in ("mean", "least", "largest"))
    return f"{mean:.3f} [{least:.3f}, {largest:.3f}]"


def goals_and_those_after(entry: dict[str, Any]) -> tuple[str, str]:
    """Goals over the expert's, undisturbed and after 100 steps ahead."""
    switched = entry["switching"]["forward_moving:100"]
    known = switched.get("ratio")
    after = (interval(known[2], 2) if known else "-") + "*" * bool(switched.get("merged"))
    return interval(entry["experts"]["goal_seeking"]["ratio"]["goals"], 3), after


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("| ").split("|")]


@pytest.mark.parametrize("label", ["**ours**", "labels given (the ceiling)"])
def test_the_readmes_table_of_results_is_what_the_benchmark_wrote(label: str) -> None:
    (row,) = (line for line in README.splitlines() if line.startswith(f"| {label} |"))
    entries = [published(f"{experts}-0.2", METHODS[label]) for experts in ("two", "four", "six")]
    goals, after = zip(*map(goals_and_those_after, entries), strict=True)
    found = ", ".join(f"{entry['exact']} of {entry['seeds']}" for entry in entries)
    assert cells(row) == [label, found, *goals, *after]


@pytest.mark.parametrize("column", ["two", "four", "six"])
@pytest.mark.parametrize(
    ("data", "file"), [("", ""), (", fresh", "-fresh"), (", new layouts", "-confirmation"), (", 0.2", "-0.2")]
)
def test_the_tables_of_the_results_page_are_what_the_benchmark_wrote(column: str, data: str, file: str) -> None:
    rows = [line for line in PAGES["docs/results.md"].splitlines() if line.startswith(f"| {column}{data} | ")]
    rows = [row for row in rows if cells(row)[1] in METHODS]
    assert bool(rows) == (ROOT / "docs" / "results" / f"benchmark-{column}{file}.json").exists()
    assert data or len(rows) == len(METHODS)
    for row in rows:
        entry = published(column + file, METHODS[cells(row)[1]])
        found = f"{entry['exact']} of {entry['seeds']}", seeds(entry["clustering"]["window_nmi"])
        assert cells(row)[2:] == [*found, *goals_and_those_after(entry), seeds(entry["leak"])]


def test_only_what_a_page_shows_is_committed() -> None:
    pages = README + DOCS
    for path in sorted((ROOT / "docs").rglob("*.*")):
        assert path.suffix in (".md", ".py", ".pyc") or path.name in pages, path.name
