"""Sensors, the map of windows, blends, and `--require`, on untrained models and random data."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mode_imitation.cli import main
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import ActionSpace, in_sight
from mode_imitation.errors import UserError
from mode_imitation.model.heads import CategoricalHead, GaussianHead
from mode_imitation.reports.closed_loop import WEIGHTS, drive_blend, parse_blend
from mode_imitation.reports.clustering import exemplar_episodes, sort_dataset
from mode_imitation.reports.latent_map import make_latent_map, principal_axes
from mode_imitation.reports.layouts import BLOCKS, held_out_layouts
from mode_imitation.reports.reactions import measure_reactions, reactions_of_modes, sensor_groups, states_of
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.safety import make_vec
from tests.tiny_runs import ACT_DIM, N_CODES, random_dataset, random_model, save_run

GROUPS = {"first": slice(0, 3), "second": slice(3, 5)}


def deaf_policy(part: slice, **more: Any) -> Policy:
    """A policy that does not hear the numbers of `part`."""
    model = random_model(obs_dim=5, **more)
    model.actor.of_inputs.weight[:, part] = 0.0
    return Policy(model)


HEADS = {
    "gaussian": ActionSpace(ACT_DIM),
    "mixture": ActionSpace(ACT_DIM),
    "categorical": ActionSpace(ACT_DIM, (3, 4)),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("memory", [0, 4])
def test_a_sensor_that_the_policy_does_not_hear_moves_nothing_and_the_other_does(head: str, memory: int) -> None:
    states = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    policy = deaf_policy(GROUPS["second"], head=head, action_space=HEADS[head], memory=memory)
    found = measure_reactions(policy, 0, states, GROUPS)
    assert found["second"] == pytest.approx(0.0, abs=1e-6)
    assert found["first"] > 0.001


@torch.no_grad()
def linear_policy(weight: torch.Tensor, **more: Any) -> Policy:
    """A policy whose head's first layer is `weight` times the two numbers of an observation."""
    model = random_model(obs_dim=2, actor_hidden=(4,), **more)
    actor = model.actor
    for parameter in actor.parameters():
        parameter.zero_()
    # A pair of hidden units for each number, one of which passes it on and the other its negative.
    actor.of_inputs.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    layer = actor.head.logits if isinstance(actor.head, CategoricalHead) else actor.head.mean
    assert isinstance(layer, torch.nn.Linear)
    layer.weight.copy_(torch.stack([weight[:, 0], -weight[:, 0], weight[:, 1], -weight[:, 1]], dim=1))
    if isinstance(actor.head, GaussianHead):
        actor.head.log_sigma.bias.fill_(float(np.log(0.5)))
    return Policy(model)


def test_the_reaction_of_a_linear_policy_is_the_one_that_can_be_worked_out() -> None:
    policy = linear_policy(torch.tensor([[3.0, 0.0]]), action_space=ActionSpace(1))
    states = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    found = measure_reactions(policy, 0, states, {"one": slice(0, 1), "two": slice(1, 2)})
    # Two independent standard normals are sqrt(2) apart; times 3, in units of 0.5.
    assert found["one"] == pytest.approx(6 * np.sqrt(2), rel=0.05)
    assert found["two"] == 0.0


def test_the_reaction_of_choices_is_the_share_that_changes() -> None:
    weight = torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.0, -0.5]])
    policy = linear_policy(weight, head="categorical", action_space=ActionSpace(1, (3,)))
    states = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    found = measure_reactions(policy, 0, states, {"one": slice(0, 1)}, seed=3)
    # Over every pair of an own and an exchanged reading of the first 300 states.
    mine, other = states[:300, None].repeat(300, 1), states[:300, None].repeat(300, 1)
    other[..., 0] = states[None, :300, 0]
    chosen = [(torch.from_numpy(rows) @ weight.t()).argmax(-1) for rows in (mine, other)]
    assert found["one"] == pytest.approx(float((chosen[0] != chosen[1]).float().mean()), abs=0.05)


def test_states_have_something_in_sight_and_sensors_fall_back_to_numbers() -> None:
    dataset = random_dataset()
    states = states_of(dataset, [0, 3])
    assert len(states) == 40
    assert in_sight(states, dataset.sensors).all()
    assert sensor_groups(dataset) == dataset.observation_slices
    bare = TrajectoryDataset(dataset.name, dataset.episodes)
    assert sensor_groups(bare) == {}
    assert reactions_of_modes(Policy(random_model()), bare, np.zeros(len(bare), int)) == {}


def test_principal_axes_are_those_of_the_covariance() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4)) * [5.0, 0.1, 2.0, 0.3]
    mean, axes, shares = principal_axes(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(np.abs(vectors[:, ::-1][:, :2].T @ axes), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())
    np.testing.assert_allclose(mean, rows.mean(axis=0))
    assert principal_axes(rows[:, :1])[1].shape == (1, 2)


def test_the_latent_map_projects_what_the_encoder_says() -> None:
    model, dataset = random_model(), random_dataset()
    found = sort_dataset(model, dataset, every=3)
    latent = make_latent_map(model, dataset, found)
    assert latent.points.shape == (len(found.codes), 2)
    np.testing.assert_array_equal(latent.codes, found.codes)
    # A window whose episode is the path's lies where the path does.
    mine = found.episode_of_window == latent.path_episode
    np.testing.assert_allclose(latent.path, latent.points[mine], atol=1e-6)
    assert latent.labels is not None
    assert latent.labels[0] == "goal_seeking"
    assert latent.path_mode == found.episode_codes[latent.path_episode]
    # Distances on the plane never exceed those in the whole space, which the model calls mean squared ones.
    flat = ((latent.points[:, None] - latent.entries) ** 2).sum(-1)
    assert (flat <= found.distances * model.config.code_dim + 1e-4).all()


def test_exemplar_episodes_are_the_nearest_of_their_code() -> None:
    model, dataset = random_model(), random_dataset(12)
    found = sort_dataset(model, dataset, every=3)
    for code in range(N_CODES):
        slow = sorted(
            (found.distances[found.episode_of_window == episode, code].mean(), episode)
            for episode in range(len(dataset))
            if found.episode_codes[episode] == code
        )
        assert exemplar_episodes(found, code, 2) == [e for _, e in slow[:2]]


@pytest.mark.parametrize("text", ["", "0", "0,0", "0,1,2", "a,b", "0;1"])
def test_a_blend_that_cannot_be_read_is_one_clear_line(text: str) -> None:
    with pytest.raises(UserError, match="expected two different modes"):
        parse_blend(text, [0, 1, 2])


def test_the_ends_of_a_blend_are_the_modes_themselves() -> None:
    from mode_imitation.reports.closed_loop import run_modes

    layouts = held_out_layouts(2, block="tuning")
    env = make_vec("SafetyPointGoal1-v0", 4)
    try:
        policy = Policy(random_model())
        blend = drive_blend(policy, env, (0, 2), layouts, 12)
        drives = run_modes(policy, env, layouts, 12, modes=[0, 2])
    finally:
        env.close()
    speeds = blend.figures["speed"]
    assert speeds is not None
    for index, mode in ((0, 0), (-1, 2)):
        expected = np.mean([drive.motion.speed or 0.0 for drive in drives[mode]])
        assert speeds[index].mean == pytest.approx(expected, rel=1e-4)
    assert blend.distances[0] == pytest.approx(0.0, abs=1e-5)
    assert blend.distances[5] > 0.1
    json.dumps(asdict(blend), allow_nan=False)


def test_modes_answers_requirements_with_its_exit_status_and_draws_the_blend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "tiny"
    save_run(run, tmp_path / "data", random_dataset())
    base = ["modes", str(run), "--layouts", "3", "--steps", "8"]
    assert main([*base, "--require", "goals>=0, cost<=8", "--blend", "0,1"]) == 0
    printed = capsys.readouterr().out
    assert "mode 0 qualifies: goals>=0 and cost<=8" in printed
    report = json.loads((run / "report.json").read_text())
    assert report["blend"]["layouts"][0] == BLOCKS["tuning"]
    assert not set(report["blend"]["layouts"]) & set(report["layouts"])
    assert len(report["blend"]["figures"]["goals"]) == len(WEIGHTS)
    assert {verdict["qualifies"] for verdict in report["requirements"]["modes"]} == {True}
    text = (run / "report.md").read_text()
    for wanted in ("## Guarantees", "independent draws", "## Requirements", "## Between two modes", "blend.png"):
        assert wanted in text
    for entry in report["modes"]:
        assert entry["guarantees"]["cost"]["bound"] <= 8.0
        assert entry["guarantees"]["goals"]["confidence"] == pytest.approx(1 - 0.05 / 3)
    assert main([*base, "--require", "goals>=5"]) == 1
    assert "mode 0 does not qualify: goals>=5" in capsys.readouterr().out
    assert not (run / "blend.png").exists(), "it would be that of an earlier report"
    assert main([*base, "--require", "goals>5"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_requirements_without_a_simulator_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mode_imitation.reports import report
    from mode_imitation.reports.config import ModesConfig

    save_run(tmp_path / "run", tmp_path / "data", random_dataset())
    monkeypatch.setattr(report, "simulator_missing", lambda: "mujoco")
    with pytest.raises(UserError, match="--require needs the modes to drive: the simulator's mujoco is not installed"):
        report.make_report(ModesConfig(run=tmp_path / "run", require="goals>=1"))


def test_a_guarantee_that_cannot_be_given_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mode_imitation.reports import guarantees
    from mode_imitation.reports.config import ModesConfig
    from mode_imitation.reports.report import make_report

    save_run(tmp_path / "run", tmp_path / "data", random_dataset())
    monkeypatch.delitem(guarantees.TOP_SPEED, "Point")
    found = make_report(ModesConfig(run=tmp_path / "run", layouts=1, steps=5))
    assert any("guarantees of the return: of the robot Point" in line for line in found.data.left_out)
    assert found.data.modes[0].guarantees is not None
    assert found.data.modes[0].guarantees["return"] is None
    assert found.data.modes[0].guarantees["goals"] is not None
