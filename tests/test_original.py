"""The original method and its experiment: its settings, what is learned first, its claims, and the whole in small."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from benchmarks.original import __main__ as experiment
from benchmarks.original.__main__ import OriginalConfig, main
from benchmarks.original.claims import learned_at, separates_earlier, separates_from_four, separation, simplest_first
from benchmarks.original.fit import FitWatcher, action_entropies, uninformed_fit
from benchmarks.original.method import SETTINGS, original_method
from mode_imitation.cli import parse
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.sweep.config import SweepConfig
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import HookCall
from tests.synthetic import two_laws
from tests.tiny_sweeps import NAME, stored


def test_the_original_method_is_the_same_from_python_and_from_its_config_file() -> None:
    command = parse("train", ["some/data-v0", "--config", str(SETTINGS)])
    assert command.settings == original_method()
    assert (original_method().objective, original_method(codes=7).codes) == ("ratio", 7)


def test_the_experiment_from_end_to_end_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = partial(SweepConfig, iterations=8, joint_iterations=20)
    monkeypatch.setattr(experiment, "SweepConfig", short)
    stored(tmp_path)
    out = tmp_path / "out"
    words = ["--codes", "2", "--strides", "1,2", "--seeds", "1", "--original-iterations", "20", "--jobs", "1"]
    arguments = [NAME, "--root", str(tmp_path), "--out", str(out), *words]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("The simplest behaviour is learned first: ") == 2
    cells = sorted((out / "cells").iterdir())
    assert [json.loads(path.read_text())["cell"]["objective"] for path in cells] == ["original"] * 2 + ["ours"] * 2
    assert {path.name for path in out.glob("*.png")} == {"maps-ours.png", "maps-original.png"}
    before = [path.stat().st_mtime_ns for path in cells]
    assert main(arguments) == 0
    assert [path.stat().st_mtime_ns for path in cells] == before


def test_the_experiment_needs_labels(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stored(tmp_path, "removed")
    assert main([NAME, "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "does not name two experts or more" in capsys.readouterr().err
    assert len(OriginalConfig(dataset=NAME).grid()) == 96


def test_a_fit_under_other_windows_does_not_count_what_a_context_knows_of_its_own_action() -> None:
    config = TrainConfig(codes=3, horizon=3, gap=1, stride=1, pool=2, actor_hidden=(16,))
    data = two_laws(n_each=3)
    watcher = FitWatcher(data, config)
    one_code, distances = (
        ModeModel(dataclasses.replace(config, context=kind).model_config(data.obs_dim, data.action_space))
        for kind in ("assignment", "distances")
    )
    one_code.alive.copy_(torch.tensor([True, False, False]))
    for step, model in enumerate((one_code, distances)):
        watcher(HookCall(model, step, None))  # type: ignore[arg-type]
    curves = watcher.curves()
    assert curves["iterations"] == [0, 1]
    assert set(curves["fits"]) == {"plus", "minus"}
    for name, (knows_nothing, knows_the_window) in curves["fits"].items():
        assert knows_nothing == curves["own_window_fits"][name][0]
        assert knows_the_window != curves["own_window_fits"][name][1]


def test_entropies_are_those_of_the_undisturbed_actions() -> None:
    data = two_laws(n_each=3)
    entropies = action_entropies(data)
    for expert, entropy in entropies.items():
        own = [e.actions[~e.disturbed] for e in data.episodes if e.expert == expert and e.disturbed is not None]
        assert entropy == pytest.approx(norm(scale=np.concatenate(own).std()).entropy(), rel=1e-5)
    assert -uninformed_fit(data) >= np.mean(list(entropies.values())) - 1e-9


def test_separation_is_the_median_homogeneity_of_a_setting_s_windows() -> None:
    rng, cells, expected = np.random.default_rng(0), [], {}
    for stride in (5, 1):
        for k in (4, 2):
            values = rng.random(3)
            expected.setdefault(stride, {})[k] = pytest.approx(sorted(values)[1])
            for seed, value in enumerate(values):
                place = {"objective": "ours", "codes": k, "stride": stride, "seed": seed}
                cells.append({"cell": place, "status": "done", "homogeneity": value})
                cells.append({"cell": place | {"objective": "original"}, "status": "done", "homogeneity": 0.0})
            cells.append({"cell": place | {"seed": 9}, "status": "failed"})
    found = separation(cells, "ours")
    assert list(found) == [1, 5]
    assert found == expected


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
