"""The whole job in any world: generate, train, rollout, the report card, from the command line and from Python."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import mode_imitation as mi
from mode_imitation.cli import main
from mode_imitation.data.dataset import load_dataset
from mode_imitation.reports.config import ModesConfig, RolloutConfig
from mode_imitation.reports.report import make_report
from mode_imitation.reports.rollout_command import rollout_run
from mode_imitation.steering.policy import Policy, load_policy
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from tests import small_worlds
from tests.driven_worlds import COLUMNS, FILE, refused
from tests.small_worlds import Walker
from tests.tiny_runs import random_model

CONTROLLERS = FILE.parent.parent / "docs" / "examples" / "controllers.py"
SMALL: dict[str, Any] = {
    "codes": 2,
    "iterations": 30,
    "joint_iterations": 30,
    "rounds": 1,
    "workers": 1,
    "batch": 64,
    "joint_windows": 32,
    "pool": 2,
    "horizon": 3,
    "gap": 2,
    "stride": 2,
    "actor_hidden": (16,),
    "held_out": 0.2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def pendulums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of two controllers, and a run on it."""
    folder = tmp_path_factory.mktemp("pendulums")
    experts = [word for name in ("SpinLeft", "Hang") for word in ("--expert", f"{CONTROLLERS}:{name}=3")]
    place = ["--root", str(folder / "data"), "--env", "Pendulum-v1", "--steps", "40", "--workers", "1"]
    assert main(["generate", "--out", "test/pendulums-v0", *experts, *place]) == 0
    mi.fit(load_dataset("test/pendulums-v0", folder / "data"), out=folder / "run", **SMALL)
    return folder


def test_generate_makes_a_dataset_of_any_world(pendulums: Path, tmp_path: Path) -> None:
    dataset = load_dataset("test/pendulums-v0", pendulums / "data")
    assert (dataset.env_id, dataset.obs_dim, dataset.sensors) == ("Pendulum-v1", 3, None)
    assert (dataset.action_space.low, dataset.action_space.high) == ((-2.0,), (2.0,))
    assert dataset.labels == ["SpinLeft"] * 3 + ["Hang"] * 3
    alone = gymnasium.make("Pendulum-v1")
    for episode in dataset.episodes:
        assert len(episode) == 40
        assert not episode.terminated
        assert episode.disturbed is None or not episode.disturbed.any()  # bursts are for robots, unless asked for
        assert np.abs(episode.actions).max() <= 2
        seen, _ = alone.reset(seed=episode.layout_seed)
        np.testing.assert_array_equal(episode.observations[0], seen)
        for step, action in enumerate(episode.actions[:5]):
            seen, reward, *_ = alone.step(action)
            np.testing.assert_array_equal(episode.observations[step + 1], seen)
            assert episode.rewards is not None
            assert episode.rewards[step] == np.float32(reward)
    settings = {"env": "Pendulum-v1", "steps": 40, "workers": 1, "worlds": 2, "root": tmp_path}
    experts = tuple(f"{CONTROLLERS}:{name}=3" for name in ("SpinLeft", "Hang"))
    generate(GenerateConfig(out="test/again-v0", expert=experts, **settings))
    assert load_dataset("test/again-v0", tmp_path).checksum == dataset.checksum


def test_rollout_drives_any_world_and_prints_figures_of_the_users_own(
    pendulums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rollout", str(pendulums / "run"), "--mode", "0", "--seeds", "500:503", "--steps", "20"]
    keep = ["--out", "test/driven-v0", "--root", str(tmp_path), "--plot", str(tmp_path / "states.png")]
    assert main([*words, "--figure", f"{FILE}:length", *keep]) == 0
    printed = capsys.readouterr().out
    assert "mode 0 on 3 seeds of Pendulum-v1" in printed
    (row,) = [line for line in printed.splitlines() if line.split()[:1] == ["length"] and "20.00" in line][:1]
    assert row.count("20.00") == 3
    driven = load_dataset("test/driven-v0", tmp_path)
    assert [episode.layout_seed for episode in driven.episodes] == [500, 501, 502]
    assert (tmp_path / "states.png").stat().st_size > 1000
    policy = load_policy(pendulums / "run").steer(mode=0)
    for episode in driven.episodes:
        np.testing.assert_allclose(episode.actions, policy.act(episode.observations[:-1]), atol=1e-5)


def test_from_python_a_policy_drives_any_world_and_is_left_as_it_was(pendulums: Path, tmp_path: Path) -> None:
    policy = load_policy(pendulums / "run").steer(mode=0)
    drives = mi.rollout("Pendulum-v1", policy, seeds=[500, 501, 502], steps=20, figures=[small_worlds.length])
    assert [episode.layout_seed for episode in drives] == [500, 501, 502]
    assert (drives.what, drives.env_id, len(drives)) == ("mode 0", "Pendulum-v1", 3)
    assert drives.figures["length"].mean == 20
    returns = [float(np.sum(episode.rewards)) for episode in drives if episode.rewards is not None]
    assert drives.figures["return"].mean == pytest.approx(np.mean(returns), rel=1e-5)
    one = gymnasium.make("Pendulum-v1")
    seen, _ = one.reset(seed=501)
    for step in range(20):
        np.testing.assert_allclose(drives.episodes[1].observations[step], seen, atol=1e-5)  # a batch rounds otherwise
        seen, *_ = one.step(policy.act(seen))
    assert drives.plot(tmp_path / "drives.png").stat().st_size > 1000
    assert "steer(mode=...)" in refused(lambda: mi.rollout("Pendulum-v1", load_policy(pendulums / "run")))
    for steps in (0, 201):
        complaint = refused(lambda steps=steps: mi.rollout("Pendulum-v1", policy, steps=steps))
        assert f"{steps} steps; expected 1 to 200" in complaint


@pytest.mark.parametrize("mine", [True, False])
def test_from_python_worlds_are_closed_by_whoever_opened_them_and_a_memory_begins_anew(mine: bool) -> None:
    closed: list[Walker] = []

    class Closing(Walker):
        def close(self) -> None:
            closed.append(self)

    policy = Policy(random_model(obs_dim=7, memory=4)).steer(mode=0)
    envs = SyncVectorEnv([Closing] * 2)
    first = policy.act(np.ones(7, np.float32))
    drives = mi.rollout(envs if mine else Closing, policy, seeds=[1, 2, 3], steps=4)
    assert bool(closed) == (not mine)
    np.testing.assert_array_equal(policy.act(np.ones(7, np.float32)), first)
    assert [episode.layout_seed for episode in drives] == [1, 2, 3]
    envs.close()


@pytest.mark.parametrize(
    ("figure", "complaint"),
    [
        (f"{FILE}:raises", "raises fails in line"),
        (f"{FILE}:says_nothing", "says_nothing returned None; expected a finite number for every episode"),
        (f"{FILE}:lenght", "has no function 'lenght', did you mean 'length'?"),
        ("length", "--figure length: expected path/to/file.py:function"),
    ],
)
def test_a_figure_that_fails_is_one_clear_line(pendulums: Path, figure: str, complaint: str) -> None:
    config = RolloutConfig(run=pendulums / "run", mode=0, seeds="500", steps=3, figure=(figure,))
    assert complaint in refused(lambda: rollout_run(config))


def test_the_report_card_of_any_world_measures_it(pendulums: Path, tmp_path: Path) -> None:
    words = ["modes", str(pendulums / "run"), "--root", str(pendulums / "data"), "--layouts", "2", "--steps", "20"]
    own = ["--figure", f"{FILE}:length", "--expert", f"{CONTROLLERS}:Hang"]
    assert main([*words, *own, "--out", str(tmp_path / "card")]) == 0
    card = json.loads((tmp_path / "card" / "report.json").read_text())
    assert card["env_id"] == "Pendulum-v1"
    assert card["own_figures"] == ["length"]
    assert ["guarantees of the return" in line for line in card["left_out"]] == [True]
    for entry in (*card["modes"], card["experts"]["Hang"]):
        assert entry["return"]["n"] == 2
        assert entry["length"]["mean"] == 20


def test_a_world_from_a_users_file_is_run_again_only_where_the_user_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE.read_text())
    mine, root = f"{tmp_path / 'mine.py'}:one", tmp_path / "data"
    config = GenerateConfig(out="test/walks-v0", env=mine, expert=(f"{FILE}:Pushing=6",), root=root, workers=1)
    generate(dataclasses.replace(config, steps=30))
    dataset = load_dataset("test/walks-v0", root)
    assert dataset.sensors == COLUMNS
    assert {len(episode) for episode in dataset.episodes} <= set(range(small_worlds.LEAST, small_worlds.MOST))
    run = tmp_path / "run"
    short: dict[str, Any] = SMALL | {"horizon": 1, "stride": 1}
    mi.fit(dataset, out=run, **short)
    says = "which is code to run; say --env"
    assert says in refused(lambda: rollout_run(RolloutConfig(run=run, mode=0)))
    assert any(says in line for line in make_report(ModesConfig(run=run, root=root)).data.left_out)
    found = rollout_run(RolloutConfig(run=run, mode=0, env=mine, seeds="1,2"))
    expected = {"return", "steps", "success", "cost", "speed"}
    assert expected <= set(found.figures)
    report = make_report(ModesConfig(run=run, root=root, env=mine, layouts=2, expert=(f"{FILE}:Pushing",)))
    assert not any("drive" in line for line in report.data.left_out if "guarantees" not in line)
    assert report.data.experts["Pushing"]["cost"].n == 2  # type: ignore[union-attr]


def test_a_policy_of_choices_trains_and_drives(tmp_path: Path) -> None:
    experts = tuple(f"{CONTROLLERS}:{name}=3" for name in ("HoldLeft", "HoldRight"))
    generate(GenerateConfig(out="test/poles-v0", env="CartPole-v1", expert=experts, steps=60, root=tmp_path, workers=1))
    dataset = load_dataset("test/poles-v0", tmp_path)
    assert dataset.action_space.choices == (2,)
    assert all(episode.actions.dtype == np.int64 for episode in dataset.episodes)
    assert all(len(episode) == 60 for episode in dataset.episodes)  # the pole stays up
    run = mi.fit(dataset, out=tmp_path / "run", **SMALL)
    policy, env = run.policy.steer(mode=0), gymnasium.make("CartPole-v1")
    seen, _ = env.reset(seed=500)
    actions = []
    for _ in range(5):
        actions.append(policy.act(seen))
        assert env.action_space.contains(actions[-1])
        seen, *_ = env.step(actions[-1])
    result = rollout_run(RolloutConfig(run=tmp_path / "run", mode=0, seeds="500:502", steps=60))
    assert result.drives[0].episode.actions[:5, 0].tolist() == [int(action) for action in actions]
    assert {"return", "steps"} <= set(result.figures)
    assert result.figures["return"].mean == result.figures["steps"].mean  # 1 for every step that the pole stands
    other = dataclasses.replace(RolloutConfig(run=tmp_path / "run", mode=0), env="Acrobot-v1")
    assert "Acrobot-v1 has observations and actions of (6, 1) numbers" in refused(lambda: rollout_run(other))
