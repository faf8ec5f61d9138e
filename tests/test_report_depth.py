"""Sensors, the map of windows, blends, and `--require`, on untrained models and random data."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mode_imitation.cli import main
from mode_imitation.data.dataset import TrajectoryDataset, in_arena
from mode_imitation.errors import UserError
from mode_imitation.reports.blends import WEIGHTS, drive_blend, parse_blend
from mode_imitation.reports.clustering import exemplar_episodes, sort_dataset
from mode_imitation.reports.latent_map import make_latent_map, principal_axes
from mode_imitation.reports.layouts import BLOCKS, held_out_layouts
from mode_imitation.reports.reactions import (
    measure_reactions,
    normal_divergence,
    reactions_of_modes,
    sensor_groups,
    states_of,
)
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.safety import make_vec
from tests.tiny_runs import N_CODES, random_dataset, random_model, save_run

GROUPS = {"first": slice(0, 3), "second": slice(3, 5)}


def deaf_policy(part: slice) -> Policy:
    """A policy that does not hear the numbers of `part`."""
    model = random_model(obs_dim=5)
    first = model.actor.trunk[0]
    assert isinstance(first, torch.nn.Linear)
    first.weight[:, part] = 0.0
    return Policy(model)


def test_a_sensor_that_the_policy_does_not_hear_moves_nothing_and_the_other_does() -> None:
    states = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    found = measure_reactions(deaf_policy(GROUPS["second"]), 0, states, GROUPS)
    assert found["second"].sigmas == pytest.approx(0.0, abs=1e-6)
    assert found["second"].nats == pytest.approx(0.0, abs=1e-9)
    assert found["first"].sigmas > 0.01
    assert found["first"].nats > 0


def test_the_reaction_of_a_linear_policy_is_the_one_that_can_be_worked_out() -> None:
    class Linear:
        class model:
            @staticmethod
            def action_distribution(states: torch.Tensor, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                return 3.0 * states[:, :1], torch.full((len(states), 1), float(np.log(0.5)))

        device = torch.device("cpu")

        @staticmethod
        def mode_contexts(mode: int) -> np.ndarray:
            return np.ones(1)

    states = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    found = measure_reactions(Linear(), 0, states, {"one": slice(0, 1), "two": slice(1, 2)})  # type: ignore[arg-type]
    # Two independent standard normals are sqrt(2) apart; times 3, in units of 0.5.
    assert found["one"].sigmas == pytest.approx(6 * np.sqrt(2), rel=0.05)
    assert found["one"].nats == pytest.approx(0.5 * 72, rel=0.1)
    assert found["two"].sigmas == 0.0


def test_the_divergence_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    mean, other = rng.normal(size=(2, 7, 2))
    log_sigma, other_log_sigma = rng.normal(size=(2, 7, 2)) * 0.3
    p, q = (
        torch.distributions.Normal(torch.tensor(m), torch.tensor(s).exp())
        for m, s in ((mean, log_sigma), (other, other_log_sigma))
    )
    expected = torch.distributions.kl_divergence(p, q).sum(-1).numpy()
    np.testing.assert_allclose(normal_divergence(mean, log_sigma, other, other_log_sigma), expected)


def test_states_are_of_the_arena_and_sensors_fall_back_to_numbers() -> None:
    dataset = random_dataset()
    states = states_of(dataset, [0, 3])
    assert len(states) == 40
    assert in_arena(states, dataset.observation_slices).all()
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
    latent = make_latent_map(model, dataset, found, episode=2)
    assert latent.points.shape == (len(found.codes), 2)
    np.testing.assert_array_equal(latent.codes, found.codes)
    # A window whose episode is the path's lies where the path does.
    mine = found.episode_of_window == 2
    np.testing.assert_allclose(latent.path, latent.points[mine], atol=1e-6)
    assert latent.labels is not None
    assert latent.labels[0] == "goal_seeking"
    assert latent.path_mode == found.episode_codes[2]
    # Distances on the plane never exceed those in the whole space, which the model calls mean squared ones.
    flat = ((latent.points[:, None] - latent.entries) ** 2).sum(-1)
    assert (flat <= found.distances * model.config.code_dim + 1e-4).all()
    assert make_latent_map(model, dataset, found).path_episode in range(len(dataset))


def test_exemplar_episodes_are_the_nearest_of_their_code() -> None:
    model, dataset = random_model(), random_dataset(12)
    found = sort_dataset(model, dataset, every=3)
    for code in range(N_CODES):
        slow = sorted(
            (found.distances[found.episode_of_window == episode, code].mean(), episode)
            for episode in range(len(dataset))
            if found.episode_codes[episode] == code
        )
        assert [entry["episode"] for entry in exemplar_episodes(found, code, 2)] == [e for _, e in slow[:2]]


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
        blend = drive_blend(policy, env, (0, 2), layouts, 12, weights=(0.0, 0.5, 1.0))
        drives = run_modes(policy, env, layouts, 12, modes=[0, 2])
    finally:
        env.close()
    speeds = blend.figures["speed"]
    assert speeds is not None
    for index, mode in ((0, 0), (2, 2)):
        expected = np.mean([drive.motion.speed or 0.0 for drive in drives[mode]])
        assert speeds[index]["mean"] == pytest.approx(expected, rel=1e-4)
    assert blend.distances[0] == pytest.approx(0.0, abs=1e-5)
    assert blend.distances[1] > 0.1
    json.dumps(blend.as_dict(), allow_nan=False)


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
    monkeypatch.setattr(guarantees, "TOP_SPEED", {})
    found = make_report(ModesConfig(run=tmp_path / "run", layouts=1, steps=5))
    assert any("guarantees of the return: of the robot Point" in line for line in found.data["left_out"])
    assert found.data["modes"][0]["guarantees"]["return"] is None
    assert found.data["modes"][0]["guarantees"]["goals"] is not None
