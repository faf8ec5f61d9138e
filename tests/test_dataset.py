"""Datasets on disk: what is written is what is read, by us and by Minari."""

import dataclasses
import json
import warnings
from pathlib import Path

import minari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id

from mode_imitation.data.dataset import (
    TrajectoryDataset,
    load_dataset,
    load_episode,
    read_through_minari,
)
from mode_imitation.data.episodes import ARRAY_FIELDS, Episode, Scene
from mode_imitation.data.spaces import Sensor, in_sight
from mode_imitation.data.storage import check_dataset_id, list_datasets
from mode_imitation.data.summary import summarise
from mode_imitation.data.verify import verify_dataset
from mode_imitation.data.writer import as_stored, write_dataset
from mode_imitation.errors import UserError
from tests.small_datasets import NAME, SENSORS, assert_same_episode, bare_episode, make_episode


def test_what_is_written_is_what_is_read(tmp_path: Path, folder: Path, episodes: list[Episode]) -> None:
    dataset = load_dataset(NAME, tmp_path)
    for written, read in zip(episodes, dataset.episodes, strict=True):
        assert_same_episode(written, read)
    assert dataset.name == NAME
    assert dataset.env_id == "Some-v0"
    assert dataset.sensors == SENSORS
    assert dataset.labels == ["seeker", "driver", "driver"]
    assert dataset.lengths.tolist() == [12, 5, 12]
    assert (dataset.obs_dim, dataset.act_dim) == (5, 2)
    assert dataset.metadata["experts"] == {"seeker": 1, "driver": 2}
    assert "numpy" in dataset.metadata["versions"]
    assert load_dataset(folder).checksum == dataset.checksum == dataset.metadata["checksum"]
    assert list_datasets(tmp_path) == [NAME]


def test_minari_opens_the_dataset_and_iterates_its_episodes(
    tmp_path: Path, folder: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = minari.load_dataset(NAME)
    assert dataset.total_steps == 29
    assert dataset.observation_space.contains(episodes[0].observations[0])
    for episode, read in zip(episodes, dataset.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(read.observations, episode.observations)
        np.testing.assert_array_equal(read.actions, episode.actions)
        np.testing.assert_array_equal(read.infos["cost"][1:], episode.costs)
        np.testing.assert_array_equal(read.infos["position"], episode.positions)
        assert bool(read.terminations[-1]) == episode.terminated
        assert bool(read.truncations[-1]) != episode.terminated
    metadata = next(iter(dataset.storage.get_episode_metadata([1])))
    assert metadata["expert"] == "driver"
    assert metadata["seed"] == 1
    assert metadata["scene"]["goals"].shape == (2, 2)
    assert minari.list_local_datasets().keys() == {NAME}


def test_minari_makes_the_environment_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for name, env_id in (("test/known-v0", "CartPole-v1"), ("test/unknown-v0", "Some-v0")):
        write_dataset(name, [make_episode(0)], root=tmp_path, env_id=env_id)
        assert load_dataset(name, tmp_path).env_id == env_id
    env = minari.load_dataset("test/known-v0").recover_environment()
    assert env.spec is not None
    assert env.spec.id == "CartPole-v1"
    env.close()


def test_minari_can_append_to_the_dataset(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = minari.load_dataset(NAME)
    more = make_episode(9)
    dataset.update_dataset_from_buffer(
        [
            EpisodeBuffer(
                observations=list(more.observations),
                actions=list(more.actions),
                rewards=list(np.zeros(12)),
                terminations=[False] * 12,
                truncations=[False] * 12,
            )
        ]
    )
    with pytest.raises(UserError, match="has changed"):
        load_dataset(NAME, tmp_path)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match='if they were changed on purpose, remove "checksum" from metadata'):
        load_dataset(NAME, tmp_path)
    metadata = json.loads((folder / "data" / "metadata.json").read_text())
    del metadata["checksum"]
    (folder / "data" / "metadata.json").write_text(json.dumps(metadata))
    assert len(load_dataset(NAME, tmp_path)) == 4


def test_a_dataset_that_minari_made_reads_with_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            observations=list(rng.normal(size=(8, 3))),
            actions=list(rng.normal(size=(7, 1))),
            rewards=list(rng.normal(size=7)),
            terminations=[False] * 6 + [True],
            truncations=[False] * 7,
            infos={"cost": np.arange(8.0), "note": np.zeros((8, 4))},
        )
        for _ in range(3)
    ]
    box = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, a description, ...
        minari.create_dataset_from_buffers(
            "other/people-v1", buffers, observation_space=box, action_space=gymnasium.spaces.Box(-1, 1, (1,))
        )
    dataset = load_dataset("other/people-v1")
    assert dataset.labels is None
    assert dataset.observation_slices is None
    assert not dataset.has("positions")
    assert dataset.episodes[0].terminated
    costs = dataset.episodes[2].costs
    assert costs is not None
    np.testing.assert_array_equal(costs, np.arange(1.0, 8.0))
    np.testing.assert_array_equal(dataset.episodes[1].observations, np.array(buffers[1].observations, np.float32))
    assert verify_dataset("other/people-v1").ok
    assert "no SHA256SUMS" in verify_dataset("other/people-v1").note
    assert {"labels", "goals", "a sensor of kind ring", "positions"} <= set(summarise(dataset).missing)


def test_the_lidars_of_a_dataset_that_0_1_wrote_are_rings(folder: Path) -> None:
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["sensor_kinds"]  # which 0.1 did not write
    path.write_text(json.dumps(metadata))
    (folder / "SHA256SUMS").unlink()
    assert load_dataset(str(folder)).sensors == SENSORS
    assert {part.kind for part in SENSORS.values()} == {"plain", "ring"}


def test_both_readers_agree(folder: Path) -> None:
    for fast, slow in zip(load_dataset(folder).episodes, read_through_minari(NAME, folder / "data"), strict=True):
        assert_same_episode(fast, slow)


def test_a_storage_that_minari_cannot_read_is_one_clear_line(tmp_path: Path, folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    path = folder / "data" / "metadata.json"
    path.write_text(path.read_text().replace('"hdf5"', '"parchment"'))
    with pytest.raises(UserError, match="Minari cannot read it"):
        load_dataset(NAME, tmp_path)


def test_what_an_episode_lacks_is_none_after_reading(tmp_path: Path) -> None:
    written = bare_episode(0)
    write_dataset("bare-v0", [written], root=tmp_path)
    assert_same_episode(load_dataset("bare-v0", tmp_path).episodes[0], as_stored(written))


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, episodes: list[Episode]) -> None:
    files = [write_dataset("same-v0", episodes, root=tmp_path / root) for root in "ab"]
    assert (files[0] / "SHA256SUMS").read_bytes() == (files[1] / "SHA256SUMS").read_bytes()


def test_an_episode_may_have_more_goals_than_fit_into_64_kb(tmp_path: Path) -> None:
    scene = Scene(goals=np.zeros((9000, 2)), goal_steps=np.arange(9000))
    write_dataset("goals-v0", [make_episode(0, scene=scene)], root=tmp_path)
    read = load_dataset("goals-v0", tmp_path).episodes[0].scene
    assert read is not None
    assert len(read.goals) == 9000


@pytest.mark.parametrize("name", ["", "no-version", "a b-v0", "../up-v0", "/abs/x-v0", "a//b-v0", "x-v", "é-v0"])
def test_a_name_that_minari_would_not_open_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a dataset's name"):
        check_dataset_id(name)


@given(st.from_regex(r"[a-z_0-9/-]{0,12}(-v[0-9]{1,2})?", fullmatch=True))
def test_every_accepted_name_is_one_for_minari_too(name: str) -> None:
    try:
        check_dataset_id(name)
    except UserError:
        return
    assert parse_dataset_id(name)[2] is not None


def test_an_episode_is_selected_by_number(tmp_path: Path, folder: Path, episodes: list[Episode]) -> None:
    assert_same_episode(load_episode(f"{NAME}#2", tmp_path), episodes[2])
    with pytest.raises(UserError, match="has no episode 3; it has 3"):
        load_episode(f"{NAME}#3", tmp_path)
    for wrong in (NAME, f"{NAME}#", f"{NAME}#-1", f"{NAME}#x"):
        with pytest.raises(UserError, match="DATASET#NUMBER"):
            load_episode(wrong, tmp_path)


def test_the_checksum_sees_every_array_and_the_order(episodes: list[Episode]) -> None:
    dataset = TrajectoryDataset("x", tuple(episodes))
    seen = {dataset.checksum, dataset.subset([2, 1, 0]).checksum, dataset.subset([0, 1]).checksum}
    for key in ARRAY_FIELDS:
        changed = np.array(getattr(episodes[1], key))
        changed[0] = changed[0] == 0
        other = dataclasses.replace(episodes[1], **{key: changed})
        seen.add(TrajectoryDataset("x", (episodes[0], other, episodes[2])).checksum)
    assert len(seen) == 3 + len(ARRAY_FIELDS)
    assert dataset.subset(np.array([0, 1, 2])).checksum == dataset.checksum


def test_episodes_of_different_sizes_are_refused(episodes: list[Episode]) -> None:
    wide = dataclasses.replace(bare_episode(0), observations=np.zeros((7, 6)))
    with pytest.raises(UserError, match="episode 3 has observations and actions of size"):
        TrajectoryDataset("x", (*episodes, wide))
    with pytest.raises(UserError, match="empty"):
        TrajectoryDataset("x", ())


def test_labels_need_every_episode_to_have_one(episodes: list[Episode]) -> None:
    assert TrajectoryDataset("x", (*episodes, bare_episode(0))).labels is None
    assert TrajectoryDataset("x", (*episodes, bare_episode(0))).layout_seeds is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([0.0, 0.4]), min_size=5, max_size=5))
def test_the_arena_is_where_some_lidar_bin_is_lit(values: list[float]) -> None:
    observations = np.array([values])
    assert in_sight(observations, SENSORS).tolist() == [any(value > 0 for value in values[3:])]
    assert in_sight(observations, {"gyro": Sensor(0, 3)}).tolist() == [True]
    assert in_sight(observations, None).tolist() == [True]


def test_the_summary_holds_the_means_per_expert(episodes: list[Episode]) -> None:
    dark = episodes[0].observations.copy()
    dark[:3, 3:] = 0
    episodes[0] = dataclasses.replace(episodes[0], observations=dark)
    summary = summarise(TrajectoryDataset("x", tuple(episodes), sensors=SENSORS))
    assert summary.missing == ()
    assert [(row.expert, row.episodes, row.steps) for row in summary.rows] == [("seeker", 1, 12), ("driver", 2, 17)]
    seeker, driver = summary.rows
    assert seeker.in_arena == pytest.approx(9 / 12)
    totals = [float(np.sum(np.asarray(episode.costs))) for episode in episodes[1:]]
    assert driver.cost == pytest.approx(np.mean(totals))
    assert seeker.goals == np.sum(np.asarray(episodes[0].goals_met))


def test_the_committed_sample_is_whole_small_and_says_how_it_was_made() -> None:
    folder = Path(__file__).parent.parent / "data"
    assert verify_dataset("sample/two-experts-v0", folder).ok
    assert sum(path.stat().st_size for path in (folder / "sample").rglob("*") if path.is_file()) < 200_000
    command = load_dataset("sample/two-experts-v0", folder).metadata["command"]
    assert f"`{command}`" in (folder / "README.md").read_text(encoding="utf-8")
