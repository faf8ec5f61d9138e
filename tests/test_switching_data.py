"""Experts that take turns: in the registry, in a generated dataset, and on disk."""

from pathlib import Path

import numpy as np
import pytest

from experts.protocol import ExpertSetting
from experts.registry import expert_label, make_expert
from experts.switching import SwitchingExpert, parse_turns
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate

SETTING = ExpertSetting("Point", {"velocimeter": slice(3, 6)}, 0.02, 2)
SPEC = "forward_moving+backward_moving@3"


def drive(seeds: list[int], n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Actions (T, N, 2) and names (T, N) of the two straight drivers that take turns."""
    expert = make_expert(SPEC, SETTING)
    assert isinstance(expert, SwitchingExpert)
    observations = np.zeros((len(seeds), 60))
    expert.reset(observations, [np.random.default_rng(seed) for seed in seeds])
    made = [(expert.act(observations), expert.acting) for _ in range(n_steps)]
    return np.stack([actions for actions, _ in made]), np.stack([names for _, names in made])


def test_experts_take_turns_and_say_whose_it_was() -> None:
    actions, names = drive(list(range(8)), 10)
    assert set(names[0]) == {"forward_moving", "backward_moving"}  # either may begin
    np.testing.assert_array_equal(actions[..., 0], np.where(names == "forward_moving", 0.8, -0.8))
    for column in names.T:
        changes = np.flatnonzero(column[1:] != column[:-1]) + 1
        assert changes.tolist() == [3, 6, 9]


def test_who_begins_depends_on_the_episode_alone() -> None:
    _, together = drive([4, 5, 6], 1)
    apart = [drive([seed], 1)[1][0, 0] for seed in (4, 5, 6)]
    assert together[0].tolist() == apart


@pytest.mark.parametrize("spec", ["goal_seeking", "my.py:Class", "user@host.py:Class", "one+two.py:Class", "nobody@x"])
def test_what_names_no_turns_is_left_to_others(spec: str) -> None:
    assert parse_turns(spec) is None


@pytest.mark.parametrize("spec", ["goal_seeking@250", "a++b@250", "a+b@0", "+a@3", "a+b", "a+b@x"])
def test_turns_that_make_no_sense_are_a_mistake_in_one_line(spec: str) -> None:
    with pytest.raises(UserError, match="says no turns"):
        parse_turns(spec)


def test_the_label_holds_the_members_labels() -> None:
    assert expert_label("forward_moving+folder/my.py:Mine@20") == "forward_moving+Mine@20"


def test_a_member_that_does_not_exist_is_a_mistake_in_one_line() -> None:
    with pytest.raises(UserError, match="goal_seekin"):
        make_expert("goal_seekin+circling@9", SETTING)


def test_a_generated_dataset_says_who_acted_at_every_step(tmp_path: Path) -> None:
    config = GenerateConfig(
        out="test/turns-v0",
        expert=("forward_moving+backward_moving@8=3", "circling=1"),
        steps=30,
        root=tmp_path,
        workers=1,
        worlds=2,
        disturbances=False,
        action_noise=0.0,
    )
    generate(config)
    dataset = load_dataset("test/turns-v0", tmp_path)
    assert dataset.labels == ["forward_moving+backward_moving@8"] * 3 + ["circling"]
    for episode in dataset.episodes[:3]:
        assert episode.acting is not None
        np.testing.assert_array_equal(episode.acting == "forward_moving", episode.actions[:, 0] > 0)
        assert (np.flatnonzero(episode.acting[1:] != episode.acting[:-1]) + 1).tolist() == [8, 16, 24]
    alone = dataset.episodes[3]
    assert alone.acting is None
    assert alone.expert_of_step is not None
    assert set(alone.expert_of_step) == {"circling"}


def test_who_acted_survives_the_disk_and_changes_no_checksum(tmp_path: Path) -> None:
    plain = Episode(observations=np.zeros((5, 3), np.float32), actions=np.zeros((4, 1), np.float32))
    names = np.array(["b", "a", "a", "b"])
    marked = Episode(observations=plain.observations, actions=plain.actions, acting=names)
    for name, episode in (("test/plain-v0", plain), ("test/marked-v0", marked)):
        write_dataset(name, [episode], root=tmp_path)
    read = load_dataset("test/marked-v0", tmp_path)
    assert read.episodes[0].acting is not None
    assert read.episodes[0].acting.tolist() == names.tolist()
    assert load_dataset("test/plain-v0", tmp_path).episodes[0].expert_of_step is None
    assert read.checksum == load_dataset("test/plain-v0", tmp_path).checksum


def test_a_mark_of_the_wrong_length_is_a_mistake_in_one_line() -> None:
    with pytest.raises(UserError, match="acting has 3 rows for 4 actions"):
        Episode(observations=np.zeros((5, 3)), actions=np.zeros((4, 1)), acting=np.array(["a", "a", "b"]))
