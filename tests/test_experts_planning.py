"""The lidar is read back, the map finds hazards, and the planner keeps out of them."""

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.careful import CarefulExpert
from experts.hazard_avoiding import HazardAvoidingExpert
from experts.hazard_map import HazardMap
from experts.lidar import bin_bearings, centroid, heading, single_object, wrap
from experts.planner import CarMotion, Motion, Planner, PointMotion, Pose, SoftPlanner, turned
from tests.experts_scene import observe, random_observations, setting_of, slow_lidar

Forgetful: type[HazardAvoidingExpert] = run_path(str(Path(__file__).parents[1] / "benchmarks/forgetful.py"))[
    "Forgetful"
]

angles = st.floats(-np.pi, np.pi)


@given(st.floats(0.01, 2.99), angles)
def test_one_objects_offset_is_read_back_exactly(distance: float, bearing: float) -> None:
    offset = distance * np.array([np.cos(bearing), np.sin(bearing)])
    found, seen = single_object(slow_lidar(offset[None])[None])
    assert seen[0]
    np.testing.assert_allclose(found[0], offset, atol=1e-9)


def test_one_object_on_the_edge_of_a_bin_is_read_back() -> None:
    offsets = np.array([[np.cos(b), np.sin(b)] for b in bin_bearings(16)])
    found, _ = single_object(np.stack([slow_lidar(offset[None]) for offset in offsets]))
    np.testing.assert_allclose(found, offsets, atol=1e-9)


def test_an_object_out_of_range_is_not_seen() -> None:
    found, seen = single_object(np.stack([slow_lidar(np.array([[3.0, 0.5]])), slow_lidar(np.array([[1.0, 0.0]]))]))
    assert seen.tolist() == [False, True]
    np.testing.assert_array_equal(found[0], 0.0)


def test_the_centroid_points_to_where_the_objects_are() -> None:
    ahead = slow_lidar(np.array([[1.0, 0.2], [2.0, -0.3]]))
    around = slow_lidar(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    direction, seen = centroid(np.stack([ahead, around, np.zeros(16)]))
    assert seen.tolist() == [True, True, False]
    assert direction[0, 0] > 0.8
    assert abs(direction[0, 1]) < 0.2
    assert np.hypot(*direction[1]) < 0.1
    np.testing.assert_array_equal(direction[2], 0.0)


@given(angles)
def test_the_magnetometer_tells_the_heading(angle: float) -> None:
    setting = setting_of("Point")
    found = heading(observe(setting, heading=angle)[None, setting.slices["magnetometer"]])
    np.testing.assert_allclose(wrap(found - angle), 0.0, atol=1e-9)


@given(st.floats(-100, 100))
def test_wrapping_keeps_the_angle(angle: float) -> None:
    wrapped = wrap(np.array(angle))
    assert -np.pi <= wrapped <= np.pi
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-9)


HAZARDS = np.array([[1.0, 0.4], [0.2, -1.1], [-0.9, 0.8], [-1.0, -0.7], [0.3, 1.3]])
FAR = np.full((1, 1, 2), 1e3)


def lidar_of(objects: np.ndarray, position: np.ndarray, heading: float) -> np.ndarray:
    """(16,) what a robot there sees of objects (M, 2) in the world's axes."""
    cos, sin = np.cos(heading), np.sin(heading)
    return slow_lidar((objects - position) @ np.array([[cos, -sin], [sin, cos]]))


def walk(objects: np.ndarray, n_steps: int = 150) -> tuple[HazardMap, np.ndarray]:
    """A map after a walk through the middle of the objects, and where it ended."""
    found = HazardMap()
    found.reset(1)
    position = np.zeros(2)
    for step in range(n_steps):
        position = 0.5 * np.array([np.cos(step / 30), np.sin(step / 20)])
        heading = step / 40
        found.update(lidar_of(objects, position, heading)[None], position[None], np.array([heading]))
    return found, position


def pose_at(velocity: tuple[float, float] = (0.0, 0.0), front: float = 0.0) -> Pose:
    facing = np.array([[np.cos(front), np.sin(front)]])
    return Pose(np.zeros((1, 2)), np.array([velocity]), facing, np.zeros(1, dtype=bool))


def test_the_map_holds_every_hazard_and_no_other() -> None:
    found, _ = walk(HAZARDS)
    tracks = found.positions[0][found.known[0]]
    distances = np.hypot(*(tracks[:, None] - HAZARDS).transpose(2, 0, 1))
    assert (distances.min(axis=0) < 0.05).all(), "a hazard is missing"
    assert (distances.min(axis=1) < 0.1).all(), "a hazard is invented"


def test_one_hazard_is_placed_at_the_first_look() -> None:
    found, _ = walk(HAZARDS[:1], n_steps=1)
    np.testing.assert_allclose(found.positions[0][found.known[0]], HAZARDS[:1], atol=1e-9)


def test_a_hazard_that_is_not_where_the_map_has_it_is_forgotten() -> None:
    found, position = walk(HAZARDS)
    elsewhere = lidar_of(HAZARDS + np.array([0.0, 0.9]), position, 0.3)
    for _ in range(30):
        found.update(elsewhere[None], position[None], np.array([0.3]))
    tracks = found.positions[0][found.known[0]]
    assert np.hypot(*(tracks - HAZARDS[0]).T).min() > 0.2


def test_an_empty_lidar_leaves_an_empty_map() -> None:
    found = HazardMap()
    found.reset(2)
    found.update(np.zeros((2, 16)), np.zeros((2, 2)), np.zeros(2))
    assert not found.known.any()


def test_a_free_way_is_taken_straight() -> None:
    for motion in (PointMotion(), CarMotion()):
        planner = Planner(motion)
        planner.reset(1)
        direction, stopping = planner.choose(pose_at(), np.array([[1.5, 0.0]]), FAR, 0.04)
        assert not stopping[0]
        np.testing.assert_allclose(np.arctan2(direction[0, 1], direction[0, 0]), 0.0, atol=1e-6)


@pytest.mark.parametrize("motion", [PointMotion(), CarMotion()], ids=["Point", "Car"])
@pytest.mark.parametrize("side", [0.05, -0.05])
def test_the_planned_way_leads_around_a_hazard(motion: Motion, side: float) -> None:
    """The planner drives its own model of the robot: it arrives, and never stands within the hazard."""
    planner = Planner(motion)
    planner.reset(1)
    goal, hazard = np.array([[1.6, 0.0]]), np.array([[[0.8, side]]])
    path = play(planner, motion, goal, hazard, n_steps=60)
    assert np.hypot(*(path - goal[0]).T).min() < 0.3
    assert np.hypot(*(path - hazard[0, 0]).T).min() > 0.2


def play(planner: Planner, motion: Motion, goal: np.ndarray, hazards: np.ndarray, n_steps: int) -> np.ndarray:
    """(n_steps, 2) where one robot gets to that moves exactly as the planner thinks, until it arrives."""
    robot = type(motion)()
    robot.begin(pose_at(), 1)
    path, backwards = [], np.zeros(1, dtype=bool)
    before = np.zeros((1, 2))
    for _ in range(n_steps):
        position, front = robot.position[..., 0].T, robot.front[..., 0].T
        velocity = robot.velocity[..., 0].T if isinstance(robot, PointMotion) else (position - before) / robot.step
        before = position
        direction, stopping = planner.choose(Pose(position, velocity, front, backwards), goal, hazards, robot.step)
        robot.advance(direction.T[..., None], stopping[:, None])
        backwards = getattr(robot, "backwards", backwards[:, None])[:, 0]
        path.append(position[0])
        if np.hypot(*(position[0] - goal[0])) < 0.29:
            break
    return np.array(path)


def test_a_robot_that_slides_towards_a_hazard_turns_away_or_brakes() -> None:
    planner = Planner(PointMotion())
    planner.reset(1)
    direction, _ = planner.choose(
        pose_at(velocity=(1.0, 0.0)), np.array([[1.5, 0.0]]), np.array([[[0.55, 0.0], [0.6, 0.3], [0.6, -0.3]]]), 0.04
    )
    assert abs(np.arctan2(direction[0, 1], direction[0, 0])) > np.pi / 4


def test_the_hazards_cost_is_the_time_within_the_nearest() -> None:
    motion = PointMotion()
    planner = Planner(motion)
    rng = np.random.default_rng(2)
    path = rng.uniform(-1, 1, (7, 2, 3, 4))
    hazards = rng.uniform(-1, 1, (3, 5, 2))
    expected = np.zeros((3, 4))
    for t, n, k in np.ndindex(7, 3, 4):
        nearest = min(np.hypot(*(path[t, :, n, k] - hazard)) for hazard in hazards[n])
        expected[n, k] += 8.0 * motion.step * min(max((0.24 - nearest) / 0.04, 0.0), 1.0)
    np.testing.assert_allclose(planner.hazard_cost(path, hazards), expected, atol=1e-12)


def test_turning_is_limited_and_keeps_the_length() -> None:
    front, wished = np.array([0.0, 0.1, 2.0, -3.0]), np.array([0.5, 0.2, -1.0, 3.0])
    x, y = turned(np.stack([np.cos(front), np.sin(front)]), 7 * np.stack([np.cos(wished), np.sin(wished)]), most=0.2)
    np.testing.assert_allclose(np.hypot(x, y), 1.0)
    # From -3 to 3 the short way is clockwise, across pi.
    expected = np.array([0.2, 0.2, 1.8, -3.2])
    np.testing.assert_allclose([x, y], [np.cos(expected), np.sin(expected)], atol=1e-9)


def test_the_last_plan_is_kept_unless_another_is_clearly_better() -> None:
    """Two ways around a hazard cost the same; the choice of the first moment holds, a nudge does not change it."""
    planner = Planner(PointMotion())
    planner.reset(1)
    goal, hazard = np.array([[1.6, 0.0]]), np.array([[[0.7, 0.0]]])
    first, _ = planner.choose(pose_at(), goal, hazard, 0.04)
    nudged = hazard + np.array([0.0, 0.002 * np.sign(first[0, 1])])
    second, _ = planner.choose(pose_at(), goal, nudged, 0.04)
    assert np.sign(first[0, 1]) == np.sign(second[0, 1])


@pytest.mark.parametrize(("kind", "remembers"), [(HazardAvoidingExpert, True), (Forgetful, False)])
def test_without_memory_the_planner_goes_by_the_observation_alone(
    kind: type[HazardAvoidingExpert], remembers: bool
) -> None:
    setting = setting_of("Point")
    now, *before = (random_observations(setting, 30, np.random.default_rng(seed)) for seed in range(4))
    answers = []
    for past in ([], before):
        expert = kind(setting)
        expert.reset(now, [])
        for observations in past:
            expert.act(observations)
        expert.backwards = np.zeros(len(now), dtype=bool)  # the gear is kept, and the velocity shows it as well
        answers.append(expert.act(now))
    assert (answers[0] != answers[1]).any() == remembers


def test_careful_drives_the_mirror_image_of_what_it_sees_in_a_mirror() -> None:
    setting, rng = setting_of("Point"), np.random.default_rng(4)
    places = [(rng.uniform(-2, 2, 2), rng.uniform(-1.5, 1.5, (3, 2)), rng.uniform(-1, 1, 2)) for _ in range(40)]
    acted = []
    for side in (1.0, -1.0):
        turn = np.array([1.0, side])
        seen = [
            observe(setting, goal=tuple(g * turn), hazards=tuple(map(tuple, h * turn)), velocity=tuple(v * turn))
            for g, h, v in places
        ]
        acted.append(CarefulExpert(setting).act(np.stack(seen)))
    np.testing.assert_allclose(acted[1], acted[0] * [1.0, -1.0], atol=1e-6)


def test_the_soft_planner_weighs_every_plan_by_its_cost() -> None:
    planner = SoftPlanner(PointMotion())
    pose, goal, hazards = pose_at(velocity=(0.4, 0.2)), np.array([[1.2, 0.5]]), np.array([[[0.6, 0.1], [0.2, 0.7]]])
    n_plans = len(planner.hold)
    first, cost = planner.play(pose, goal, hazards, planner.direction[:, None], np.tile(planner.hold, (1, 1)))
    mean, total = np.zeros(2), 0.0
    for plan in range(n_plans):
        weight = np.exp(-SoftPlanner.SHARPNESS * cost[0, plan])
        mean += weight * first[:, 0, plan] / np.hypot(*first[:, 0, plan])
        total += weight
    np.testing.assert_allclose(planner.direction_at(pose, goal, hazards)[0], mean / total, atol=1e-6)


def test_a_step_near_a_hazard_costs_the_soft_planner_more_the_nearer_it_is() -> None:
    planner = SoftPlanner(PointMotion())
    distances = np.array([0.1, 0.2, 0.25, 0.3, 0.35, 0.6])
    path = np.stack([distances, np.zeros(6)])[None, :, None]  # one instant, one world, six plans
    cost = planner.hazard_cost(path, np.zeros((1, 1, 2)))[0] / (planner.weight * planner.motion.step)
    np.testing.assert_allclose(cost, [1, 1, 4 / 9, 1 / 9, 0, 0], atol=1e-12)


@pytest.mark.parametrize("kind", [CarefulExpert, HazardAvoidingExpert])
def test_what_careful_does_changes_smoothly_where_hazard_avoiding_jumps(kind: type) -> None:
    """Past a hazard that stands nearly on the way: to the left of it, or to the right."""
    setting = setting_of("Point")
    sides = np.linspace(-0.1, 0.1, 400)
    seen = np.stack([observe(setting, goal=(1.6, 0.0), hazards=((0.8, side),)) for side in sides])
    expert = kind(setting)
    expert.reset(seen, [])
    jump = np.abs(np.diff(expert.act(seen), axis=0)).max()
    assert (jump < 0.1) == (kind is CarefulExpert)
