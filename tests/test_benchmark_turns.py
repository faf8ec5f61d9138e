"""The benchmark of experts that take turns: its data, its methods, and how its figures are joined and shown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_baselines import TINY
from test_turns import turns_dataset

from benchmarks.modes import aggregate, measure, run
from benchmarks.modes.__main__ import main
from benchmarks.modes.config import SEGMENT, SETS, BenchmarkConfig
from benchmarks.modes.methods import label_codes, train_method
from benchmarks.modes.tables import tables
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.batches import TrainingData
from mode_imitation.reports.turns import codes_of_steps, turn_scores
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import load_run
from tests.benchmark_figures import EXPERTS, a_cell, an_experts_cell, in_this_process
from tests.synthetic import two_laws
from tests.tiny_runs import random_model

STEPS = 60


def taking_turns(shuffled: bool = False) -> TrajectoryDataset:
    """Eight episodes whose law changes in the middle; `shuffled` says of each step what is true of another one."""
    dataset = two_laws(n_each=4, steps=STEPS, switch=True)
    rng = np.random.default_rng(0)
    episodes = []
    for index, episode in enumerate(dataset.episodes):
        acting = np.array(["back", "forth"])[(index + (np.arange(STEPS) >= STEPS // 2)) % 2]
        episodes.append(replace(episode, expert="back+forth", acting=rng.permutation(acting) if shuffled else acting))
    return replace(dataset, episodes=tuple(episodes))


def test_the_data_are_as_many_episodes_as_of_two_experts_and_turns_a_quarter_of_them() -> None:
    config = BenchmarkConfig(set="turns")
    assert config.demonstrations == ("goal_seeking+forward_moving@250=120",)
    assert BenchmarkConfig(set="turns", steps=240, episodes=2).demonstrations == ("goal_seeking+forward_moving@60=4",)
    assert (config.turn, BenchmarkConfig(set="two").turn) == (250, None)
    assert config.train_settings("ours").items() >= {"segment": SEGMENT, "find_switches": True}.items()


def test_no_segment_begins_where_a_turn_does() -> None:
    turn, steps = BenchmarkConfig(set="turns").turn, BenchmarkConfig(set="turns").steps
    assert turn is not None
    assert all(start % SEGMENT for start in range(turn, steps, turn))


@pytest.mark.parametrize("steps", [100, 236, 242])
def test_turns_shorter_than_a_segment_or_uneven_are_refused(steps: int, capsys: pytest.CaptureFixture) -> None:
    assert main(["turns", "--steps", str(steps)]) == 2
    line = capsys.readouterr().err
    assert f"--steps is {steps}; for turns expected 240 to 1000, a multiple of 4" in line
    assert line.count("\n") == 1


def test_a_set_has_its_own_methods(capsys: pytest.CaptureFixture) -> None:
    assert BenchmarkConfig(set="turns").chosen == list(SETS["turns"].methods)
    assert BenchmarkConfig(set="turns", methods="segments").chosen == ["experts", "segments"]
    for words, told in (
        (["turns", "--methods", "bc"], "there is no method 'bc' for turns"),
        (["two", "--methods", "segments"], "there is no method 'segments' for two"),
        (["two", "--methods", "kmean"], "there is no method 'kmean'"),
    ):
        assert main(words) == 2
        line = capsys.readouterr().err
        assert told in line
        assert line.count("\n") == 1


def test_labelled_turns_are_the_drivers_of_every_step() -> None:
    dataset = taking_turns()
    codes = label_codes(dataset, TINY)
    for episode, own in zip(dataset.episodes, codes, strict=True):
        assert episode.acting is not None
        assert [("back", "forth")[code] for code in own] == episode.acting.tolist()


@pytest.mark.parametrize("method", SETS["turns"].methods[1:])
def test_shuffled_turns_change_no_weight_except_where_labels_are_given(method: str, tmp_path: Path) -> None:
    config = replace(TINY, segment=20, find_switches=True)
    for name, data in (("as-is", taking_turns()), ("shuffled", taking_turns(shuffled=True))):
        train_method(method, data, config, tmp_path / name)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("as-is", "shuffled")]
    assert (weights[0] == weights[1]) is (method != "true-label")


def test_every_method_leaves_a_code_for_every_training_step(tmp_path: Path) -> None:
    dataset, config = taking_turns(), replace(TINY, segment=20, find_switches=True)
    for method in ("true-label", "segments", "kmeans"):
        train_method(method, dataset, config, tmp_path / method)
        found = load_run(tmp_path / method)
        codes = codes_of_steps(found.info, dataset, config.window.span)
        assert {index: len(own) for index, own in codes.items()} == dict.fromkeys(
            found.info["training_episodes"], STEPS
        )
        assert len(found.info["assignment"]) == len(found.info["training_episodes"])
        if method == "true-label":
            scores = turn_scores(codes, dataset)
            assert scores is not None
            assert scores["right_per_step"] == 1.0
            assert (scores["switches"]["recall"], scores["switches"]["precision"]) == (1.0, 1.0)


def test_experts_beyond_the_codes_are_counted_by_who_drove(tmp_path: Path) -> None:
    dataset = taking_turns()
    names = np.array(["a", "b", "c", "d"])[np.arange(STEPS) // (STEPS // 4)]
    many = replace(dataset, episodes=tuple(replace(episode, acting=names) for episode in dataset.episodes))
    with pytest.raises(UserError, match="there are 4 experts and only 3 codes"):
        train_method("true-label", many, TINY, tmp_path / "run")


def turning_cell(seed: int, right: float = 0.97, n_modes: int = 2) -> dict[str, Any]:
    scores = {"right_per_step": right - 0.01, "right_per_step_in_arena": right + 0.001 * seed}
    switches = {"true": 300, "found": 310 + seed, "recall": 0.8, "precision": 0.75, "median_distance_steps": 0.0}
    turns = scores | {"all_steps": {name: value - 0.02 for name, value in scores.items()}, "switches": switches}
    cell = a_cell(0.0, seed)
    return cell | {"n_modes": n_modes, "turns": turns, "clustering": cell["clustering"] | {"episode": None}}


def made_up(right: float = 0.97) -> dict[str, Any]:
    ours, segments = [turning_cell(seed, right) for seed in range(3)], [turning_cell(0, 0.8, 3)]
    theirs = [an_experts_cell(seed) for seed in (7, 8)]
    methods = aggregate.aggregate({"experts": theirs, "ours": ours, "segments": segments}, EXPERTS)
    for entry in methods.values():
        entry["failed"] = 0
    return {"methods": methods, "experts": list(EXPERTS), "differences": [], "turn": 250}


def test_turns_are_means_over_seeds() -> None:
    methods = made_up()["methods"]
    found = methods["ours"]["turns"]
    assert found["right_per_step_in_arena"]["values"] == [0.97, 0.971, 0.972]
    assert found["right_per_step"]["mean"] == pytest.approx(0.96)
    assert found["all_right_per_step_in_arena"]["mean"] == pytest.approx(0.951)
    assert (found["switches_found"]["least"], found["switches_found"]["largest"]) == (310, 312)
    assert (methods["ours"]["exact"], methods["segments"]["exact"]) == (3, 0)
    assert methods["ours"]["clustering"]["episode_nmi"] is None


def test_tables_have_steps_in_place_of_trajectories() -> None:
    first, second = tables(made_up())[:2]
    assert first.rows[0] == (
        "ours",
        "2 2 2",
        "3 of 3",
        "0.971 [0.970, 0.972]",
        "0.960 [0.960, 0.960]",
        "0.951 [0.950, 0.952]",
        "0.940 [0.940, 0.940]",
    )
    assert second.rows[1] == (
        *("segments", "300 [300, 300]", "310 [310, 310]"),
        *("0.80 [0.80, 0.80]", "0.75 [0.75, 0.75]", "0.0 [0.0, 0.0]"),
    )


def test_the_benchmark_of_turns_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run, "run_cells", in_this_process)
    words = "--seeds 1 --methods true-label --episodes 2 --steps 240 --layouts 2 --iterations 3 --layout-block tuning"
    assert main(["turns", *words.split(), "--jobs", "1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "A TRIAL" in printed
    assert "goal_seeking and forward_moving take turns, 60 steps each: 4 episodes" in printed
    results = json.loads((tmp_path / "turns-trial" / "results.json").read_text())
    assert (
        (tmp_path / "turns-trial" / "results.md").read_text().startswith("# Mode benchmark, experts that take turns\n")
    )
    (cell,) = (tmp_path / "turns" / "cells").glob("true-label-*/cell.json")
    assert json.loads(cell.read_text())["job"]["turn"] == 60
    found = results["methods"]["true-label"]["turns"]
    assert found["all_right_per_step"]["values"] == [1.0]
    assert found["switches_true"]["values"] == [4 * 3]


def test_leak_is_judged_within_turns_and_none_go_unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = turns_dataset()
    seen: dict[str, Any] = {}

    def watched(_: object, data: TrainingData, pool: int) -> None:
        seen.update(units=data.unit_lengths.tolist(), pool=pool)
        raise InterruptedError

    monkeypatch.setattr(measure, "measure_leak", watched)
    monkeypatch.setattr(measure, "run_modes", lambda *_, **__: {})
    monkeypatch.setattr(measure, "excursions", lambda *_: [])
    env: Any = None
    common: dict[str, Any] = {"pool": 2, "held_out": [], "goal_expert": "a", "sampled": False, "switching_layouts": 0}
    policy, codes = Policy(random_model()), {0: np.zeros(40, dtype=np.int64)}
    with pytest.raises(InterruptedError):
        measure.measure_policy(policy, dataset, env, [], 5, **common, turn=20, codes=codes)
    assert seen["pool"] == 2
    assert set(seen["units"]) == {20}
    with pytest.raises(ValueError, match="give the codes"):
        measure.measure_policy(policy, dataset, env, [], 5, **common)
