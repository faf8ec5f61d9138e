"""Commands from end to end, small: the demo's stages, and pictures that are not replaced unasked."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mode_imitation.cli import main
from mode_imitation.training.config import TrainConfig

DATA = str(Path(__file__).parent.parent / "data")
SAMPLE = "sample/two-experts-v0"


@dataclass(frozen=True)
class Quick(TrainConfig):
    restarts: int = 1
    judge_iterations: int = 20


def test_the_demo_goes_through_all_stages_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("mode_imitation.training.config.TrainConfig", Quick)
    out = tmp_path / "demo"
    sizes = {"episodes": 4, "steps": 150, "iterations": 40, "joint-iterations": 40, "layouts": 2}
    arguments = [
        "demo",
        "--out",
        str(out),
        *(word for name, size in sizes.items() for word in (f"--{name}", str(size))),
    ]
    assert main(arguments) == 0
    assert "look at" in capsys.readouterr().out
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
