"""The sweep from end to end: cells that are kept or fail, its files, and the command that it recommends."""

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from mode_imitation import plots
from mode_imitation.atomic import locked
from mode_imitation.cli import main, parse
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.processes import WorkerDiedError
from mode_imitation.reports.sweep.cells import CODE, Done, Failed, code_digest, prepare
from mode_imitation.reports.sweep.config import AS_IN_A_CELL, SweepConfig, whole_numbers
from mode_imitation.reports.sweep.sweep import COLUMNS, WITH_LABELS, sweep, write_sweep
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit
from mode_imitation.training.run_folder import read_info
from tests.drawn_episodes import assert_within, text_boxes
from tests.running import imported_folders
from tests.synthetic import two_laws
from tests.tiny_sweeps import NAME, in_this_process, stored, tiny


def test_the_grid_and_its_mistakes() -> None:
    config = SweepConfig(dataset=NAME, codes="4,2", strides="5", seeds=2, seed=7)
    assert [cell.name for cell in config.cells()] == [
        "k2-stride5-seed7",
        "k2-stride5-seed8",
        "k4-stride5-seed7",
        "k4-stride5-seed8",
    ]
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
    config = tiny(tmp_path, tmp_path / "sweep", strides="1", codes="2")
    first = sweep(config, in_this_process)
    cells = sorted((config.out / "cells").glob("*.json"))
    assert len(cells) == len(first.cells) == 2
    before = {path.name: path.read_bytes() for path in cells}
    cells[0].unlink()
    trained: list[str] = []

    def counting(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        trained.extend(task["name"] for task in tasks)
        return in_this_process(job, tasks, n_jobs)

    again = sweep(config, counting)
    assert trained == [name_of(cells[0])]
    assert "1 of 2 cells are there already" in capsys.readouterr().out
    assert cells[1].read_bytes() == before[cells[1].name]
    assert again.recommendation.to_dict() == first.recommendation.to_dict()
    assert again.cells == first.cells
    # Other settings are other cells, and neither are lost by the others.
    trained.clear()
    other = dataclasses.replace(config, iterations=9)
    sweep(other, counting)
    assert trained == [name_of(cell) for cell in cells]
    trained.clear()
    sweep(config, counting)
    sweep(other, counting)
    assert trained == []


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
    assert one.recommendation.to_dict() == other.recommendation.to_dict()
    assert one.cells == other.cells
    shown = [one.columns[len(COLUMNS) :], other.columns[len(COLUMNS) :]]
    assert shown == [(WITH_LABELS,), (WITH_LABELS,) if labels == "shuffled" else ()]
    if labels == "shuffled":
        assert one.rows != other.rows


def test_the_files_of_a_sweep(tmp_path: Path) -> None:
    stored(tmp_path)
    config = tiny(tmp_path, tmp_path / "sweep", strides="1,3", seeds=1)
    found = sweep(config, in_this_process)
    files = {path.name for path in write_sweep(found)}
    assert files == {"sweep.json", "sweep.md", "choice.png"}
    written = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [setting["codes"] for setting in written["settings"]] == [2, 3, 2, 3]
    page = (tmp_path / "sweep" / "sweep.md").read_text()
    assert WITH_LABELS in page
    assert str(found.command) in page
    write_dataset(NAME, two_laws(n_each=4, seed=9).episodes, root=tmp_path / "other")
    with pytest.raises(UserError, match="other data"):
        sweep(dataclasses.replace(config, root=tmp_path / "other"), in_this_process)


def test_agreement_is_the_median_of_the_seeds_nmi(tmp_path: Path) -> None:
    data = stored(tmp_path)
    found = sweep(tiny(tmp_path, tmp_path / "sweep", strides="2", codes="3", seeds=3), in_this_process)
    scores = [normalized_mutual_info_score(data.labels, cell.codes) for cell in found.settings[0].cells]
    assert [row[-1] for row in found.rows] == [f"{np.median(scores):.3f}"]


def test_a_dataset_without_labels_is_chosen_for_too(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, "removed")
    monkeypatch.setattr("mode_imitation.reports.sweep.sweep.run_cells", in_this_process)
    options = "--codes 2 --strides 2 --seeds 1 --iterations 10 --joint-iterations 20"
    out = tmp_path / "sweep"
    assert main(["sweep", NAME, "--root", str(tmp_path), "--out", str(out), *options.split()]) == 0
    printed = capsys.readouterr().out
    assert "stability between seeds is left out" in printed
    assert "NMI" not in printed
    assert "next: mode-imitation train" in printed
    # The settings of a trial are told, and not carried into the command.
    assert "a trial: --joint-iterations is not as in `train`" in printed
    command = parse("train", shlex.split(printed[printed.index("next: ") :])[3:])
    assert command.settings == dataclasses.replace(TrainConfig(), codes=2, stride=2)
    assert {path.name for path in out.iterdir()} == {"cells", "sweep.json", "sweep.md", "choice.png"}


def test_one_mode_everywhere_is_told_and_no_command_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)

    def finding_one(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        for index, outcome in in_this_process(job, tasks, n_jobs):
            criteria = outcome["criteria"] | {"smallest_clarity": None}
            yield index, outcome | {"codes": [0] * 10, "n_modes": 1, "criteria": criteria}

    monkeypatch.setattr("mode_imitation.reports.sweep.sweep.run_cells", finding_one)
    options = "--codes 2 --strides 2 --seeds 2 --iterations 10 --joint-iterations 20"
    out = tmp_path / "sweep"
    assert main(["sweep", NAME, "--root", str(tmp_path), "--out", str(out), *options.split()]) == 1
    printed = capsys.readouterr().out
    assert "nothing is recommended: every training found one mode, which is nothing to steer; the data may" in printed
    assert "mode-imitation train test" not in printed
    assert json.loads((out / "sweep.json").read_text())["command"] is None
    assert "Nothing is recommended" in (out / "sweep.md").read_text()


def test_experts_that_take_turns_are_nobody_s_label(tmp_path: Path) -> None:
    half = np.array(["plus"] * 30 + ["minus"] * 30)
    episodes = [dataclasses.replace(one, expert="plus+minus", acting=half) for one in two_laws(n_each=5).episodes]
    write_dataset(NAME, episodes, root=tmp_path)
    found = sweep(tiny(tmp_path, tmp_path / "sweep", strides="2", codes="3", seeds=1), in_this_process)
    assert found.columns == COLUMNS


def test_the_recommended_command_finds_the_same_codes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stored(tmp_path)
    monkeypatch.setattr(SweepConfig, "trial", False)  # as if so short a first phase were what `train` has
    config = tiny(tmp_path, tmp_path / "sweep", codes="3", strides="2")
    found = sweep(config, in_this_process)
    words = shlex.split(str(found.command))
    assert words[:3] == ["mode-imitation", "train", NAME]
    settings = parse("train", words[2:]).settings
    chosen = found.recommendation.setting
    assert chosen is not None
    assert (settings.codes, settings.stride, settings.seed) == (3, 2, chosen.best.cell.seed)
    # The rest is what `train` has, but for what the codes need.
    as_in_a_cell = {"codes": 3, "stride": 2, "seed": chosen.best.cell.seed, **AS_IN_A_CELL}
    assert settings == dataclasses.replace(TrainConfig(), **as_in_a_cell)
    fit(data, dataclasses.replace(settings, iterations=30, joint_iterations=config.joint_iterations), tmp_path / "run")
    assert read_info(tmp_path / "run")["assignment"] == chosen.best.codes


def test_a_failing_cell_is_recorded_tried_again_and_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stored(tmp_path)
    options = "--codes 2 --strides 2,500 --seeds 1 --iterations 10 --joint-iterations 20"
    out = tmp_path / "sweep"
    # In real processes: this is how the command is used.
    arguments = ["sweep", NAME, "--root", str(tmp_path), "--out", str(out), "--jobs", "1", *options.split()]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "failed: k = 2, stride 500, seed 0: 10 of 10 episodes are shorter than a window, which spans 535" in printed
    written = json.loads((out / "sweep.json").read_text())
    assert [cell["status"] for cell in written["cells"]] == ["done", "failed"]
    assert written["recommendation"]["stride"] == 2
    retried: list[str] = []

    def counting(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        retried.extend(task["name"] for task in tasks)
        return in_this_process(job, tasks, n_jobs)

    sizes = {"iterations": 10, "joint_iterations": 20, "seeds": 1, "seed": 0}
    sweep(tiny(tmp_path, out, codes="2", strides="2,500", **sizes), counting)
    assert retried == ["k2-stride500-seed0"]


def test_a_process_that_dies_fails_its_cell_only(tmp_path: Path) -> None:
    stored(tmp_path)

    def dying(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int):
        for index, outcome in in_this_process(job, tasks, n_jobs):
            yield index, outcome if index else WorkerDiedError("its process ended with status 9: out of memory")

    found = sweep(tiny(tmp_path, tmp_path / "sweep", strides="2", codes="3"), dying)
    assert [type(cell) for cell in found.cells] == [Failed, Done]
    assert "failed: k = 3, stride 2, seed 100: its process ended with status 9: out of memory" in found.notes


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
        for index in range(len(tasks)):
            yield index, UserError("the disk is full")

    with pytest.raises(UserError, match="every cell of the sweep failed; the first one: the disk is full"):
        sweep(tiny(tmp_path, tmp_path / "sweep", strides="1", codes="2"), failing)


def test_data_that_no_cell_can_be_trained_on_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(UserError, match="no cell of the sweep can be trained: 10 of 10 episodes are shorter"):
        sweep(tiny(tmp_path, tmp_path / "sweep", strides="500", codes="2"), in_this_process)
    assert not (tmp_path / "sweep").exists()


def test_all_that_decides_what_is_in_a_cell_is_in_the_digest_of_the_code() -> None:
    loaded = imported_folders(prepare.__module__, "mode_imitation.training.fit", "mode_imitation.reports.sweep.choice")
    assert loaded <= {"mode_imitation", *(f"mode_imitation/{room}" for room in CODE)}


def test_cells_of_other_code_are_kept_and_noted(tmp_path: Path) -> None:
    stored(tmp_path)
    config = tiny(tmp_path, tmp_path / "sweep", codes="2", strides="1,2", seeds=1)
    first = sweep(config, in_this_process)
    assert {cell.code for cell in first.cells if isinstance(cell, Done)} == {code_digest()}
    (one, _) = (config.out / "cells").glob("*.json")
    one.write_text(json.dumps(json.loads(one.read_text()) | {"code": "0123456789abcdef"}))
    again = sweep(config, in_this_process)
    assert any(note.startswith("1 of 2 cells were made by another state") for note in again.notes)


def test_the_picture_shows_what_is_known_and_has_room_for_its_title(tmp_path: Path) -> None:
    shown: dict[str, Any] = {"codes": 2, "stride": 1, "nll": [-1.0], "n_modes": [2], "stability": None}
    figure = plots.plot_choice([shown | {"clarities": [0.9, 0.2]}], chosen=(2, 1), title="Chosen: k = 2, stride 1")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["cross-fitted NLL,\nbest seed", "least clear pair of\nall seeds", "modes found,\nbest seed"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.20"]
    assert_within(figure, text_boxes(figure))
    assert plots.save_figure(figure, tmp_path / "choice.png").stat().st_size > 1000
    figure = plots.plot_choice([shown | {"clarities": [None]}], chosen=None)
    assert len(figure.axes) == 2
