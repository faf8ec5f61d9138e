"""From Python: what the package offers under its own name; runs on datasets in memory, by name, and on several."""

import dataclasses
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
from tests.synthetic import two_laws

BRIEF: dict[str, Any] = {"codes": 2, "horizon": 3, "gap": 1, "stride": 1, "restarts": 1, "actor_hidden": (8,)}
BRIEF |= {"iterations": 4, "joint_iterations": 4, "judge_iterations": 4, "device": "cpu"}
DATA = two_laws(n_each=3)


def test_every_name_that_is_offered_is_there_and_no_other() -> None:
    for name in mi.__all__:
        assert getattr(mi, name) is not None
    assert dir(mi) == sorted(mi.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'discover'"):
        mi.discover  # noqa: B018


def test_a_run_that_is_not_kept_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.tempfile, "tempdir", str(tmp_path))
    run = mi.fit(DATA, **BRIEF)
    assert not list(tmp_path.glob("mode-imitation-*"))
    assert run.path is None
    assert 1 <= run.n_modes <= 2
    (held_out,) = run.info["held_out_episodes"]
    assert run.assignment.shape == (6,)
    assert np.flatnonzero(run.assignment == -1).tolist() == [held_out]
    assert set(run.assignment) - {-1} == set(range(run.n_modes))
    assert "not kept; give fit(out=...)" in repr(run)
    first, second = run.policy.steer(mode=0), run.policy
    assert first is not second
    assert first.act(DATA.episodes[0].observations[0]).shape == (1,)


def test_a_run_that_is_kept_is_the_same_and_is_loaded_from_its_folder(tmp_path: Path) -> None:
    kept, other = mi.fit(DATA, out=tmp_path / "run", **BRIEF), mi.fit(DATA, **BRIEF)
    assert kept.path == tmp_path / "run"
    assert str(tmp_path / "run") in repr(kept)
    assert kept.assignment.tolist() == other.assignment.tolist()
    state = DATA.episodes[0].observations[0]
    actions = [policy.steer(mode=0).act(state) for policy in (kept.policy, other.policy, mi.load_policy(kept.path))]
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], actions[2])
    with pytest.raises(UserError, match="holds a run already"):
        mi.fit(DATA, out=tmp_path / "run", **BRIEF)
    assert mi.fit(DATA, out=tmp_path / "run", resume=True, **BRIEF).info == kept.info


def test_codes_that_are_given_are_gone_on_from(tmp_path: Path) -> None:
    given = np.array([0, 1] * 3)
    run = mi.fit(DATA, given=given, rounds=0, **BRIEF)
    trained = run.assignment != -1
    assert run.assignment[trained].tolist() == given[trained].tolist()
    assert run.info["config"]["start"] == "given"


def test_a_mistyped_setting_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match="there is no setting 'code', did you mean 'codes'"):
        mi.fit(DATA, code=3)


def test_datasets_of_names_and_of_memory_train_together_and_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    halves = {"some/plus-v0": DATA.episodes[::2], "some/minus-v0": DATA.episodes[1::2]}
    for name, episodes in halves.items():
        write_dataset(name, list(episodes), root=Path("data"))
    entries = ["some/plus-v0", mi.load_dataset("some/minus-v0")]
    run = mi.fit(entries, out="run", **BRIEF)
    assert len(run.assignment) == 6
    assert run.info["source"] == {"root": str(tmp_path / "data"), "datasets": list(halves)}
    monkeypatch.chdir(tmp_path.parent)
    assert make_report(ModesConfig(run=tmp_path / "run")).data["clustering"] is not None
    shutil.rmtree(tmp_path / "data")
    report = make_report(ModesConfig(run=tmp_path / "run"))
    assert any("there is no dataset some/plus-v0" in line for line in report.data["left_out"])
    assert read_info(tmp_path / "run") == run.info


def test_joined_episodes_keep_their_order_and_only_a_common_environment_is_named() -> None:
    one = dataclasses.replace(DATA, name="some/one-v0", env_id="Some-v0")
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
def test_datasets_that_mean_different_things_are_not_joined(change: dict[str, Any], what: str) -> None:
    other = dataclasses.replace(DATA, name="some/other-v0", **change)
    with pytest.raises(UserError, match=f"differ in their {what} "):
        join([DATA, other])


def test_actions_with_other_bounds_are_the_same_actions() -> None:
    bounded = dataclasses.replace(DATA, action_space=ActionSpace(1, low=(-1.0,), high=(1.0,)))
    assert len(join([bounded, DATA])) == 12
