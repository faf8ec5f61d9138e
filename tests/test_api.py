"""What a user does from Python, in the lines of the README."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mode_imitation as mi
from mode_imitation import api
from mode_imitation.data.arrays import join
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.report import make_report
from mode_imitation.training.run_folder import read_info
from mode_imitation.training.sources import load_source
from tests.synthetic import two_laws

QUICK: dict[str, Any] = {
    "joint_iterations": 20,
    "iterations": 20,
    "horizon": 4,
    "gap": 2,
    "stride": 2,
    "actor_hidden": [8, 8],
}


@pytest.fixture(scope="module")
def pendulum() -> mi.TrajectoryDataset:
    """Two controllers with the sizes of Pendulum-v1, on noise."""
    return two_laws(n_each=4, obs_dim=3, act_dim=1)


@pytest.fixture(scope="module")
def run(pendulum: mi.TrajectoryDataset) -> mi.FittedRun:
    return mi.fit(pendulum, codes=3, **QUICK)


def test_five_lines_from_data_to_a_saved_report(run: mi.FittedRun, tmp_path: Path) -> None:
    policy = run.policy.steer(mode=0)
    drives = mi.rollout("Pendulum-v1", policy, seeds=range(3), steps=20, figures=[lambda episode: len(episode)])
    page = mi.report(run, drives)
    written = page.save(tmp_path / "report")
    assert written.read_text().startswith("# Modes of test/two-laws-v0")
    assert "| mode 0 | Pendulum-v1 | 3 |" in written.read_text()
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["drives"][0]["seeds"] == [0, 1, 2]
    assert found["drives"][0]["figures"]["<lambda>"]["mean"] == 20
    assert (tmp_path / "report" / "drives-0.png").stat().st_size > 1000


def test_what_is_printed_says_what_it_is_in_three_lines(run: mi.FittedRun, pendulum: mi.TrajectoryDataset) -> None:
    drives = mi.rollout("Pendulum-v1", run.policy.steer(mode=0), seeds=[5], steps=5)
    for thing, beginning in (
        (pendulum, "Dataset test/two-laws-v0: 8 episodes, 480 steps (60 to 60 each)"),
        (run, "Run on test/two-laws-v0: "),
        (run.policy, "Policy of "),
        (drives, "1 drives of mode 0 in Pendulum-v1, 5 steps"),
    ):
        assert repr(thing).startswith(beginning)
        assert len(repr(thing).splitlines()) == 3
    assert repr(pendulum.episodes[0]).startswith("Episode of 60 steps: observations (61, 3), actions (60, 1)")


def test_names_are_listed_and_imported_when_they_are_used() -> None:
    assert {"fit", "from_arrays", "load_dataset", "load_policy", "report", "rollout"} <= set(dir(mi))
    for name in dir(mi):
        assert getattr(mi, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        mi.fitt  # noqa: B018


def test_a_run_tells_each_episode_s_mode_and_which_were_held_out(run: mi.FittedRun) -> None:
    held_out = run.info["held_out_episodes"]
    assert (run.assignment[held_out] == -1).all()
    assert (np.delete(run.assignment, held_out) >= 0).all()
    assert run.path is None
    assert {"train", "held_out"} == set(run.scores)


def test_a_run_that_is_kept_is_found_by_name_resumed_and_replaced_only_when_told_to(
    pendulum: mi.TrajectoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset("test/two-laws-v0", pendulum.episodes, root=tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    first = mi.fit("test/two-laws-v0", out=tmp_path / "run", **QUICK)
    assert first.path == tmp_path / "run"
    assert mi.load_policy(tmp_path / "run").n_modes == first.n_modes
    with pytest.raises(UserError, match="holds a run already"):
        mi.fit("test/two-laws-v0", out=tmp_path / "run", **QUICK)
    again = mi.fit("test/two-laws-v0", out=tmp_path / "run", resume=True, **QUICK)
    assert again.info == first.info


def test_several_datasets_train_together(pendulum: mi.TrajectoryDataset) -> None:
    more = two_laws(n_each=2, obs_dim=3, act_dim=1, seed=3)
    run = mi.fit([pendulum, more], **QUICK)
    assert len(run.assignment) == 12
    with pytest.raises(UserError, match="differ in their numbers of an observation"):
        mi.fit([pendulum, two_laws(n_each=2, obs_dim=2)], **QUICK)


def test_codes_of_steps_are_kept_as_they_are(pendulum: mi.TrajectoryDataset) -> None:
    steps = [np.repeat([0, 1], [20, len(episode) - 20]) for episode in pendulum.episodes]
    run = mi.fit(pendulum, given=steps, rounds=0, codes=2, **QUICK)
    order = [0, 1] if run.info["switches"][0][0][1] == 0 else [1, 0]
    for stretches in run.info["switches"]:
        assert stretches == [[0, order[0]], [20, order[1]]]
    with pytest.raises(UserError, match="codes are not one an action of each episode"):
        mi.fit(pendulum, given=steps[1:], rounds=0, codes=2, **QUICK)


def test_mistakes_are_one_clear_line(run: mi.FittedRun, pendulum: mi.TrajectoryDataset) -> None:
    with pytest.raises(UserError, match="no setting 'code', did you mean 'codes'"):
        mi.fit(pendulum, code=4)
    with pytest.raises(UserError, match="no single context"):
        mi.rollout("Pendulum-v1", run.policy)
    with pytest.raises(UserError, match="seeds is empty"):
        mi.rollout("Pendulum-v1", run.policy.steer(mode=0), seeds=[])
    with pytest.raises(UserError, match="CartPole"):
        mi.rollout("CartPole-v1", run.policy.steer(mode=0))


def test_a_run_that_is_not_kept_is_the_same_and_leaves_no_folder(
    run: mi.FittedRun, pendulum: mi.TrajectoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.tempfile, "tempdir", str(tmp_path))
    again, kept = (mi.fit(pendulum, codes=3, out=out, **QUICK) for out in (None, tmp_path / "kept"))
    assert not list(tmp_path.glob("mode-imitation-*"))
    assert "not kept; give fit(out=...)" in repr(again)
    assert str(tmp_path / "kept") in repr(kept)
    assert run.policy is not run.policy  # one may be steered without the other
    state = pendulum.episodes[0].observations[0]
    policies = [run.policy, again.policy, kept.policy, mi.load_policy(tmp_path / "kept")]
    actions = [policy.steer(mode=0).act(state) for policy in policies]
    for action in actions[1:]:
        np.testing.assert_array_equal(action, actions[0])


def test_codes_of_episodes_are_gone_on_from(pendulum: mi.TrajectoryDataset) -> None:
    given = np.array([0, 1] * 4)
    run = mi.fit(pendulum, given=given.tolist(), rounds=0, codes=2, **QUICK)
    trained = run.assignment != -1
    same = run.assignment[trained] == given[trained]
    assert same.all() or not same.any()  # modes are numbered by their shares
    assert run.info["config"]["start"] == "given"


def test_datasets_of_names_and_of_memory_train_together_and_are_found_again(
    pendulum: mi.TrajectoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    halves = {"some/plus-v0": pendulum.episodes[::2], "some/minus-v0": pendulum.episodes[1::2]}
    for name, episodes in halves.items():
        write_dataset(name, list(episodes), root=Path("data"))
    entries = ["some/plus-v0", mi.load_dataset("some/minus-v0")]
    run = mi.fit(entries, out="run", **QUICK)
    assert len(run.assignment) == 8
    assert run.info["source"] == {"root": str(tmp_path / "data"), "datasets": list(halves)}
    monkeypatch.chdir(tmp_path.parent)
    assert make_report(ModesConfig(run=tmp_path / "run")).data.clustering is not None
    shutil.rmtree(tmp_path / "data")
    report = make_report(ModesConfig(run=tmp_path / "run"))
    assert any("there is no dataset some/plus-v0" in line for line in report.data.left_out)
    assert read_info(tmp_path / "run") == run.info


def test_the_folder_that_datasets_were_read_from_is_recorded(
    pendulum: mi.TrajectoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    for root, name in (("here", "some/plus-v0"), ("here", "some/minus-v0"), ("there", "some/minus-v0")):
        write_dataset(name, pendulum.episodes, root=Path(root))
    one, two = mi.load_dataset("some/plus-v0", root="here"), mi.load_dataset("some/minus-v0", root="here")
    run = mi.fit([one, two], out="run", **QUICK)
    assert run.info["source"] == {"root": str(tmp_path / "here"), "datasets": ["some/plus-v0", "some/minus-v0"]}
    assert len(load_source(read_info("run"))) == 2 * len(pendulum)
    mixed = mi.fit([one, mi.load_dataset("some/minus-v0", root="there"), pendulum], out="mixed", **QUICK)
    places = [str(tmp_path / "here/some/plus-v0"), str(tmp_path / "there/some/minus-v0"), pendulum.name]
    assert mixed.info["source"] == {"root": str(tmp_path / "data"), "datasets": places}


def test_joined_episodes_keep_their_order_and_only_a_common_environment_is_named(
    pendulum: mi.TrajectoryDataset,
) -> None:
    one = dataclasses.replace(pendulum, name="some/one-v0", env_id="Some-v0")
    other = dataclasses.replace(two_laws(n_each=2, seed=1), name="some/other-v0", env_id="Some-v0")
    both = join([one, other])
    assert both.episodes == (*one.episodes, *other.episodes)
    assert both.name == "some/one-v0 + some/other-v0"
    assert both.env_id == "Some-v0"
    assert both.checksum not in (one.checksum, other.checksum, join([other, one]).checksum)
    assert join([one, dataclasses.replace(other, env_id="Other-v0")]).env_id is None
    assert join([one]) is one
    with pytest.raises(UserError, match="there is no dataset to train on"):
        join([])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sensors": {"sight": Sensor(0, 2, "ring")}}, "sensors"),
        ({"action_space": ActionSpace(1, (3,))}, "action space"),
    ],
)
def test_datasets_that_mean_different_things_are_not_joined(
    pendulum: mi.TrajectoryDataset, change: dict[str, Any], what: str
) -> None:
    other = dataclasses.replace(pendulum, name="some/other-v0", **change)
    with pytest.raises(UserError, match=f"differ in their {what} "):
        join([pendulum, other])


def test_actions_with_other_bounds_are_the_same_actions(pendulum: mi.TrajectoryDataset) -> None:
    bounded = dataclasses.replace(pendulum, action_space=ActionSpace(1, low=(-1.0,), high=(1.0,)))
    assert len(join([bounded, pendulum])) == 16
