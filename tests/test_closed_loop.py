"""Modes and experts face the same layouts; expert drives come back from the cache as they were."""

import errno
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.episodes import Scene
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.reports import expert_cache
from mode_imitation.reports.closed_loop import Drive, PolicyController, check_env, run_experts, run_modes
from mode_imitation.reports.expert_cache import ARRAYS, ExpertCache, source_digest
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.reports.motion import Motion
from mode_imitation.steering.policy import Policy
from mode_imitation.worlds.protocol import World, open_worlds
from mode_imitation.worlds.safety import NavigationVectorEnv, make_vec
from tests.small_worlds import Walker
from tests.tiny_runs import N_CODES, random_episode, random_model

STEPS = 12
LAYOUTS = held_out_layouts(3)
ENV = "SafetyPointGoal1-v0"


@pytest.fixture(scope="module")
def env() -> Iterator[NavigationVectorEnv]:
    env = make_vec(ENV, 4)
    yield env
    env.close()


class Recorder:
    """Stands in for a policy and remembers under which context each observation was acted on."""

    n_codes = N_CODES

    def __init__(self) -> None:
        self.steered: list[np.ndarray] = []
        self.begun = 0

    def mode_contexts(self, modes: np.ndarray) -> np.ndarray:
        return np.eye(N_CODES)[modes]

    def check_context(self, contexts: np.ndarray) -> np.ndarray:
        return contexts

    def steer(self, *, context: np.ndarray) -> None:
        self.steered.append(context)

    def begin(self) -> None:
        self.begun += 1

    def actions(self, observations: np.ndarray, temperature: float) -> np.ndarray:
        return self.steered[-1][:, :2]


def test_every_episode_is_driven_by_its_own_mode_at_every_step() -> None:
    modes = np.array([[0, 0, 1, 1, 0], [2, 2, 2, 2, 2], [1, 1, 1, 0, 0]])
    policy = Recorder()
    controller = PolicyController(policy, modes=modes)  # type: ignore[arg-type]
    observations = np.zeros((2, 3))
    for episodes in (np.array([0, 1]), np.array([2])):
        controller.reset(observations[: len(episodes)], episodes)
        for step in range(5):
            controller.act(observations[: len(episodes)], step)
            np.testing.assert_array_equal(policy.steered[-1].argmax(axis=1), modes[episodes, step])
    # Steered anew only where something changed: three times in the first group, twice in the second.
    assert len(policy.steered) == 5
    assert policy.begun == 2  # once a group: no memory outlives its episode


def test_a_context_of_its_own_drives_each_episode_to_its_end() -> None:
    contexts = np.random.default_rng(0).uniform(size=(5, N_CODES))
    policy = Recorder()
    controller = PolicyController(policy, contexts=contexts)  # type: ignore[arg-type]
    controller.reset(np.zeros((2, 3)), np.array([4, 1]))
    for step in (0, 7):
        _, disturbed = controller.act(np.zeros((2, 3)), step)
        assert not disturbed.any()
    assert len(policy.steered) == 1
    np.testing.assert_array_equal(policy.steered[0], contexts[[4, 1]])
    with pytest.raises(ValueError, match="either"):
        PolicyController(policy)  # type: ignore[arg-type]


def test_every_mode_faces_every_layout_in_order(env: NavigationVectorEnv) -> None:
    drives = run_modes(Policy(random_model()), env, LAYOUTS, STEPS)
    assert list(drives) == [0, 1, 2]
    for found in drives.values():
        assert [drive.episode.layout_seed for drive in found] == LAYOUTS
        for drive in found:
            assert len(drive.episode) == STEPS
            assert drive.motion.arena_share is not None
            assert drive.motion.speed is not None
    starts = [[drive.episode.observations[0] for drive in found] for found in drives.values()]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert np.abs(drives[0][0].episode.actions - drives[1][0].episode.actions).max() > 1e-4


def assert_same(found: Drive, expected: Drive) -> None:
    assert found.motion == expected.motion
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found.episode, name), getattr(expected.episode, name))
    assert found.episode.scene is not None
    assert expected.episode.scene is not None
    for item in fields(Scene):
        np.testing.assert_array_equal(
            getattr(found.episode.scene, item.name), getattr(expected.episode.scene, item.name)
        )
    for name in ("expert", "layout_seed", "terminated"):
        assert getattr(found.episode, name) == getattr(expected.episode, name)


def test_cached_drives_of_experts_are_the_driven_ones(env: NavigationVectorEnv, tmp_path: Path) -> None:
    specs = ["goal_seeking", "forward_moving"]
    driven = run_experts(specs, env, LAYOUTS, STEPS, cache=tmp_path)
    assert list(driven) == specs
    # A closed environment cannot drive, so that what comes back comes from the cache.
    closed = make_vec(ENV, 1)
    closed.close()
    cached = run_experts(specs, closed, LAYOUTS[::-1], STEPS, cache=tmp_path)
    for name in specs:
        for found, expected in zip(cached[name][::-1], driven[name], strict=True):
            assert found.episode.expert == name
            assert_same(found, expected)


def test_an_experts_drive_depends_neither_on_the_other_layouts_nor_on_the_worlds(env: NavigationVectorEnv) -> None:
    together = run_experts(["goal_seeking"], env, LAYOUTS, STEPS)["goal_seeking"]
    single = make_vec(ENV, 1)
    alone = run_experts(["goal_seeking"], single, LAYOUTS[1:2], STEPS)["goal_seeking"]
    single.close()
    assert_same(alone[0], together[1])


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other"])
def test_a_damaged_cache_file_is_driven_again_and_nothing_is_unpickled(
    env: NavigationVectorEnv, tmp_path: Path, damage: str
) -> None:
    expected = run_experts(["forward_moving"], env, LAYOUTS[:1], STEPS, cache=tmp_path)["forward_moving"][0]
    (path,) = tmp_path.rglob("*.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        np.savez(path, rest=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        np.savez(path, rest=np.array("{}"))
    again = run_experts(["forward_moving"], env, LAYOUTS[:1], STEPS, cache=tmp_path)["forward_moving"][0]
    assert_same(again, expected)


def test_a_cache_that_cannot_be_written_stops_nothing_but_a_full_disk_is_told(
    env: NavigationVectorEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        def write(*_: object) -> None:
            raise OSError(number, "no")

        monkeypatch.setattr(expert_cache, "write_atomic", write)

    fail(errno.EROFS)
    assert len(run_experts(["circling"], env, LAYOUTS, STEPS, cache=tmp_path)["circling"]) == len(LAYOUTS)
    fail(errno.ENOSPC)
    with pytest.raises(OSError, match="no"):
        run_experts(["circling"], env, LAYOUTS, STEPS, cache=tmp_path)


def test_the_cache_keeps_settings_and_versions_of_the_code_apart(tmp_path: Path) -> None:
    def folder(
        spec: str = "goal_seeking", env_id: str = ENV, steps: int = 5, noise: float = 0.1, seed: int = 0
    ) -> Path:
        found = ExpertCache(tmp_path, spec, env_id, steps, noise, seed).folder
        assert found is not None
        return found

    others = [folder("circling"), folder(env_id="SafetyCarGoal1-v0"), folder(steps=6), folder(noise=0), folder(seed=1)]
    assert len({folder(), *others}) == 6
    assert folder() == folder()

    mine = tmp_path / "mine.py"
    mine.write_text("class Mine: ...\n")
    before = source_digest(f"{mine}:Mine")
    assert source_digest(f"{mine}:Other") != before
    mine.write_text("class Mine: pass\n")
    assert source_digest(f"{mine}:Mine") != before


def test_experts_that_take_turns_are_kept_apart_by_the_code_of_each_and_by_the_spec(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.py").write_text(f"class Mine: at = {name!r}\n")
    a, b, c, d = (f"{tmp_path}/{name}.py:Mine" for name in "abcd")
    specs = [f"{a}+{b}@250", f"{b}+{a}@250", f"{c}+{d}@250", f"{a}+{b}@100", f"goal_seeking+{b}@250", a]
    specs += ["goal_seeking+circling@250", "goal_seeking+circling@100", "goal_seeking"]
    before = {spec: source_digest(spec) for spec in specs}
    assert None not in before.values()
    assert len(set(before.values())) == len(specs)
    (tmp_path / "b.py").write_text("class Mine: at = 'elsewhere'\n")
    changed = [spec for spec in specs if source_digest(spec) != before[spec]]
    assert changed == [spec for spec in specs if b in spec]


@pytest.mark.parametrize("spec", ["no_such.module:Mine", "sys:Mine", "goal_seeking+gone.py:Mine@5", "gone.py:Mine"])
def test_nothing_is_kept_of_an_expert_whose_source_cannot_be_read(tmp_path: Path, spec: str) -> None:
    episode = random_episode(5, expert="Mine")
    stored = ExpertCache(tmp_path, spec, ENV, 5, 0.1, 0)
    stored.write(3, episode, Motion(steps=5))
    assert stored.read(3) is None
    assert list(tmp_path.iterdir()) == []


def test_cached_drives_of_one_pair_of_experts_are_not_served_for_another(
    env: NavigationVectorEnv, tmp_path: Path
) -> None:
    act = "class Mine:\n    def act(self, observations): return observations[:, :2] * 0 + [{}, 0.0]\n"
    for name, gas in (("still", 0.0), ("slow", 0.1), ("fast", 1.0), ("faster", 0.9)):
        (tmp_path / f"{name}.py").write_text(act.format(gas))
    still, fast = (
        run_experts([spec], env, LAYOUTS[:1], STEPS, action_noise=0.0, cache=tmp_path / "cache")["Mine+Mine@4"][0]
        for spec in (
            f"{tmp_path}/still.py:Mine+{tmp_path}/slow.py:Mine@4",
            f"{tmp_path}/fast.py:Mine+{tmp_path}/faster.py:Mine@4",
        )
    )
    assert still.episode.actions.max() < 0.5 < fast.episode.actions.min(axis=0)[0]


def test_two_experts_of_one_name_are_refused(env: NavigationVectorEnv) -> None:
    with pytest.raises(UserError, match=r"a\.py:Mine and b\.py:Mine would have the same name, Mine"):
        run_experts(["a.py:Mine", "b.py:Mine"], env, LAYOUTS, STEPS)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_cache_file_with_any_byte_changed_is_read_or_driven_again(
    env: NavigationVectorEnv, tmp_path: Path, compressed: bool
) -> None:
    run_experts(["circling"], env, LAYOUTS[:1], STEPS, cache=tmp_path)
    stored = ExpertCache(tmp_path, "circling", ENV, STEPS, 0.1, 0)
    path = stored.path(LAYOUTS[0])
    if not compressed:
        with np.load(path) as file:
            np.savez(path, **dict(file))
    content = path.read_bytes()
    unreadable = 0
    for where in np.random.default_rng(0).choice(len(content), 300, replace=False):
        path.write_bytes(content[:where] + bytes([content[where] ^ 0x5A]) + content[where + 1 :])
        unreadable += stored.read(LAYOUTS[0]) is None
    assert unreadable > 100


def test_an_environment_of_another_size_is_one_clear_line(env: NavigationVectorEnv) -> None:
    with pytest.raises(UserError, match=r"has observations and actions of \(60, 2\) numbers.*\(5, 2\).*--env"):
        check_env(Policy(random_model(obs_dim=5)), env)


def test_a_world_of_other_choices_is_one_clear_line() -> None:
    def world(kind: str) -> World:
        return open_worlds(lambda: Walker(kind))

    policy = Policy(random_model(obs_dim=7, head="categorical", action_space=ActionSpace(1, (3,))))
    check_env(policy, world("one of three from -1 on"))
    of_numbers = Policy(random_model(obs_dim=7, action_space=ActionSpace(1)))
    with pytest.raises(UserError, match=r"takes choices of 3, the run was trained on numbers; .* --env"):
        check_env(of_numbers, world("one of three"))
    more = Policy(random_model(obs_dim=7, head="categorical", action_space=ActionSpace(2, (3, 4))))
    with pytest.raises(UserError, match="takes choices of 3 and 2, the run was trained on choices of 3 and 4"):
        check_env(more, world("several"))
