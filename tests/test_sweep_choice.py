"""What the sweep chooses by: the rule, the label-free figures, and what decides about the original's claims."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score

from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.sweep.claims import learned_at, separates_earlier, separates_from_four, simplest_first
from mode_imitation.reports.sweep.criteria import Judge, in_order_of_appearance, stability
from mode_imitation.reports.sweep.fit import FitWatcher, action_entropies, uninformed_fit
from mode_imitation.reports.sweep.recommendation import Recommendation, Setting, gather, recommend, tolerance
from mode_imitation.training.assignment import selection_score
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.trainer import HookCall
from tests.synthetic import two_laws


def setting(codes: int, stride: int, nll: Sequence[float], stable: float | None, modes: int, **more: Any) -> Setting:
    count = len(nll)
    episode_nll = more.get("episode_nll", np.full(10, nll[0]))
    objective = more.get("objective", "ours")
    return Setting(
        objective,
        codes,
        stride,
        tuple(range(count)),
        tuple(nll),
        (modes,) * count,
        more.get("gaps", (1.0,) * count),
        episode_nll,
        stable,
        0,
    )


def choose(settings: Sequence[Setting]) -> Recommendation:
    """As a sweep whose training merges codes below 0.4 nats per step."""
    return recommend(settings, 0.4)


# ---- the rule


def test_fewest_modes_among_equally_likely_and_equally_stable_settings() -> None:
    chosen = choose(
        [
            setting(2, 5, [-1.20, -1.19], 1.0, 2),  # two experts merged: clearly worse
            setting(4, 5, [-1.424, -1.420], 0.98, 4),
            setting(8, 5, [-1.426, -1.420], 1.0, 5),  # an expert split
        ]
    )
    assert (chosen.codes, chosen.stride, chosen.seed, chosen.n_modes) == (4, 5, 0, 4)


def test_settings_whose_seeds_disagree_are_passed_over() -> None:
    chosen = choose([setting(4, 1, [-1.425], 0.5, 4), setting(8, 1, [-1.420], 0.97, 5)])
    assert chosen.codes == 8


def test_a_stable_setting_that_explains_less_is_not_chosen() -> None:
    chosen = choose([setting(2, 1, [-0.97, -0.97], 1.0, 1), setting(4, 1, [-1.42, -1.0], 0.3, 4)])
    assert chosen.codes == 4


def test_equal_settings_go_to_the_smallest_k_and_stride() -> None:
    same = [setting(codes, stride, [-1.4], 1.0, 2) for codes in (8, 2, 4) for stride in (5, 1)]
    chosen = choose(same)
    assert (chosen.codes, chosen.stride) == (2, 1)


def test_a_setting_with_codes_that_explain_each_other_s_data_is_passed_over() -> None:
    split = setting(8, 1, [-1.430, -1.425], 1.0, 2, gaps=(0.9, 0.31))
    whole = setting(4, 5, [-1.424, -1.420], 1.0, 3, gaps=(0.8, 0.4))
    chosen = choose([split, whole])
    assert (chosen.codes, chosen.stride) == (4, 5)
    assert "1 of them passed over because two codes explain each other's data within 0.4 nats" in chosen.reason
    assert "the smallest gap is 0.31" in chosen.reason
    assert "1 of the others with seeds that agree" in chosen.reason
    assert "between two of its codes is 0.40" in chosen.reason
    # It has fewer modes and a better likelihood: but for the gap it is the one.
    wider = dataclasses.replace(split, gaps=(0.9, 0.41))
    assert choose([wider, whole]).codes == 8
    assert "passed over" not in choose([wider, whole]).reason


def test_how_stable_a_setting_is_that_is_passed_over_says_nothing_of_the_others() -> None:
    chosen = choose([setting(8, 1, [-1.42], 1.0, 5, gaps=(0.1,)), setting(4, 1, [-1.42], 0.6, 4)])
    assert chosen.codes == 4


def test_gaps_pass_nothing_over_where_none_is_left_or_none_is_known() -> None:
    close = [setting(4, 1, [-1.42], 1.0, 4, gaps=(0.3,)), setting(8, 1, [-1.42], 1.0, 5, gaps=(-0.1,))]
    chosen = choose(close)
    assert chosen.codes == 4
    assert "in every one of them two codes explain each other's data" in chosen.reason
    assert "the smallest gap is -0.10" in chosen.reason
    single = choose([setting(2, 1, [-1.42, -1.42], 1.0, 1, gaps=(None, None)), setting(4, 1, [-1.42], 1.0, 4)])
    assert single.codes == 2
    assert "gap" not in single.reason
    # A setting that explains the data worse is not chosen for its gap.
    assert choose([*close, setting(2, 1, [-0.9], 1.0, 2, gaps=(3.0,))]).codes == 4


def test_one_seed_has_no_stability_and_the_original_is_chosen_only_alone() -> None:
    original = setting(2, 1, [-2.0], None, 2, objective="original")
    assert choose([original, setting(4, 5, [-1.4], None, 3)]).objective == "ours"
    assert choose([original]).objective == "original"


def test_the_tolerance_is_one_standard_error_of_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=40), rng.normal(size=40)
    best = setting(2, 1, [one.mean()], None, 2, episode_nll=one)
    worse = setting(4, 1, [other.mean()], None, 2, episode_nll=other)
    differences = [b - a for a, b in zip(one, other, strict=True)]
    mean = sum(differences) / 40
    variance = sum((value - mean) ** 2 for value in differences) / 39
    assert tolerance(worse, best) == pytest.approx((variance / 40) ** 0.5)
    assert tolerance(best, best) == 0.01


def test_nothing_is_recommended_where_nothing_finished() -> None:
    with pytest.raises(UserError, match="nothing to recommend"):
        choose([])


def test_seeds_are_gathered_and_failed_ones_left_out() -> None:
    def cell(seed: int, nll: float, codes: list[int]) -> dict[str, Any]:
        criteria = {"nll": nll, "episode_nll": [nll, None], "smallest_gap": (0.5, None)[seed]}
        where = {"objective": "ours", "codes": 2, "stride": 1, "seed": seed}
        return {"status": "done", "cell": where, "criteria": criteria, "codes": codes, "n_modes": 2}

    failed = {"status": "failed", "cell": {"objective": "ours", "codes": 2, "stride": 1, "seed": 9}, "reason": "no"}
    [found] = gather([cell(0, -1.0, [0, 0, 1, 1]), cell(1, -1.2, [1, 1, 0, 0]), failed])
    assert found.seeds == (1, 0)
    assert found.stability == 1.0
    assert found.n_failed == 1
    assert found.smallest_gap == 0.5
    assert gather([failed]) == []


# ---- what a user without labels can judge by


def test_stability_is_the_mean_over_pairs() -> None:
    parts = [[0, 0, 1, 1, 2], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0]]
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert stability(parts) == pytest.approx(sum(adjusted_rand_score(parts[i], parts[j]) for i, j in pairs) / 3)
    assert stability(parts[:1]) is None


def test_equal_partitions_are_judged_equally_and_the_value_is_training_s_own() -> None:
    data = two_laws(n_each=5)
    config = TrainConfig(scoring_iterations=40, scoring_batch=64, actor_hidden=(16,))
    judge = Judge(data, config, 4)
    right = [index % 2 for index in range(10)]
    judgement = judge.judge(right)
    assert judge.judge([3 - code for code in right]) == judgement
    expected = selection_score(judge.model, judge.data, torch.tensor(right), config, torch.Generator().manual_seed(0))
    assert judgement.nll == pytest.approx(expected)
    assert judgement.nll == pytest.approx(np.mean(judgement.episode_nll))
    assert judgement.smallest_gap is not None
    assert judge.judge([0] * 10).smallest_gap is None
    assert judgement.nll < judge.judge([0] * 10).nll
    other_window = dataclasses.replace(config, stride=7, codes=3, seed=5)
    assert Judge(data, other_window, 4).judge(right) == judgement


def test_codes_are_renamed_in_the_order_of_appearance() -> None:
    assert in_order_of_appearance([5, 2, 5, 0]) == [0, 1, 0, 2]


def test_a_fit_under_other_windows_does_not_count_what_a_context_knows_of_its_own_action() -> None:
    config = TrainConfig(codes=3, horizon=3, gap=1, stride=1, pool=2, actor_hidden=(16,))
    data = two_laws(n_each=3)
    watcher = FitWatcher(data, config)
    one_code = ModeModel(config.model_config(3, 1))
    one_code.keep_codes(torch.tensor([True, False, False]))
    distances = ModeModel(dataclasses.replace(config, context="distances").model_config(3, 1))
    for step, model in enumerate((one_code, distances)):
        watcher(HookCall(model, "discovery", step, None))  # type: ignore[arg-type]
    curves = watcher.curves()
    assert curves["iterations"] == [0, 1]
    assert set(curves["fits"]) == {"plus", "minus"}
    for name, (knows_nothing, knows_the_window) in curves["fits"].items():
        assert knows_nothing == curves["own_window_fits"][name][0]
        assert knows_the_window != curves["own_window_fits"][name][1]


def test_a_watcher_goes_on_when_the_model_is_given_a_history() -> None:
    config = TrainConfig(codes=3, horizon=4, gap=2, pool=2, history=2, history_gap=3)
    watcher = FitWatcher(two_laws(n_each=3), config)
    model = ModeModel(config.model_config(3, 1))
    for step, shown in enumerate((model, model.with_history(config.memory))):
        watcher(HookCall(shown, "refinement", step, None))  # type: ignore[arg-type]
    for before, after in watcher.curves()["fits"].values():
        assert after == pytest.approx(before, rel=1e-5)


def test_entropies_are_those_of_the_undisturbed_actions() -> None:
    data = two_laws(n_each=3)
    entropies = action_entropies(data)
    for expert, entropy in entropies.items():
        own = [e.actions[~e.disturbed] for e in data.episodes if e.expert == expert and e.disturbed is not None]
        assert entropy == pytest.approx(norm(scale=np.concatenate(own).std()).entropy(), rel=1e-5)
    assert -uninformed_fit(data) >= np.mean(list(entropies.values())) - 1e-9


# ---- the original's claims


def test_the_claims_follow_from_the_numbers() -> None:
    holding = {1: {2: 0.1, 3: 0.4, 4: 0.6, 8: 0.7}, 5: {2: 0.2, 3: 0.6, 4: 0.7, 8: 0.9}}
    assert separates_from_four(holding).holds is True
    assert separates_earlier(holding).holds is True
    early = {1: {2: 0.6, 4: 0.6}, 5: {2: 0.6, 4: 0.9}}
    assert separates_from_four(early).holds is False
    assert separates_earlier(early).holds is False
    assert separates_earlier({1: {2: 0.9, 4: 0.9}, 5: {2: 0.1, 4: 0.1}}).holds is False
    assert separates_from_four({5: {2: 0.1, 4: 0.9}}).holds is None
    assert separates_earlier({1: {2: 0.1, 4: 0.9}}).holds is None


def test_the_simplest_expert_is_the_least_varied_and_learned_when_half_way() -> None:
    fit = {"iterations": [10, 20, 30], "fits": {"calm": [0.1, 0.6, 0.2], "busy": [0.0, 0.2, 1.0]}}
    assert learned_at(fit, 0.0) == {"calm": 20, "busy": 30}
    assert simplest_first([fit], {"calm": -1.0, "busy": 0.5}, 0.0).holds is True
    assert simplest_first([fit], {"calm": 0.5, "busy": -1.0}, 0.0).holds is False
    assert simplest_first([fit], {"calm": 0.5, "busy": 0.5}, 0.0).holds is None
    assert learned_at({"iterations": [1], "fits": {"calm": [1.0], "busy": [0.1]}}, 0.0)["busy"] == float("inf")
