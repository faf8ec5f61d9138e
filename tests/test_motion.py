"""Motion figures equal a slow count on drawn paths, and words fit the motion."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.reports import motion
from mode_imitation.reports.describe import describe_modes

STEP_S = 0.02


def episode(positions: np.ndarray, headings: np.ndarray | None = None, **more) -> Episode:
    steps = len(positions) - 1
    return Episode(
        observations=np.zeros((steps + 1, 3), dtype=np.float32),
        actions=np.zeros((steps, 2), dtype=np.float32),
        positions=positions.astype(np.float32),
        headings=headings,
        **more,
    )


def line(steps: int = 100, speed: float = 1.0, backwards: bool = False) -> Episode:
    along = np.arange(steps + 1) * speed * STEP_S
    headings = np.full(steps + 1, np.pi if backwards else 0.0)
    return episode(np.stack([along, np.zeros_like(along)], axis=1), headings)


def circle(turns: float, radius: float = 0.5, steps: int = 1000, backwards: bool = False) -> Episode:
    angle = np.linspace(0, turns * 2 * np.pi, steps + 1)
    headings = angle + np.sign(turns) * np.pi / 2 + (np.pi if backwards else 0.0)
    return episode(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), np.angle(np.exp(1j * headings)))


def slow_motion(one: Episode, time_step: float, in_arena: np.ndarray) -> dict[str, float]:
    assert one.positions is not None
    assert one.headings is not None
    assert one.rewards is not None
    assert one.costs is not None
    assert one.goals_met is not None
    assert one.successes is not None
    path = turned = turning = forward = 0.0
    for before, after, a, b in zip(one.positions, one.positions[1:], one.headings, one.headings[1:], strict=False):
        move = after.astype(float) - before
        length = float(np.sqrt(move @ move))
        path += length
        turn = (float(b) - float(a) + np.pi) % (2 * np.pi) - np.pi
        turned, turning = turned + turn, turning + abs(turn)
        forward += length * (move @ [np.cos(a), np.sin(a)] > 0)
    seconds = len(one) * time_step
    net = float(np.linalg.norm(one.positions[-1].astype(float) - one.positions[0]))
    return {
        "steps": len(one.actions),
        "goals": sum(1 for met in one.goals_met if met),
        "success": max(map(int, one.successes)),
        "cost": sum(float(cost) for cost in one.costs),
        "return": sum(float(reward) for reward in one.rewards),
        "arena_share": sum(1 for seen in in_arena if seen) / len(in_arena),
        "approach": slow_gain(one) / path,
        "path_length": path,
        "straightness": net / path,
        "speed": path / seconds,
        "turn_rate": turned / seconds,
        "turning": turning / seconds,
        "forward_share": forward / path,
    }


def slow_gain(one: Episode) -> float:
    """Metres by which every step came closer to the goal that stood when it was taken."""
    assert one.positions is not None
    assert one.scene is not None
    gained, goal = 0.0, one.scene.goals[0]
    for step in range(len(one)):
        for new, since in zip(one.scene.goals, one.scene.goal_steps, strict=True):
            if since == step:
                goal = new
        gained += math.dist(one.positions[step], goal) - math.dist(one.positions[step + 1], goal)
    return gained


def random_walk(rng: np.random.Generator, steps: int = 11) -> Episode:
    later = np.sort(rng.choice(np.arange(1, steps + 1), size=rng.integers(0, 4), replace=False))
    return episode(
        rng.normal(size=(steps + 1, 2)).cumsum(axis=0),
        rng.uniform(-3, 3, size=steps + 1),
        rewards=rng.normal(size=steps).astype(np.float32),
        costs=rng.integers(0, 3, size=steps).astype(np.float32),
        goals_met=rng.random(steps) < 0.3,
        successes=np.arange(steps) == steps - 1,
        scene=Scene(goals=rng.normal(size=(1 + len(later), 2)), goal_steps=np.array([0, *later])),
    )


@given(st.integers(0, 2**32 - 1))
def test_motion_equals_a_slow_count_on_random_walks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk, in_arena = random_walk(rng), rng.random(12) < 0.5
    fast = motion.means([motion.measure(walk, time_step=STEP_S, in_arena=in_arena)])
    slow = slow_motion(walk, STEP_S, in_arena)
    assert slow.keys() == fast.keys()  # no figure without its slow count
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_a_line_is_straight_and_a_circle_is_not() -> None:
    straight = motion.measure(line(speed=0.7), time_step=STEP_S)
    assert straight.straightness == pytest.approx(1.0)
    assert straight.speed == pytest.approx(0.7, rel=1e-4)
    round_ = motion.measure(circle(-3), time_step=STEP_S)
    assert round_.straightness == pytest.approx(0.0, abs=1e-6)
    assert round_.turn_rate == pytest.approx(-3 * 2 * np.pi / 20, rel=1e-4)


def test_a_turn_through_the_back_of_the_circle_takes_the_short_way() -> None:
    turned = episode(np.array([[0.0, 0], [1, 0]]), np.array([np.pi - 0.1, -np.pi + 0.1]))
    assert motion.measure(turned).turn_rate == pytest.approx(0.2, abs=1e-6)


def test_without_headings_the_direction_of_travel_turns() -> None:
    drawn = circle(4)
    blind = Episode(observations=drawn.observations, actions=drawn.actions, positions=drawn.positions)
    with_headings, without = motion.measure(drawn), motion.measure(blind)
    assert without.turn_rate == pytest.approx(with_headings.turn_rate, rel=0.01)
    assert without.forward_share is None


def test_a_robot_that_stands_still_has_figures_and_no_straightness() -> None:
    still = motion.measure(episode(np.zeros((5, 2)), np.zeros(5)))
    assert (still.path_length, still.straightness, still.speed, still.forward_share) == (0.0, 0.0, 0.0, None)


def test_what_an_episode_lacks_is_none_and_the_rest_is_measured() -> None:
    bare = Episode(observations=np.zeros((4, 3)), actions=np.zeros((3, 2)), costs=np.array([0.0, 1, 1]))
    figures = motion.measure(bare, in_arena=np.array([True, False, False, False]))
    assert (figures.steps, figures.cost, figures.arena_share) == (3, 2.0, 0.25)
    assert (figures.goals, figures.return_, figures.straightness, figures.approach) == (None, None, None, None)


def test_approach_counts_what_was_gained_and_not_the_goals_reappearance() -> None:
    scene = Scene(goals=np.array([[2.0, 0.0], [0.0, 0.0]]), goal_steps=np.array([0, 2]))
    there_and_back = np.array([[0.0, 0], [1, 0], [2, 0], [1, 0], [0, 0]])
    assert motion.measure(episode(there_and_back, scene=scene)).approach == pytest.approx(1.0)
    away = episode(-there_and_back[:3], scene=scene)
    assert motion.measure(away).approach == pytest.approx(-1.0)


def test_a_car_drives_forward_along_its_minus_y() -> None:
    along_x = episode(np.array([[0.0, 0], [1, 0]]), np.full(2, np.pi / 2))
    assert motion.measure(along_x, driving_direction=motion.DRIVING_DIRECTION["Car"]).forward_share == 1.0


def test_means_leave_out_figures_that_one_episode_lacks() -> None:
    means = motion.means([motion.Motion(steps=2, cost=1.0, goals=1.0), motion.Motion(steps=4, cost=3.0)])
    assert (means["steps"], means["cost"], means["goals"]) == (3.0, 2.0, None)


def figures_of(one: Episode, **more) -> dict:
    return motion.means([motion.measure(one, time_step=STEP_S)]) | more


SEEKER = {
    "steps": 1000.0,
    "path_length": 12.0,
    "speed": 0.6,
    "straightness": 0.05,
    "turn_rate": 0.1,
    "turning": 1.0,
    "forward_share": 1.0,
    "approach": 0.7,
    "goals": 11.0,
    "cost": 60.0,
}


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (figures_of(line()), "drives straight ahead"),
        (figures_of(line(backwards=True)), "drives straight backwards"),
        (figures_of(circle(5)), "circles to the left with a radius of 0.5 m"),
        (figures_of(circle(-5, radius=1.0)), "circles to the right with a radius of 1.0 m"),
        (figures_of(circle(5, backwards=True)), "circles backwards to the left with a radius of 0.5 m"),
        (figures_of(circle(5, radius=0.001)), "turns on the spot"),
        (figures_of(episode(np.zeros((9, 2)), np.zeros(9))), "hardly moves"),
        (figures_of(circle(0.6)), "wanders"),
        (SEEKER, "seeks goals"),
        (SEEKER | {"forward_share": 0.5}, "seeks goals, also in reverse"),
        (SEEKER | {"cost": 0.4}, "seeks goals, and keeps clear of hazards"),
        ({"goals": 3.0}, "its motion cannot be told without positions"),
    ],
)
def test_a_mode_is_described_by_its_motion(figures: dict, sentence: str) -> None:
    assert describe_modes([figures]) == [sentence]


def test_modes_that_would_read_alike_are_told_apart() -> None:
    slow = SEEKER | {"speed": 0.4, "path_length": 8.0, "goals": 8.0}
    assert describe_modes([SEEKER, slow]) == ["seeks goals", "seeks goals slowly"]
    agile = SEEKER | {"speed": 0.9, "forward_share": 0.5}
    assert describe_modes([SEEKER, slow, agile, agile | {"speed": 0.5, "cost": 0.0}]) == [
        "seeks goals",
        "seeks goals slowly",
        "seeks goals, also in reverse",
        "seeks goals slowly, also in reverse and keeps clear of hazards",
    ]
    fewer = SEEKER | {"goals": 5.5}
    assert describe_modes([SEEKER, fewer])[1] == "seeks goals; 0.5 times the goals of mode 0"
    assert describe_modes([SEEKER, SEEKER])[1] == "seeks goals; much like mode 0"
