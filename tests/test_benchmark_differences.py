"""Differences between columns of the benchmark: what both faced is drawn again together."""

import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from benchmark_figures import EXPERTS, a_cell, an_experts_cell, in_this_process

from mode_imitation.cli import main
from mode_imitation.reports.benchmark import run
from mode_imitation.reports.benchmark.aggregate import closed_loop
from mode_imitation.reports.benchmark.config import BenchmarkConfig
from mode_imitation.reports.benchmark.differences import DEFAULT, between_methods, to_default
from mode_imitation.reports.benchmark.results import command_of
from mode_imitation.reports.benchmark.tables import tables
from mode_imitation.reports.statistics import bootstrap_crossed

REFERENCE = [an_experts_cell(seed) for seed in (7, 8)]
MEAN, SAMPLED = "goal_seeking: goals, mean action", "goal_seeking: goals, sampled action"
AFTER = "goals after 50 steps of forward_moving"


def goals(cells: list[dict], drawn: str = "mean", mode: str = "1") -> list[float]:
    return [value for cell in cells for value in cell["drives"][drawn][mode]["goals"]]


def test_a_difference_is_that_of_the_means_over_the_experts() -> None:
    ours, labels = [a_cell(-1.0, seed) for seed in range(3)], [a_cell(0.5, seed) for seed in range(4, 6)]
    found = {
        one.figure: one for one in between_methods({"experts": REFERENCE, "true-label": labels, "ours": ours}, EXPERTS)
    }
    assert set(found) == {MEAN, SAMPLED, AFTER}
    assert {(one.method, one.minus) for one in found.values()} == {("ours", "true-label")}
    expert = fmean(goals(REFERENCE, mode="goal_seeking"))
    for figure, drawn in ((MEAN, "mean"), (SAMPLED, "sampled")):
        interval = found[figure].interval
        assert interval is not None
        assert interval.mean == pytest.approx((fmean(goals(ours, drawn)) - fmean(goals(labels, drawn))) / expert)
        assert interval.low < interval.mean < interval.high < 0

    def after(cells: list[dict]) -> np.ndarray:
        return np.array([cell["switching"]["forward_moving:50"][2] for cell in cells])

    expected = bootstrap_crossed(after(ours), after(REFERENCE), minus=after(labels))
    assert found[AFTER].interval == expected


def test_a_hard_layout_pulls_both_down_and_hides_no_difference() -> None:
    layouts = np.random.default_rng(0).normal(0, 3, 12)

    def moved(cells: list[dict]) -> list[dict]:
        for cell in cells:
            for drives in cell["drives"].values():
                for figures in drives.values():
                    figures["goals"] = (np.array(figures["goals"]) + layouts).tolist()
        return cells

    ours, labels = moved([a_cell(-0.5, seed) for seed in range(3)]), moved([a_cell(0.0, seed) for seed in range(4, 7)])
    found = {
        one.figure: one.interval for one in between_methods({"experts": REFERENCE, "ours": ours, "bc": labels}, EXPERTS)
    }
    apart = [closed_loop(cells, REFERENCE, "goal_seeking", "mean")["ratio"]["goals"] for cells in (ours, labels)]
    assert apart[0]["high"] > apart[1]["low"]  # the intervals overlap
    difference = found[MEAN]
    assert difference is not None
    assert difference.high < 0  # and yet ours is surely less


def test_every_method_is_compared_with_itself_without_options() -> None:
    plain = {"experts": REFERENCE, "ours": [a_cell(0.0, seed) for seed in range(3)], "bc": [a_cell(0.0, 3)]}
    for cell in plain["bc"]:
        del cell["drives"]["sampled"]
    changed = {"experts": REFERENCE, "ours": [a_cell(1.0, seed) for seed in range(3)], "bc": plain["bc"], "kmeans": []}
    found = to_default(changed, plain, EXPERTS)
    assert {(one.method, one.minus) for one in found} == {("ours", DEFAULT), ("bc", DEFAULT)}
    by_name = {(one.method, one.figure): one.interval for one in found}
    assert ("bc", SAMPLED) not in by_name  # it was not driven with sampled actions
    same, more = by_name["bc", MEAN], by_name["ours", MEAN]
    assert same is not None
    assert same.mean == 0.0
    assert more is not None
    assert more.low > 0.05
    assert to_default(changed, {}, EXPERTS) == []
    assert between_methods({"experts": [], "ours": plain["ours"], "bc": plain["bc"]}, EXPERTS) == []


def test_the_tables_have_a_column_for_each_method() -> None:
    cells = {"experts": REFERENCE, "true-label": [a_cell(0.0, 1)], "ours": [a_cell(0.0, 2)], "bc": [a_cell(0.0, 3)]}
    differences = [*between_methods(cells, EXPERTS), *to_default(cells, cells, EXPERTS)]
    results = {
        "methods": {"bc": {"switching": {}, "experts": {}, "seconds": {}, "seeds": 1}},
        "experts": [],
        "targets": [],
    }
    *_, first, second = tables(results | {"differences": [one.as_dict() for one in differences]})
    assert first.columns == ("figure", "true-label", "bc")
    assert second.columns == ("figure", "true-label", "ours", "bc")
    assert [row[0] for row in first.rows] == [MEAN, SAMPLED, AFTER]
    assert all(len(row) == 4 and row[1].startswith("0.000 [") for row in second.rows)


def test_comparing_with_the_default_runs_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run, "run_cells", in_this_process)
    tiny = ["--episodes", "2", "--steps", "120", "--layouts", "2", "--iterations", "3", "--layout-block", "tuning"]
    words = ["benchmark", "two", "--seeds", "1", "--methods", "bc", "--history", "1", "--compare-default", *tiny]
    assert main([*words, "--out", str(tmp_path), "--jobs", "1"]) == 0
    assert "Differences: each method minus itself" in capsys.readouterr().out
    cells = sorted(path.name.split("-")[0] for path in (tmp_path / "two" / "cells").iterdir())
    assert cells == ["bc", "bc", "experts"]  # the experts were driven once
    results = json.loads((tmp_path / "two-history1x5-trial" / "results.json").read_text())
    assert [(one["figure"], one["method"], one["minus"]) for one in results["differences"]] == [(MEAN, "bc", DEFAULT)]
    assert results["command"].endswith("--compare-default")


def test_without_options_there_is_nothing_to_compare(capsys: pytest.CaptureFixture) -> None:
    assert main(["benchmark", "two", "--compare-default"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "and this is it; give --burst-away, --no-lidar-directions or --history" in error
    assert main(["benchmark", "turns", "--burst-away", "0.5", "--compare-default"]) == 2
    assert "and this is it; give --no-lidar-directions or --history" in capsys.readouterr().err
    config = BenchmarkConfig(set="six", history=4, burst_away=0.2, lidar_directions=False, compare_default=True)
    assert config.default == BenchmarkConfig(set="six")
    assert command_of(config).endswith("--burst-away 0.2 --history 4 --no-lidar-directions --compare-default")
