"""The planar worlds: their rules against slow, obvious versions, gymnasium's promises, and the whole job in seconds."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from experts.planar import BALLS, PLANAR, ROUTES, RULES, STYLES
from experts.registry import make_expert
from mode_imitation.commands.demo_planar import PLANS, modes_of
from mode_imitation.data.episodes import Episode
from mode_imitation.plots import new_figure, plot_birdseye, plot_commanded
from mode_imitation.worlds.planar import WORLDS, make_vec
from mode_imitation.worlds.planar.avoiding import FOLLOW, LINE, N_ROUTES, OBSTACLES, RADIUS, REACH, ROWS, route_of
from mode_imitation.worlds.planar.batched import PlanarEnv, uniforms
from mode_imitation.worlds.planar.circle2d import style_of
from mode_imitation.worlds.planar.gridworlds import BALLS as PLACES
from mode_imitation.worlds.planar.gridworlds import GOAL, MOVES, ball_of
from mode_imitation.worlds.protocol import open_worlds
from mode_imitation.worlds.rollout import ExpertController, rollout
from mode_imitation.worlds.worker import expert_setting
from tests.driven_worlds import assert_same_episodes, refused

OF_WORLD = {"Avoiding-v0": ROUTES, "Circle2D-v0": STYLES, "Takeball-v0": BALLS, "Diagonal-v0": RULES}


def drive(env_id: str, name: str, n: int = 5, n_worlds: int = 5, noise: float = 0.1) -> list[Episode]:
    """Episodes of one expert."""
    world = open_worlds(env_id, n_worlds)
    rngs = [np.random.default_rng([3, seed]) for seed in range(n)]
    expert, steps = make_expert(name, expert_setting(world)), world.max_episode_steps or 1
    controller = ExpertController(expert, steps, rngs, noise, action_space=world.action_space)
    return rollout(world, controller, range(n), steps)


def random_actions(worlds: Any, n_steps: int, seed: int = 0) -> np.ndarray:
    """(T, N, ...) upwards in Avoiding, anything elsewhere."""
    worlds.action_space.seed(seed)
    actions = np.stack([worlds.action_space.sample() for _ in range(n_steps)])
    if np.issubdtype(actions.dtype, np.floating):
        actions[..., 1] = np.abs(actions[..., 1])
    return actions


def slow_avoiding(start: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, list[bool], list[bool]]:
    """One world, number by number: observations (T + 1, 4), whether it crossed and touched after each step."""
    desired, real = start[:2].astype(float).tolist(), start[2:].astype(float).tolist()
    seen, crossed, touched = [[*desired, *real]], [], []
    for action in actions:
        for axis in (0, 1):
            desired[axis] += min(max(float(action[axis]), -REACH), REACH)
            real[axis] += FOLLOW * (desired[axis] - real[axis])
        touched.append(any((real[0] - x) ** 2 + (real[1] - y) ** 2 < RADIUS**2 for x, y in OBSTACLES))
        crossed.append(real[1] >= LINE and not touched[-1])
        seen.append([*desired, *real])
        if touched[-1] or crossed[-1]:
            break
    return np.array(seen), crossed, touched


def test_avoiding_moves_each_world_as_a_slow_version_does() -> None:
    worlds = make_vec("Avoiding-v0", 30, autoreset_mode=AutoresetMode.DISABLED)
    first, _ = worlds.reset(seed=5)
    actions = 3 * random_actions(worlds, 150)  # beyond the bounds, too
    alone = [slow_avoiding(first[world], actions[:, world]) for world in range(30)]
    ended = np.zeros(30, dtype=bool)
    for step, action in enumerate(actions):
        seen, rewards, terminations, _, infos = worlds.step(action)
        for world in np.flatnonzero(~ended):
            shown, crossed, touched = alone[world]
            np.testing.assert_allclose(seen[world], shown[step + 1], atol=1e-6)
            assert (infos["success"][world], bool(infos["cost"][world])) == (crossed[step], touched[step])
            assert terminations[world] == (crossed[step] or touched[step])
            assert rewards[world] == crossed[step]
        ended |= terminations
        if ended.all():
            break
        if terminations.any():  # what has ended goes on from elsewhere, and is no longer looked at
            worlds.reset(options={"reset_mask": terminations})
    assert ended.all()
    assert {bool(one[1][-1]) for one in alone} == {False, True}


def slow_route(path: np.ndarray) -> int:
    """Walked along in small steps."""
    fine = np.concatenate([np.linspace(a, b, 400) for a, b in itertools.pairwise(path)])
    sides = []
    for y, obstacles in ROWS:
        passed = next((i for i in range(1, len(fine)) if fine[i - 1, 1] < y <= fine[i, 1]), None)
        if passed is None:
            return -1
        sides.append(sum(fine[passed, 0] > x for x in obstacles))
    return 12 * sides[0] + 4 * sides[1] + sides[2]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.floats(0.2, 0.8).filter(lambda x: min(abs(x - at) for _, xs in ROWS for at in xs) > 0.01),
        min_size=3,
        max_size=3,
    )
)
def test_a_route_is_named_by_the_sides_on_which_a_path_passes_the_rows(gaps: list[float]) -> None:
    rows = [y for y, _ in ROWS]
    path = np.array([(0.5, -0.3), *((x, y + dy) for x, y in zip(gaps, rows, strict=True) for dy in (-0.02, 0.02))])
    assert 0 <= route_of(path) == slow_route(path) < N_ROUTES
    assert route_of(path[:5]) == -1
    mirrored = np.array([1.0, 0.0]) + path * np.array([-1.0, 1.0])
    assert route_of(path) + route_of(mirrored) == N_ROUTES - 1  # left for right in every row


def test_a_route_needs_a_path() -> None:
    assert "expected (T + 1, 2)" in refused(lambda: route_of(np.zeros((4, 3))))


@pytest.mark.parametrize("route", range(N_ROUTES))
def test_each_routes_expert_takes_it_and_touches_nothing(route: int) -> None:
    episodes = drive("mode_imitation/Avoiding-v0", f"route_{route}", 10, 10)
    for episode in episodes:
        assert episode.positions is not None
        assert route_of(episode.positions) == route
        assert episode.terminated
        assert episode.successes is not None
        assert episode.successes[-1]
    assert len({len(episode) for episode in episodes}) > 1  # speeds differ


def test_infos_tell_the_route_as_soon_as_the_last_row_is_passed() -> None:
    worlds = make_vec("Avoiding-v0", 1)
    seen, infos = worlds.reset(seed=1)
    expert = make_expert("route_14", expert_setting(open_worlds(worlds)))
    expert.reset(seen, [np.random.default_rng(0)])
    path, told = [infos["position"][0]], [int(infos["route"][0])]
    while told[-1] < 0 and len(told) < 200:
        seen, *_, infos = worlds.step(expert.act(seen))
        path.append(infos["position"][0])
        told.append(int(infos["route"][0]))
        assert told[-1] == route_of(np.array(path))
    assert told[-1] == 14


def slow_grid(start: np.ndarray, actions: np.ndarray, balls: bool) -> tuple[list[tuple[int, int]], list[int]]:
    """One world without slips, cell by cell: cells and the ball that was taken."""
    column, row = int(start[0]), int(start[1])
    cells, taken = [(column, row)], [-1]
    for action in actions:
        to = (column + int(MOVES[action][0]), row + int(MOVES[action][1]))
        if 1 <= to[0] <= 7 and 1 <= to[1] <= 7:  # else there is a wall
            column, row = to
        cells.append((column, row))
        free = balls and taken[-1] < 0 and (column, row) in PLACES
        taken.append(PLACES.index((column, row)) if free else taken[-1])
        if (column, row) == GOAL:
            break
    return cells, taken


@pytest.mark.parametrize("env_id", ["Takeball-v0", "Diagonal-v0"])
def test_grids_move_each_world_as_a_slow_version_does(env_id: str) -> None:
    worlds = make_vec(env_id, 40, slip=0.0, autoreset_mode=AutoresetMode.SAME_STEP)
    first, _ = worlds.reset(seed=2)
    actions = random_actions(worlds, 59, seed=2)
    running = np.ones(40, dtype=bool)
    alone = [slow_grid(first[world], actions[:, world], env_id[0] == "T") for world in range(40)]
    for step, action in enumerate(actions):
        seen, rewards, terminations, _, infos = worlds.step(action)
        for world in np.flatnonzero(running):
            cells, taken = alone[world]
            shown = infos["final_obs"][world] if terminations[world] else seen[world]
            ball = infos["final_info"]["ball"][world] if terminations[world] else infos["ball"][world]
            assert tuple(shown[:2]) == cells[step + 1]
            assert ball == taken[step + 1]
            assert shown[2] == (env_id[0] == "T" and taken[step + 1] < 0)
            assert terminations[world] == rewards[world] == (cells[step + 1] == GOAL)
        running &= ~terminations
    assert max(max(one[1]) for one in alone) >= 0 or env_id[0] == "D"


def test_slips_happen_as_often_as_asked_for_and_to_every_side() -> None:
    worlds = make_vec("Diagonal-v0", 4000, slip=0.5)
    first, _ = worlds.reset(seed=0)
    away = first[:, 0] > 1
    seen, *_ = worlds.step(np.full(4000, 4))  # stay
    moved = (seen != first)[away].any(axis=1).mean()
    assert abs(moved - 0.5 * 4 / 5) < 0.05  # the fifth choice is to stay; some slips run into a wall
    assert len(np.unique((seen - first)[:, :2], axis=0)) == 5


def test_random_numbers_are_even_and_follow_from_key_and_count_alone() -> None:
    keys = np.arange(20_000, dtype=np.uint64)
    drawn = uniforms(keys, np.zeros(20_000, dtype=int), 3)
    assert ((drawn >= 0) & (drawn < 1)).all()
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in drawn.T])
    assert (np.abs(counts - 1000) < 6 * np.sqrt(1000)).all()
    assert (
        np.abs(
            np.corrcoef(np.concatenate([drawn.T, uniforms(keys, np.ones(20_000, dtype=int), 3).T])) - np.eye(6)
        ).max()
        < 0.04
    )
    np.testing.assert_array_equal(uniforms(keys[[7, 3]], np.array([0, 0]), 3), drawn[[7, 3]])


@pytest.mark.parametrize("style", [style for style in STYLES if "wavering" not in style])
def test_each_style_circles_at_its_radius_speed_and_direction(style: str) -> None:
    (episode,) = drive("Circle2D-v0", style, 1, 1, noise=0.0)
    assert episode.positions is not None
    radius, turning = style_of(episode.positions, episode.positions[0] + episode.observations[0, :2])
    cls = STYLES[style]
    assert radius == pytest.approx(cls.radius, rel=0.2)
    assert turning * radius == pytest.approx(cls.direction * cls.speed, rel=0.1)
    assert PLANS["circle2d"].shown_by(episode) == style


def test_wavering_is_noise_in_the_style() -> None:
    spread = {}
    for name in ("circle_left_large_slow", "circle_left_large_slow_wavering"):
        distances = [np.hypot(*episode.observations[60:, :2].T).std() for episode in drive("Circle2D-v0", name)]
        spread[name] = np.mean(distances)
    assert 3 * spread["circle_left_large_slow"] < spread["circle_left_large_slow_wavering"]


@pytest.mark.parametrize(
    ("env_id", "name"), [("Takeball-v0", name) for name in BALLS] + [("Diagonal-v0", r) for r in RULES]
)
def test_each_rule_reaches_the_goal_and_is_recognised(env_id: str, name: str) -> None:
    episodes = drive(env_id, name, 8, 8)
    assert all(episode.terminated for episode in episodes)
    shown = [PLANS["takeball" if env_id[0] == "T" else "diagonal"].shown_by(episode) for episode in episodes]
    assert shown.count(name) >= 6  # slips take a wrong ball now and then
    if env_id[0] == "T":
        assert [f"ball_{ball_of(e.positions)}" for e in episodes if e.positions is not None] == shown


@pytest.mark.filterwarnings("ignore:.*Box observation space m.*infinity")
@pytest.mark.parametrize("name", WORLDS)
def test_gymnasium_finds_nothing_wrong(name: str) -> None:
    env = gymnasium.make(f"mode_imitation/{name}")
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("name", WORLDS)
def test_the_vector_of_an_id_begins_and_moves_as_one_world_does(name: str) -> None:
    worlds: Any = gymnasium.make_vec(f"mode_imitation/{name}", 3)
    alone = gymnasium.make(f"mode_imitation/{name}")
    seen, _ = worlds.reset(seed=[7, 8, 9])
    np.testing.assert_array_equal(seen[1], alone.reset(seed=8)[0])
    assert worlds.observation_space.contains(seen)
    for action in random_actions(worlds, 20):
        seen, rewards, terminations, truncations, infos = worlds.step(action)
        assert worlds.observation_space.contains(seen)
        assert seen.base is None  # memory of its own: what was shown before does not change
        assert rewards.shape == terminations.shape == truncations.shape == (3,)
        assert infos["position"].shape == (3, 2)
    assert worlds.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    worlds.close()
    alone.close()


@pytest.mark.parametrize("name", WORLDS)
def test_an_episode_does_not_depend_on_how_many_worlds_there_are(name: str) -> None:
    expert = next(iter(OF_WORLD[name]))
    assert_same_episodes(drive(name, expert, 7, 7), drive(name, expert, 7, 3))


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("name", ["Avoiding-v0", "Takeball-v0"])
def test_each_autoreset_mode_begins_anew_where_an_episode_ends(name: str, mode: AutoresetMode) -> None:
    worlds = make_vec(name, 20, max_episode_steps=9, autoreset_mode=mode)
    first, _ = worlds.reset(seed=0)
    actions = random_actions(worlds, 10)
    for action in actions[:8]:
        worlds.step(action)
    seen, _, terminations, truncations, infos = worlds.step(actions[8])
    assert (terminations | truncations)[~terminations].all()
    if mode == AutoresetMode.SAME_STEP:
        assert infos["_final_obs"].all()
        assert not np.array_equal(np.stack(infos["final_obs"]), seen)
    elif mode == AutoresetMode.DISABLED:
        assert "has ended" in refused(lambda: worlds.step(actions[9]))
        seen, _ = worlds.reset(options={"reset_mask": np.ones(20, dtype=bool)})
    else:
        seen, rewards, terminations, truncations, _ = worlds.step(np.full_like(actions[9], 0))
        assert not np.concatenate([rewards, terminations, truncations]).any()
    assert not np.array_equal(seen, first)  # another start than the first
    again, _ = worlds.reset(seed=0)
    np.testing.assert_array_equal(again, first)


def test_mistakes_are_refused_in_one_line() -> None:
    grid, avoiding = make_vec("Diagonal-v0", 2), make_vec("Avoiding-v0", 2)
    assert "call reset" in refused(lambda: grid.step(np.zeros(2)))
    grid.reset(seed=0)
    avoiding.reset(seed=0)
    for wrong in ([5, 0], [0.5, 0], [-1, 0]):
        assert "expected a choice from 0 to 4" in refused(lambda wrong=wrong: grid.step(np.array(wrong)))
    assert "finite" in refused(lambda: avoiding.step(np.full((2, 2), np.nan)))
    assert "expected (2, 2)" in refused(lambda: avoiding.step(np.zeros((2, 3))))
    assert "did you mean 'Avoiding-v0'" in refused(lambda: make_vec("Avoidin-v0"))
    assert "num_envs is 0" in refused(lambda: make_vec("Avoiding-v0", 0))
    assert "slip is 2" in refused(lambda: make_vec("Diagonal-v0", 1, slip=2))
    assert "render_mode" in refused(lambda: PlanarEnv("Avoiding-v0", render_mode="human"))
    safety = expert_setting(open_worlds("Circle2D-v0"))
    assert "needs the sensor desired" in refused(lambda: make_expert("route_3", safety))
    assert "did you mean 'route_3'" in refused(lambda: make_expert("rout_3", safety))
    assert len(PLANAR) == N_ROUTES + 16 + 4 + 4


def test_a_bird_s_eye_view_shows_obstacles_line_and_balls() -> None:
    for name, gids in {"Avoiding-v0": {"hazard", "line"}, "Takeball-v0": {"vase", "goal"}}.items():
        episodes = drive(name, next(iter(OF_WORLD[name])), 2, 2)
        for draw in (
            lambda ax, e=episodes: plot_birdseye(ax, e[0]),
            lambda ax, e=episodes: plot_commanded(ax, {"a": e}),
        ):
            ax = draw(new_figure(4, 4).subplots())
            assert gids | {"path", "arena"} <= {artist.get_gid() for artist in ax.get_children()}


def test_an_expert_is_found_where_a_mode_is_mostly_its_own() -> None:
    labels, modes = np.repeat(["a", "b", "c"], 4), np.array([2, 2, 2, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    assert modes_of(["a", "b", "c"], labels, modes) == {"a": 2}  # one mode for both b and c stands for neither


def test_the_whole_job_runs_in_avoiding_without_a_simulator(tmp_path: Path) -> None:
    code = f"""
import sys
from mode_imitation.cli import main
root, run = {str(tmp_path / "data")!r}, {str(tmp_path / "run")!r}
ours = ["--env", "mode_imitation/Avoiding-v0"]
experts = ["--expert", "route_0=4", "--expert", "route_23=4"]
assert main(["generate", *ours, *experts, "--out", "planar/two-v0", "--root", root, "--workers", "1"]) == 0
assert main(["train", "planar/two-v0", "--root", root, "--codes", "2", "--iterations", "30", "--rounds", "0",
             "--joint-iterations", "30", "--start", "kmeans", "--chunk", "4", "--out", run]) == 0
assert main(["modes", run, "--root", root, "--layouts", "2", "--expert", "route_0"]) == 0
assert main(["rollout", run, "--mode", "0", "--seeds", "5:7", "--plot", run + "/mode-0.png"]) == 0
assert main(["plot", "planar/two-v0#0", "--root", root, "--out", run + "/route.png"]) == 0
assert main(["demo", "--world", "avoiding", "--codes", "3"]) == 2
assert "mujoco" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--codes does not go with --world avoiding" in done.stderr
    assert (tmp_path / "run" / "route.png").stat().st_size > 5000
