"""The wild benchmark: sets of a folder, each beside k-means, resumable."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import wild
from tests.synthetic import two_laws


def write_set(path: Path, steps: int) -> None:
    episodes = two_laws(n_each=6, steps=steps, disturbed=False).episodes
    np.savez(
        path,
        observations=np.concatenate([episode.observations for episode in episodes]),
        actions=np.concatenate([episode.actions for episode in episodes]),
        episode_lengths=[len(episode) for episode in episodes],
        labels=[str(episode.expert) for episode in episodes],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path / "long.npz", 60)
    write_set(tmp_path / "short.npz", 30)
    return tmp_path


def test_every_set_is_one_row_and_what_is_finished_is_kept(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    typed = ["--data", str(folder), "--seeds", "1", "--times", "1,2,3", "--out", str(out)]
    assert wild.main(typed) == 0
    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if line.strip().startswith(("long", "short"))]
    assert len(rows) == 2  # in short episodes windows are short as well
    assert rows[0].count("2; 1.000 [1.000, 1.000]") == 2
    assert len(list(out.glob("*.json"))) == 2 * (3 + 1)
    monkeypatch.setattr(wild, "train", lambda *arguments: pytest.fail("it was trained already"))
    assert wild.main(typed) == 0
    assert capsys.readouterr().out == told


def test_k_means_is_told_how_many_classes_there_are_and_sees_means_and_spreads(folder: Path) -> None:
    episodes, classes, found = wild.clusters(folder / "long.npz")
    assert (episodes, classes, len(found)) == (12, 2, 10)
    assert all(0 <= nmi <= 1 for nmi in found)
    with np.load(folder / "long.npz") as arrays:
        values = dict(arrays)
    values["observations"] += np.repeat([5.0, 0.0] * 6, 61)[:, None].astype(np.float32)
    np.savez(folder / "apart.npz", **values)
    assert wild.clusters(folder / "apart.npz")[2] == pytest.approx([1.0] * 10)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--data", "nowhere"], "expected a folder of .npz files"),
        (["--sets", "longer"], "has no set longer; it has long, short"),
        (["--evidence", "vibes"], "evidence is 'vibes'; expected policy or behaviour"),
        (["--times", "2,x"], "expected whole numbers from 1 on"),
    ],
)
def test_mistakes_are_one_line(folder: Path, capsys: pytest.CaptureFixture, typed: list[str], message: str) -> None:
    given = typed if "--data" in typed else ["--data", str(folder), *typed]
    assert wild.main([*given, "--out", str(folder / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
