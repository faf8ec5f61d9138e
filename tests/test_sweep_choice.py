"""What the sweep chooses by: the rule, and the label-free figures."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.reports.sweep.cells import Done, Judgement
from mode_imitation.reports.sweep.choice import (
    Judge,
    Setting,
    gather,
    recommend,
    stability,
    tolerance,
)
from mode_imitation.reports.sweep.config import Cell
from tests.synthetic import two_laws


def setting(codes: int, stride: int, nll: Sequence[float], stable: float | None, modes: int, **more: Any) -> Setting:
    clear, episodes = more.get("clear", (2.0,) * len(nll)), more.get("episode_nll", [nll[0]] * 10)
    judged = [Judgement(own, episodes, clarity) for own, clarity in zip(nll, clear, strict=True)]
    return Setting([Done(Cell(codes, stride, seed), [], modes, one, "") for seed, one in enumerate(judged)], stable)


def choose(settings: Sequence[Setting]) -> Setting:
    chosen = recommend(settings).setting
    assert chosen is not None
    return chosen


# ---- the rule


def test_fewest_modes_among_equally_likely_and_equally_stable_settings() -> None:
    chosen = choose(
        [
            setting(2, 5, [-1.20, -1.19], 1.0, 2),  # two experts merged: clearly worse
            setting(4, 5, [-1.424, -1.420], 0.98, 4),
            setting(8, 5, [-1.426, -1.420], 1.0, 5),  # an expert split
        ]
    )
    assert (chosen.best.cell, chosen.best.n_modes) == (Cell(4, 5, 0), 4)


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


def test_a_setting_with_codes_that_are_not_told_apart_is_passed_over() -> None:
    split = setting(8, 1, [-1.430, -1.425], 1.0, 2, clear=(3.0, 0.99))
    whole = setting(4, 5, [-1.424, -1.420], 1.0, 3, clear=(2.0, 1.0))
    chosen = recommend([split, whole])
    assert chosen.setting is whole
    assert chosen.reason == (
        "2 of 2 settings explain the data as well as the best, 1 of them with codes that are told apart, "
        "1 with seeds that agree; this one has the fewest modes"
    )
    # It has fewer modes and a better likelihood: but for the pair it is the one.
    clearer = setting(8, 1, [-1.430, -1.425], 1.0, 2, clear=(3.0, 1.01))
    assert choose([clearer, whole]).codes == 8
    assert "told apart" not in recommend([clearer, whole]).reason


def test_how_stable_a_setting_is_that_is_passed_over_says_nothing_of_the_others() -> None:
    chosen = choose([setting(8, 1, [-1.42], 1.0, 5, clear=(0.1,)), setting(4, 1, [-1.42], 0.6, 4)])
    assert chosen.codes == 4


def test_clarity_passes_nothing_over_where_none_is_left() -> None:
    close = [setting(4, 1, [-1.42], 1.0, 4, clear=(0.3,)), setting(8, 1, [-1.42], 1.0, 5, clear=(-0.1,))]
    assert choose(close) is close[0]
    # A setting that explains the data worse is not chosen for its clarity.
    assert choose([*close, setting(2, 1, [-0.9], 1.0, 2, clear=(3.0,))]).codes == 4


def test_a_single_seed_has_no_stability_and_is_chosen_by_the_rest() -> None:
    assert choose([setting(2, 1, [-1.0], None, 2), setting(4, 5, [-1.4], None, 3)]).codes == 4


def test_one_mode_is_never_recommended_and_the_user_is_told_what_to_try() -> None:
    everywhere = [setting(k, 1, [-1.4, -1.4], 1.0, 1, clear=(None, None)) for k in (2, 4)]
    found = recommend(everywhere)
    assert found.setting is None
    assert "every training found one mode" in found.reason
    assert "--codes 8,16" in found.reason
    # Nor where others found more modes that explain nothing better; it is where they do.
    as_good = recommend([*everywhere, setting(8, 1, [-1.401, -1.4], 1.0, 2)])
    assert as_good.setting is None
    assert "one mode (k = 2, stride 1) explains the data as well as any number does" in as_good.reason
    assert choose([*everywhere, setting(8, 1, [-1.9, -1.9], 0.2, 3)]).codes == 8


def test_the_tolerance_is_one_standard_error_of_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=40), rng.normal(size=40)
    best = setting(2, 1, [one.mean()], None, 2, episode_nll=one.tolist())
    worse = setting(4, 1, [other.mean()], None, 2, episode_nll=other.tolist())
    differences = [b - a for a, b in zip(one, other, strict=True)]
    mean = sum(differences) / 40
    variance = sum((value - mean) ** 2 for value in differences) / 39
    assert tolerance(worse, best) == pytest.approx((variance / 40) ** 0.5)
    assert tolerance(best, best) == 0.01


def test_nothing_is_recommended_where_nothing_finished() -> None:
    with pytest.raises(UserError, match="nothing to recommend"):
        choose([])


def test_seeds_of_a_setting_are_gathered_the_best_first() -> None:
    def done(k: int, seed: int, nll: float, codes: list[int]) -> Done:
        return Done(Cell(k, 1, seed), codes, 2, Judgement(nll, [nll, None], (0.5, None)[seed]), "")

    [found, other] = gather([done(2, 0, -1.0, [0, 0, 1, 1]), done(2, 1, -1.2, [1, 1, 0, 0]), done(3, 0, -1, [0] * 4)])
    assert [cell.cell.seed for cell in found.cells] == [1, 0]
    assert found.stability == 1.0
    assert found.smallest_clarity == 0.5
    assert (other.codes, other.stability) == (3, None)


# ---- what a user without labels can judge by


def test_stability_is_the_mean_over_pairs() -> None:
    parts = [[0, 0, 1, 1, 2], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0]]
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert stability(parts) == pytest.approx(sum(adjusted_rand_score(parts[i], parts[j]) for i, j in pairs) / 3)
    assert stability(parts[:1]) is None


RIGHT = [index % 2 for index in range(10)]


def test_equal_partitions_are_judged_equally_and_the_right_one_best() -> None:
    data = two_laws(n_each=5, disturbed=False)
    judge = Judge(data)
    judgement = judge.judge(RIGHT)
    assert Judge(data).judge([3 - code for code in RIGHT]) == judgement
    # As many steps in every episode: the mean over steps is that over episodes.
    assert judgement.nll == pytest.approx(np.mean([value for value in judgement.episode_nll if value is not None]))
    halved = judge.judge([code + 2 * (index > 5) for index, code in enumerate(RIGHT)])
    assert judgement.nll < halved.nll < judge.judge([0] * 10).nll
    assert halved.smallest_clarity is not None
    assert judgement.smallest_clarity is not None
    assert halved.smallest_clarity < 1 < judgement.smallest_clarity
    assert judge.judge([0] * 10).smallest_clarity is None


def test_an_episode_without_a_step_to_judge_by_is_judged_by_nothing() -> None:
    first, *others = two_laws(n_each=5).episodes
    blank = dataclasses.replace(first, disturbed=np.ones(len(first), bool))
    nlls = Judge(TrajectoryDataset("test/blank-v0", (blank, *others))).judge(RIGHT).episode_nll
    assert nlls[0] is None
    assert np.isfinite(np.array(nlls[1:], float)).all()
