"""A sweep's results say what made them, wherever they are copied to."""

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mode_imitation.cli import main, parse
from mode_imitation.errors import UserError
from mode_imitation.reports.benchmark import cells as benchmark_cells
from mode_imitation.reports.sweep import provenance
from mode_imitation.reports.sweep.config import SweepConfig
from mode_imitation.reports.sweep.sweep import sweep
from mode_imitation.reports.sweep.writer import write_sweep
from mode_imitation.versions import platform_name, versions
from tests.tiny_sweeps import NAME, in_this_process, stored, tiny

ROOT = Path(__file__).parent.parent


def nothing_is_trained(job: dict[str, Any], tasks: Sequence[dict[str, Any]], n_jobs: int) -> Any:
    raise AssertionError(f"{len(tasks)} cells would be trained again")


def test_the_command_makes_the_same_grid_and_names_no_place(tmp_path: Path) -> None:
    options: dict[str, Any] = {"objectives": "ours,original", "codes": "2, 5", "lidar_directions": False}
    config = tiny(tmp_path, tmp_path / "out", publish=tmp_path / "page", **options)
    assert not any(config.training(cell).lidar_directions for cell in config.cells())
    line = provenance.command_of(config, NAME)
    assert str(tmp_path) not in line
    words = shlex.split(line)
    assert words[:3] == ["mode-imitation", "sweep", NAME]
    again = parse("sweep", SweepConfig, words[2:])
    assert again.cells() == config.cells()
    assert [again.training(cell) for cell in again.cells()] == [config.training(cell) for cell in config.cells()]
    assert provenance.command_of(SweepConfig(dataset="here/x-v0"), "x-v0") == (
        "mode-imitation sweep x-v0 --codes 2,3,4,8 --strides 1,5,10,20 --seeds 3"
    )


def test_published_results_say_what_made_them_under_the_names_that_the_docs_have(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)
    monkeypatch.setattr("mode_imitation.reports.sweep.sweep.run_cells", in_this_process)
    options = "--codes 2 --strides 2 --seeds 1 --iterations 10 --discovery-iterations 20 --scoring-iterations 20"
    folder = tmp_path / "new" / "page"
    places = ["--root", str(tmp_path), "--out", str(tmp_path / "sweep"), "--publish", str(folder)]
    assert main(["sweep", NAME, *places, *options.split()]) == 0
    assert f"wrote {folder / 'sweep.md'}" in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in (ROOT / "docs" / "results").glob("sweep*")}
    assert (folder / "sweep-maps.png").read_bytes() == (tmp_path / "sweep" / "maps.png").read_bytes()

    command = f"mode-imitation sweep {NAME} {options}"
    written = json.loads((folder / "sweep.json").read_text())
    assert written == json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert (written["command"], written["versions"]) == (command, versions())
    assert written["code"] == [provenance.code_digest()] == [cell["code"] for cell in written["cells"]]
    assert written["merge_gap"] == 0.4

    page = (folder / "sweep.md").read_text()
    assert set(re.findall(r"!\[.*?\]\((.*?)\)", page)) == {name for name in names if name.endswith(".png")}
    made_by = page[page.index("## What made these figures") :]
    assert f"```bash\n{command}\n```" in made_by
    assert all(f"{name} {version}" in made_by for name, version in versions().items())
    assert platform_name() in made_by
    assert provenance.code_digest() in made_by
    assert "another state" not in page


def test_a_place_that_cannot_be_published_to_is_refused_before_any_work(tmp_path: Path) -> None:
    stored(tmp_path)
    taken = tmp_path / "page"
    taken.write_text("precious")
    with pytest.raises(UserError, match="choose another --publish"):
        sweep(tiny(tmp_path, tmp_path / "sweep", publish=taken), nothing_is_trained)


def test_cells_of_other_code_are_kept_and_noted(tmp_path: Path) -> None:
    stored(tmp_path)
    config = tiny(tmp_path, tmp_path / "sweep", codes="2", strides="1,2", seeds=1, pictures=False)
    first = sweep(config, in_this_process)
    assert provenance.code_notes(first.cells) == []
    before_it_was_recorded, other = sorted((config.out / "cells").glob("*.json"))
    for path, code in ((before_it_was_recorded, None), (other, "0123456789abcdef")):
        content = json.loads(path.read_text())
        del content["code"]
        path.write_text(json.dumps(content | ({} if code is None else {"code": code})))
    again = sweep(config, nothing_is_trained)
    assert again.recommendation == first.recommendation
    write_sweep(again)
    assert json.loads((config.out / "sweep.json").read_text())["code"] == ["0123456789abcdef", "unknown"]
    page = (config.out / "sweep.md").read_text()
    assert "2 of 2 cells were made by another state of this project's code" in page
    assert "code 0123456789abcdef, unknown" in page


@pytest.mark.parametrize(
    ("found", "folders"),
    [
        (provenance.code_digest, [f"mode_imitation/{room}" for room in provenance.CODE]),
        (benchmark_cells.code_digest, [*(f"mode_imitation/{room}" for room in benchmark_cells.CODE), "experts"]),
    ],
)
def test_the_digest_is_of_every_file_s_name_and_content(found: Any, folders: list[str]) -> None:
    text = b""
    paths = [path for folder in folders for path in (ROOT / folder).iterdir() if path.suffix == ".py"]
    for path in sorted(paths):
        text += str(path.relative_to(ROOT)).encode() + b"\n" + path.read_bytes()
    assert all((ROOT / folder / "__init__.py").exists() for folder in folders)
    assert found() == hashlib.sha256(text).hexdigest()[:16]
