"""Commands from end to end, small: the demo's stages, several datasets, and pictures that are not replaced unasked."""

import json
from pathlib import Path
from typing import Any

import pytest

from mode_imitation.cli import main
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.training.run_folder import read_info
from mode_imitation.training.sources import load_source, recorded_root, source_of
from tests.synthetic import two_laws

DATA = str(Path(__file__).parent.parent / "data")
SAMPLE = "sample/two-experts-v0"


def test_the_demo_goes_through_all_stages_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "demo"
    sizes = {"episodes": 4, "steps": 150, "iterations": 40, "joint-iterations": 40, "layouts": 2}
    arguments = [
        "demo",
        "--out",
        str(out),
        *(word for name, size in sizes.items() for word in (f"--{name}", str(size))),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "look at" in printed
    assert "experts: 2; modes found" in printed
    report = json.loads((out / "run" / "report.json").read_text())
    assert {"experts", "modes", "clustering", "leak", "layouts", "versions"} <= set(report)
    assert set(report["experts"]) == {"goal_seeking", "forward_moving"}
    for picture in (out / "run" / "panels.png", out / "switching.png", out / "modes.gif"):
        assert picture.stat().st_size > 1000
    weights = (out / "run" / "model.safetensors").read_bytes()

    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("is there already") == 2
    assert (out / "run" / "model.safetensors").read_bytes() == weights

    # Data by the same command of an earlier version, whose defaults were others.
    with monkeypatch.context() as patch:
        patch.setattr("mode_imitation.worlds.config.KIND_OF_BURSTS", "otherwise")
        assert main(arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "or by an earlier version" in error


def test_the_demo_shows_other_experts_in_another_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, controllers = tmp_path / "demo", Path(__file__).parent.parent / "docs" / "examples" / "controllers.py"
    arguments = ["demo", "--out", str(out), "--env", "CartPole-v1", "--codes", "2", "--iterations", "20"]
    arguments += ["--joint-iterations", "20", "--layouts", "2", "--figure", f"{controllers}:mean_position"]
    assert main(arguments) == 2
    assert "--expert path/to/file.py:Class=20" in capsys.readouterr().err
    arguments += [word for name in ("Left", "Middle", "Right") for word in ("--expert", f"{controllers}:Hold{name}=4")]
    capsys.readouterr()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "experts: 3; modes found" in printed
    assert "two experts" not in printed
    report = json.loads((out / "run" / "report.json").read_text())
    assert set(report["experts"]) == {"HoldLeft", "HoldMiddle", "HoldRight"}
    assert report["modes"][0]["mean_position"] is not None
    assert (out / "modes.gif").stat().st_size > 1000
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("is there already") == 2


BRIEF = ["--device=cpu", "--codes=2", "--horizon=3", "--gap=1", "--stride=1"]
BRIEF += ["--iterations=4", "--joint-iterations=4"]


def store_law(expert: str, root: Path, **changes: Any) -> str:
    """One expert's episodes, as a dataset of its own."""
    data = two_laws(n_each=4, **changes)
    episodes = [episode for episode in data.episodes if episode.expert == expert]
    write_dataset(f"laws/{expert}-v0", episodes, root=root, overwrite=True)
    return f"laws/{expert}-v0"


def test_several_datasets_train_together_and_their_run_finds_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    plus, minus = store_law("plus", tmp_path / "data"), store_law("minus", tmp_path / "elsewhere")
    run, apart = tmp_path / "run", str(tmp_path / "elsewhere" / minus)
    root = ["--root", str(tmp_path / "data")]
    assert main(["train", plus, apart, "--out", str(run), *root, *BRIEF]) == 0
    assert read_info(run)["dataset"]["n_episodes"] == 8
    weights = (run / "model.safetensors").read_bytes()

    # From any folder, without being told again: what goes on, what judges, and what calibrates.
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["modes", str(run)]) == 0
    assert "of 2 experts have a mode" in capsys.readouterr().out
    assert main(["attribute", str(run), plus, *root]) == 0
    assert "calibration on held-out episodes" not in capsys.readouterr().out

    (tmp_path / "data").rename(tmp_path / "moved")
    assert main(["train", "--resume", str(run)]) == 2
    assert f"there is no dataset {plus} under {tmp_path / 'data'}" in capsys.readouterr().err
    assert main(["train", "--resume", str(run), "--root", str(tmp_path / "moved")]) == 0
    store_law("minus", tmp_path / "elsewhere", seed=1)
    assert main(["train", "--resume", str(run), "--root", str(tmp_path / "moved")]) == 2
    assert "was started on other data" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == weights


def test_datasets_that_do_not_go_together_are_refused_before_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = [store_law("plus", tmp_path), store_law("minus", tmp_path, obs_dim=5)]
    assert main(["train", *names, "--out", str(tmp_path / "run"), "--root", str(tmp_path), *BRIEF]) == 2
    assert "laws/plus-v0 and laws/minus-v0 differ in their numbers of an observation" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_records_names_below_the_root_and_paths_of_what_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root, apart = store_law("plus", tmp_path / "data"), tmp_path / "data", tmp_path / "elsewhere"
    store_law("plus", apart)
    monkeypatch.chdir(apart)
    words = [name, str(root / name), f"../data/{name}/data", str(apart / name)]
    expected = [name, name, name, str(apart / name)]
    assert source_of(words, root) == {"root": str(root), "datasets": expected}
    assert source_of([name], Path("../data"))["datasets"] == [name]  # the one below the root, not the one here


@pytest.mark.parametrize("source", [["data"], {"root": 5}, {"datasets": "data"}, {"datasets": [1]}])
def test_a_damaged_record_of_the_data_is_one_clear_line(source: Any) -> None:
    info = {"dataset": {"name": "some/data-v0"}, "source": source}
    with pytest.raises(UserError, match="its source is damaged; name the dataset"):
        load_source(info)
    assert recorded_root({"dataset": {}, "source": None}) is None


def test_a_picture_is_not_replaced_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "mine.png"
    picture.write_text("precious")
    for arguments in (
        ["plot", f"{SAMPLE}#0", "--root", DATA, "--out", str(picture)],
        ["info", SAMPLE, "--root", DATA, "--plot", str(picture)],
    ):
        assert main(arguments) == 2
        assert "exists already" in capsys.readouterr().err
        assert picture.read_text() == "precious"
        assert main([*arguments, "--overwrite"]) == 0
        capsys.readouterr()
        picture.write_text("precious")


def test_a_picture_of_an_unknown_kind_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["plot", f"{SAMPLE}#0", "--root", DATA, "--out", str(tmp_path / "mine.txt")]) == 2
    assert "expected a name that ends in" in capsys.readouterr().err


def test_info_has_no_column_for_what_no_episode_tells(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_dataset("some/laws-v0", two_laws(n_each=2).episodes, root=tmp_path)
    for name, root, known in ((SAMPLE, DATA, True), ("some/laws-v0", str(tmp_path), False)):
        assert main(["info", name, "--root", root, "--no-pictures"]) == 0
        printed = capsys.readouterr().out
        header = next(line for line in printed.splitlines() if line.split()[:2] == ["expert", "episodes"])
        assert ("in arena" in header) == ("goals" in header) == known
        assert ("disturbed steps were not the experts' own" in printed) == known
