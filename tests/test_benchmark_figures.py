"""Every figure of the benchmark equals a slow, obvious definition."""

import itertools
import math

import numpy as np
import pytest
from benchmark_figures import EXPERTS, a_cell, an_experts_cell
from tiny_runs import random_episode, random_model

from mode_imitation.reports.benchmark import aggregate
from mode_imitation.reports.benchmark.behaviour import LOOKS, BehaviourClassifier, behaviour_entropy
from mode_imitation.reports.benchmark.measure import (
    FIGURES,
    figures_of,
    match_experts,
    steering_fidelity,
    switch_modes,
)
from mode_imitation.reports.benchmark.switching import Excursion, SwitchingExperts, excursions
from mode_imitation.reports.closed_loop import Drive, run_modes
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.reports.metrics import confusion_matrix
from mode_imitation.reports.motion import Motion
from mode_imitation.reports.statistics import bootstrap_crossed
from mode_imitation.steering.infer import infer_context
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.safety import make_vec


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


def test_an_expert_is_matched_where_a_modes_mean_cost_and_path_lie_in_its_interval() -> None:
    reference = [an_experts_cell(seed) for seed in (7, 8)]
    cell = a_cell(0.0, 1)
    bounds = aggregate.bounds_of(reference, EXPERTS)
    assert aggregate.coverage(reference[0], bounds, 0.01) == 1.0
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
            assert aggregate.any_mode_matches(changed, bounds[expert]) is inside
            assert aggregate.any_mode_matches(changed, bounds[expert], margin=0.05)


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
