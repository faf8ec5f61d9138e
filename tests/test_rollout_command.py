"""`rollout`: what was steered is what drove, and everything asked for is written or refused before the first step."""

from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.dataset import load_dataset
from mode_imitation.errors import UserError
from mode_imitation.reports import rollout_command
from mode_imitation.reports.config import RolloutConfig
from mode_imitation.reports.rollout_command import RolloutResult, command_of, rollout_run
from mode_imitation.steering.infer import encode_windows
from mode_imitation.steering.policy import Policy
from tests.tiny_runs import random_dataset, random_model, save_run

STEPS = 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    save_run(folder / "run", folder / "data", random_dataset())
    return folder / "run"


def drive(run: Path, **options) -> RolloutResult:
    return rollout_run(RolloutConfig(run=run, steps=STEPS, root=run.parent / "data", **options))


def recomputed_actions(result: RolloutResult, contexts: np.ndarray) -> list[np.ndarray]:
    policy = Policy(random_model())
    return [
        np.clip(policy.steer(context=contexts).act(drive.episode.observations[:-1]), -1, 1) for drive in result.drives
    ]


def test_the_recorded_actions_are_the_modes(run: Path) -> None:
    result = drive(run, mode=1, seeds="500:502")
    assert [one.episode.layout_seed for one in result.drives] == [500, 501]
    context = Policy(random_model()).mode_contexts(1)
    for one, actions in zip(result.drives, recomputed_actions(result, context), strict=True):
        np.testing.assert_allclose(one.episode.actions, actions, atol=1e-5)
        assert one.episode.expert == "mode-1"
    assert {"goals", "cost", "return", "straightness"} <= set(result.figures)


def test_a_schedule_switches_modes_at_its_steps_and_counts_goals_by_segment(run: Path) -> None:
    result = drive(run, schedule="0:4,2:3,1", seeds="7")
    contexts = Policy(random_model()).mode_contexts(np.array([0] * 4 + [2] * 3 + [1] * 3))
    np.testing.assert_allclose(result.drives[0].episode.actions, recomputed_actions(result, contexts)[0], atol=1e-5)
    assert [(s.mode, s.start, s.stop) for s in result.segments] == [(0, 0, 4), (2, 4, 7), (1, 7, 10)]
    assert sum(s.goals.mean for s in result.segments) == result.figures["goals"].mean


def test_a_schedule_longer_than_the_episode_has_only_the_segments_that_ran(run: Path) -> None:
    result = drive(run, schedule="0:4,2:300,1", seeds="7")
    assert [(s.mode, s.start, s.stop) for s in result.segments] == [(0, 0, 4), (2, 4, 10)]


def test_driving_like_a_demonstration_takes_its_context(run: Path) -> None:
    result = drive(run, like="tiny/random-v0#3", seeds="7")
    episode = load_dataset("tiny/random-v0", run.parent / "data").episodes[3]
    expected = encode_windows(random_model(), episode)
    np.testing.assert_allclose(
        result.drives[0].episode.actions, recomputed_actions(result, expected.context)[0], atol=1e-5
    )
    assert f"nearest to mode {expected.code}" in result.what


def test_rollouts_are_written_as_a_dataset_and_drawn(run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "paths.png"
    result = drive(run, context="0.1,0.9,0,0", seeds="500:503", out="out/steered-v0", plot=picture)
    assert result.written == [run.parent / "data" / "out" / "steered-v0", picture]
    assert picture.stat().st_size > 1000
    stored = load_dataset("out/steered-v0", run.parent / "data")
    assert stored.layout_seeds == [500, 501, 502]
    assert stored.has_scenes
    assert stored.env_id == "SafetyPointGoal1-v0"
    assert stored.metadata["time_step"] == pytest.approx(0.02)
    assert stored.metadata["command"] == ("mode-imitation rollout run --context 0.1,0.9,0,0 --seeds 500:503 --steps 10")
    for one, drive_ in zip(stored.episodes, result.drives, strict=True):
        np.testing.assert_array_equal(one.actions, drive_.episode.actions)
    for again in ({"out": "out/steered-v0"}, {"plot": picture}):
        with pytest.raises(UserError, match="exists already"):
            drive(run, mode=0, **again)
    drive(run, mode=0, seeds="1", plot=picture, overwrite=True)


def test_a_video_is_made_of_the_first_rollout(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mode_imitation.worlds.safety import render

    filmed = []
    monkeypatch.setattr(render, "headless_backend", lambda: "egl")
    monkeypatch.setattr(render, "record_video", lambda *arguments, **more: filmed.append(arguments))
    result = drive(run, mode=0, seeds="4:6", video=tmp_path / "a.gif")
    ((env_id, layout, actions, path),) = filmed
    assert (env_id, layout, path) == ("SafetyPointGoal1-v0", 4, tmp_path / "a.gif")
    np.testing.assert_array_equal(actions, result.drives[0].episode.actions)


def test_where_nothing_can_film_nothing_drives(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mode_imitation.worlds.safety import render

    def missing() -> str:
        raise UserError("no way to render")

    monkeypatch.setattr(render, "headless_backend", missing)
    monkeypatch.setattr(rollout_command, "drive_policy", None)
    with pytest.raises(UserError, match="no way to render"):
        drive(run, mode=0, seeds="4", video=tmp_path / "a.mp4", out="out/never-v0")
    assert not (run.parent / "data" / "out" / "never-v0").exists()


def test_a_layout_seen_in_training_is_noted(run: Path) -> None:
    assert "1 of the layouts were seen in training" in drive(run, mode=0, seeds="3,900").notes[0]
    assert drive(run, mode=0, seeds="900").notes == []


def test_sampled_actions_are_the_same_for_the_same_seed(run: Path) -> None:
    first, again, other = (drive(run, mode=0, seeds="4", temperature=1.0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.drives[0].episode.actions, again.drives[0].episode.actions)
    assert (first.drives[0].episode.actions != other.drives[0].episode.actions).any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "got none of them"),
        ({"mode": 0, "like": "a#1"}, "got --mode and --like"),
        ({"mode": 3}, "this run has modes 0, 1, 2"),
        ({"context": "1,0"}, "4 numbers"),
        ({"context": "1,x,0,0"}, "not a list of numbers"),
        ({"schedule": "0:5,7"}, "names mode 7"),
        ({"schedule": "0:5;7"}, "is not MODE:STEPS"),
        ({"like": "tiny/random-v0#99"}, "no episode 99"),
        ({"like": "tiny/random-v0"}, "DATASET#NUMBER"),
        ({"mode": 0, "seeds": "9:2"}, "name no layout"),
        ({"mode": 0, "temperature": -0.5}, "temperature is -0.5"),
        ({"mode": 0, "env": "SafetyPointGoal7-v0"}, "SafetyPointGoal7-v0"),
        ({"mode": 0, "env": "SafetyPointGoal0-v0"}, "the run was trained on (60, 2)"),
        ({"mode": 0, "worlds": 0}, "--worlds is 0"),
        ({"mode": 0, "seed": -1}, "--seed is -1"),
        ({"mode": 0, "out": "no version"}, "cannot be a dataset's name"),
        ({"mode": 0, "plot": Path("a.txt")}, "a.txt cannot be written"),
        ({"mode": 0, "video": Path("a.avi")}, ".mp4 or .gif"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_drives(
    run: Path, options: dict, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_command, "drive_policy", None)
    with pytest.raises(UserError) as error:
        drive(run, **options)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_of_data_without_an_environment_asks_for_one(tmp_path: Path) -> None:
    save_run(tmp_path / "run", tmp_path / "data", random_dataset(), {"env_id": None})
    with pytest.raises(UserError, match="names no environment; give one with --env"):
        drive(tmp_path / "run", mode=0)


def test_the_recorded_command_leaves_out_what_is_default(run: Path) -> None:
    config = RolloutConfig(run=run, schedule="0:4,1", seeds="1,2", overwrite=True)
    assert command_of(config) == "mode-imitation rollout run --schedule 0:4,1 --seeds 1,2"


def test_a_context_says_how_far_from_the_modes_it_is_and_a_picture_of_a_part_that_it_is_one(
    run: Path, tmp_path: Path
) -> None:
    result = drive(run, context="0.25,0.25,0,0.5", seeds="500:509", plot=tmp_path / "paths.png")
    assert any("(0: as in training" in note and "50% of it is on pruned codes" in note for note in result.notes)
    assert any("shows the first 8 of 9 layouts" in note for note in result.notes)
    assert drive(run, mode=1, seeds="500").notes == []
