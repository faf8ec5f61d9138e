"""Generation: the same command gives the same arrays, with any number of processes and however often it is killed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import minari
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.atomic import locked
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.data.staging import LOCK_FILE
from mode_imitation.data.verify import verify_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds import generate as module
from mode_imitation.worlds.chunks import ChunkFolder
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.worker import Driver, training_layout_seed

ROOT = Path(__file__).parent.parent
NAME = "test/small-v0"
SMALL = GenerateConfig(out=NAME, expert=("goal_seeking=3", "forward_moving=2"), steps=30, workers=1, worlds=2)


def fake_episode(index: int) -> Episode:
    rng = np.random.default_rng(index)
    return Episode(
        observations=rng.random((4, 3), dtype=np.float32),
        actions=rng.random((3, 2), dtype=np.float32),
        goals_met=rng.random(3) < 0.5,
        layout_seed=index,
        expert="somebody",
        scene=Scene(goals=rng.random((1, 2)), goal_steps=np.zeros(1, dtype=int)),
    )


class FakeDriver:
    """Episodes in no time, without a simulator."""

    drives: list[list[int]] = []  # noqa: RUF012

    def __init__(self, config: GenerateConfig, starts: object) -> None:
        self.config = config

    def drive(self, expert: str, indices: Sequence[int], advance: Callable[[int], object]) -> list[Episode]:
        FakeDriver.drives.append(list(indices))
        return [fake_episode(index) for index in indices]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeDriver]:
    monkeypatch.setattr("mode_imitation.worlds.worker.Driver", FakeDriver)

    def describe(config: GenerateConfig, plan: object) -> dict:
        return {"metadata": {"settings": module._settings(config)["settings"]}}

    monkeypatch.setattr(module, "_describe_environment", describe)
    FakeDriver.drives = []
    return FakeDriver


def fail_after(drives: int, error: BaseException, monkeypatch: pytest.MonkeyPatch, driver: type = Driver) -> None:
    """Let the driver raise `error` after so many groups of episodes."""
    original, done = driver.drive, []

    def drive(self, *arguments):
        if len(done) == drives:
            raise error
        done.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(driver, "drive", drive)


def names_under(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of SMALL, generated in one go, world by world."""
    root = tmp_path_factory.mktemp("reference")
    generate(replace(SMALL, root=root, worlds=1))
    return root


def test_arrays_and_scenes_do_not_depend_on_workers_and_worlds(reference: Path, tmp_path: Path) -> None:
    expected = load_dataset(NAME, reference)
    for workers, worlds in ((1, 16), (2, 2)):
        root = tmp_path / f"{workers}-{worlds}"
        generate(replace(SMALL, root=root, workers=workers, worlds=worlds))
        found = load_dataset(NAME, root)
        assert found.checksum == expected.checksum
        for one, other in zip(found.episodes, expected.episodes, strict=True):
            assert one.scene is not None
            assert other.scene is not None
            np.testing.assert_array_equal(one.scene.goals, other.scene.goals)
            np.testing.assert_array_equal(one.scene.hazards, other.scene.hazards)


def test_the_dataset_says_all_about_itself(reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(NAME, reference)
    assert dataset.labels == ["goal_seeking"] * 3 + ["forward_moving"] * 2
    assert dataset.layout_seeds == [0, 1, 2, 3, 4]
    assert dataset.lengths.tolist() == [30] * 5
    assert dataset.env_id == "SafetyPointGoal1-v0"
    assert dataset.observation_slices is not None
    assert dataset.observation_slices["goal_lidar"] == slice(12, 28)
    assert dataset.metadata["command"] == (
        "mode-imitation generate --out test/small-v0 --expert goal_seeking=3 --expert forward_moving=2 "
        "--env SafetyPointGoal1-v0 --steps 30"
    )
    assert {"mujoco", "numpy", "python"} <= dataset.metadata["versions"].keys()
    assert str(reference) not in json.dumps(dataset.metadata)
    for name in ("costs", "rewards", "positions", "headings", "disturbed", "goals_met", "scene"):
        assert dataset.has(name), name
    disturbed = dataset.episodes[0].disturbed
    assert disturbed is not None
    assert disturbed[:20].all()  # the burst at the start, of 20 to 80 steps
    assert verify_dataset(NAME, reference).ok
    assert names_under(reference) == [
        f"{NAME}/{name}" for name in ("SHA256SUMS", "data/main_data.hdf5", "data/metadata.json")
    ]
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(reference))
    assert sum(len(episode) for episode in minari.load_dataset(NAME)) == 150


def test_a_recorded_action_is_what_was_executed(reference: Path) -> None:
    from mode_imitation.worlds.safety import make_vec

    episode = load_dataset(NAME, reference).episodes[1]
    env = make_vec("SafetyPointGoal1-v0", 1)
    observations, _ = env.reset(seed=[episode.layout_seed])
    for step, action in enumerate(episode.actions):
        np.testing.assert_array_equal(observations[0].astype(np.float32), episode.observations[step])
        observations = env.step(action[None])[0]
    env.close()


def test_after_ctrl_c_it_goes_on_from_the_finished_episodes(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_after(1, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            generate(replace(SMALL, root=tmp_path))
    with pytest.raises(UserError, match="not finished"):
        load_dataset(NAME, tmp_path)
    seen: list[list[int]] = []
    original = Driver.drive
    monkeypatch.setattr(
        Driver, "drive", lambda self, e, indices, a: (seen.append(indices), original(self, e, indices, a))[1]
    )
    generate(replace(SMALL, root=tmp_path, worlds=3))
    assert seen == [[2], [3, 4]]
    assert load_dataset(NAME, tmp_path).checksum == load_dataset(NAME, reference).checksum
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_file_operation_it_ends_with_the_same_arrays(
    tmp_path: Path, fake: type[FakeDriver], monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # what it guards against, a power cut, is not tried here
    config = replace(SMALL, expert=("goal_seeking=1", "forward_moving=1"), root=tmp_path, overwrite=overwrite)
    watched = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.utime", "os.chmod"}
    generate(replace(config, seed=1) if overwrite else replace(config, root=tmp_path / "once"))
    expected = load_dataset(NAME, tmp_path if overwrite else tmp_path / "once").checksum
    kill_at, alive = 0, True
    while alive:
        kill_at += 1
        child = os.fork()
        if child == 0:
            _die_at(kill_at, watched, tmp_path)
            generate(config)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        alive = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        if (tmp_path / NAME).exists():
            # Whatever reads as a dataset is a whole one.
            assert load_dataset(NAME, tmp_path).checksum == expected
        else:
            with pytest.raises(UserError, match=r"not finished|no dataset"):
                load_dataset(NAME, tmp_path)
        if overwrite or not (tmp_path / NAME).exists():
            generate(config)
        else:
            # The dataset is in place; the command only tidies up what the killed one could not.
            with pytest.raises(UserError, match="exists already"):
                generate(config)
        assert load_dataset(NAME, tmp_path).checksum == expected
        assert not (tmp_path / ".unfinished").exists(), list((tmp_path / ".unfinished").rglob("*"))
        if not overwrite:
            shutil.rmtree(tmp_path / NAME)
    assert kill_at > 30


def _die_at(operation: int, watched: set[str], folder: Path) -> None:
    """End this process, as SIGKILL does, at the so-manieth file operation in `folder`."""
    count = [0]

    def hook(event: str, arguments: tuple) -> None:
        if event in watched and str(arguments[0]).startswith(str(folder)):
            count[0] += 1
            if count[0] == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def test_kills_of_the_real_command_do_not_change_the_result() -> None:
    script = ROOT / "benchmarks" / "kill_and_resume.py"
    options = ["generate", "--kills", "1", "--episodes", "2", "--steps", "40"]
    done = subprocess.run([sys.executable, script, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 different" in done.stdout


def test_other_settings_do_not_mix_with_an_unfinished_dataset(
    tmp_path: Path, fake: type[FakeDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, root=tmp_path)
    with monkeypatch.context() as patch:
        fail_after(1, KeyboardInterrupt(), patch, fake)
        with pytest.raises(KeyboardInterrupt):
            generate(config)
    for changes in ({"steps": 31}, {"action_noise": 0.2}, {"expert": ("goal_seeking=4", "forward_moving=2")}):
        with pytest.raises(UserError, match=f"made with other settings.*{next(iter(changes))} was"):
            generate(replace(config, **changes))
    generate(replace(config, seed=1, overwrite=True))
    assert fake.drives == [[0, 1], [0, 1], [2], [3, 4]]


def test_an_existing_dataset_is_an_error_before_any_work(tmp_path: Path, fake: type[FakeDriver]) -> None:
    config = replace(SMALL, root=tmp_path)
    generate(config)
    fake.drives.clear()
    with pytest.raises(UserError, match=r"exists already.*--overwrite"):
        generate(config)
    assert fake.drives == []
    generate(replace(config, overwrite=True))
    assert len(fake.drives) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expert": ()}, "no expert"),
        ({"expert": ("goal_seeking",)}, "expected NAME=EPISODES"),
        ({"expert": ("goal_seeking=many",)}, "expected NAME=EPISODES"),
        ({"expert": ("goal_seeking=0",)}, "asks for 0 episodes"),
        ({"expert": ("goal_seeking=-3",)}, "asks for -3 episodes"),
        ({"expert": ("gaol_seeking=3",)}, "goal_seeking"),
        ({"expert": ("missing.py:Expert=3",)}, "no file missing.py"),
        ({"expert": ("goal_seeking=1000001",)}, "too many"),
        ({"env": "SafetyPontGoal1-v0"}, "SafetyPointGoal1-v0"),
        ({"env": "SafetyDoggoGoal1-v0"}, "cannot drive the robot Doggo"),
        ({"out": "no version"}, "cannot be a dataset's name"),
        ({"steps": 0}, "--steps is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"worlds": -1}, "--worlds is -1"),
        ({"seed": 1000}, "--seed is 1000"),
        ({"action_noise": float("nan")}, "--action-noise is nan"),
        ({"action_noise": -0.1}, "--action-noise is -0.1"),
        ({"burst_probability": 1.5}, "probability is 1.5"),
        ({"burst_shortest": 90}, "90 to 80 steps"),
    ],
)
def test_bad_settings_are_one_clear_line_and_nothing_is_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        generate(replace(SMALL, root=tmp_path / "root", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root").exists()


def test_cars_can_be_generated_too(tmp_path: Path) -> None:
    generate(replace(SMALL, root=tmp_path, env="SafetyCarGoal1-v0", expert=("goal_seeking=1",)))
    dataset = load_dataset(NAME, tmp_path)
    assert dataset.obs_dim == 72
    assert dataset.metadata["robot"] == "Car"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_line_and_keeps_what_is_finished(
    tmp_path: Path, fake: type[FakeDriver], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    config = replace(SMALL, root=tmp_path)
    original = ChunkFolder.write

    def write(self: ChunkFolder, indices: Sequence[int], episodes: Sequence[Episode]) -> Path:
        if 2 in indices:
            raise OSError(code, "No space left on device")
        return original(self, indices, episodes)

    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "write", write)
        with pytest.raises(UserError, match="is full; make room and run the same command again"):
            generate(config)
    fake.drives.clear()
    generate(config)
    assert fake.drives == [[2], [3, 4]]


def test_a_disk_that_is_full_at_the_end_leaves_no_half_dataset(
    tmp_path: Path, fake: type[FakeDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mode_imitation.data.writer._write_episode", write)
        with pytest.raises(UserError, match="is full"):
            generate(replace(SMALL, root=tmp_path))
    assert not (tmp_path / "test").exists()
    generate(replace(SMALL, root=tmp_path))
    assert len(fake.drives) == 3


def test_a_second_process_cannot_make_the_same_dataset(tmp_path: Path, fake: type[FakeDriver]) -> None:
    with (
        locked(tmp_path / ".unfinished" / NAME / LOCK_FILE, "held"),
        pytest.raises(UserError, match="being made by another process"),
    ):
        generate(replace(SMALL, root=tmp_path))
    generate(replace(SMALL, root=tmp_path))


def test_finished_episodes_come_back_as_they_were(tmp_path: Path) -> None:
    chunks = ChunkFolder(tmp_path)
    chunks.write([0, 1], [fake_episode(0), fake_episode(1)])
    last = chunks.write([2], [fake_episode(2)])
    assert sorted(chunks.finished()) == [0, 1, 2]
    for index, episode in enumerate(chunks.read(3)):
        np.testing.assert_array_equal(episode.observations, fake_episode(index).observations)
        assert (episode.expert, episode.layout_seed, episode.terminated) == ("somebody", index, False)
        assert episode.scene is not None
        assert episode.scene.arena == (-1.5, -1.5, 1.5, 1.5)
    content = last.read_bytes()
    for place in np.linspace(0, len(content) - 1, 50, dtype=int):
        last.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert sorted(chunks.finished()) == [0, 1]
    with pytest.raises(UserError, match="episode 2 is damaged"):
        list(chunks.read(3))


@given(st.integers(-5, 2000), st.integers(-5, 2_000_000))
def test_training_layouts_are_distinct_and_never_for_evaluation(seed: int, episode: int) -> None:
    if 0 <= seed < 1000 and 0 <= episode < 1_000_000:
        assert divmod(training_layout_seed(seed, episode), 1_000_000) == (seed, episode)
        assert training_layout_seed(seed, episode) < 1_000_000_000
    else:
        with pytest.raises(UserError):
            training_layout_seed(seed, episode)


EXPERTS = """
import numpy as np

class Spinning:
    def act(self, observations):
        print("an expert may print")
        return np.tile([0.0, 1.0], (len(observations), 1))

class OneWorld:
    batched = False
    def reset(self, observation, rng):
        self.turn = rng.uniform()
    def act(self, observation):
        return np.array([1.0, self.turn])

class Broken:
    def act(self, observations):
        return np.full((len(observations), 2), np.nan)

class Buggy:
    def act(self, observations):
        raise ZeroDivisionError("not the user's command line")
"""


def test_a_users_own_experts_drive_in_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    monkeypatch.chdir(tmp_path)
    specs = ("mine.py:Spinning=1", "mine:OneWorld=2")
    config = replace(SMALL, expert=specs, action_noise=0.0, disturbances=False, worlds=1, steps=5, root=Path("root"))
    generate(replace(config, workers=2))
    dataset = load_dataset(NAME, "root")
    assert dataset.labels == ["Spinning", "OneWorld", "OneWorld"]
    np.testing.assert_array_equal(dataset.episodes[0].actions, np.tile([0, 1], (5, 1)))
    turns = {float(episode.actions[0, 1]) for episode in dataset.episodes[1:]}
    assert len(turns) == 2
    generate(replace(config, worlds=4, root=Path("other")))
    assert load_dataset(NAME, "other").checksum == dataset.checksum


@pytest.mark.parametrize(
    ("expert", "complaint"),
    [("Broken", "expected finite"), ("Buggy", "ZeroDivisionError: not the user's command line")],
)
def test_an_expert_that_fails_in_a_worker_stops_everything(tmp_path: Path, expert: str, complaint: str) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    config = replace(SMALL, expert=(f"{tmp_path / 'mine.py'}:{expert}=2",), worlds=1, workers=2, root=tmp_path / "root")
    with pytest.raises(UserError, match=complaint):
        generate(config)
    # Nothing was finished, so nothing is left that a corrected expert could not start from.
    assert not (tmp_path / "root" / ".unfinished").exists()
