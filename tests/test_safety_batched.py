"""The batched path is the library, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety import light_models, make_vec, report_equality, substeps
from mode_imitation.worlds.safety.batched_worlds import is_batchable
from mode_imitation.worlds.safety.equality import LIDAR_TOLERANCE, TaskEquality
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.observation import pseudo_lidar
from mode_imitation.worlds.safety.tasks import BATCHED_ENV_IDS

POINT = "SafetyPointGoal1-v0"


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarGoal1-v0"])
def test_the_untouched_library_shows_the_same_through_goals_resets_and_failed_respawns(env_id: str) -> None:
    report = report_equality([env_id], seeds=[0, 3], steps=150)
    (task,) = report.tasks
    assert report.equal, task
    assert task.worlds == 2
    assert task.episodes >= 6
    assert task.goals > 2
    assert task.failed_respawns >= 1
    assert task.vases_pushed + task.cost_steps > 0


@pytest.mark.parametrize("env_id", BATCHED_ENV_IDS)
def test_both_paths_show_the_same_in_every_task(env_id: str) -> None:
    batched = make_vec(env_id, 3, path="batched", threads=2, max_episode_steps=60)
    library = make_vec(env_id, 3, path="library", max_episode_steps=60)
    rng = np.random.default_rng(1)
    assert_same(batched.reset(seed=20), library.reset(seed=20), batched.observation_slices)
    for _ in range(80):  # through a truncation and the unseeded reset after it
        push = towards_goal(batched) + 0.3 * rng.normal(size=(3, 2))
        assert_same(batched.step(push), library.step(push), batched.observation_slices)
    for world in range(3):
        np.testing.assert_equal(vars(batched.scene(world)), vars(library.scene(world)))
    batched.close()
    library.close()


PATHS: dict[str, Any] = {}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    actions=hnp.arrays(float, st.tuples(st.integers(1, 25), st.just(1), st.just(2)), elements=st.floats(-3, 3)),
    again=st.booleans(),
)
def test_no_action_sequence_tells_the_two_paths_apart(seed: int, actions: np.ndarray, again: bool) -> None:
    for path in ("batched", "library"):
        PATHS.setdefault(path, make_vec("SafetyPointGoal2-v0", 1, path=path))
    batched, library = PATHS["batched"], PATHS["library"]
    slices = batched.observation_slices
    assert_same(batched.reset(seed=[seed]), library.reset(seed=[seed]), slices)
    for action in actions:
        assert_same(batched.step(action), library.step(action), slices)
    if again:
        assert_same(batched.reset(), library.reset(), slices)


@pytest.mark.parametrize("threads", [1, 3, None])
def test_a_world_does_not_depend_on_how_many_stand_beside_it(threads: int) -> None:
    many, rng = make_vec(POINT, 13, threads=threads), np.random.default_rng(0)
    ones = [make_vec(POINT, 1) for _ in range(13)]
    observations = many.reset(seed=100)[0]
    for world, one in enumerate(ones):
        np.testing.assert_array_equal(one.reset(seed=[100 + world])[0][0], observations[world])
    for _ in range(15):
        actions = rng.uniform(-1, 1, (13, 2))
        together = many.step(actions)
        for world, one in enumerate(ones):
            alone = one.step(actions[world : world + 1])
            for theirs, ours in zip(alone[:4], together[:4], strict=True):
                np.testing.assert_array_equal(theirs[0], ours[world])
            for key, values in alone[4].items():
                np.testing.assert_array_equal(values[0], together[4][key][world])
    for env in (many, *ones):
        env.close()


@pytest.mark.parametrize("physics", ["exact", "fast"])
def test_a_layout_that_is_driven_again_is_not_compiled_every_time_and_shows_the_same(physics: Any, monkeypatch) -> None:
    def begin() -> tuple[Any, list[Any]]:
        worlds = make_vec(POINT, 8, path="batched", physics=physics, processes=1)
        return worlds, drive(worlds)

    def drive(worlds: Any) -> list[Any]:
        shown = [worlds.reset(seed=20)[0]]
        for _ in range(120):
            shown.append(worlds.step(towards_goal(worlds)))
        return shown

    built = count_builds(monkeypatch)
    again, first = begin()
    assert sum(step[4]["goal_met"].sum() for step in first[1:]) > 2, "goals were moved"
    built.clear()
    for _ in range(3):  # a model is kept from the second time on
        np.testing.assert_equal(drive(again), first)
        assert len(built) == 8
    again.reset(seed=300)
    assert len(built) == 16
    np.testing.assert_equal(drive(again), first)
    assert len(built) == 24
    again.close()


def test_a_layout_of_another_configuration_is_compiled_anew(monkeypatch) -> None:
    built = count_builds(monkeypatch)
    builder = build_task(POINT)
    for _ in range(3):
        builder.reset(seed=3)
    assert len(built) == 2
    builder.task.hazards.size = 0.25
    builder.reset(seed=3)
    assert len(built) == 3
    assert builder.task.model.geom("hazard0").size[0] == 0.25
    builder.close()


def test_a_scene_remembers_every_goal_in_its_order() -> None:
    env = make_vec("SafetyPointGoal0-v0", 4)
    env.reset(seed=0)
    seen = [[(0, *position)] for position in env.arrays.goal_positions]
    for step in range(1, 201):
        _, _, _, _, infos = env.step(towards_goal(env))
        for world in np.flatnonzero(infos["goal_met"]):
            seen[world].append((step, *infos["goal_position"][world]))
    assert sum(map(len, seen)) > 8
    for world, expected in enumerate(seen):
        scene = env.scene(world)
        np.testing.assert_array_equal(np.column_stack([scene.goal_steps, scene.goals]), expected)
        assert scene.arena == (-1, -1, 1, 1)
        assert scene.goal_radius == 0.3
    env.close()


def test_a_saved_forward_pass_that_changes_anything_is_not_saved(monkeypatch) -> None:
    def late(model: Any, data: Any, n: int) -> None:
        substeps.as_in_the_library(model, data, n)
        data.qvel[0] = np.nextafter(data.qvel[0], 1)  # the smallest possible difference

    for name in ("half_forward_with_silent_substeps", "half_forward"):
        monkeypatch.setattr(substeps, name, late)
    assert substeps.fastest_exact.__wrapped__(POINT) is substeps.one_forward
    monkeypatch.setattr(substeps, "one_forward", late)
    assert substeps.fastest_exact.__wrapped__(POINT) is substeps.as_in_the_library


@pytest.mark.parametrize("advance", [substeps.as_in_the_library, substeps.one_forward])
def test_the_path_is_exact_with_every_number_of_forward_passes(advance: Any) -> None:
    env, library = make_vec(POINT, 1), build_task(POINT)
    env._worlds._advance = advance  # type: ignore[attr-defined]
    start = env.observation_slices["goal_lidar"].start
    env.reset(seed=[2])
    library.reset(seed=2)
    for _ in range(20):
        ours, theirs = env.step(np.ones((1, 2)))[0][0], library.step(np.ones(2))[0]
        np.testing.assert_array_equal(ours[:start], theirs[:start])
    env.close()


def test_a_task_configured_otherwise_takes_the_librarys_path() -> None:
    builder = build_task(POINT)
    assert is_batchable(builder)
    builder.task.lidar_conf.alias = False
    assert not is_batchable(builder)
    assert not is_batchable(build_task("SafetyPointButton0-v0"))


@given(
    place=hnp.arrays(float, (4, 3), elements=st.floats(-2, 2)),
    distances=hnp.arrays(float, (4, 5), elements=st.floats(1e-3, 4)),
    bearings=hnp.arrays(float, (4, 5), elements=st.floats(-4, 4)),
    heading=st.floats(-4, 4),
)
@settings(max_examples=30, deadline=None)
def test_lidar_is_the_librarys_formula(
    place: np.ndarray, distances: np.ndarray, bearings: np.ndarray, heading: float
) -> None:
    # An object exactly at the agent has no bearing: the formula then reads one from the rounding of zero.
    towards = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    objects = place[:, None, :2] + distances[..., None] * towards
    turn = np.array([[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]])
    kinds = np.array([0, 1, 1, 2, 2])
    found = pseudo_lidar(place, np.tile(turn.ravel(), (4, 1)), objects, kinds, 3, 16, 3.0)
    for world in range(4):
        for kind in range(3):
            expected = slow_lidar(place[world], turn, objects[world, kinds == kind])
            np.testing.assert_allclose(found[world, kind], expected, rtol=0, atol=1e-9)


def test_the_equality_report_refuses_nothing_and_sees_a_difference() -> None:
    with pytest.raises(UserError, match="0 seeds"):
        report_equality([POINT], seeds=[])
    with pytest.raises(UserError, match="no batched path"):
        report_equality(["SafetyPointPush0-v0"], seeds=[0], steps=1)
    same = dict.fromkeys(("sensors", "rewards"), 0.0)
    task = TaskEquality(POINT, 1, 1, 1, 0, 0, 0, 0, same | {"lidar": LIDAR_TOLERANCE / 2})
    assert task.equal
    assert not TaskEquality(POINT, 1, 1, 1, 0, 0, 0, 0, same | {"lidar": 2 * LIDAR_TOLERANCE}).equal
    assert not TaskEquality(POINT, 1, 1, 1, 0, 0, 0, 0, {"sensors": 1e-300}).equal


def slow_lidar(position: np.ndarray, rotation: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Sixteen bins for a few objects, one after the other, as the library's documentation tells it."""
    bins = np.zeros(16)
    for x, y in objects:
        ahead, left, _ = (np.array([x, y, 0]) - position) @ rotation
        nearness = max(0.0, 3.0 - np.hypot(ahead, left)) / 3.0
        place = np.arctan2(left, ahead) % (2 * np.pi) / (2 * np.pi / 16)
        first = int(place)
        for which, weight in ((first, 1.0), (first + 1, place - first), (first - 1, 1 - place + first)):
            bins[which % 16] = max(bins[which % 16], weight * nearness)
    return bins


def towards_goal(env: Any) -> np.ndarray:
    """Actions (N, 2) that drive Point, and any other robot somewhere."""
    away = env.arrays.goal_positions - env.arrays.positions
    bearing = np.arctan2(away[:, 1], away[:, 0]) - env.arrays.headings
    bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
    return np.stack([np.where(np.abs(bearing) < 0.5, 1.0, 0.1), np.clip(3 * bearing, -1, 1)], axis=1)


def count_builds(monkeypatch) -> list[Any]:
    """Worlds that are compiled from now on, one entry each time."""
    built: list[Any] = []
    light_models.load()
    world = light_models._light_world_class()
    compiled = world.build_anew
    monkeypatch.setattr(world, "build_anew", lambda self: (built.append(self), compiled(self)))
    return built


def assert_same(ours: tuple[Any, ...], theirs: tuple[Any, ...], slices: dict[str, slice]) -> None:
    """Two resets or steps: everything exactly, the lidar within its tolerance."""
    start = slices["goal_lidar"].start
    np.testing.assert_array_equal(ours[0][:, :start], theirs[0][:, :start])
    np.testing.assert_allclose(ours[0][:, start:], theirs[0][:, start:], rtol=0, atol=LIDAR_TOLERANCE)
    for mine, other in zip(ours[1:-1], theirs[1:-1], strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_equal(ours[-1], theirs[-1])
