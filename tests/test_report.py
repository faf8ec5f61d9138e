"""The report card: its schema, what it leaves out and says so, and what is asked for in vain."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.errors import UserError
from mode_imitation.reports import report as report_module
from mode_imitation.reports.config import ModesConfig, RolloutConfig
from mode_imitation.reports.describe import UNKNOWN
from mode_imitation.reports.report import make_report
from mode_imitation.reports.report_data import Report
from mode_imitation.reports.report_writer import PICTURES, as_markdown, summary_lines, write_report
from mode_imitation.reports.rollout_command import rollout_run
from tests.tiny_runs import random_dataset, save_run

LAYOUTS, STEPS = 3, 15


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    save_run(folder / "runs" / "tiny", folder / "data", random_dataset())
    return folder / "runs" / "tiny"


@pytest.fixture(scope="module")
def report(run: Path) -> Report:
    return make_report(ModesConfig(run=run, layouts=LAYOUTS, steps=STEPS))


def without_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "simulator_missing", lambda: "safety_gymnasium")


def test_the_report_holds_what_it_promises(report: Report) -> None:
    data = report.data.as_dict()
    interval = {"mean", "low", "high", "n"}
    assert set(data["experts"]) == {"goal_seeking", "forward_moving"}
    for entry in [*data["modes"], *data["experts"].values()]:
        for figure in ("goals", "cost", "return", "straightness", "speed", "turn_rate", "approach", "arena_share"):
            assert set(entry[figure]) == interval, figure
            assert entry[figure]["n"] == LAYOUTS
            assert entry[figure]["low"] <= entry[figure]["mean"] <= entry[figure]["high"]
    assert any(entry["expert"] for entry in data["modes"])
    assert [entry["mode"] for entry in data["modes"]] == [0, 1, 2]
    for entry in data["modes"]:
        assert entry["description"]
        assert entry["expert"] in {None, *data["experts"]}
        assert 0 <= entry["share"] <= 1
    assert {"window", "window_in_arena", "episode", "n_experts", "coverage"} <= set(data["clustering"])
    assert {"nll_inferred", "nll_fixed"} <= set(data["leak"])
    assert data["leak"]["held_out"]
    assert data["leak"]["n_episodes"] == 2
    assert data["layouts"] == [1_000_000_000, 1_000_000_001, 1_000_000_002]
    assert "numpy" in data["versions"]
    assert data["left_out"] == []


def test_the_report_is_plain_json_and_names_no_path_of_the_machine(report: Report, run: Path) -> None:
    text = json.dumps(report.data.as_dict(), allow_nan=False)
    assert str(run.parent) not in text


def test_json_markdown_and_pictures_are_written(report: Report, tmp_path: Path) -> None:
    written = write_report(report, tmp_path / "out")
    expected = {file for name, file in PICTURES.items() if name != "blend"}  # which was not asked for
    assert {path.name for path in written} == {"report.json", "report.md", *expected}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == json.loads(json.dumps(report.data.as_dict()))
    text = (tmp_path / "out" / "report.md").read_text()
    for wanted in ("## Modes", "## Experts on the same layouts", "## Codes against labels", *expected):
        assert wanted in text
    assert "The policy has no memory" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.endswith(" |") for line in rows)


def test_without_a_simulator_the_rest_is_reported_and_the_gap_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_simulator(monkeypatch)
    found = make_report(ModesConfig(run=run))
    assert found.data.experts == {}
    assert found.data.layouts == []
    assert found.data.modes[0].figures["goals"] is None
    assert found.data.clustering is not None
    assert len(found.data.left_out) == 1
    assert "safety_gymnasium is not installed" in found.data.left_out[0]
    names = {path.name for path in write_report(found, tmp_path)}
    assert PICTURES["panels"] not in names
    assert PICTURES["confusion"] in names
    assert "is not installed" in (tmp_path / "report.md").read_text()


def test_pictures_of_an_earlier_report_do_not_outlive_their_data(
    run: Path, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_report(report, tmp_path)
    (tmp_path / PICTURES["blend"]).write_text("the user's own, as the report has no blend")
    without_simulator(monkeypatch)
    write_report(make_report(ModesConfig(run=run)), tmp_path)
    assert not (tmp_path / PICTURES["panels"]).exists()
    assert (tmp_path / PICTURES["blend"]).exists()


def test_data_without_labels_positions_and_environment_still_has_a_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = random_dataset(labels=False, positions=False)
    bare = type(bare)(bare.name, bare.episodes)
    save_run(tmp_path / "run", tmp_path / "data", bare)
    found = make_report(ModesConfig(run=tmp_path / "run"))
    assert found.data.clustering is None
    assert found.data.confusion is None
    assert found.data.leak is not None
    assert all(entry.expert is None for entry in found.data.modes)
    said = " ".join(found.data.left_out)
    for gap in ("no labels", "names no environment"):
        assert gap in said
    assert "lidar" not in said  # of what other worlds have, nothing is missing
    assert "## Left out" in as_markdown(found.data)
    assert found.data.modes[0].description == UNKNOWN  # no episode is one mode's
    assert {path.name for path in write_report(found, tmp_path / "out")} >= {"report.json", PICTURES["shares"]}


@pytest.mark.parametrize("change", ["missing", "changed"])
def test_a_dataset_that_is_gone_or_has_changed_is_left_out_and_said_so(
    change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_simulator(monkeypatch)
    dataset = random_dataset()
    other = {"dataset": {"name": dataset.name, "checksum": "0", "n_episodes": 6}}
    gone = {"source": {"root": str(tmp_path / "nowhere"), "name": dataset.name}}
    save_run(tmp_path / "run", tmp_path / "data", dataset, gone if change == "missing" else other)
    found = make_report(ModesConfig(run=tmp_path / "run"))
    assert found.data.clustering is None
    assert found.data.leak is None
    assert any("clustering" in line for line in found.data.left_out)
    assert summary_lines(found.data)
    named = make_report(ModesConfig(run=tmp_path / "run", dataset=dataset.name, root=tmp_path / "data"))
    assert named.data.clustering is not None


def test_an_unknown_label_asks_for_the_experts_file_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = random_dataset()
    episodes = tuple(replace(one, expert=f"x{index % 2}.py:Evil") for index, one in enumerate(dataset.episodes))
    save_run(tmp_path / "run", tmp_path / "data", replace(dataset, episodes=episodes))
    found = make_report(ModesConfig(run=tmp_path / "run", layouts=1, steps=5))
    assert found.data.experts == {}
    assert any("--expert file.py:Class" in line for line in found.data.left_out)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"layouts": 0}, "0 layouts"),
        ({"steps": 0}, "--steps is 0"),
        ({"steps": 4000}, "4000 steps"),
        ({"worlds": 0}, "--worlds is 0"),
        ({"window_every": 0}, "--window-every is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"dataset": "no/such-v0"}, "no dataset no/such-v0"),
        ({"env": "SafetyPointGoal9-v0"}, "SafetyPointGoal9-v0"),
        ({"env": "SafetyPointGoal0-v0"}, "the run was trained on"),
        ({"expert": ("goal_seking",)}, "goal_seking"),
        ({"require": "speed>=1"}, "no guarantee for 'speed'"),
        ({"confidence": 1.0}, "--confidence is 1.0"),
        ({"blend": "0"}, "--blend is '0'; expected two different modes"),
        ({"blend": "0,3"}, "--blend names mode 3; this run has modes 0, 1, 2"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_options_that_make_no_sense_are_one_clear_line(run: Path, options: dict, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        make_report(ModesConfig(run=run, **options))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_what_no_expert_can_drive_with_is_refused_before_anything_drives(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "run_modes", None)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Mine:\n    def act(self, seen): return seen[:, :2] * 0\n")
    cases: list[tuple[dict, str]] = [
        ({"seed": -1}, "--seed is -1; expected 0 or more"),
        ({"action_noise": -1.0}, "--action-noise is -1.0; expected"),
        ({"action_noise": float("nan")}, "--action-noise is nan; expected"),
        ({"expert": (f"{tmp_path}/one.py:Mine", f"{tmp_path}/two.py:Mine")}, "would have the same name, Mine;"),
    ]
    for options, complaint in cases:
        with pytest.raises(UserError) as error:
            make_report(ModesConfig(run=run, layouts=LAYOUTS, steps=STEPS, **options))
        assert complaint in str(error.value)
        assert "\n" not in str(error.value)


def test_a_leak_that_cannot_be_measured_is_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_simulator(monkeypatch)
    # A window spans 6 steps: the undisturbed ones begin at step 17 alone, across the edge of the segments at 20.
    disturbed = np.ones(40, dtype=bool)
    disturbed[17:23] = False
    dataset = random_dataset()
    episodes = tuple(replace(episode, disturbed=disturbed) for episode in dataset.episodes)
    save_run(tmp_path / "run", tmp_path / "data", replace(dataset, episodes=episodes), {"config": {"segment": 20}})
    found = make_report(ModesConfig(run=tmp_path / "run"))
    assert found.data.leak is None
    line = "left out: leak: no undisturbed window of 6 steps lies within an episode or segment"
    assert line in found.data.left_out
    assert line.removeprefix("left out: ") in as_markdown(found.data)
    assert not any("leaks" in line for line in summary_lines(found.data))


def test_layouts_that_training_saw_are_refused(tmp_path: Path) -> None:
    save_run(tmp_path / "run", tmp_path / "data", random_dataset(), {"layout_seeds": [5, 1_000_000_000]})
    with pytest.raises(UserError, match="seen in training, 1000000000"):
        make_report(ModesConfig(run=tmp_path / "run"))


def test_rollouts_need_a_way_to_steer(run: Path) -> None:
    with pytest.raises(UserError, match="got none of them"):
        rollout_run(RolloutConfig(run=run))
