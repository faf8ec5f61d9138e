"""Cells of the benchmark are kept, gone on with, and fail alone."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.modes import cells as cells_module
from benchmarks.modes import run
from benchmarks.modes.__main__ import main
from benchmarks.modes.cells import CELL, CODE, Cell, make_cell, run_cells
from benchmarks.modes.config import METHODS, SETS, BenchmarkConfig
from benchmarks.modes.run import command_of
from benchmarks.modes.switching import GOAL_STEPS
from mode_imitation.atomic import locked
from mode_imitation.errors import UserError
from mode_imitation.training.run_folder import load_run
from mode_imitation.worlds.config import GenerateConfig
from tests.benchmark_figures import in_this_process
from tests.benchmark_worker import prepare
from tests.running import imported_folders

TINY = [
    "--episodes",
    "2",
    "--steps",
    "120",
    "--layouts",
    "2",
    "--iterations",
    "3",
    "--layout-block",
    "tuning",
    "--jobs",
    "1",
]


def cell_of(folder: Path, method: str, seed: int = 0) -> Cell:
    return make_cell(folder, {"method": method, "seed": seed}, "checksum")


def test_a_cell_that_fails_or_dies_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    cells = [cell_of(tmp_path, name, seed) for seed in range(2) for name in ("fails", "works", "dies")]
    ended = {(cell.method, cell.seed): reason for cell, reason in run_cells(cells, 2, prepare)}
    assert len(ended) == len(cells)
    for cell in cells:
        assert ended[cell.method, cell.seed] == cell.failure()
        assert (cell.read() is not None) == (cell.method == "works")
    assert cells[0].failure() == "no such thing"
    assert "ended with status 3" in (cells[2].failure() or "")
    assert cells[1].read() == {"seed": 0}
    assert cells[4].read() == {"seed": 1}


def test_data_with_bursts_that_drive_away_is_other_data_with_results_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[GenerateConfig] = []
    monkeypatch.setattr(run, "load_dataset", lambda name, root: made_by(made[-1]))
    monkeypatch.setattr("mode_imitation.worlds.generate.generate", made.append)
    usual = GenerateConfig(expert=(), out="any/any-v0").burst_away
    plain, away = (BenchmarkConfig(set="two", out=tmp_path, burst_away=share) for share in (usual, 0.2))
    names = [run.prepare_data(config).name for config in (plain, away)]
    assert names == ["pointgoal1/two-experts-v0", "pointgoal1/two-experts-away20-v0"]
    assert [(config.out, config.burst_away) for config in made] == [(names[0], usual), (names[1], 0.2)]
    assert (BenchmarkConfig(set="two").name, plain.name, away.name) == ("two", "two", "two-away20")
    assert BenchmarkConfig(set="two", burst_away=0.125, memory=2).name == "two-away12p5-memory2"
    assert BenchmarkConfig(set="two", ring="attention", burst_away=0.0).name == "two-away0-attention"
    assert command_of(away).endswith("--burst-away 0.2")
    assert "burst" not in command_of(plain)


def test_fresh_demonstrations_are_other_ones_for_every_training_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[GenerateConfig] = []

    def load(name: str, root: Path) -> SimpleNamespace:
        (config,) = (config for config in made if config.out == name)
        return made_by(config)

    monkeypatch.setattr(run, "load_dataset", load)
    monkeypatch.setattr("mode_imitation.worlds.generate.generate", made.append)
    config = BenchmarkConfig(set="two", out=tmp_path, seeds=3, methods="ours", fresh_demonstrations=True)
    cells = run.plan_cells(config)
    assert [(one.out, one.seed) for one in made] == [(f"pointgoal1/two-experts-data{n}-v0", n) for n in (1, 2, 3)]
    ours = [cell for cell in cells if cell.method == "ours"]
    assert [(cell.seed, cell.job["dataset"]["name"]) for cell in ours] == [(n, made[n].out) for n in range(3)]
    usual = run.plan_cells(dataclasses.replace(config, fresh_demonstrations=False))
    assert made[-1].out == "pointgoal1/two-experts-v0"
    assert not {cell.run for cell in ours} & {cell.run for cell in usual}
    experts = [[cell.folder for cell in found if cell.method == "experts"] for found in (cells, usual)]
    assert experts[0] == experts[1], "the experts themselves drive as they do"
    assert config.name == "two-fresh-trial"
    assert "--fresh-demonstrations" in command_of(config)


def test_where_experts_take_turns_no_burst_drives_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[GenerateConfig] = []
    monkeypatch.setattr(run, "load_dataset", lambda name, root: made_by(made[-1]))
    monkeypatch.setattr("mode_imitation.worlds.generate.generate", made.append)
    for share in (0.2, 0.4):
        config = BenchmarkConfig(set="turns", out=tmp_path / str(share), burst_away=share)
        assert run.prepare_data(config).name == "pointgoal1/turns-experts-v0"
        assert (made[-1].burst_away, config.name) == (0.0, "turns")


def made_by(config: GenerateConfig) -> SimpleNamespace:
    """What is looked at of the dataset that these settings make."""
    settings = json.loads(json.dumps(config.settings, default=str))
    return SimpleNamespace(name=config.out, metadata={"settings": settings}, checksum=f"of {config.out}")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"seed": 1}, "seed is 1, expected 0"),
        ({"bursts_that_drive_away": None}, "bursts_that_drive_away is None, expected straight on"),
        ({"expert": ["circling=60"]}, r"expert is \['circling=60'\], expected \['goal_seeking=60', "),
        (None, "expert is None"),
    ],
)
def test_other_data_of_the_benchmarks_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any] | None, complaint: str
) -> None:
    made: list[GenerateConfig] = []
    monkeypatch.setattr("mode_imitation.worlds.generate.generate", made.append)

    def load(name: str, root: Path) -> SimpleNamespace:
        data = made_by(made[-1])
        data.metadata = {} if settings is None else {"settings": data.metadata["settings"] | settings}
        return data

    monkeypatch.setattr(run, "load_dataset", load)
    with pytest.raises(UserError, match=f"two-experts-v0 is not the benchmark's data: {complaint}"):
        run.prepare_data(BenchmarkConfig(set="two", out=tmp_path))


def test_all_that_decides_what_is_in_a_cell_is_in_the_digest_of_the_code() -> None:
    made_by = ("methods", "measure", "kmeans", "categorical_vae", "switching", "worker")
    loaded = imported_folders(*(f"benchmarks.modes.{name}" for name in made_by))
    assert loaded <= {"mode_imitation", "mode_imitation/plots", "benchmarks", *CODE}


def test_the_original_method_has_no_options_whatever_is_asked_for() -> None:
    plain, asked = BenchmarkConfig(set="two"), BenchmarkConfig(set="two", memory=4, ring="attention")
    assert plain.train_settings("original") == asked.train_settings("original")
    assert plain.train_settings("ours") != asked.train_settings("ours")


def test_exact_physics_have_results_of_their_own_and_change_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = SimpleNamespace(name="two", checksum="checksum")
    monkeypatch.setattr(run, "prepare_data", lambda config, seed: data)
    monkeypatch.setattr("mode_imitation.worlds.safety.sleep.can_sleep", lambda: True)
    config = BenchmarkConfig(set="two", seeds=1, layouts=2, out=tmp_path)
    exact = dataclasses.replace(config, exact_physics=True)
    fast, slow = run.plan_cells(config), run.plan_cells(exact)
    assert ({cell.job["physics"] for cell in fast}, {cell.job["physics"] for cell in slow}) == ({"fast"}, {"exact"})
    assert [cell.run for cell in fast] == [cell.run for cell in slow]
    assert not {cell.folder for cell in fast} & {cell.folder for cell in slow}
    assert (config.name, exact.name) == ("two-trial", "two-exact-trial")
    assert (BenchmarkConfig(set="two").name, BenchmarkConfig(set="two", exact_physics=True).name) == (
        "two",
        "two-exact",
    )
    assert command_of(exact).endswith("--exact-physics")
    monkeypatch.setattr("mode_imitation.worlds.safety.sleep.can_sleep", lambda: False)
    assert [cell.folder for cell in run.plan_cells(config)] == [cell.folder for cell in slow]
    assert command_of(config).endswith("--exact-physics"), "what it says makes the same figures where vases can sleep"


def test_two_benchmarks_do_not_work_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run, "plan_cells", lambda config: [cell_of(tmp_path, "works")])
    monkeypatch.setattr(run, "run_cells", lambda cells, n_jobs: run_cells(cells, n_jobs, prepare))
    words = ["two", "--out", str(tmp_path)]
    with locked(tmp_path / "two" / ".lock", "held"):
        assert main(words) == 2
    assert "another benchmark of two is at work" in capsys.readouterr().err


def test_a_policy_depends_only_on_what_trains_it(tmp_path: Path) -> None:
    job = {"method": "bc", "seed": 0, "steps": 5, "layouts": [1, 2], "train": {"codes": 4}}
    cell = make_cell(tmp_path, job, "data")
    other = make_cell(tmp_path, job | {"layouts": [1, 2, 3], "steps": 6}, "data")
    assert cell.run == other.run
    assert cell.folder != other.folder
    for change in ({"method": "ours"}, {"seed": 1}, {"train": {"codes": 5}}):
        assert make_cell(tmp_path, job | change, "data").run != cell.run
    assert make_cell(tmp_path, job, "other data").run != cell.run


def test_a_cell_depends_on_settings_data_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"method": "bc", "seed": 0, "steps": 5, "dataset": {"root": "here"}}
    folder = make_cell(tmp_path, job, "data").folder
    assert make_cell(tmp_path, job | {"dataset": {"root": "there"}}, "data").folder == folder
    assert make_cell(tmp_path, job | {"steps": 6}, "data").folder != folder
    assert make_cell(tmp_path, job, "other data").folder != folder
    monkeypatch.setattr(cells_module, "versions", lambda: {"torch": "0.1"})
    assert make_cell(tmp_path, job, "data").folder != folder


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "complete"'])
def test_a_damaged_cell_is_made_again(tmp_path: Path, content: str) -> None:
    cell = cell_of(tmp_path, "works")
    cell.write({"a": 1})
    assert cell.read() == {"a": 1}
    (cell.folder / CELL).write_text(content)
    assert cell.read() is None
    assert [reason for _, reason in run_cells([cell], 1, prepare)] == [None]
    assert cell.read() == {"seed": 0}


def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    cells = [cell_of(tmp_path, "works", seed) for seed in range(6)]
    iteration = run_cells(cells, 1, prepare)
    next(iteration)
    iteration.close()
    assert sum(cell.read() is not None for cell in cells) < len(cells)
    assert not any(cell.failure() for cell in cells)


@pytest.mark.parametrize("method", ["works", "dies", "fails"])
def test_a_cell_that_cannot_be_kept_stops_the_benchmark_instead_of_hanging_it(method: str, tmp_path: Path) -> None:
    cells = [cell_of(tmp_path, method, seed) for seed in range(3)]
    for cell in cells:
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        cell.folder.touch()
    with pytest.raises(OSError, match=cells[0].folder.name):
        list(run_cells(cells, 1, prepare))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tow"], "did you mean 'two'?; expected two, four, six or turns"),
        (["two", "--methods", "ours,kmaens"], "no method 'kmaens', did you mean 'kmeans'?"),
        (["two", "--seeds", "0"], "--seeds is 0; expected at least 1"),
        (["two", "--seeds", "1000000000"], "--seeds is 1000000000; expected 1 to 1000"),
        (["two", "--layouts", "1"], "--layouts is 1; expected at least 2"),
        (["two", "--jobs", "0"], "--jobs is 0"),
        (["two", "--layouts", "600000"], "600000 layouts were asked for"),
        (["two", "--steps", "1001"], "--steps is 1001; expected 100 to 1000"),
        (["two", "--layout-block", "mine"], "no list of layouts 'mine'"),
        (["two", "--burst-away", "2"], "--burst-away is 2.0; expected a share from 0 to 1"),
        (["two", "--out", "FILE/below"], "FILE is a file; expected a folder for"),
        (["two", "--publish", "FILE"], "FILE is a file; expected a folder for"),
        ([], "is missing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    words = [word.replace("FILE", f"{tmp_path}/file") for word in arguments]
    assert main([*words, *([] if "--out" in words else ["--out", str(tmp_path / "out")])]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert expected.replace("FILE", f"{tmp_path}/file") in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_every_cell_fails_nothing_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cells = [cell_of(tmp_path, "fails", seed) for seed in range(2)]
    monkeypatch.setattr(run, "plan_cells", lambda config: cells)
    monkeypatch.setattr(run, "run_cells", lambda cells, n_jobs: run_cells(cells, n_jobs, prepare))
    published = tmp_path / "docs"
    assert main(["two", "--out", str(tmp_path / "out"), "--publish", str(published)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    told = "every cell of the benchmark failed; the first one (fails, seed 0): no such thing"
    assert last == f"python -m benchmarks.modes: error: {told}"
    assert not published.exists()


def test_the_experts_are_always_driven_and_every_set_has_more_codes_than_experts() -> None:
    assert BenchmarkConfig(set="two", methods="bc").chosen == ["experts", "bc"]
    assert BenchmarkConfig(set="two").chosen == [name for name in METHODS if name != "segments"]
    assert BenchmarkConfig(set="two").full
    assert not BenchmarkConfig(set="two", layout_block="tuning").full
    assert not BenchmarkConfig(set="two", seeds=4).full
    assert not BenchmarkConfig(set="two", layouts=199).full
    for chosen in SETS.values():
        assert chosen.codes == 2 * len(chosen.experts)


def test_the_real_worker_tells_why_it_failed(tmp_path: Path) -> None:
    job = {"method": "bc", "seed": 0, "layouts": [1], "goal_expert": "a", "switching_layouts": 1, "steps": 5}
    cell = make_cell(tmp_path, job | {"dataset": {"name": "no/such-v0", "root": str(tmp_path)}}, None)
    ((_, reason),) = run_cells([cell], 1)
    assert reason == cell.failure()
    assert "no/such-v0" in (reason or "")


def test_a_benchmark_from_end_to_end_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run, "run_cells", in_this_process)
    out, published = tmp_path / "out", tmp_path / "docs"
    words = ["two", "--seeds", "1", "--methods", "bc", "--out", str(out), *TINY]
    assert main(words) == 0
    first = capsys.readouterr()
    assert "A TRIAL" in first.out
    cells = sorted((out / "two" / "cells").glob("*/cell.json"))
    assert [path.parent.name.rsplit("-", 2)[0] for path in cells] == ["bc", "experts"]
    before = [path.stat().st_mtime_ns for path in cells]
    figures = [json.loads(path.read_text())["figures"] for path in cells]
    assert all(found["seconds"]["driving"] > 0 for found in figures)

    # A failure is tried again, what is finished is left as it is, and a method more only adds its own cells.
    job = json.loads(cells[0].read_text())["job"]
    Cell(cells[0].parent, tmp_path, job).fail("the disk was full")
    more = [*words[:4], "bc,true-label", *words[5:], "--publish", str(published)]
    assert main(more) == 0
    printed = capsys.readouterr().out
    assert "true-label" in printed
    assert cells[1].stat().st_mtime_ns == before[1]
    assert json.loads(cells[0].read_text())["status"] == "complete"
    results = json.loads((out / "two-trial" / "results.json").read_text())
    assert set(results["methods"]) == {"experts", "true-label", "bc"}
    assert results["failed"] == {}
    assert "--methods bc,true-label" in results["command"]
    assert [path.name for path in published.iterdir()] == ["benchmark-two-trial.json"]
    assert json.loads((published / "benchmark-two-trial.json").read_text()) == results
    assert results["command"] in (out / "two-trial" / "results.md").read_text()
    # The policies are runs like any other.
    (trained,) = (out / "two" / "runs").glob("bc-*")
    assert load_run(trained).info["source"]["root"] == str(out / "data")
    # Code that has changed is told, and decides nothing.
    assert "another state" not in printed
    (code,) = (out / "two" / "runs").glob("true-label-*/code.txt")
    code.write_text("of last year")
    assert main(more) == 0
    assert "1 of 3 cells were trained or measured by another state" in capsys.readouterr().out
    # Too short for an excursion, so that nothing was switched.
    assert int(TINY[3]) < 2 * GOAL_STEPS
    assert results["methods"]["bc"]["switching"] == {}
