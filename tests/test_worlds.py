"""Worlds of any make: how they are opened, what they show, what is recorded of them, and what is refused."""

import dataclasses
import importlib.util
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import mode_imitation as mi
from experts.registry import make_expert
from mode_imitation.cli import main
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import Sensor
from mode_imitation.errors import UserError
from mode_imitation.reports.config import ModesConfig, RolloutConfig
from mode_imitation.reports.report import make_report
from mode_imitation.reports.rollout_command import rollout_run
from mode_imitation.steering.policy import Policy, load_policy
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.generate import generate
from mode_imitation.worlds.protocol import World, WorldSpec, open_worlds
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.safety.single_env import NavigationEnv
from mode_imitation.worlds.video import check_video, record_video
from mode_imitation.worlds.worker import expert_setting
from tests import small_worlds
from tests.small_datasets import assert_same_episode
from tests.small_worlds import ACTIONS, Walker, vector
from tests.tiny_runs import random_model

FILE = Path(small_worlds.__file__)
CONTROLLERS = FILE.parent.parent / "docs" / "examples" / "controllers.py"
SEEDS = [3, 14, 15, 92, 65, 35, 89]
COLUMNS = {
    "body/lamps": Sensor(0, 2),
    "body/place": Sensor(2, 4),
    "gears": Sensor(4, 6, "token"),
    "wheel": Sensor(6, 7, "token"),
}
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


def drive(worlds: World | VectorEnv, seeds: Sequence[int] = SEEDS, n_steps: int = 12) -> list[Episode]:
    """Episodes of an expert with noise."""
    world = worlds if isinstance(worlds, World) else open_worlds(worlds)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    expert = make_expert(f"{FILE}:Pushing", expert_setting(world))
    try:
        return rollout(world, ExpertController(expert, n_steps, rngs, action_space=world.action_space), seeds, n_steps)
    finally:
        world.close()


def assert_same_episodes(found: Sequence[Episode], expected: Sequence[Episode]) -> None:
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        assert_same_episode(mine, other)


def refused(act: Callable[[], Any]) -> str:
    """What the one line says."""
    with pytest.raises(UserError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


SPECS: dict[str, tuple[Callable[[], WorldSpec], int]] = {
    "an Env by a function": (lambda: Walker, 4),
    "a VectorEnv": (lambda: SyncVectorEnv([Walker] * 3), 3),
    "a VectorEnv by a function of their number": (lambda: small_worlds.several, 4),
    "a VectorEnv by a function that has its own": (lambda: small_worlds.always_three, 3),
    "a file's function": (lambda: f"{FILE}:one", 4),
    "a file's class": (lambda: f"{FILE}:Walker", 4),
    "a module's function": (lambda: "tests.small_worlds:several", 4),
}


@pytest.mark.parametrize("spec", SPECS)
def test_worlds_open_by_whatever_names_them_and_record_the_same(spec: str) -> None:
    make, n_worlds = SPECS[spec]
    world = open_worlds(make(), 4)
    assert world.num_envs == n_worlds
    assert world.obs_dim == 7
    assert world.time_step == Walker.dt
    assert world.max_episode_steps is None
    assert_same_episodes(drive(world), drive(SyncVectorEnv([Walker] * 7)))


@pytest.mark.parametrize("spec", ["tests.small_worlds:Walker-v0", "Walker-v0"])
def test_an_id_opens_what_gymnasium_makes_of_it_with_its_time_limit(spec: str) -> None:
    world = open_worlds(spec, 3)
    assert (world.num_envs, world.env_id, world.max_episode_steps) == (3, spec, 5)
    assert [len(episode) for episode in drive(world, n_steps=5)] == [5] * len(SEEDS)


def test_a_vector_env_of_gymnasiums_own_is_driven_as_it_is() -> None:
    pendulums = gymnasium.make_vec("Pendulum-v1", 3, vectorization_mode="sync")
    world = open_worlds(pendulums)
    assert (world.num_envs, world.env_id, world.max_episode_steps, world.sensors) == (3, "Pendulum-v1", 200, None)
    assert world.action_space.low == (-2.0,)
    observations, _, own = world.reset([5, 6, 7])
    assert own
    alone = gymnasium.make("Pendulum-v1")
    np.testing.assert_array_equal(observations[1], alone.reset(seed=6)[0])
    shown, rewards, *_ = world.step(world.executed(np.full((3, 1), 9.0)))
    expected, reward, *_ = alone.step(np.array([2.0], np.float32))
    np.testing.assert_array_equal(shown[1], expected)
    assert rewards[1] == reward
    world.close()


def test_worlds_that_share_one_seed_say_that_no_episode_has_its_own() -> None:
    world = open_worlds(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point"))

    class PushRight:
        def reset(self, observations: np.ndarray, episodes: np.ndarray) -> None: ...

        def act(self, observations: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
            return np.ones((len(observations), 1)), np.zeros(len(observations), dtype=bool)

    episodes = rollout(world, PushRight(), [1, 2, 3, 4], 500)
    assert [episode.layout_seed for episode in episodes] == [None] * 4
    assert all(5 < len(episode) < 20 and episode.terminated for episode in episodes)
    assert len({episode.observations.tobytes() for episode in episodes[:3]}) == 3
    world.close()


def test_named_parts_become_columns_that_keep_their_names() -> None:
    world, one = open_worlds(Walker, 2), Walker()
    assert world.sensors == COLUMNS
    observations, _, _ = world.reset([5, 6])
    seen, _ = one.reset(seed=6)
    for name, sensor in COLUMNS.items():
        outer, _, inner = name.partition("/")
        values = seen[outer][inner] if inner else seen[outer]
        first = 10 if name == "wheel" else 0
        np.testing.assert_array_equal(observations[1, sensor.columns], np.ravel(values) - first, err_msg=name)
    world.close()


@pytest.mark.parametrize("actions", ACTIONS)
def test_actions_are_recorded_from_0_on_and_reach_the_world_as_it_counts_them(actions: str) -> None:
    envs = SyncVectorEnv([lambda: Walker(actions)] * 2)
    world, space = open_worlds(envs), envs.single_action_space
    walkers: Any = envs.envs
    episodes = drive(world, SEEDS[:2])
    assert len(np.unique(np.concatenate([episode.actions for episode in episodes]))) > 1
    for index, episode in enumerate(episodes):
        assert episode.actions.dtype == (np.float32 if isinstance(space, spaces.Box) else np.int64)
        taken = np.stack(walkers[index].taken)[: len(episode)]  # it is reset, and goes on, after its episode
        start = getattr(space, "start", 0)
        np.testing.assert_array_equal(episode.actions, np.asarray(taken - start).reshape(len(episode), -1))


def test_numbers_are_clipped_to_the_bounds_and_choices_that_there_are_not_refused() -> None:
    numbers, choices = (open_worlds(vector(kind, 2)) for kind in ("numbers", "several from elsewhere"))
    np.testing.assert_array_equal(numbers.executed([[-9, -9], [9, 9]]), [[-1, 0], [1, 3]])
    np.testing.assert_array_equal(choices.executed([[2, 1], [0, 0]]), [[2, 1], [0, 0]])
    for wrong in ([[3, 0]], [[0, -1]], [[0.5, 0]], [[np.nan, 0]]):
        assert "expected choices by number from 0 on, of 3 and 2" in refused(
            lambda wrong=wrong: choices.executed(wrong)
        )
    for worlds in (numbers, choices):
        assert "expected (N, 2)" in refused(lambda worlds=worlds: worlds.executed(np.zeros((2, 3))))
        worlds.close()


def slowly(actions: str, seed: int, n_steps: int) -> Episode:
    """One episode of one Env, step by step."""
    env = Walker(actions)
    world = open_worlds(lambda: Walker(actions))
    controller = ExpertController(
        make_expert(f"{FILE}:Pushing", expert_setting(world)),
        n_steps,
        [np.random.default_rng(seed)],
        action_space=world.action_space,
    )
    world.close()

    def row(seen: Any) -> np.ndarray:
        parts = [*seen["body"]["lamps"], *seen["body"]["place"], *seen["gears"], seen["wheel"] - 10]
        return np.array(parts, np.float32)

    seen, told = env.reset(seed=seed)
    observations, infos, done, rewards, ended = [row(seen)], [told], [], [], False
    controller.reset(np.stack(observations), np.array([0]))
    while not ended and len(done) < n_steps:
        wanted, _ = controller.act(observations[-1][None], len(done))
        done.append(world.executed(wanted)[0])
        seen, reward, ended, _, told = env.step(world.action_space.to_env(done[-1][None])[0])
        observations.append(row(seen))
        infos.append(told)
        rewards.append(reward)
    return Episode(
        observations=np.stack(observations),
        actions=np.stack(done),
        rewards=np.array(rewards, np.float32),
        costs=np.array([told["cost"] for told in infos[1:]], np.float32),
        successes=np.array([told["is_success"] for told in infos[1:]]),
        positions=np.array([[told["x_position"], told["y_position"]] for told in infos], np.float32),
        disturbed=np.zeros(len(done), bool),
        terminated=ended,
        layout_seed=seed,
    )


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("n_worlds", [1, 2, 5, 7])
@pytest.mark.parametrize("actions", ["numbers", "several from elsewhere"])
def test_an_episode_is_that_of_its_world_alone_however_many_there_are_and_however_they_are_reset(
    actions: str, n_worlds: int, mode: AutoresetMode
) -> None:
    expected = [slowly(actions, seed, 7) for seed in SEEDS]
    assert len({len(episode) for episode in expected}) > 2
    assert {episode.terminated for episode in expected} == {False, True}  # some fall, some are stopped
    assert_same_episodes(drive(vector(actions, n_worlds, mode), n_steps=7), expected)


def test_worlds_that_can_be_opened_anew_are_not_stepped_in_vain() -> None:
    opened: list[int] = []

    def make(num_envs: int) -> VectorEnv:
        opened.append(num_envs)
        return vector("numbers", num_envs)

    assert_same_episodes(drive(open_worlds(make, 5)), drive(vector("numbers", 7)))
    assert opened == [5, 2]


class Odd(gymnasium.Env):
    """An environment of any spaces."""

    def __init__(self, observations: spaces.Space, actions: spaces.Space) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return self.observation_space.sample(), {}


BOX = spaces.Box(-1, 1, (2,))
IMAGE = spaces.Box(0, 255, (8, 9, 3), np.uint8)
REFUSED: dict[str, tuple[spaces.Space, spaces.Space, str]] = {
    "images": (IMAGE, BOX, "has images (8 x 9 x 3) as observations; expected Box, Discrete"),
    "an image among others": (
        spaces.Dict({"eye": IMAGE, "arm": BOX}),
        BOX,
        "has images (8 x 9 x 3) as observations under",
    ),
    "Tuple": (spaces.Tuple([BOX, BOX]), BOX, "has Tuple observations; expected Box, Discrete"),
    "text": (spaces.Text(5), BOX, "has Text observations"),
    "no numbers": (spaces.Box(-1, 1, (0,)), BOX, "has observations without numbers"),
    "actions of whole numbers": (BOX, spaces.Box(0, 5, (2,), np.int64), "has Box (of whole numbers) actions; expected"),
    "actions of parts": (BOX, spaces.Dict({"arm": BOX}), "has Dict actions; expected a Box of numbers, Discrete"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_spaces_that_are_no_rows_of_numbers_are_refused_by_name(what: str) -> None:
    observations, actions, complaint = REFUSED[what]

    def odd() -> gymnasium.Env:
        return Odd(observations, actions)

    assert f"odd {complaint}" in refused(lambda: open_worlds(odd))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("CartPol-v1", "there is no environment 'CartPol-v1', did you mean 'CartPole-v1'?"),
        ("SafetyPointGoal9-v0", "did you mean 'SafetyPointGoal"),
        ("no_such_module:Walker-v0", "there is no module no_such_module"),
        ("tests.small_worlds:Walkr-v0", "there is no environment 'tests.small_worlds:Walkr-v0'"),
        (f"{FILE}:won", "has no function 'won', did you mean 'one'?"),
        (f"{FILE}", "names no function; expected path/to/file.py:function"),
        ("nowhere.py:one", "there is no file nowhere.py"),
        (f"{FILE}:neither", "returned str; expected a gymnasium.Env or a gymnasium.vector.VectorEnv"),
        (f"{FILE}:broken", "RuntimeError: the wheel is off; correct it and try again"),
        (small_worlds.neither, "returned str; expected a gymnasium.Env or a gymnasium.vector.VectorEnv"),
        (17, "17 is no environment; expected an id, a VectorEnv, or a function that returns one"),
    ],
)
def test_a_world_that_cannot_be_opened_is_one_clear_line(spec: Any, complaint: str) -> None:
    assert complaint in refused(lambda: open_worlds(spec, 2))


def test_a_path_of_the_simulators_is_refused_elsewhere() -> None:
    assert "--path library is for safety-gymnasium's tasks only" in refused(lambda: open_worlds(Walker, path="library"))


@pytest.mark.parametrize("steps", [0, 6])
def test_steps_beyond_the_time_limit_are_refused(steps: int) -> None:
    world = open_worlds("tests.small_worlds:Walker-v0", 2)
    assert f"{steps} steps; expected 1 to 5, the length" in refused(lambda: drive(world, n_steps=steps))


@pytest.mark.parametrize(
    ("env", "expert", "complaint"),
    [
        ("Pendulum-v1", "TwoNumbers", "expert TwoNumbers answered with shape (1, 2), expected (1, 1)"),
        ("CartPole-v1", "ThirdChoice", "expert ThirdChoice answered with [2.0] in world 0; expected choices by number"),
    ],
)
def test_an_expert_whose_actions_do_not_fit_is_refused_before_anything_is_written(
    env: str, expert: str, complaint: str, tmp_path: Path
) -> None:
    config = GenerateConfig(out="test/no-v0", env=env, expert=(f"{FILE}:{expert}=2",), root=tmp_path, workers=1)
    assert complaint in refused(lambda: generate(config))
    assert list(tmp_path.rglob("*")) == []


def test_too_many_steps_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = GenerateConfig(
        out="test/no-v0", env="Pendulum-v1", expert=(f"{CONTROLLERS}:Hang=2",), root=tmp_path, steps=201
    )
    assert "--steps is 201; expected 1 to 200" in refused(lambda: generate(config))
    assert list(tmp_path.rglob("*")) == []


def test_gymnasium_makes_a_navigation_world_that_its_own_checks_accept() -> None:
    env = gymnasium.make("mode_imitation/SafetyPointGoal1-v0")
    with warnings.catch_warnings():
        # It recommends actions and observations within other bounds than the library's, and a render mode.
        warnings.filterwarnings("ignore", module="gymnasium")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_a_single_navigation_world_lasts_as_long_as_gymnasium_is_told() -> None:
    for steps, expected in ((None, 1000), (1003, 1003)):
        options = {} if steps is None else {"max_episode_steps": steps}
        env = gymnasium.make("mode_imitation/SafetyPointGoal0-v0", **options)  # type: ignore[arg-type]
        env.reset(seed=1)
        assert env.spec is not None
        assert env.spec.max_episode_steps == expected
        ends = [any(env.step(np.zeros(2))[2:4]) for _ in range(expected)]
        assert ends.index(True) == expected - 1
        env.close()


@pytest.mark.parametrize("make", [gymnasium.make, NavigationEnv])
def test_a_single_navigation_world_steps_as_one_of_many_does(make: Callable[..., gymnasium.Env]) -> None:
    env_id = "mode_imitation/SafetyPointGoal1-v0" if make is gymnasium.make else "SafetyPointGoal1-v0"
    one = make(env_id, max_episode_steps=4)
    many = gymnasium.make_vec("mode_imitation/SafetyPointGoal1-v0", 2, max_episode_steps=4)
    seen, told = one.reset(seed=8)
    all_seen, all_told = many.reset(seed=[7, 8])  # type: ignore[arg-type]
    for step in range(5):
        np.testing.assert_array_equal(seen, all_seen[1])
        for name in ("cost", "goal_met", "position", "heading", "goal_position"):
            np.testing.assert_array_equal(told[name], all_told[name][1], err_msg=name)
        if step == 4:
            break
        action = np.array([0.5, -0.3 * step])
        seen, reward, terminated, truncated, told = one.step(action)
        all_seen, rewards, terminations, truncations, all_told = many.step(np.stack([-action, action]))
        assert (reward, terminated, truncated) == (rewards[1], terminations[1], truncations[1])
        assert truncated == (step == 3)
    one.close()
    many.close()


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


def test_a_film_shows_an_episode_from_its_first_state_to_its_last(tmp_path: Path) -> None:
    (episode,) = drive(open_worlds(f"{FILE}:one"), SEEDS[:1])
    check_video(f"{FILE}:one")
    for actions, file in ((episode.actions, "whole.gif"), (np.tile(episode.actions, (9, 1)), "longer.gif")):
        record_video(f"{FILE}:one", SEEDS[0], actions, tmp_path / file)
        frames = np.stack(imageio.mimread(tmp_path / file))
        assert frames.shape[1:3] == (8, 12)  # even, as video codecs want
        shades = frames.reshape(len(frames), -1).mean(axis=1)
        np.testing.assert_allclose(shades, 20 * np.arange(len(episode) + 1), atol=2)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.gif", "longer.gif"}


def test_worlds_without_pictures_are_not_filmed() -> None:
    assert "blind renders no pictures (rgb_array); leave --video out" in refused(lambda: check_video(f"{FILE}:blind"))
    assert "returned SyncVectorEnv; expected one gymnasium.Env" in refused(lambda: check_video(f"{FILE}:several"))
    if importlib.util.find_spec("pygame") is None:
        assert "pygame is not installed" in refused(lambda: check_video("Pendulum-v1"))


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
