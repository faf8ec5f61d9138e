"""From cells to results, tables, targets and pictures."""

import numpy as np
import pytest
from benchmark_figures import EXPERTS, a_cell, an_experts_cell

from mode_imitation.plots.benchmark import (
    plot_agreement,
    plot_closed_loop,
    plot_ratios,
    plot_steering,
    plot_switching,
)
from mode_imitation.reports.benchmark import aggregate
from mode_imitation.reports.benchmark.config import BenchmarkConfig
from mode_imitation.reports.benchmark.differences import between_methods
from mode_imitation.reports.benchmark.results import time_of
from mode_imitation.reports.benchmark.tables import tables
from mode_imitation.reports.benchmark.targets import judge

PICTURES = (plot_ratios, plot_agreement, plot_closed_loop, plot_switching, plot_steering)


def test_results_are_means_over_seeds_and_layouts_and_ratios_to_the_experts() -> None:
    ours = [a_cell(-1.0, seed) for seed in range(3)]
    theirs = [an_experts_cell(seed) for seed in (7, 8)]
    results = aggregate.aggregate({"experts": theirs, "ours": ours}, EXPERTS)
    goals = [value for cell in ours for value in cell["drives"]["mean"]["1"]["goals"]]
    expert = [value for cell in theirs for value in cell["drives"]["mean"]["goal_seeking"]["goals"]]
    found = results["ours"]["experts"]["goal_seeking"]
    assert found["goals"]["mean"] == pytest.approx(sum(goals) / len(goals))
    assert found["ratio"]["goals"]["mean"] == pytest.approx((sum(goals) / len(goals)) / (sum(expert) / len(expert)))
    returns = [value for cell in ours for value in cell["drives"]["mean"]["1"]["return"]]
    normalised = [100 * (value - 0.012) / (30.07 - 0.012) for value in returns]
    assert found["normalised_return"]["mean"] == pytest.approx(sum(normalised) / len(normalised))
    quarter = len(normalised) // 4
    assert found["iqm_normalised_return"] == pytest.approx(np.mean(sorted(normalised)[quarter:-quarter]))
    assert results["experts"]["experts"]["goal_seeking"]["ratio"]["goals"]["mean"] == pytest.approx(1.0)
    last = results["ours"]["switching"]["forward_moving:50"]
    goals_after = [cell["switching"]["forward_moving:50"][2] for cell in ours]
    assert last["goals"][2]["mean"] == pytest.approx(np.mean(goals_after))
    theirs_after = [cell["switching"]["forward_moving:50"][2] for cell in theirs]
    assert last["ratio"][2]["mean"] == pytest.approx(np.mean(goals_after) / np.mean(theirs_after))
    assert results["ours"]["exact"] == 3
    assert results["ours"]["clustering"]["held_out_episode_nmi"] is None
    assert results["ours"]["leak"] == {
        "mean": pytest.approx(0.01),
        "least": 0.0,
        "largest": 0.02,
        "values": [0, 0.01, 0.02],
    }
    assert results["ours"]["entropy"]["mean"] == pytest.approx(1.0)
    assert results["ours"]["conditional_entropy"]["mean"] == pytest.approx(1.0)


def test_a_ratio_to_an_expert_without_goals_is_left_out() -> None:
    assert aggregate.ratio(np.ones((1, 4)), np.array([[0.0, 0.0, 1.0, 0.0]])) is None
    assert aggregate.ratio(np.ones((1, 4)), np.full((1, 4), 2.0)) == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 4}


def test_targets_are_met_or_missed_by_their_figures() -> None:
    theirs = [an_experts_cell(seed) for seed in (7, 8)]

    def verdicts(shift: float, n_modes: int = 2) -> dict[str, bool | None]:
        cells = [a_cell(shift, seed) | {"n_modes": n_modes} for seed in range(3)]
        methods = aggregate.aggregate({"experts": theirs, "true-label": cells, "ours": cells}, EXPERTS)
        return {target.name: target.met for target in judge("two", methods, EXPERTS)}

    good, bad = verdicts(0.0), verdicts(-1.0, n_modes=3)
    lower = "goal_seeking: goals over the expert's, mean action, lower bound"
    exact = "runs with 2 modes and an episode NMI of 1"
    assert (good[lower], bad[lower]) == (True, False)
    assert (good[exact], bad[exact]) == (True, False)
    assert good["forward_moving: straightness"] is True
    assert good["goal_seeking: not below the true-label policy by more than its interval, mean action"] is True
    assert judge("two", {"bc": {}}, EXPERTS) == []


def made_up_results() -> dict:
    theirs, cells = [an_experts_cell(seed) for seed in (7, 8)], [a_cell(0.0, seed) for seed in range(3)]
    methods = aggregate.aggregate({"experts": theirs, "true-label": cells, "ours": cells}, EXPERTS)
    targets = [target.as_dict() for target in judge("two", methods, EXPERTS)]
    return {"methods": methods, "experts": list(EXPERTS), "differences": [], "targets": targets}


def test_the_time_to_keep_is_that_of_the_whole_set_and_of_nothing_else() -> None:
    (kept,), (exceeded,) = (time_of(BenchmarkConfig(set="two"), 60 * minutes) for minutes in (59.9, 60.1))
    assert (kept.met, exceeded.met) == (True, False)
    assert (kept.found, exceeded.found) == ("59.9 min", "60.1 min")
    others = [
        {"set": "four"},
        {"seeds": 6},
        {"layouts": 100},
        {"methods": "ours"},
        {"steps": 500},
        {"exact_physics": True},
        {"lidar_directions": False},
        {"burst_away": 0.5},
        {"fresh_demonstrations": True},
        {"history": 4},
    ]
    for options in others:
        assert time_of(BenchmarkConfig(**({"set": "two"} | options)), 60.0) == [], options


def test_tables_show_every_method_and_expert() -> None:
    results = made_up_results()
    shown = tables(results)
    for table in shown:
        assert all(len(row) == len(table.columns) for row in table.rows)
    for start, place in (("Closed loop", 2), ("Over the expert's", 3)):
        loops = [table for table in shown if table.title.startswith(start)]
        assert [table.title.split()[place] for table in loops] == list(EXPERTS)
        seeker, straight = ([row[0] for row in table.rows if row[0] != "experts"] for table in loops)
        assert seeker == ["true-label", "true-label, sampled", "ours", "ours, sampled"]
        assert straight == ["true-label", "ours"]
    assert shown[-1].rows[0][-1] == "met"
    methods = results["methods"]
    methods["ours"]["failed"] = 1
    failed, lost = judge("two", methods, EXPERTS)[:2]
    assert (failed.found, failed.met) == ("1 of 4", False)
    assert (lost.found, lost.met) == ("3 of 4", False)
    (nothing_left,) = judge("two", {"ours": {"seeds": 0, "failed": 4}}, EXPERTS)
    assert (nothing_left.found, nothing_left.met) == ("4 of 4", False)
    assert "3 of 4" in tables(results)[0].rows[1]


def test_every_score_stands_in_its_own_column() -> None:
    results = made_up_results()
    cells = [a_cell(0.0, seed)["clustering"] for seed in range(3)]
    trajectories, windows = tables(results)[:2]
    for table, parts in ((trajectories, ["episode"]), (windows, ["window", "window_in_arena"])):
        (ours,) = (row for row in table.rows if row[0] == "ours")
        wanted = [
            [cell[part][score] for cell in cells]
            for part in parts
            for score in ("nmi", "ari", "homogeneity", "completeness")
        ]
        texts = [f"{np.mean(column):.3f} [{min(column):.3f}, {max(column):.3f}]" for column in wanted]
        assert list(ours[-len(texts) :]) == texts


def test_a_run_is_exact_only_with_the_right_number_of_modes_and_every_trajectory_right() -> None:
    good, bad = a_cell(0.0, 0), a_cell(0.0, 1)
    one_wrong = bad | {"clustering": bad["clustering"] | {"episode": bad["clustering"]["episode"] | {"nmi": 0.97}}}
    cells = [good, a_cell(0.0, 1) | {"n_modes": 3}, one_wrong]
    methods = aggregate.aggregate({"experts": [an_experts_cell(7)], "ours": cells}, EXPERTS)
    assert (methods["ours"]["exact"], methods["ours"]["n_modes"]) == (1, [2, 3, 2])
    assert judge("two", methods, EXPERTS)[0].met is False


def test_coverage_is_the_share_of_experts_that_a_cell_matches() -> None:
    reference = [an_experts_cell(seed) for seed in (7, 8)]
    cell = a_cell(0.0, 1)
    goals = cell["drives"]["mean"]["1"] | {"cost": [500.0] * 12}
    spoilt = cell | {"drives": cell["drives"] | {"mean": cell["drives"]["mean"] | {"1": goals}}}
    methods = aggregate.aggregate({"experts": reference, "ours": [cell, spoilt]}, EXPERTS)
    assert methods["ours"]["coverage_within_5_percent"]["values"] == [1.0, 0.5]
    # The spoilt mode matches where its actions are sampled; who was never driven so has no such figure.
    assert methods["ours"]["coverage_within_5_percent_also_sampled"]["values"] == [1.0, 1.0]
    assert "coverage_also_sampled" not in methods["experts"]


def test_pictures_show_every_method_and_expert() -> None:
    results = made_up_results()
    drawn = {plot.__name__: plot(results) for plot in PICTURES}
    assert None not in drawn.values()
    titles = {
        name: [ax.get_title(loc="left") for ax in figure.axes if ax.axison] for name, figure in drawn.items() if figure
    }
    assert titles["plot_ratios"] == list(EXPERTS)
    assert len(titles["plot_agreement"]) == 3
    assert titles["plot_closed_loop"][::5] == [f"{expert}: goals" for expert in EXPERTS]
    assert titles["plot_switching"] == ["after 50 steps of forward_moving"]
    assert {"fidelity", "leak (nat)"} <= set(titles["plot_steering"])
    agreement = drawn["plot_agreement"]
    assert agreement is not None
    dots = np.asarray(agreement.axes[1].collections[1].get_offsets())  # a collection a method, ours the second
    expected = [a_cell(0.0, seed)["clustering"]["window"]["nmi"] for seed in range(3)]
    assert dots[:, 0].tolist() == pytest.approx(expected)
    alone = {"methods": {"experts": results["methods"]["experts"]}, "experts": list(EXPERTS), "targets": []}
    assert [plot(alone) for plot in PICTURES] == [None] * len(PICTURES)


def test_the_switching_picture_has_the_ratio_after_the_excursion() -> None:
    results = made_up_results()
    figure = plot_switching(results)
    assert figure is not None
    means = [container[0].get_xdata()[0] for container in figure.axes[0].containers]
    entries = [
        results["methods"][name]["switching"]["forward_moving:50"]["ratio"][2] for name in ("true-label", "ours")
    ]
    assert means == [entry["mean"] for entry in entries]


@pytest.mark.parametrize("merged", [0, 1, 2])
def test_where_one_mode_stands_for_both_nothing_is_switched_and_the_tables_say_so(merged: int) -> None:
    by_method = {"experts": [an_experts_cell(5)], "ours": [a_cell(0.0, seed) for seed in range(2)]}
    by_method["bc"] = [a_cell(0.1, seed) for seed in range(2)]
    for cell in by_method["bc"][:merged]:
        cell["matching"] = {"goal_seeking": 1, "forward_moving": 1}
    results = aggregate.aggregate(by_method, EXPERTS)
    found = results["bc"]["switching"]["forward_moving:50"]
    assert found["merged"] == merged
    assert ("ratio" in found) == (merged < 2)
    (table,) = (
        table for table in tables(made_up_results() | {"methods": results}) if table.title.startswith("Switching")
    )
    goals, ratio = table.rows[-1][-2:]
    assert (goals.endswith("*"), ratio.endswith("*"), ratio == "-*") == (merged > 0, merged > 0, merged == 2)
    compared = [one.figure for one in between_methods(by_method, EXPERTS) if "after" in one.figure]
    assert compared == ["goals after 50 steps of forward_moving"] * (merged < 2)


def test_what_was_left_and_lost_is_counted_over_seeds_and_layouts() -> None:
    cells = [a_cell(0.0, seed) for seed in range(2)]
    cells[0]["outside"] = {"forward_moving:50": {"steps": [0, 3, 250, 0] * 3, "at_end": [0, 0, 1, 0] * 3}}
    cells[1]["outside"] = {"forward_moving:50": {"steps": [9, 0, 0, 0] * 3, "at_end": [1, 0, 0, 0] * 3}}
    found = aggregate.leaving(cells, "forward_moving:50")
    assert found["left"]["mean"] == pytest.approx(9 / 24)
    assert found["lost"]["mean"] == pytest.approx(6 / 24)
    goals = [cell["switching"]["forward_moving:50"][2] for cell in cells]
    those = [goals[0][i] for i in range(12) if i % 4 in (1, 2)] + [goals[1][i] for i in range(12) if i % 4 == 0]
    assert found["goals_after_leaving"] == pytest.approx(sum(those) / len(those))
    methods = aggregate.aggregate({"ours": cells}, EXPERTS)
    (table,) = (
        table for table in tables(made_up_results() | {"methods": methods}) if table.title.startswith("Leaving")
    )
    assert table.rows[0][0] == "ours"
    assert table.rows[0][1].startswith("0.38 ")
