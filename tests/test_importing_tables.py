"""Tables of other people's, CSV and Parquet, become datasets, or one clear line."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.importing import import_arrays
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError

ROWS = """episode,x,y,obs_speed,obs_turn,action,reward,label
a,0,0,0.5,1,0.25,1,fast
a,1,0,0.5,2,-0.5,1,fast
a,2,0,0.5,3,0.75,1,fast
b,0,1,0.1,4,0.125,0,slow
b,0,2,0.1,5,,0,slow
"""


def table_config(tmp_path: Path, text: str = ROWS, **options) -> ImportConfig:
    (tmp_path / "steps.csv").write_text(text)
    given = {"out": "other/table-v0", "root": tmp_path, "overwrite": True} | options
    return ImportConfig(sources=(tmp_path / "steps.csv",), **given)


@pytest.mark.parametrize("text", [ROWS, "\ufeff" + ROWS, ROWS.replace(",", ";"), ROWS.replace("\n", "\r\n")])
def test_a_table_has_one_row_a_step(tmp_path: Path, text: str) -> None:
    result = import_arrays(table_config(tmp_path, text, positions="x,y", sensor=("way=obs_speed..obs_turn",)))
    dataset = load_dataset("other/table-v0", tmp_path)
    assert dataset.lengths.tolist() == [2, 1]
    assert dataset.labels == ["fast", "slow"]
    assert dataset.sensors == {"way": Sensor(0, 2)}  # and no name of its own for a column of it
    first = dataset.episodes[0]
    np.testing.assert_array_equal(first.observations, np.array([[0.5, 1], [0.5, 2], [0.5, 3]], np.float32))
    np.testing.assert_array_equal(first.actions, [[0.25], [-0.5]])
    assert first.rewards is not None
    assert first.positions is not None
    np.testing.assert_array_equal(first.rewards, [1, 1])
    np.testing.assert_array_equal(first.positions, [[0, 0], [1, 0], [2, 0]])
    assert result.notes == (
        "no costs, headings",
        "the last action of 2 episodes left out: no observation follows it",
        "observations are obs_speed, obs_turn; actions action",
    )


def test_columns_of_a_table_are_named_one_by_one_or_by_what_they_begin_with(tmp_path: Path) -> None:
    import_arrays(table_config(tmp_path, observations="y,obs_t", actions="difference"))
    dataset = load_dataset("other/table-v0", tmp_path)
    np.testing.assert_array_equal(dataset.episodes[1].observations, [[1, 4], [2, 5]])
    np.testing.assert_array_equal(dataset.episodes[1].actions, [[1, 1]])
    assert dataset.sensors == {"y": Sensor(0, 1), "obs_turn": Sensor(1, 2)}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (("episode", "trial"), {}, "has no column 'episode' for the episode; it has trial, x, y, .*--episode"),
        (("", ""), {"observations": "x,w"}, "has no column 'w', and none that begins so,.* it has .*--observations"),
        (("", ""), {"actions": "acton"}, "'acton'.*did you mean 'action'"),
        (("", ""), {"costs": "cost"}, "has no column 'cost' for the costs; .*--costs"),
        (("-0.5", "left"), {}, "steps.csv, line 3, column action: 'left' is no number"),
        (("-0.5", ""), {}, "1 episode with NaN.*: 0, the first in the actions at step 1"),
        (("b,0,2", "a,0,2"), {}, "the rows of episode a are not together"),
        (("b,0,2", "b,0"), {}, "steps.csv, line 6: 7 cells; expected 8"),
        (("0.1,5,,0,slow", "0.1,5,,0,fast"), {}, "the labels of episode 1 change on the way"),
        (("obs_turn", "obs_speed"), {}, "has the column 'obs_speed' 2 times"),
        ((ROWS, ""), {}, "is empty; expected a first row"),
        (("-0.5", "5" * 200_000), {}, "cannot be read: field larger than field limit"),
        ((ROWS[ROWS.index("\n") :], "\n"), {}, "expected rows, one a step"),
        (("fast", "f\0st"), {}, "NUL|cannot be read"),
    ],
)
def test_wrong_tables_are_one_clear_line(tmp_path: Path, changes: tuple[str, str], options: dict, message: str) -> None:
    text = ROWS.replace(*changes) if changes[0] else ROWS
    with pytest.raises(UserError, match=message) as caught:
        import_arrays(table_config(tmp_path, text, **options))
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "steps.parquet").touch()
    with pytest.raises(UserError, match=r"Parquet needs pyarrow.*`pip install pyarrow`"):
        import_arrays(ImportConfig(sources=(tmp_path / "steps.parquet",), out="other/table-v0", root=tmp_path))


def test_parquet_reads_as_the_same_table_does_from_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    csv_pyarrow = pytest.importorskip("pyarrow.csv")
    checksum = load_dataset(import_arrays(table_config(tmp_path)).folder).checksum
    source = tmp_path / "steps.parquet"
    parquet.write_table(csv_pyarrow.read_csv(tmp_path / "steps.csv"), source)
    config = table_config(tmp_path)
    assert load_dataset(import_arrays(replace(config, sources=(source,))).folder).checksum == checksum
    lists = pyarrow.table({"episode_index": [0, 0, 1, 1], "observation.state": [[1.0, 2.0]] * 4, "action": [[0.5]] * 4})
    parquet.write_table(lists, source)
    import_arrays(replace(config, sources=(source,)))
    assert load_dataset("other/table-v0", tmp_path).obs_dim == 2
