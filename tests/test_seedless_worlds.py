"""Worlds that ignore seeds, as EnvPool's do: nothing claims that they took one, and no episode comes twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.protocol import open_worlds, start_of
from mode_imitation.worlds.rollout import rollout
from mode_imitation.worlds.worker import Driver
from tests import small_worlds

FILE = Path(small_worlds.__file__)
NAME = "test/seedless-v0"


class Still:
    """A controller that does nothing."""

    def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None: ...

    def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(observations), 2)), np.zeros(len(observations), dtype=bool)


@pytest.mark.parametrize("spec", [small_worlds.Seedless, small_worlds.silent])
def test_no_episode_claims_a_seed_that_its_world_ignored(spec: Callable[..., Any]) -> None:
    world = open_worlds(spec, 3)
    assert world.max_episode_steps == 6
    assert open_worlds(spec()).env_id == "Seedless"
    episodes = rollout(world, Still(), [1, 2, 3, 4], 6)  # not opened anew for the last one
    assert [episode.layout_seed for episode in episodes] == [None] * 4
    assert len({start_of(episode.observations[0]) for episode in episodes}) == 4
    with pytest.raises(UserError, match="7 steps; expected 1 to 6"):
        rollout(world, Still(), [1], 7)
    world.close()


def test_a_world_that_takes_seeds_is_known_by_its_first_reset_and_shows_what_a_single_one_does() -> None:
    world = open_worlds(small_worlds.several, 2)
    world.starts = {start_of(world.reset([5, 6])[0][0])}  # which it may show: it was asked to
    observations, _, own = world.reset([5, 6])
    assert own
    assert world.takes_seeds
    assert start_of(observations[0]) in world.starts
    world.close()


def made(root: Path, env: str, **changes: Any) -> TrajectoryDataset:
    settings: dict[str, Any] = {"env": f"{FILE}:{env}", "root": root, "worlds": 2, "steps": 6, "workers": 2}
    config = GenerateConfig(out=NAME, expert=(f"{FILE}:Pushing=4", f"{FILE}:TwoNumbers=6"), **settings | changes)
    generate(config)
    return load_dataset(NAME, root)


def starts(dataset: TrajectoryDataset) -> set[bytes]:
    return {start_of(episode.observations[0]) for episode in dataset.episodes}


def stopped_after(groups: int, root: Path, env: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original, done = Driver.drive, []

    def drive(self: Driver, *arguments: Any) -> Any:
        if len(done) == groups:
            raise KeyboardInterrupt
        done.append(1)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "drive", drive)
        with pytest.raises(KeyboardInterrupt):
            made(root, env)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("env", ["Seedless", "silent"])
def test_generating_goes_on_without_an_episode_that_begins_where_a_finished_one_does(
    env: str, groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_after(groups, tmp_path, env, monkeypatch)
    assert f"{env} ignores seeds: episodes without seeds, in one process\n" in capsys.readouterr().err
    dataset = made(tmp_path, env)
    assert f"none begins where one of the {2 * groups} finished ones does" in capsys.readouterr().err
    assert dataset.layout_seeds is None
    assert len(starts(dataset)) == len(dataset.episodes) == 10


def test_worlds_that_are_opened_anew_for_a_larger_group_do_not_begin_again(tmp_path: Path) -> None:
    dataset = made(tmp_path, "Seedless", worlds=6)  # groups of four and six
    assert len(starts(dataset)) == 10


def test_a_world_with_few_starts_is_not_asked_for_others_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(3, tmp_path, "few_starts", monkeypatch)
    dataset = made(tmp_path, "few_starts")
    assert len(dataset.episodes) == 10
    assert len(starts(dataset)) == 4
