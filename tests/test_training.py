import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.original.method import original_method
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training import run_folder
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.diagnostics import context_leak, evaluate
from mode_imitation.training.preparation import choose_device, held_out_split
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.schedule import adam, set_one_cycle
from mode_imitation.training.stages import same_partition
from mode_imitation.training.trainer import HookCall, train
from tests.synthetic import two_laws

SMALL = TrainConfig(
    codes=3,
    threads=1,
    iterations=60,
    discovery_iterations=60,
    scoring_iterations=40,
    scoring_batch=64,
    learning_rate=1e-2,
    restarts=1,
    batch=128,
    discovery_windows=64,
    pool=4,
    horizon=4,
    gap=2,
    stride=2,
    actor_hidden=(16, 16),
    checkpoint_every=50,
    log_every=10,
    hook_every=30,
)


def small(**changes) -> TrainConfig:
    return dataclasses.replace(SMALL, **changes)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_run(path).model.state_dict())


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def fitted_model(data: TrainingData) -> ModeModel:
    model = ModeModel(SMALL.model_config(3, 1))
    model.normalizer.fit(data.observations, data.some_deltas(), data.actions)
    return model


def test_training_finds_the_experts_without_labels(tmp_path: Path) -> None:
    data = two_laws()
    summary = train(data, small(discovery_iterations=100, scoring_iterations=100), tmp_path / "run")
    run = load_run(tmp_path / "run")
    labels = [data.episodes[index].expert for index in run.info["training_episodes"]]
    assert summary.n_modes == run.model.n_modes == 2
    assert len(set(zip(labels, run.info["assignment"], strict=True))) == 2
    assert run.model.alive.tolist() == [True, True, False]
    assert sum(summary.shares) == pytest.approx(1)
    assert summary.shares == sorted(summary.shares, reverse=True)
    contexts = run.model.mode_contexts()[:2]
    assert (contexts.max(1).values > 0.9).all()


@pytest.mark.parametrize("labels", ["removed", "shuffled"])
def test_labels_change_no_weight(tmp_path: Path, labels: str) -> None:
    data = two_laws(n_each=4)
    names = ["plus"] * 3 + ["third"] * 5 if labels == "shuffled" else [None] * 8
    episodes = [dataclasses.replace(e, expert=name) for e, name in zip(data.episodes, names, strict=True)]
    other = TrajectoryDataset(data.name, tuple(episodes))
    for name, dataset in (("with", data), ("without", other)):
        train(dataset, small(), tmp_path / name)
    assert same_weights(tmp_path / "with", tmp_path / "without")


def test_the_seed_decides_the_weights_and_torch_s_global_generator_does_not(tmp_path: Path) -> None:
    data = two_laws(n_each=4)
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        torch.manual_seed(hash(name) % 1000)
        train(data, small(seed=seed), tmp_path / name)
    assert same_weights(tmp_path / "first", tmp_path / "again")
    assert not same_weights(tmp_path / "first", tmp_path / "other")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "objective": "ratio",
            "context": "distances",
            "horizon": 1,
            "see_states": False,
            "see_actions": False,
            "pool": 1,
        },
        {"objective": "log_ratio", "codebook": "gradient"},
        {"sigma": "state", "segment": 20},
        {"refine": False},
        {"restarts": 2, "agreement_every": 0},
        {"held_out": 0.0, "context": "distances"},
    ],
)
def test_every_choice_trains_and_can_be_steered(tmp_path: Path, changes: dict) -> None:
    data = two_laws(n_each=4, obs_dim=2, act_dim=3, ragged=True, disturbed=False)
    summary = train(
        data, small(iterations=20, discovery_iterations=20, scoring_iterations=10, **changes), tmp_path / "run"
    )
    run = load_run(tmp_path / "run")
    assert 1 <= len(summary.restarts) <= changes.get("restarts", 1)
    assert ("held_out" in summary.figures) == (changes.get("held_out", 1) > 0)
    assert 1 <= run.model.n_modes <= 3
    seen = torch.from_numpy(data.episodes[0].observations[:5])
    mean, log_sigma = run.model.action_distribution(seen, run.model.mode_contexts()[:1].expand(5, -1))
    assert torch.isfinite(mean).all()
    assert torch.isfinite(log_sigma).all()


def test_the_codes_are_not_looked_for_again_once_the_best_are_found_twice(tmp_path: Path) -> None:
    config = small(restarts=4, codes=2, scoring_iterations=200, merge_gap=0.1)
    summary = train(two_laws(n_each=6, steps=120), config, tmp_path / "run")
    assert [entry["n_codes"] for entry in summary.restarts] == [2, 2]


def test_groups_are_compared_whatever_they_are_called() -> None:
    codes = torch.tensor([0, 0, 2, 2, 1])
    assert same_partition(codes, torch.tensor([3, 3, 0, 0, 2]))
    assert not same_partition(codes, torch.tensor([3, 3, 0, 2, 2]))
    assert not same_partition(codes, torch.tensor([3, 3, 0, 0, 0]))
    assert not same_partition(torch.tensor([3, 3, 0, 0, 0]), codes)


def test_the_original_method_runs_literally(tmp_path: Path) -> None:
    config = original_method(discovery_iterations=40, codes=3, threads=1, discovery_windows=64)
    assert (config.objective, config.context, config.horizon, config.pool, config.refine) == (
        "ratio",
        "distances",
        1,
        1,
        False,
    )
    assert config.reconstruction == 1.0
    train(two_laws(n_each=3), config, tmp_path / "run")
    model = load_run(tmp_path / "run").model
    # What steers is what a code's windows typically see: nearest to their own code.
    alive = model.alive.nonzero()[:, 0]
    assert (model.mode_contexts()[alive].argmin(1) == alive).all()


def test_experts_that_switch_half_way_get_codes_by_segment(tmp_path: Path) -> None:
    data = two_laws(n_each=5, steps=120, switch=True)
    train(data, small(segment=30, discovery_iterations=100, scoring_iterations=100), tmp_path / "run")
    info = load_run(tmp_path / "run").info
    truth, found = [], []
    for episode, codes in zip(info["training_episodes"], info["segments"], strict=True):
        assert len(codes) == 4
        truth += [episode % 2, episode % 2, 1 - episode % 2, 1 - episode % 2]
        found += codes
    assert len(set(zip(truth, found, strict=True))) == len(set(found)) == 2


def test_the_log_holds_what_training_did(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    calls: list[HookCall] = []

    def hook(call: HookCall) -> None:
        calls.append(call)
        call.log.image("picture", np.zeros((4, 4, 3), np.uint8), call.step)

    train(two_laws(n_each=5), small(), tmp_path / "run", hook=hook)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    for stage in ("discovery", "refinement"):
        expected = ["learning_rate", "windows_per_second", "loss/action_nll", "gradient_norm/actor"]
        assert {f"{stage}/{name}" for name in [*expected, "gradient_norm/encoder"]} <= tags
    for name in ("loss/reconstruction", "loss/commitment", "codebook/perplexity", "usage/code_0", "codebook/revived"):
        assert f"discovery/{name}" in tags
    for name in ("leak/gap", "distances/nearest", "sigma/action_0", "actor/entropy", "loss/action_nll"):
        assert {f"refinement/train/{name}", f"refinement/held_out/{name}"} <= tags
    assert events.Tags()["images"] == ["picture"]
    assert [call.stage for call in calls] == ["discovery"] * 2 + ["refinement"] * 3


def test_an_assigned_context_does_not_leak_and_a_context_that_knows_the_action_does() -> None:
    data = TrainingData(two_laws(n_each=3).episodes, None, SMALL.window)
    model = fitted_model(data)
    figures = evaluate(model, data, SMALL)
    assert figures["leak/gap"] == pytest.approx(figures["leak/nll_fixed"] - figures["leak/nll_inferred"])
    starts = data.draw_starts(data.draw_units(32, generator()), generator())
    inferred = model.infer(*data.windows(starts))
    asked = data.asked(starts, torch.zeros(32, 1, dtype=torch.long))
    same = context_leak(model, inferred._replace(contexts=model.mode_contexts()[inferred.codes]), asked, inferred.codes)
    assert same.gap == pytest.approx(0, abs=1e-6)


def test_the_one_cycle_schedule_is_torch_s() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    own = adam([parameter], 1e-3)
    theirs = torch.optim.Adam([parameter], lr=1e-3, betas=(0.95, 0.999))
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 1e-3, 50, pct_start=0.1)
    for iteration in range(50):
        set_one_cycle(own, iteration, 50, 1e-3)
        assert own.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-6)
        assert own.param_groups[0]["betas"][0] == pytest.approx(theirs.param_groups[0]["betas"][0])
        theirs.step()
        schedule.step()


def test_held_out_episodes_are_apart_and_at_least_one_is_trained_on() -> None:
    training, held_out = held_out_split(20, 0.1, 0)
    assert len(held_out) == 2
    assert sorted([*training, *held_out]) == list(range(20))
    assert len(held_out_split(1, 0.9, 0)[0]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 1}, "codes is 1; expected at least 2"),
        ({"iterations": 0}, "iterations is 0"),
        ({"horizon": -1}, "horizon is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"merge_gap": float("nan")}, "merge_gap is nan"),
        ({"actor_hidden": ()}, "actor_hidden"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 9}, "codes is 9, but dataset test/two-laws-v0 has only 7 trajectories"),
        ({"horizon": 60}, "episode 0 has 60 steps, a window spans"),
        ({"segment": 2}, "segments of 2 steps"),
    ],
)
def test_data_that_do_not_fit_leave_no_folder_behind(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(two_laws(n_each=4), small(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_are_disturbed_throughout_leave_no_folder_behind(tmp_path: Path) -> None:
    data = two_laws(n_each=4)
    episodes = [dataclasses.replace(episode, disturbed=np.ones(60, bool)) for episode in data.episodes]
    with pytest.raises(UserError, match="no window of 8 undisturbed steps"):
        train(TrajectoryDataset(data.name, tuple(episodes)), small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_says_so_before_it_saves_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training diverged.*--learning-rate below 1e"):
        train(two_laws(), small(learning_rate=1e30), tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "ratoi"}, "objective is 'ratoi', did you mean 'ratio'\\?; expected sum, ratio or log_ratio"),
        ({"context": "distance"}, "context is 'distance', did you mean 'distances'"),
        ({"codebook": "emma"}, "codebook is 'emma', did you mean 'ema'"),
        ({"codes": 4.5}, "codes is 4.5; expected a whole number"),
        ({"codes": True}, "codes is True; expected a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number"),
        ({"refine": "no"}, "refine is 'no'; expected True or False"),
        ({"segment": 2.0}, "segment is 2.0; expected a whole number"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused_from_python_and_from_json(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**changes)
    with pytest.raises(UserError, match=message):
        TrainConfig.from_dict(SMALL.to_dict() | changes)


def test_a_config_whose_widths_are_no_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be read: invalid literal"):
        TrainConfig.from_dict({"actor_hidden": ["x"]})


def test_switches_in_too_few_episodes_are_refused(tmp_path: Path) -> None:
    data = two_laws(n_each=2, switch=True)
    with pytest.raises(UserError, match=r"has 3 episodes to train on; .* takes at least 4; record more episodes"):
        train(data, small(segment=20, find_switches=True, held_out=0.25), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_kill_while_an_old_run_is_removed_leaves_a_run_or_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "tensorboard").mkdir()
    names = ("model.json", "run.json", "shares.png", "tensorboard/events.out.tfevents.1")
    for name in names:
        (out / name).write_text("{}")
    seen = []

    def unlink(path: Path) -> None:
        path.rename(tmp_path / path.name)
        seen.append(sorted(entry.name for entry in out.iterdir()))

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(run_folder, "write_info", lambda out, info: None)
    run_folder.start_folder(out, {})
    assert [("run.json" in left) or not left for left in seen] == [True] * len(names)
    assert seen[-1] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="device is cuda"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def test_the_config_goes_through_json() -> None:
    config = small(reconstruction_weight=0.5)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(UserError, match="unknown field 'wings'"):
        TrainConfig.from_dict({"wings": 2})


def test_every_setting_has_help_text() -> None:
    import ast
    import inspect

    from mode_imitation.training import config as module

    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TrainConfig")
    for node, following in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign):
            assert isinstance(following, ast.Expr), ast.unparse(node)
