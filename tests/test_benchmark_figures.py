"""Every figure of the benchmark equals a slow, obvious definition."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from benchmark_figures import EXPERTS, a_cell, an_experts_cell
from tiny_runs import random_episode, random_model

from mode_imitation.evaluation.benchmark import aggregate
from mode_imitation.evaluation.benchmark.behaviour import LOOKS, BehaviourClassifier, behaviour_entropy
from mode_imitation.evaluation.benchmark.measure import (
    FIGURES,
    figures_of,
    match_experts,
    steering_fidelity,
    switch_modes,
)
from mode_imitation.evaluation.benchmark.switching import Excursion, SwitchingExperts, excursions
from mode_imitation.evaluation.benchmark.tables import tables
from mode_imitation.evaluation.benchmark.targets import judge
from mode_imitation.evaluation.closed_loop import Drive, run_modes
from mode_imitation.evaluation.layouts import held_out_layouts
from mode_imitation.evaluation.metrics import confusion_matrix
from mode_imitation.evaluation.motion import Motion
from mode_imitation.evaluation.statistics import bootstrap_crossed, draw_counts, stretched
from mode_imitation.plots.benchmark import (
    plot_agreement,
    plot_closed_loop,
    plot_ratios,
    plot_steering,
    plot_switching,
)
from mode_imitation.simulation import make_vec
from mode_imitation.steering.infer import infer_context
from mode_imitation.steering.policy import Policy

PICTURES = (plot_ratios, plot_agreement, plot_closed_loop, plot_switching, plot_steering)


def slow_stretch(table: np.ndarray) -> np.ndarray:
    """Each row moved away from the mean by what makes a normal interval of the rows' means Student's."""
    n = len(table)
    if n == 1:
        return table
    wider = scipy.stats.t.ppf(0.975, n - 1) / scipy.stats.norm.ppf(0.975) * math.sqrt(n / (n - 1))
    return np.array([row + (wider - 1) * (row.mean() - table.mean()) for row in table])


def slow_crossed(
    values: np.ndarray, reference: np.ndarray | None, minus: np.ndarray | None, n: int, seed: int, trained: bool
):
    """Draw how often each layout and each seed comes, then repeat them so often."""
    if trained:
        values, minus = slow_stretch(values), None if minus is None else slow_stretch(minus)
    tables = [table for table in (values, reference, minus) if table is not None]
    layouts = draw_counts(values.shape[1], n, seed)
    drawn = [draw_counts(len(table), n, seed, stream) for stream, table in enumerate(tables, start=1)]
    found = []
    for resample in range(n):
        means = []
        for table, rows in zip(tables, drawn, strict=True):
            picked = [
                table[row, column]
                for row in range(len(table))
                for _ in range(int(rows[resample][row]))
                for column in range(table.shape[1])
                for _ in range(int(layouts[resample][column]))
            ]
            means.append(sum(picked) / len(picked))
        below = means.pop(1) if reference is not None else 1.0
        found.append(means[0] / below - (means[1] / below if minus is not None else 0.0))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize(("with_reference", "with_minus", "trained"), [*itertools.product([False, True], repeat=3)])
def test_the_crossed_bootstrap_equals_a_slow_one(with_reference: bool, with_minus: bool, trained: bool) -> None:
    rng = np.random.default_rng(0)
    values, reference, minus = rng.normal(5, 1, (3, 6)), rng.normal(7, 1, (2, 6)), rng.normal(4, 1, (4, 6))
    given = reference if with_reference else None, minus if with_minus else None
    found = bootstrap_crossed(values, given[0], minus=given[1], trained=trained, n_resamples=60, seed=4)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], slow_crossed(values, *given, 60, 4, trained))
    below = reference.mean() if with_reference else 1.0
    assert found.mean == pytest.approx((values.mean() - (minus.mean() if with_minus else 0.0)) / below)
    assert found.n == values.size


def test_draws_are_as_many_as_there_are_and_differ_between_streams() -> None:
    counts = draw_counts(7, 500, 3)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.min() >= 0
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)
    assert (counts != draw_counts(7, 500, 3, 1)).any()
    assert (counts != draw_counts(7, 500, 4)).any()
    assert not counts.flags.writeable


def test_what_layouts_do_to_all_seeds_at_once_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    shared = np.tile(rng.normal(size=40), (5, 1))
    alone = bootstrap_crossed(shared[:1])
    together = bootstrap_crossed(shared)
    assert alone is not None
    assert together is not None
    # Five seeds that all do the same know no more than one.
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)
    ratio = bootstrap_crossed(shared + 9, shared[:1] + 9)
    assert ratio is not None
    assert ratio.low == pytest.approx(1.0)
    assert ratio.high == pytest.approx(1.0)


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_crossed_interval_of_few_seeds_holds_the_truth_at_least_as_often_as_it_says(n_seeds: int) -> None:
    rng = np.random.default_rng(0)
    hits = {True: 0, False: 0}
    for _ in range(400):
        table = rng.normal(size=(n_seeds, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(n_seeds, 30))
        for trained in hits:
            found = bootstrap_crossed(table, trained=trained, n_resamples=300)
            assert found is not None
            hits[trained] += found.low <= 0 <= found.high
    assert 0.93 <= hits[True] / 400 <= 0.995
    # Seeds drawn as they are would be taken for more than so few can say.
    assert hits[False] / 400 < 0.93


def test_stretching_seeds_widens_nothing_where_all_do_the_same_and_keeps_the_mean() -> None:
    table = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_allclose(stretched(table), slow_stretch(table))
    assert stretched(table).mean() == pytest.approx(table.mean())
    same = np.tile(table[0], (4, 1))
    np.testing.assert_allclose(stretched(same), same)
    np.testing.assert_array_equal(stretched(table[:1]), table[:1])


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3), np.full((1, 2), np.nan)])
def test_a_table_without_finite_values_is_an_error(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_crossed(bad)
    with pytest.raises(ValueError, match="4 layouts throughout, got 3"):
        bootstrap_crossed(np.zeros((1, 4)), np.zeros((1, 3)))
    assert bootstrap_crossed(np.ones((1, 4)), np.zeros((2, 4))) is None


def test_an_experts_mode_is_the_one_that_most_of_its_episodes_have() -> None:
    labels = ["a", "a", "a", "b", "b", "c"]
    codes = np.array([2, 2, 0, 1, 1, 1])
    found = match_experts(confusion_matrix(labels, codes, 4))
    for label in "abc":
        own = [int(code) for name, code in zip(labels, codes, strict=True) if name == label]
        assert found[label] == max(set(own), key=own.count)
    assert found["b"] == found["c"]  # merged experts share a mode


def test_goals_are_counted_in_their_own_segment() -> None:
    met = np.random.default_rng(0).random((4, 600)) < 0.02
    excursion = Excursion("forward_moving", 100)
    found = excursion.goals(met)
    assert found.shape == (3, 4)
    bounds = [range(250), range(250, 350), range(350, 600)]
    for part, steps in enumerate(bounds):
        for episode in range(4):
            assert found[part, episode] == sum(met[episode, step] for step in steps)
    schedule = excursion.schedule(5, 7)
    assert [set(schedule[steps.start : steps.stop]) for steps in bounds] == [{5}, {7}, {5}]
    assert len(schedule) == excursion.edges[-1]


def test_steps_outside_are_those_of_the_last_segment_with_nothing_in_reach() -> None:
    excursion = Excursion("forward_moving", 50)
    seen = np.random.default_rng(0).random((5, 551)) < 0.9
    seen[0, 300], seen[1, 550], seen[2, 301:] = False, False, True
    steps, at_end = excursion.outside(seen)
    for episode in range(5):
        # Observation t + 1 is what step t leads to; the last segment has the steps 300 to 549.
        assert steps[episode] == sum(not seen[episode, step + 1] for step in range(300, 550))
        assert at_end[episode] == (not seen[episode, 550])
    assert (steps[2], at_end[1]) == (0, True)


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


def test_every_other_expert_gets_both_excursions_that_fit() -> None:
    names = [excursion.name for excursion in excursions(("a", "b", "c"), "a", 1000)]
    assert names == ["b:50", "b:100", "c:50", "c:100"]
    assert [excursion.steps for excursion in excursions(("a", "b"), "a", 550)] == [50]
    assert excursions(("a", "b"), "a", 549) == []


class Constant:
    """An expert that counts how often it has been asked."""

    def __init__(self, action: float) -> None:
        self.action, self.asked = action, 0

    def reset(self, observations: np.ndarray, rngs: object) -> None:
        self.asked = 0

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.asked += 1
        return np.full((len(observations), 2), self.action)


def test_switched_experts_drive_by_the_schedule_and_all_of_them_see_every_step() -> None:
    experts = [Constant(0.5), Constant(-0.5)]
    schedule = np.array([0, 0, 1, 0])
    rngs = [np.random.default_rng(seed) for seed in range(3)]
    controller = SwitchingExperts(experts, schedule, rngs, action_noise=0.1)
    controller.reset(np.zeros((2, 4)), np.array([2, 0]))
    noise = np.stack([0.1 * np.random.default_rng(seed).normal(size=(4, 2)) for seed in (2, 0)], axis=1)
    for step in range(4):
        actions, disturbed = controller.act(np.zeros((2, 4)), step)
        np.testing.assert_allclose(actions, (0.5, -0.5)[schedule[step]] + noise[step])
        assert not disturbed.any()
    assert [expert.asked for expert in experts] == [4, 4]


def test_switching_to_the_same_mode_is_the_drive_without_switching() -> None:
    model, layouts, excursion = random_model(), held_out_layouts(2, "tuning"), Excursion("b", 50)
    env = make_vec("SafetyPointGoal1-v0", 2, threads=1)
    try:
        switched = excursion.goals(switch_modes(Policy(model), env, layouts, excursion, 1, 1).goals_met)
        drives = run_modes(Policy(model), env, layouts, 600, modes=[1])[1]
    finally:
        env.close()
    met = np.stack([drive.episode.goals_met for drive in drives if drive.episode.goals_met is not None])
    np.testing.assert_array_equal(switched, excursion.goals(met))


def test_behaviour_entropy_equals_a_slow_one() -> None:
    seen = np.array([[0, 0, 1, 2], [1, 0, 1, 1], [2, 2, 1, 0]])
    weights = np.array([2.0, 1.0, 1.0])

    def entropy(shares: list[float]) -> float:
        return -sum(share * math.log(share, 3) for share in shares if share)

    def share(behaviour: int, layouts: list[int]) -> float:
        hits = [weights[m] for m in range(3) for layout in layouts if seen[m, layout] == behaviour]
        return sum(hits) / (4.0 * len(layouts))

    found = behaviour_entropy(seen, weights, 3)
    assert found["entropy"] == pytest.approx(entropy([share(b, [0, 1, 2, 3]) for b in range(3)]))
    by_layout = [entropy([share(b, [layout]) for b in range(3)]) for layout in range(4)]
    assert found["conditional"] == pytest.approx(sum(by_layout) / 4)
    alike = behaviour_entropy(np.array([[0] * 4, [1] * 4]), np.ones(2), 2)
    assert alike == pytest.approx({"entropy": 1.0, "conditional": 1.0})
    single = behaviour_entropy(
        np.array([[0, 1]]), np.ones(1), 2
    )  # behaviour cloning: chance decides, the context never
    assert single == pytest.approx({"entropy": 1.0, "conditional": 0.0})


def drives_of(centre: float, n: int, seed: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(centre, 1.0, n).tolist() for name in LOOKS}


def test_a_rollout_looks_like_the_expert_with_the_nearest_figures() -> None:
    drives = {"a": drives_of(0, 50, 0), "b": drives_of(6, 50, 1)}
    classify = BehaviourClassifier(drives)
    new = drives_of(0, 20, 2)
    expected = []
    for layout in range(20):
        distances = []
        for own in drives.values():
            total = 0.0
            for name in LOOKS:
                spread = math.sqrt(sum(np.var(other[name]) for other in drives.values()) / 2)
                means = [np.mean(other[name]) for other in drives.values()]
                spread += 0.02 * (max(means) - min(means) + 1e-9)
                total += ((new[name][layout] - np.mean(own[name])) / spread) ** 2
            distances.append(total)
        expected.append(int(np.argmin(distances)))
    np.testing.assert_array_equal(classify(new), expected)
    assert set(classify(drives_of(6, 20, 3))) == {1}


def test_fidelity_is_the_share_of_rollouts_whose_inferred_mode_is_the_commanded_one() -> None:
    model = random_model()
    driven = {
        mode: [Drive(random_episode(60, seed=10 * mode + i), Motion(steps=60)) for i in range(4)] for mode in range(3)
    }
    found = steering_fidelity(Policy(model), driven)
    hits = [
        infer_context(model, drive.episode, every=20).code == mode
        for mode, drives in driven.items()
        for drive in drives
    ]
    assert found is not None
    assert found["accuracy"] == pytest.approx(sum(hits) / len(hits))
    assert 0 < found["accuracy"] < 1
    assert steering_fidelity(Policy(model), {0: driven[0]}) is None


def test_figures_are_those_of_the_drives_in_order() -> None:
    motions = [Motion(steps=3, goals=float(i), cost=2.0 * i, return_=None, straightness=0.1234567) for i in range(3)]
    found = figures_of([Drive(random_episode(3), motion) for motion in motions])
    assert set(found) == set(FIGURES)
    assert found["goals"] == [0.0, 1.0, 2.0]
    assert found["straightness"] == pytest.approx([0.1234567] * 3, rel=1e-5)
    assert found["return"] == [0.0] * 3


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


def test_an_expert_is_matched_where_a_modes_mean_cost_and_path_lie_in_its_interval() -> None:
    reference = [an_experts_cell(seed) for seed in (7, 8)]
    cell = a_cell(0.0, 1)
    assert aggregate.coverage(reference[0], reference, EXPERTS, 0.01) == 1.0
    for figure, expert, mode in itertools.product(("cost", "path_length"), EXPERTS, ("0", "1")):
        interval = bootstrap_crossed(aggregate.table(reference, expert, figure, "mean"), trained=False)
        assert interval is not None
        if cell["matching"][expert] != int(mode):
            continue
        for value, inside in ((interval.mean, True), (interval.low - 1e-3, False), (interval.high + 1e-3, False)):
            changed = {"drives": {"mean": {mode: dict(cell["drives"]["mean"][mode])}}}
            for other in ("cost", "path_length"):
                other_interval = bootstrap_crossed(aggregate.table(reference, expert, other, "mean"), trained=False)
                assert other_interval is not None
                changed["drives"]["mean"][mode][other] = [other_interval.mean]
            changed["drives"]["mean"][mode][figure] = [value]
            assert aggregate.any_mode_matches(changed, reference, expert) is inside
            assert aggregate.any_mode_matches(changed, reference, expert, margin=0.05)


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
    lost = judge("two", methods, EXPERTS)[0]
    assert (lost.found, lost.met) == ("3 of 4", False)
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


def test_a_cells_entropy_weighs_its_modes_by_their_shares() -> None:
    reference = [an_experts_cell(7)]
    pooled = {name: reference[0]["drives"]["mean"][name] for name in EXPERTS}
    classify = BehaviourClassifier(pooled)
    cell: dict = a_cell(0.0, 0) | {"shares": [0.8, 0.2, 0.0, 0.0]}
    seen = {mode: classify(figures) for mode, figures in cell["drives"]["mean"].items()}
    shares = {
        behaviour: sum(weight * np.mean(seen[mode] == behaviour) for mode, weight in (("0", 0.8), ("1", 0.2)))
        for behaviour in range(2)
    }
    expected = -sum(share * math.log(share, 2) for share in shares.values() if share)
    found = aggregate.entropies(cell, classify, EXPERTS)
    assert 0.6 < expected < 0.8
    assert found["entropy"] == pytest.approx(expected)


def test_coverage_is_the_share_of_experts_that_a_cell_matches() -> None:
    reference = [an_experts_cell(seed) for seed in (7, 8)]
    cell = a_cell(0.0, 1)
    goals = cell["drives"]["mean"]["1"] | {"cost": [500.0] * 12}
    spoilt = cell | {"drives": cell["drives"] | {"mean": cell["drives"]["mean"] | {"1": goals}}}
    methods = aggregate.aggregate({"experts": reference, "ours": [cell, spoilt]}, EXPERTS)
    assert methods["ours"]["coverage_within_5_percent"]["values"] == [1.0, 0.5]


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
