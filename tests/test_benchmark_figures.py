"""Every figure of the benchmark equals a slow, obvious definition, and stands in its own column."""

from statistics import fmean
from typing import Any

import numpy as np
import pytest

from benchmarks.modes import aggregate, measure
from benchmarks.modes.measure import FIGURES, figures_of, match_experts, steering_fidelity, switch_modes
from benchmarks.modes.statistics import bootstrap_crossed
from benchmarks.modes.switching import EXCURSIONS, GOAL_STEPS, Excursion, SwitchingExperts, excursions
from benchmarks.modes.tables import tables
from experts.registry import make_expert
from mode_imitation.reports.closed_loop import Drive, run_modes
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.reports.metrics import confusion_matrix
from mode_imitation.reports.motion import Motion
from mode_imitation.steering.infer import encode_windows
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.safety import make_vec
from mode_imitation.worlds.worker import expert_setting
from tests.benchmark_figures import EXPERTS, a_cell, an_experts_cell
from tests.tiny_runs import random_dataset, random_episode, random_model

REFERENCE = [an_experts_cell(seed) for seed in (7, 8)]
MEAN, SAMPLED = "goal_seeking: goals, mean action", "goal_seeking: goals, sampled action"
AFTER = "goals after 50 steps of forward_moving"

# ---- what a cell measures


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
        switched = excursion.goals(switch_modes(Policy(model), env, layouts, excursion, 1, 1))
        drives = run_modes(Policy(model), env, layouts, 600, modes=[1])[1]
    finally:
        env.close()
    met = np.stack([drive.episode.goals_met for drive in drives if drive.episode.goals_met is not None])
    np.testing.assert_array_equal(switched, excursion.goals(met))


def test_fidelity_is_the_share_of_rollouts_whose_inferred_mode_is_the_commanded_one() -> None:
    model = random_model()
    driven = {
        mode: [Drive(random_episode(60, seed=10 * mode + i), Motion(steps=60)) for i in range(4)] for mode in range(3)
    }
    hits = [
        encode_windows(model, drive.episode, every=20).code == mode
        for mode, drives in driven.items()
        for drive in drives
    ]
    found = steering_fidelity(Policy(model), driven)
    assert found == pytest.approx(sum(hits) / len(hits))
    assert 0 < sum(hits) < len(hits)
    assert steering_fidelity(Policy(model), {0: driven[0]}) is None


def test_figures_are_those_of_the_drives_in_order() -> None:
    motions = [Motion(steps=3, goals=float(i), cost=2.0 * i, return_=None, straightness=0.1234567) for i in range(3)]
    found = figures_of([Drive(random_episode(3), motion) for motion in motions])
    assert set(found) == set(FIGURES)
    assert found["goals"] == [0.0, 1.0, 2.0]
    assert found["straightness"] == pytest.approx([0.1234567] * 3, rel=1e-5)
    assert found["return"] == [0.0] * 3


# ---- from cells to results


def goals(cells: list[dict], drawn: str = "mean", mode: str = "1") -> list[float]:
    return [value for cell in cells for value in cell["drives"][drawn][mode]["goals"]]


def goals_after(cells: list[dict]) -> np.ndarray:
    return np.array([cell["switching"]["forward_moving:50"][2] for cell in cells])


def test_results_are_means_over_seeds_and_layouts_and_ratios_to_the_experts() -> None:
    ours = [a_cell(-1.0, seed) for seed in range(3)]
    results = aggregate.aggregate({"experts": REFERENCE, "ours": ours}, EXPERTS)
    found, theirs = results["ours"]["experts"]["goal_seeking"], goals(REFERENCE, mode="goal_seeking")
    assert found["goals"]["mean"] == pytest.approx(fmean(goals(ours)))
    assert found["ratio"]["goals"]["mean"] == pytest.approx(fmean(goals(ours)) / fmean(theirs))
    assert results["experts"]["experts"]["goal_seeking"]["ratio"]["goals"]["mean"] == pytest.approx(1.0)
    last = results["ours"]["switching"]["forward_moving:50"]
    assert last["goals"][2]["mean"] == pytest.approx(goals_after(ours).mean())
    assert last["ratio"][2]["mean"] == pytest.approx(goals_after(ours).mean() / goals_after(REFERENCE).mean())
    leak = {"mean": pytest.approx(0.01), "least": 0.0, "largest": 0.02, "values": [0, 0.01, 0.02]}
    assert results["ours"]["leak"] == leak


def test_a_ratio_to_an_expert_without_goals_is_left_out() -> None:
    assert aggregate.ratio(np.ones((1, 4)), np.array([[0.0, 0.0, 1.0, 0.0]])) is None
    assert aggregate.ratio(np.ones((1, 4)), np.full((1, 4), 2.0)) == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 4}


def test_a_run_is_exact_only_with_the_right_number_of_modes_and_every_trajectory_right() -> None:
    good, bad = a_cell(0.0, 0), a_cell(0.0, 1)
    one_wrong = bad | {"clustering": bad["clustering"] | {"episode": bad["clustering"]["episode"] | {"nmi": 0.97}}}
    found = aggregate.clustering([good, a_cell(0.0, 1) | {"n_modes": 3}, one_wrong], 2)
    assert (found["exact"], found["n_modes"]) == (1, [2, 3, 2])


def test_a_difference_is_that_of_the_means_over_the_experts() -> None:
    ours, labels = [a_cell(-1.0, seed) for seed in range(3)], [a_cell(0.5, seed) for seed in range(4, 6)]
    every = aggregate.differences({"experts": REFERENCE, "true-label": labels, "ours": ours}, EXPERTS)
    found = {one["figure"]: one for one in every}
    assert set(found) == {MEAN, SAMPLED, AFTER}
    assert {one["minus"] for one in every} == {"true-label"}
    expert = fmean(goals(REFERENCE, mode="goal_seeking"))
    for figure, drawn in ((MEAN, "mean"), (SAMPLED, "sampled")):
        one = found[figure]
        assert one["mean"] == pytest.approx((fmean(goals(ours, drawn)) - fmean(goals(labels, drawn))) / expert)
        assert one["low"] < one["mean"] < one["high"] < 0
    expected = bootstrap_crossed(goals_after(ours), goals_after(REFERENCE), minus=goals_after(labels))
    assert expected is not None
    assert found[AFTER].items() >= expected.as_dict().items()
    assert aggregate.differences({"experts": [], "ours": ours, "bc": labels}, EXPERTS) == []


def test_a_hard_layout_pulls_both_down_and_hides_no_difference() -> None:
    layouts = np.random.default_rng(0).normal(0, 3, 12)

    def moved(cells: list[dict]) -> list[dict]:
        for cell in cells:
            for drives in cell["drives"].values():
                for figures in drives.values():
                    figures["goals"] = (np.array(figures["goals"]) + layouts).tolist()
        return cells

    ours, labels = moved([a_cell(-0.5, seed) for seed in range(3)]), moved([a_cell(0.0, seed) for seed in range(4, 7)])
    apart = [
        aggregate.closed_loop(cells, REFERENCE, "goal_seeking", "mean")["ratio"]["goals"] for cells in (ours, labels)
    ]
    assert apart[0]["high"] > apart[1]["low"]  # the intervals overlap
    found = aggregate.differences({"experts": REFERENCE, "ours": ours, "bc": labels}, EXPERTS)
    assert next(one["high"] for one in found if one["figure"] == MEAN) < 0  # and yet ours is surely less


# ---- tables


def made_up_results(**methods: list[dict]) -> dict:
    by_method = {"experts": REFERENCE} | methods
    found = aggregate.aggregate(by_method, EXPERTS)
    for entry in found.values():
        entry["failed"] = 0
    differences = aggregate.differences(by_method, EXPERTS)
    return {"methods": found, "experts": list(EXPERTS), "differences": differences, "turn": None}


def test_tables_show_every_method_and_expert() -> None:
    cells = [a_cell(0.0, seed) for seed in range(3)]
    results = made_up_results(**{"true-label": cells, "ours": cells})
    results["methods"]["ours"]["failed"] = 1
    shown = tables(results)
    for table in shown:
        assert all(len(row) == len(table.columns) for row in table.rows)
    driving = [table for table in shown if table.title.startswith("Driving")]
    assert [table.title.split()[1] for table in driving] == list(EXPERTS)
    seeker, straight = ([row[0] for row in table.rows] for table in driving)
    assert seeker == ["experts", "true-label", "true-label, sampled", "ours", "ours, sampled"]
    assert straight == ["experts", "true-label", "ours"]
    assert shown[0].rows[1][2] == "3 of 4"
    assert [row[0] for row in shown[-1].rows] == [MEAN, SAMPLED, AFTER]
    assert all(row[1].startswith("0.000 [") for row in shown[-1].rows)
    (ours,) = (row for row in shown[0].rows if row[0] == "ours")
    parts = [[cell["clustering"][part]["nmi"] for cell in cells] for part in ("episode", "window", "window_in_arena")]
    assert list(ours[3:]) == [f"{np.mean(part):.3f} [{min(part):.3f}, {max(part):.3f}]" for part in parts]


@pytest.mark.parametrize("merged", [0, 1, 2])
def test_where_one_mode_stands_for_both_nothing_is_switched_and_the_tables_say_so(merged: int) -> None:
    other = [a_cell(0.1, seed) for seed in range(2)]
    for cell in other[:merged]:
        cell["matching"] = {"goal_seeking": 1, "forward_moving": 1}
    results = made_up_results(ours=[a_cell(0.0, seed) for seed in range(2)], bc=other)
    found = results["methods"]["bc"]["switching"]["forward_moving:50"]
    assert found["merged"] == merged
    assert ("ratio" in found) == (merged < 2)
    (table,) = (table for table in tables(results) if table.title.startswith("Switching"))
    after, ratio = table.rows[-1][-2:]
    assert (after.endswith("*"), ratio.endswith("*"), ratio == "-*") == (merged > 0, merged > 0, merged == 2)
    compared = [one["figure"] for one in results["differences"] if "after" in one["figure"]]
    assert compared == ["goals after 50 steps of forward_moving"] * (merged < 2)


# ---- drives in which modes, or experts, are switched, beside drives step by step in one world

ENV, NAMES = "SafetyPointGoal1-v0", ("forward_moving", "goal_seeking")
LAYOUTS = held_out_layouts(2, "tuning")
LONGEST = 2 * GOAL_STEPS + max(EXCURSIONS)
NOISE = 0.1


class Actors(Policy):
    """A policy whose mode 0 drives straight ahead and whose mode 1 seeks goals; the third one drives straight, too."""

    experts: Any = ()

    def actions(self, observations: np.ndarray, temperature: float = 0.0) -> np.ndarray:
        contexts = np.broadcast_to(np.asarray(self.context), (len(observations), self.n_codes))
        wanted = [expert.act(observations) for expert in self.experts]
        return np.stack([wanted[mode % 2][row] for row, mode in enumerate(contexts.argmax(axis=1))]).astype(np.float32)


def scripted() -> list[Any]:
    env = make_vec(ENV, 1, threads=1)
    setting = expert_setting(env)
    env.close()
    return [make_expert(name, setting) for name in NAMES]


def step_by_step(layout: int, steps: int, noise: np.ndarray | None) -> list[int]:
    """Goals in each of the three segments, as a cell holds them for one layout."""
    experts = scripted()
    env = make_vec(ENV, 1, threads=1)
    observation, _ = env.reset(seed=[layout])
    goals = [0, 0, 0]
    for step in range(2 * GOAL_STEPS + steps):
        segment = 0 if step < GOAL_STEPS else 1 if step < GOAL_STEPS + steps else 2
        action = np.asarray(experts[0 if segment == 1 else 1].act(observation), dtype=np.float64)
        wanted = action if noise is None else action + noise[step]
        observation, _, _, _, infos = env.step(wanted.astype(np.float32).clip(-1, 1))
        goals[segment] += int(infos["goal_met"][0])
    env.close()
    return goals


def compare(found: dict[str, Any], noises: list[np.ndarray] | None) -> None:
    assert list(found["switching"]) == [f"forward_moving:{steps}" for steps in EXCURSIONS]
    total = 0
    for steps in EXCURSIONS:
        name = f"forward_moving:{steps}"
        for place, layout in enumerate(LAYOUTS):
            noise = None if noises is None else noises[place][: 2 * GOAL_STEPS + steps]
            slow = step_by_step(layout, steps, noise)
            assert [segment[place] for segment in found["switching"][name]] == slow
            total += slow[0] + slow[2]
    assert total > 2, "a drive without goals would compare nothing"


def test_the_goal_mode_is_left_for_the_other_one_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "match_experts", lambda units: {"goal_seeking": 1, "forward_moving": 0})
    env = make_vec(ENV, 2, threads=1)
    policy = Actors(random_model())
    policy.experts = scripted()
    found = measure.measure_policy(
        policy,
        random_dataset(),
        env,
        LAYOUTS,
        LONGEST,
        pool=2,
        held_out=[0],
        goal_expert="goal_seeking",
        sampled=False,
        switching_layouts=2,
    )
    env.close()
    compare(found, None)


def test_the_experts_are_switched_by_the_same_schedule_with_noise_drawn_by_layout() -> None:
    env = make_vec(ENV, 2, threads=1)
    found = measure.measure_experts(
        NAMES,
        env,
        LAYOUTS,
        LONGEST,
        goal_expert="goal_seeking",
        switching_layouts=2,
        action_noise=NOISE,
        seed=3,
    )
    env.close()
    # Noise is drawn for the whole of a schedule at once, so that its length is part of the draw.
    draws = [NOISE * np.random.default_rng([3, layout]).normal(size=(LONGEST, 2)) for layout in LAYOUTS]
    compare(found, draws)
