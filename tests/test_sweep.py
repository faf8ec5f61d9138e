"""The sweep from end to end: cells that are kept or fail, its files, and the command that it recommends."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mode_imitation.atomic import locked
from mode_imitation.cli import main
from mode_imitation.commands.train import TrainCommand
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.config import Cell, SweepConfig, whole_numbers
from mode_imitation.reports.sweep.processes import run_cells
from mode_imitation.reports.sweep.sweep import sweep
from mode_imitation.reports.sweep.writer import write_sweep
from mode_imitation.training.config import TrainConfig
from tests.synthetic import two_laws
from tests.tiny_sweeps import NAME, in_this_process, stored, tiny


def test_the_grid_and_its_mistakes() -> None:
    config = SweepConfig(dataset=NAME, codes="4,2", strides="5", seeds=2, seed=7, objectives="original,ours")
    assert [cell.name for cell in config.cells()][:3] == [
        "ours-k2-stride5-seed7",
        "ours-k2-stride5-seed8",
        "ours-k4-stride5-seed7",
    ]
    assert len(config.cells()) == 8
    assert config.training(Cell("original", 4, 5, 7)).objective == "ratio"
    with pytest.raises(UserError, match="no objective 'theirs'"):
        SweepConfig(dataset=NAME, objectives="theirs")
    with pytest.raises(UserError, match="whole numbers"):
        whole_numbers("codes", "2;3", 2)
    with pytest.raises(UserError, match="codes holds 1; expected numbers from 2 to 1000"):
        SweepConfig(dataset=NAME, codes="1,2")
    with pytest.raises(UserError, match="strides holds 5000000"):
        SweepConfig(dataset=NAME, strides="1,5000000")
    with pytest.raises(UserError, match="seeds is 1000000000; expected 1 to 1000"):
        SweepConfig(dataset=NAME, seeds=10**9)


def test_what_is_finished_is_kept_and_what_is_deleted_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stored(tmp_path)
    config = tiny(tmp_path, tmp_path / "sweep", strides="1", codes="2", objectives="ours,original")
    first = sweep(config, in_this_process)
    cells = sorted((config.out / "cells").glob("*.json"))
    assert len(cells) == len(first.cells) == 4
    before = {path.name: path.read_bytes() for path in cells}
    cells[0].unlink()
    trained: list[str] = []

    def counting(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        trained.extend(task["name"] for task in tasks)
        return in_this_process(job, tasks, n_jobs)

    again = sweep(config, counting)
    assert trained == [name_of(cells[0])]
    assert "3 of 4 cells are there already" in capsys.readouterr().out
    assert all(path.read_bytes() == before[path.name] for path in cells[1:])
    assert again.recommendation == first.recommendation
    assert again.cells[-1]["codes"] == first.cells[-1]["codes"]
    # Other settings are other cells.
    trained.clear()
    other = dataclasses.replace(config, iterations=9)
    sweep(other, counting)
    assert trained == [name_of(cell) for cell in cells if cell.stem.startswith("ours")]
    assert "2 cells of other settings" in capsys.readouterr().out
    # Neither is lost by the other.
    trained.clear()
    assert sweep(config, counting).recommendation == first.recommendation
    sweep(other, counting)
    assert trained == []
    assert all(path.read_bytes() == before[path.name] for path in cells[1:])


def name_of(file: Path) -> str:
    """The cell's name, without its key."""
    return file.stem.rpartition("-")[0]


def test_two_sweeps_do_not_work_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stored(tmp_path)
    out = tmp_path / "sweep"
    (out / "cells").mkdir(parents=True)
    with locked(out / "cells", "held"):
        assert main(["sweep", NAME, "--root", str(tmp_path), "--out", str(out), "--codes", "2", "--strides", "1"]) == 2
    assert f"another sweep is at work in {out}" in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["shuffled", "removed"])
def test_labels_change_nothing_of_the_recommendation(tmp_path: Path, labels: str) -> None:
    found = {}
    for name in ("true", labels):
        stored(tmp_path / name, name)
        found[name] = sweep(tiny(tmp_path / name, tmp_path / name / "sweep", strides="2", codes="3"), in_this_process)
    one, other = found["true"], found[labels]
    assert one.recommendation == other.recommendation
    assert [cell["codes"] for cell in one.cells] == [cell["codes"] for cell in other.cells]
    assert [cell["criteria"] for cell in one.cells] == [cell["criteria"] for cell in other.cells]
    if labels == "shuffled":
        nmi = [[cell["evaluation"]["episode"] for cell in run.cells] for run in (one, other)]
        assert nmi[0] != nmi[1]


def test_the_files_of_a_sweep_with_labels(tmp_path: Path) -> None:
    stored(tmp_path)
    config = tiny(tmp_path, tmp_path / "sweep", strides="1,3", seeds=1, objectives="ours,original")
    found = sweep(config, in_this_process)
    files = {path.name for path in write_sweep(found)}
    assert files == {"sweep.json", "sweep.md", "choice.png", "maps.png", "learning-order.png"}
    assert all((tmp_path / "sweep" / name).stat().st_size > 1000 for name in files)
    written = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert set(written["claims"]) == {"ours", "original"}
    assert len(written["claims"]["ours"]) == 3
    page = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "window NMI*" in page
    assert found.command in page
    write_dataset(NAME, two_laws(n_each=4, seed=9).episodes, root=tmp_path / "other")
    with pytest.raises(UserError, match="other data"):
        sweep(dataclasses.replace(config, root=tmp_path / "other"), in_this_process)


def test_a_dataset_without_labels_is_chosen_for_too_and_says_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, "removed")
    monkeypatch.setattr("mode_imitation.reports.sweep.sweep.run_cells", in_this_process)
    options = "--codes 2 --strides 2 --seeds 1 --iterations 10 --discovery-iterations 20 --scoring-iterations 20"
    out = tmp_path / "sweep"
    assert main(["sweep", NAME, "--root", str(tmp_path), "--out", str(out), *options.split()]) == 0
    printed = capsys.readouterr().out
    assert "the dataset names no experts" in printed
    assert "stability between seeds is left out" in printed
    assert "NMI" not in printed
    assert "mode-imitation train" in printed
    assert {path.name for path in out.iterdir()} == {"cells", "sweep.json", "sweep.md", "choice.png"}


def test_experts_that_take_turns_are_nobody_s_label(tmp_path: Path) -> None:
    half = np.array(["plus"] * 30 + ["minus"] * 30)
    episodes = [dataclasses.replace(one, expert="plus+minus", acting=half) for one in two_laws(n_each=5).episodes]
    write_dataset(NAME, episodes, root=tmp_path)
    found = sweep(tiny(tmp_path, tmp_path / "sweep", strides="2", codes="3", seeds=1), in_this_process)
    assert [cell["evaluation"] for cell in found.cells] == [None]
    assert found.claims == {}
    (line,) = (line for line in found.left_out if "turns" in line)
    assert line.startswith("experts take turns within episodes")
    assert {path.name for path in write_sweep(found)} == {"sweep.json", "sweep.md", "choice.png"}


def test_the_recommended_command_finds_the_same_codes_again(tmp_path: Path) -> None:
    import shlex

    from mode_imitation.cli import parse
    from mode_imitation.training.run_folder import read_info
    from mode_imitation.training.trainer import train

    data = stored(tmp_path)
    for objective in ("ours", "original"):
        found = sweep(
            tiny(tmp_path, tmp_path / objective, codes="3", strides="2", objectives=objective), in_this_process
        )
        words = shlex.split(found.command)
        assert words[:3] == ["mode-imitation", "train", NAME]
        command = parse("train", TrainCommand, words[2:])
        chosen = found.recommendation
        assert (command.settings.codes, command.settings.stride, command.settings.seed) == (
            3,
            chosen.stride,
            chosen.seed,
        )
        if objective == "ours":
            assert command.settings.iterations == TrainConfig().iterations
        run = tmp_path / f"run-{objective}"
        train(data, dataclasses.replace(command.settings, iterations=30), run)
        wanted = {"objective": objective, "codes": 3, "stride": chosen.stride, "seed": chosen.seed}
        [cell] = [cell for cell in found.cells if cell["cell"] == wanted]
        assert read_info(run)["assignment"] == cell["codes"]


def test_a_failing_cell_is_recorded_tried_again_and_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stored(tmp_path)
    options = "--codes 2 --strides 2,500 --seeds 1 --iterations 10 --discovery-iterations 20 --scoring-iterations 20"
    out = tmp_path / "sweep"
    # In real processes: this is how the command is used.
    arguments = ["sweep", NAME, "--root", str(tmp_path), "--out", str(out), "--jobs", "1", *options.split()]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "failed: ours, k = 2, stride 500, seed 0: episode 0 has 60 steps, a window spans 535" in printed
    written = json.loads((out / "sweep.json").read_text())
    assert [cell["status"] for cell in written["cells"]] == ["done", "failed"]
    assert written["recommendation"]["stride"] == 2
    retried: list[str] = []

    def counting(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        retried.extend(task["name"] for task in tasks)
        return in_this_process(job, tasks, n_jobs)

    sizes = {"iterations": 10, "discovery_iterations": 20, "scoring_iterations": 20, "seeds": 1, "seed": 0}
    sweep(tiny(tmp_path, out, codes="2", strides="2,500", **sizes), counting)
    assert retried == ["ours-k2-stride500-seed0"]


def test_a_process_that_dies_fails_its_cell_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying_worker.py").write_text(
        "import json, os, sys\n"
        "sys.stdin.readline()\n"
        "for line in sys.stdin:\n"
        "    if json.loads(line)['name'] == 'bad':\n"
        "        print('out of memory', file=sys.stderr, flush=True)\n"
        "        os._exit(9)\n"
        "    print(json.dumps({'status': 'done'}), flush=True)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    tasks = [{"name": name} for name in ("one", "bad", "two", "three")]
    found = {
        task["name"]: result for task, result in run_cells({"scratch": str(tmp_path)}, tasks, 1, module="dying_worker")
    }
    assert {name for name, result in found.items() if result["status"] == "done"} == {"one", "two", "three"}
    assert "status 9" in found["bad"]["reason"]
    assert "out of memory" in found["bad"]["reason"]


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stored(tmp_path / "few", n_each=1)
    stored(tmp_path / "data")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("precious")
    for arguments, words in (
        (["--root", str(tmp_path / "few")], "has 2 episodes; codes are judged"),
        (["--root", str(tmp_path / "data"), "--out", str(taken)], "is no sweep"),
        (["--root", str(tmp_path / "data"), "--codes", "two"], "expected whole numbers"),
        (["--root", str(tmp_path / "data"), "--seeds", "0"], "expected 1 to 1000"),
        (["--root", str(tmp_path / "none")], "there is no dataset"),
    ):
        assert (
            main(["sweep", NAME, *(["--out", str(tmp_path / "out")] if "--out" not in arguments else []), *arguments])
            == 2
        )
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert words in error
    assert (taken / "thesis.tex").read_text() == "precious"


def test_every_cell_failing_is_one_line(tmp_path: Path) -> None:
    stored(tmp_path)

    def failing(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        for task in tasks:
            yield task, {"status": "failed", "reason": "the disk is full"}

    with pytest.raises(UserError, match="every cell of the sweep failed; the first one: the disk is full"):
        sweep(tiny(tmp_path, tmp_path / "sweep", strides="1", codes="2"), failing)


def test_data_that_no_cell_can_be_trained_on_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(UserError, match="no cell of the sweep can be trained: episode 0 has 60 steps"):
        sweep(tiny(tmp_path, tmp_path / "sweep", strides="500", codes="2"), in_this_process)
    assert not (tmp_path / "sweep").exists()
