"""The whole of `fit`, on small data with known modes, through every seam."""

import ast
import dataclasses
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mode_imitation.commands.train import beside
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Mirror, Sensor
from mode_imitation.discovery import config as discovery_config
from mode_imitation.errors import UserError
from mode_imitation.steering.policy import Policy
from mode_imitation.training import config as training_config
from mode_imitation.training import loop
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import HookCall, fit
from mode_imitation.training.preparation import choose_device, held_out_split
from mode_imitation.training.run_folder import Run, load_run
from tests.synthetic import two_laws

SMALL = TrainConfig(
    codes=3,
    iterations=60,
    joint_iterations=60,
    judge_iterations=40,
    judge_batch=64,
    learning_rate=1e-2,
    batch=128,
    joint_windows=64,
    pool=4,
    horizon=4,
    gap=2,
    stride=2,
    actor_hidden=(16, 16),
    checkpoint_every=50,
    log_every=10,
    hook_every=30,
)
TWO_STEPS: dict[str, Any] = {
    "iterations": 4,
    "joint_iterations": 2,
    "judge_iterations": 2,
    "rounds": 2,
    "checkpoint_every": 2,
    "batch": 32,
}


def small(**changes: Any) -> TrainConfig:
    return dataclasses.replace(SMALL, **changes)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.model.state_dict())


def same_weights(one: Run, other: Run) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rich_dataset(choices: tuple[int, ...] = ()) -> TrajectoryDataset:
    """Eight episodes with two rings of five bearings, a token, plain numbers, and actions of either kind."""
    rng = np.random.default_rng(0)
    episodes = []
    for index in range(8):
        steps = 40 + index
        observations = rng.normal(size=(steps + 1, 14)).astype(np.float32)
        observations[:, 3:13] = np.maximum(rng.random((steps + 1, 10)) - 0.5, 0)
        observations[:, 13] = rng.integers(0, 4, steps + 1)
        actions = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
        if choices:
            actions = np.stack([rng.integers(0, n, steps) for n in choices], axis=1)
        episodes.append(Episode(observations=observations, actions=actions, disturbed=rng.random(steps) < 0.05))
    sensors = {
        "motion": Sensor(0, 3),
        "near": Sensor(3, 8, "ring"),
        "far": Sensor(8, 13, "ring"),
        "sign": Sensor(13, 14, "token"),
    }
    space = ActionSpace(len(choices), choices) if choices else ActionSpace(2)
    mirror = (
        None
        if choices
        else Mirror((0, 1, 2, *range(7, 2, -1), *range(12, 7, -1), 13), (1, -1, *[1] * 12), (0, 1), (1, -1))
    )
    return TrajectoryDataset("test/rich-v0", tuple(episodes), sensors, action_space=space, mirror=mirror)


SEAMS = {
    "as it comes": ({}, ()),
    "encoder gru": ({"encoder": "gru"}, ()),
    "encoder attention": ({"encoder": "attention"}, ()),
    "one transition": ({"horizon": 1, "pool": 1, "see_states": False, "see_actions": False}, ()),
    "nothing held out": ({"held_out": 0.0}, ()),
    "head mixture": ({"head": "mixture"}, ()),
    "head categorical, one choice": ({}, (3,)),
    "head categorical, several": ({"chunk": 3}, (2, 4)),
    "ring attention": ({"ring": "attention"}, ()),
    "mirror images": ({"mirror": True}, ()),
    "a sensor hidden": ({"hide": ("motion",), "ring": "attention"}, ()),
    "chunks": ({"chunk": 4}, ()),
    "memory": ({"memory": 8}, ()),
    "memory and chunks": ({"memory": 8, "chunk": 4, "head": "mixture"}, ()),
    "start kmeans": ({"start": "kmeans"}, ()),
    "start random": ({"start": "random"}, ()),
    "start given": ({"start": "given"}, ()),
    "joint alone": ({"refine": False}, ()),
    "distances, ratio": ({"refine": False, "context": "distances", "objective": "ratio", "codebook": "gradient"}, ()),
    "distances, refined": ({"context": "distances", "objective": "log_ratio"}, ()),
    "choices, ratio": ({"refine": False, "context": "distances", "objective": "ratio"}, (3,)),
    "segments": ({"segment": 20}, ()),
    "switches": ({"segment": 15, "find_switches": True}, ()),
}


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("seam", SEAMS)
def test_every_seam_trains_resumes_to_the_same_bits_and_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str
) -> None:
    changes, choices = SEAMS[seam]
    dataset = rich_dataset(choices)
    config = small(**{**TWO_STEPS, "workers": 1, **changes})
    codes = np.arange(8) % 3 if config.start == "given" else None
    whole = fit(dataset, config, tmp_path / "whole", codes=codes)

    original = loop.Job.save

    def dying(job: loop.Job, *arguments: Any) -> None:
        original(job, *arguments)
        if job.state.stage == ("policy" if config.refine else "start") and job.state.iteration == 2:
            raise Killed

    monkeypatch.setattr(loop.Job, "save", dying)
    with pytest.raises(Killed):
        fit(dataset, config, tmp_path / "killed", codes=codes)
    monkeypatch.setattr(loop.Job, "save", original)
    resumed = fit(dataset, config, tmp_path / "killed", codes=codes, resume=True)
    assert same_weights(whole, resumed)
    assert resumed.info["assignment"] == whole.info["assignment"]
    assert ("held_out" in whole.info["summary"]["figures"]) == (config.held_out > 0)

    observations = dataset.episodes[0].observations[:6]
    for temperature in (0.0, 1.0):
        policy = Policy(load_run(tmp_path / "whole").model).steer(mode=0)
        actions = np.stack([policy.actions(observations, temperature) for _ in range(3)])
        assert actions.shape == (3, 6, dataset.act_dim)
        assert actions.dtype == dataset.action_space.dtype
        assert np.isfinite(actions).all()
        if choices:
            assert ((actions >= 0) & (actions < np.array(choices))).all()


def test_training_finds_the_experts_without_labels(tmp_path: Path) -> None:
    data = two_laws()
    run = fit(data, small(joint_iterations=100, judge_iterations=100), tmp_path / "run")
    labels = [data.episodes[index].expert for index in run.info["training_episodes"]]
    assert run.info["summary"]["n_modes"] == run.model.n_modes == 2
    others = run.info["summary"]["beside"]
    assert 0 < others["encoder"] <= 1
    assert others["kmeans"] < 0.9  # the experts differ in what they do in a state, not in what they do on average
    assert len(set(zip(labels, run.info["assignment"], strict=True))) == 2
    assert run.model.alive.tolist() == [True, True, False]
    shares = run.info["summary"]["shares"]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("start", ["kmeans", "random", "given"])
def test_other_starts_find_the_experts_and_make_an_encoder_that_agrees(tmp_path: Path, start: str) -> None:
    data = two_laws(n_each=8, steps=90)
    codes = np.array([0, 1, 1, 1] * 4) if start == "given" else None  # a quarter of them wrong
    config = small(start=start, judge_iterations=200, iterations=400)
    run = fit(data, config, tmp_path / "run", codes=codes)
    labels = [data.episodes[index].expert for index in run.info["training_episodes"]]
    assert len(set(zip(labels, run.info["assignment"], strict=True))) == 2
    policy = Policy(run.model)
    told = [
        int(policy.steer(like=data.episodes[index]).context.argmax())  # type: ignore[union-attr]
        for index in run.info["training_episodes"]
    ]
    assert np.mean(np.array(told) == run.info["assignment"]) > 0.9


@pytest.mark.parametrize("labels", ["removed", "shuffled"])
def test_labels_change_no_weight(tmp_path: Path, labels: str) -> None:
    data = two_laws(n_each=4)
    names = ["plus"] * 3 + ["third"] * 5 if labels == "shuffled" else [None] * 8
    episodes = [dataclasses.replace(e, expert=name) for e, name in zip(data.episodes, names, strict=True)]
    runs = [
        fit(dataset, small(), tmp_path / str(index))
        for index, dataset in enumerate((data, dataclasses.replace(data, episodes=tuple(episodes))))
    ]
    assert same_weights(*runs)


def test_the_seed_decides_the_weights_and_torch_s_global_generator_does_not(tmp_path: Path) -> None:
    data, runs = two_laws(n_each=4), []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)
        runs.append(fit(data, small(seed=seed), tmp_path / str(number)))
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


def test_the_number_of_threads_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, config, runs = two_laws(n_each=4), small(codes=2, joint_iterations=20, iterations=20), []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        runs.append(fit(data, dataclasses.replace(config, workers=threads), tmp_path / str(threads)))
        runs[-1].info["summary"].pop("seconds")
    assert same_weights(*runs)
    assert runs[0].info == runs[1].info


def test_experts_that_switch_half_way_get_codes_by_segment(tmp_path: Path) -> None:
    data = two_laws(n_each=5, steps=120, switch=True)
    info = fit(data, small(segment=30, joint_iterations=100, judge_iterations=100), tmp_path / "run").info
    truth, found = [], []
    for episode, codes in zip(info["training_episodes"], info["segments"], strict=True):
        assert len(codes) == 4
        truth += [episode % 2, episode % 2, 1 - episode % 2, 1 - episode % 2]
        found += codes
    assert len(set(zip(truth, found, strict=True))) == len(set(found)) == 2


def test_a_memory_helps_where_the_expert_acts_on_what_it_saw_before(tmp_path: Path) -> None:
    data = two_laws(n_each=6, delay=3, disturbed=False)
    codes = np.arange(12) % 2
    errors = {}
    for memory in (0, 16):
        config = small(codes=2, start="given", rounds=0, iterations=400, memory=memory)
        policy = Policy(fit(data, config, tmp_path / str(memory), codes=codes).model)
        episode = data.episodes[0]
        policy.steer(mode=int(policy.shares.argmax()))
        best = []
        for mode in policy.modes:
            policy.steer(mode=mode).begin()
            acted = np.stack([policy.act(seen) for seen in episode.observations[:-1]])
            best.append(float(np.abs(acted - episode.actions).mean()))
        errors[memory] = min(best)
    assert errors[16] < 0.6 * errors[0]


def test_the_log_holds_what_training_did(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    calls: list[HookCall] = []

    def hook(call: HookCall) -> None:
        calls.append(call)
        call.log.image("picture", np.zeros((4, 4, 3), np.uint8), call.iteration)

    fit(two_laws(n_each=5), small(), tmp_path / "run", hook=hook)
    tags: dict[str, set[str]] = {}
    for part in ("codes", "policy"):
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / part))
        events.Reload()
        tags[part] = set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["picture"]
    for name in ("learning_rate", "loss/action_nll", "loss/commitment", "codebook/perplexity", "gradient_norm/actor"):
        assert f"start/{name}" in tags["codes"]
    assert {"search/score", "search/n_codes"} <= tags["codes"]
    assert {"policy/learning_rate", "policy/loss/action_nll", "policy/loss/agreement"} <= tags["policy"]
    for name in ("leak/gap", "distances/nearest", "spread/action_0", "actor/nll", "loss/action_nll"):
        assert {f"policy/train/{name}", f"policy/held_out/{name}"} <= tags["policy"]
    assert [call.iteration for call in calls] == [30, 60]


def test_held_out_episodes_are_apart_and_at_least_one_is_trained_on() -> None:
    training, held_out = held_out_split(20, 0.1, 0)
    assert len(held_out) == 2
    assert sorted([*training, *held_out]) == list(range(20))
    assert len(held_out_split(1, 0.9, 0)[0]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 1}, "codes is 1; expected at least 2"),
        ({"iterations": 0}, "iterations is 0; expected at least 1"),
        ({"horizon": -1}, "horizon is -1; expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected more than 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"held_out": 1.0}, r"held_out is 1.0; expected a share in \[0, 1\)"),
        ({"seed": -1}, "seed is -1; expected at least 0"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"actor_hidden": ()}, "actor_hidden is empty"),
        ({"objective": "ratoi"}, "objective is 'ratoi', did you mean 'ratio'\\?; expected sum, ratio or log_ratio"),
        ({"context": "distance"}, "context is 'distance', did you mean 'distances'"),
        ({"codes": 4.5}, "codes is 4.5; expected a whole number"),
        ({"codes": True}, "codes is True; expected a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number"),
        ({"refine": "no"}, "refine is 'no'; expected True or False"),
        ({"segment": 2.0}, "segment is 2.0; expected a whole number"),
        ({"actor_hidden": "wide"}, "actor_hidden is 'wide'; expected several numbers"),
        ({"find_switches": True}, "find_switches needs segments"),
        ({"memory": 4, "refine": False}, "memory needs refine"),
        ({"start": "kmeans", "context": "distances"}, "context distances needs the distances"),
    ],
)
def test_settings_that_make_no_sense_are_refused_from_python_and_from_json(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**changes)
    with pytest.raises(UserError, match=message):
        TrainConfig.from_dict(SMALL.to_dict() | changes)


def test_a_list_stands_for_a_tuple_of_widths(tmp_path: Path) -> None:
    data = two_laws(n_each=3)
    config = small(**{**TWO_STEPS, "actor_hidden": [8, 8]})
    run = fit(data, config, tmp_path / "run")
    again = fit(data, TrainConfig.from_dict(run.info["config"]), tmp_path / "run", resume=True)
    assert same_weights(run, again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 9}, "codes is 9, but dataset test/two-laws-v0 has only 7 trajectories"),
        ({"horizon": 60}, "shorter than a window, which spans"),
        ({"segment": 2}, "segments of 2 steps"),
        ({"encoder": "gur"}, "there is no encoder 'gur', did you mean 'gru'"),
        ({"head": "gausian"}, "there is no head 'gausian', did you mean 'gaussian'"),
        ({"head": "categorical"}, "head is categorical, but the actions are numbers; expected gaussian or mixture"),
        ({"start": "kmean"}, "there is no start 'kmean', did you mean 'kmeans'"),
        ({"start": "given"}, "codes and start='given' belong together"),
    ],
)
def test_what_does_not_fit_leaves_no_folder_behind(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(two_laws(n_each=4), small(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(3, int), "expected 8, one an episode"),
        (np.zeros(8), "codes are float64"),
        (np.full(8, 3), "from 3 to 3; expected 0 to 2"),
    ],
)
def test_given_codes_that_do_not_fit_are_refused(tmp_path: Path, codes: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(two_laws(n_each=4), small(start="given"), tmp_path / "run", codes=codes)


def test_data_that_are_disturbed_throughout_leave_no_folder_behind(tmp_path: Path) -> None:
    data = two_laws(n_each=4)
    episodes = tuple(dataclasses.replace(episode, disturbed=np.ones(60, bool)) for episode in data.episodes)
    with pytest.raises(UserError, match="no window of 8 undisturbed steps"):
        fit(dataclasses.replace(data, episodes=episodes), small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_attention_over_rings_needs_a_ring_and_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ring is attention, but no sensor of the data is of kind ring"):
        fit(two_laws(), small(ring="attention"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("moton", "hide names 'moton', did you mean 'motion'"), ("near", "plain sensors of the data, which are motion")],
)
def test_only_a_plain_sensor_that_there_is_can_be_hidden(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        fit(rich_dataset(), small(hide=(name,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_says_so_before_it_saves_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training diverged.*learning_rate below 1e"):
        fit(two_laws(), small(learning_rate=1e30), tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_switches_in_too_few_episodes_are_refused(tmp_path: Path) -> None:
    data = two_laws(n_each=2, switch=True)
    with pytest.raises(UserError, match=r"has 3 episodes to train on; .* takes at least 4; record more episodes"):
        fit(data, small(segment=20, find_switches=True, held_out=0.25), tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize("module", [discovery_config, training_config])
def test_every_setting_has_help_text(module: Any) -> None:
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    for node, following in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign):
            assert isinstance(following, ast.Expr), ast.unparse(node)


@pytest.mark.parametrize(("own", "said"), [(1.0, False), (0.95, False), (0.8, True), (None, False)])
def test_an_encoder_that_errs_is_told_of(own: float | None, said: bool, capsys: pytest.CaptureFixture) -> None:
    beside({"encoder": own, "kmeans": 0.5}, 3)
    printed = capsys.readouterr().out
    assert "told 3, groups them alike with NMI 0.50" in printed
    assert ("only 80% of the training trajectories" in printed) == said
