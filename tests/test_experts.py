"""What the scripted experts promise, on observations made without a simulator."""

import numpy as np
import pytest

from experts.protocol import Expert, ExpertSetting
from experts.registry import expert_names, make_expert
from tests.experts_scene import observe, random_observations, setting_of

ROBOTS = ("Point", "Car")
SEEKERS = ("goal_seeking", "slow_goal_seeking", "agile_goal_seeking", "hazard_avoiding", "careful")
MEMORYLESS = ("goal_seeking", "slow_goal_seeking", "forward_moving", "backward_moving", "circling", "careful")


def answer(name: str, setting: ExpertSetting, *observations: np.ndarray) -> np.ndarray:
    """(A,) the last of a fresh expert's answers to these observations of one world."""
    expert = make_expert(name, setting)
    expert.reset(observations[0][None], [np.random.default_rng(0)])
    return [expert.act(observation[None])[0] for observation in observations][-1]


def drive(expert: Expert, sequence: np.ndarray) -> np.ndarray:
    """(T, N, obs_dim) -> (T, N, A)."""
    expert.reset(sequence[0], [np.random.default_rng(i) for i in range(sequence.shape[1])])
    return np.stack([expert.act(observations) for observations in sequence])


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", expert_names())
def test_rows_do_not_depend_on_the_batch_they_are_in(name: str, robot: str) -> None:
    setting = setting_of(robot)
    rng = np.random.default_rng(5)
    sequence = np.stack([random_observations(setting, 11, rng) for _ in range(5)])
    together = drive(make_expert(name, setting), sequence)
    for rows in ([3], [10, 0], [1, 2, 4, 5, 6, 7, 8]):
        apart = drive(make_expert(name, setting), sequence[:, rows])
        np.testing.assert_array_equal(apart, together[:, rows])


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", expert_names())
def test_a_reset_forgets_everything(name: str, robot: str) -> None:
    setting = setting_of(robot)
    rng = np.random.default_rng(6)
    first, second = (np.stack([random_observations(setting, 3, rng) for _ in range(4)]) for _ in range(2))
    expert = make_expert(name, setting)
    drive(expert, first)
    np.testing.assert_array_equal(drive(expert, second), drive(make_expert(name, setting), second))


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", MEMORYLESS)
def test_memoryless_experts_answer_the_same_whatever_came_before(name: str, robot: str) -> None:
    setting = setting_of(robot)
    before, now = random_observations(setting, 2, np.random.default_rng(7))
    np.testing.assert_array_equal(answer(name, setting, before, now), answer(name, setting, now))


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", expert_names())
def test_actions_lie_within_the_action_space_everywhere(name: str, robot: str) -> None:
    setting = setting_of(robot)
    observations = np.concatenate(
        [
            random_observations(setting, 20, np.random.default_rng(8)),
            np.zeros((1, setting.slices["vases_lidar"].stop)),
            observe(setting, goal=(0.0, 0.0), hazards=((0.0, 0.0),))[None],
        ]
    )
    actions = drive(make_expert(name, setting), np.stack([observations] * 3))
    assert np.isfinite(actions).all()
    assert np.abs(actions).max() <= 1.0


@pytest.mark.parametrize("name", SEEKERS)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_seekers_turn_towards_a_goal_at_their_side(name: str, side: float) -> None:
    point = answer(name, setting_of("Point"), observe(setting_of("Point"), goal=(1.0, side)))
    assert point[0] > 0
    assert point[1] * side > 0.5
    # A Car's front is its -y, so with heading pi / 2 it faces the world's +x. Its wheels are (right, left).
    right, left = answer(name, setting_of("Car"), observe(setting_of("Car"), heading=np.pi / 2, goal=(1.0, side)))
    assert (right - left) * side > 0.5


@pytest.mark.parametrize("name", SEEKERS)
def test_seekers_drive_straight_to_a_goal_ahead(name: str) -> None:
    thrust, turn = answer(name, setting_of("Point"), observe(setting_of("Point"), goal=(1.5, 0.0)))
    assert thrust > 0.9
    assert abs(turn) < 1e-6
    wheels = answer(name, setting_of("Car"), observe(setting_of("Car"), heading=np.pi / 2, goal=(1.5, 0.0)))
    assert (wheels > 0.9).all()


@pytest.mark.parametrize("name", ["agile_goal_seeking", "hazard_avoiding", "careful"])
def test_agile_experts_reverse_to_a_goal_behind(name: str) -> None:
    thrust, turn = answer(name, setting_of("Point"), observe(setting_of("Point"), goal=(-1.5, 0.0)))
    assert thrust < -0.9
    assert abs(turn) < 1e-6
    wheels = answer(name, setting_of("Car"), observe(setting_of("Car"), heading=np.pi / 2, goal=(-1.5, 0.0)))
    assert (wheels < -0.9).all()


def test_goal_seeking_never_reverses() -> None:
    setting = setting_of("Point")
    actions = drive(
        make_expert("goal_seeking", setting), random_observations(setting, 200, np.random.default_rng(9))[None]
    )
    assert actions[..., 0].min() >= 0


@pytest.mark.parametrize("robot", ROBOTS)
def test_goal_seeking_is_smooth_but_for_goals_straight_behind(robot: str) -> None:
    setting = setting_of(robot)
    front = -np.pi / 2 if robot == "Car" else 0.0
    bearings = front + np.linspace(-0.95 * np.pi, 0.95 * np.pi, 2000)
    observations = [observe(setting, goal=(1.2 * np.cos(b), 1.2 * np.sin(b))) for b in bearings]
    actions = drive(make_expert("goal_seeking", setting), np.stack(observations)[None])[0]
    assert np.abs(np.diff(actions, axis=0)).max() < 0.05


@pytest.mark.parametrize("robot", ROBOTS)
def test_slow_goal_seeking_lets_go_when_it_is_fast(robot: str) -> None:
    setting = setting_of(robot)
    fast = observe(setting, heading=np.pi / 2 if robot == "Car" else 0.0, velocity=(1.2, 0.0), goal=(2.0, 0.0))
    assert answer("goal_seeking", setting, fast)[0] > 0.9
    np.testing.assert_allclose(answer("slow_goal_seeking", setting, fast), 0.0, atol=1e-6)


def test_seekers_head_for_the_hazards_where_the_goal_is_out_of_range() -> None:
    setting = setting_of("Point")
    hazards = ((2.0, 0.2), (2.0, -0.2))
    for name in SEEKERS:
        thrust, turn = answer(name, setting, observe(setting, goal=(4.0, 0.0), hazards=hazards))
        assert thrust > 0.9
        assert abs(turn) < 0.5


@pytest.mark.parametrize("robot", ROBOTS)
def test_goal_seeking_turns_back_in_an_arc_where_nothing_is_in_range(robot: str) -> None:
    setting = setting_of(robot)
    first, second = answer("goal_seeking", setting, observe(setting))
    assert first > 0.5
    assert (0.1 < second < 0.9) if robot == "Point" else (second < 0)


@pytest.mark.parametrize("name", ["agile_goal_seeking", "hazard_avoiding"])
def test_experts_with_memory_return_to_where_they_last_saw_something(name: str) -> None:
    setting = setting_of("Point")
    inside = observe(setting, goal=(1.0, 0.0), hazards=((1.0, 0.6), (1.0, -0.6)))
    # Thrown out forwards, 3 m/s for two seconds; then nothing is in range, and what it knows of lies behind it.
    outside = observe(setting, velocity=(3.0, 0.0))
    thrust, turn = answer(name, setting, inside, *[outside] * 100, observe(setting))
    assert thrust < -0.5
    assert abs(turn) < 0.5


def test_straight_movers_do_not_look() -> None:
    for robot in ROBOTS:
        setting = setting_of(robot)
        observations = random_observations(setting, 30, np.random.default_rng(3))
        forwards = drive(make_expert("forward_moving", setting), observations[None])[0]
        backwards = drive(make_expert("backward_moving", setting), observations[None])[0]
        np.testing.assert_array_equal(forwards, forwards[:1].repeat(30, axis=0))
        np.testing.assert_array_equal(backwards, [-1, 1] * forwards if robot == "Point" else -forwards)


def test_experts_do_not_change_the_observations_they_are_given() -> None:
    setting = setting_of("Point")
    observations = random_observations(setting, 4, np.random.default_rng(4))
    kept = observations.copy()
    for name in expert_names():
        drive(make_expert(name, setting), np.stack([observations] * 3))
    np.testing.assert_array_equal(observations, kept)
