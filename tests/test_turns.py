"""Experts that take turns within an episode, beside the codes that training gave their steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.reports.clustering import compare_with_labels, sort_dataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.latent_map import make_latent_map
from mode_imitation.reports.report import make_report
from mode_imitation.reports.report_writer import PICTURES, summary_lines, write_report
from mode_imitation.reports.turns import (
    NEAR,
    codes_of_steps,
    drivers,
    drivers_of_windows,
    take_turns,
    turn_line,
    turn_scores,
)
from tests.tiny_runs import SENSORS, SLICES, WINDOW, random_dataset, random_episode, random_model, save_run

NAMES = np.array(["forward_moving", "goal_seeking"])
STEPS = 40


def turns_dataset(n_episodes: int = 4, every: int = 10, seed: int = 0) -> TrajectoryDataset:
    """Experts change every so many steps; a fifth of the steps are disturbed."""
    rng = np.random.default_rng(seed)
    episodes = []
    for index in range(n_episodes):
        acting = NAMES[(np.arange(STEPS) // every + index) % 2]
        disturbed = rng.random(STEPS) < 0.2
        episode = random_episode(STEPS, seed=index, expert="goal_seeking+forward_moving", layout_seed=index)
        episodes.append(replace(episode, acting=acting, disturbed=disturbed))
    return TrajectoryDataset("tiny/turns-v0", tuple(episodes), SENSORS, "SafetyPointGoal1-v0")


def random_codes(dataset: TrajectoryDataset, seed: int = 0, n_codes: int = 3) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {index: rng.integers(n_codes, size=len(dataset.episodes[index])) for index in range(1, len(dataset))}


def slow_scores(codes: dict[int, np.ndarray], dataset: TrajectoryDataset) -> dict[str, float]:
    """Step by step."""
    votes: dict[tuple[int, str], int] = {}
    rows = []
    for index, own in codes.items():
        episode = dataset.episodes[index]
        assert episode.acting is not None
        assert episode.disturbed is not None
        for step, code in enumerate(own.tolist()):
            inside = bool((episode.observations[step, SLICES["goal_lidar"]] > 0).any())
            rows.append((code, str(episode.acting[step]), bool(episode.disturbed[step]), inside))
            if not episode.disturbed[step]:
                votes[code, str(episode.acting[step])] = votes.get((code, str(episode.acting[step])), 0) + 1
    best = {
        code: max(sorted(NAMES), key=lambda name: votes.get((code, str(name)), 0))
        for code in {code for code, _ in votes}
    }

    def share(chosen: list[tuple[int, str, bool, bool]]) -> float:
        return sum(best.get(code) == name for code, name, _, _ in chosen) / len(chosen)

    return {
        "right": share([row for row in rows if not row[2]]),
        "in_arena": share([row for row in rows if not row[2] and row[3]]),
        "all": share(rows),
        "all_in_arena": share([row for row in rows if row[3]]),
    }


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_a_count_step_by_step(seed: int) -> None:
    dataset = turns_dataset(seed=seed)
    codes = random_codes(dataset, seed)
    scores, slow = turn_scores(codes, dataset), slow_scores(codes, dataset)
    assert scores is not None
    assert scores["right_per_step"] == pytest.approx(slow["right"])
    assert scores["right_per_step_in_arena"] == pytest.approx(slow["in_arena"])
    assert scores["all_steps"]["right_per_step"] == pytest.approx(slow["all"])
    assert scores["all_steps"]["right_per_step_in_arena"] == pytest.approx(slow["all_in_arena"])


def test_perfect_codes_are_right_everywhere_and_late_ones_are_as_late_as_they_are() -> None:
    dataset = turns_dataset()
    perfect = {index: (episode.acting == NAMES[1]).astype(int) for index, episode in enumerate(dataset.episodes)}
    scores = turn_scores(perfect, dataset)
    assert scores is not None
    assert scores["right_per_step"] == scores["all_steps"]["right_per_step"] == 1
    assert scores["modes"] == {"0": "forward_moving", "1": "goal_seeking"}
    exact = {"true": 12, "found": 12, "median_distance_steps": 0.0, "recall": 1.0, "precision": 1.0}
    assert scores["switches"] == exact
    late = turn_scores(
        {index: np.concatenate([own[:1].repeat(2), own[:-2]]) for index, own in perfect.items()}, dataset
    )
    assert late is not None
    assert late["switches"]["median_distance_steps"] == 2
    assert 0.7 < late["right_per_step"] < 1
    never = turn_scores({index: np.zeros(STEPS, dtype=int) for index in perfect}, dataset)
    assert never is not None
    assert never["switches"]["found"] == 0
    assert never["switches"]["recall"] == 0
    assert never["switches"]["precision"] is None
    assert "found" in turn_line(scores)
    # Codes that change at every step find every switch, and most of what they find is none.
    flicker = turn_scores({0: np.arange(STEPS) % 2}, turns_dataset(every=35))
    assert flicker is not None
    assert flicker["switches"]["recall"] == 1
    assert flicker["switches"]["precision"] == pytest.approx(np.mean(np.abs(np.arange(1, STEPS) - 35) <= NEAR))
    blind = turn_scores(perfect, replace(dataset, sensors=None))
    assert blind is not None
    assert blind["right_per_step_in_arena"] is None


def test_codes_of_steps_come_from_switches_or_from_segments() -> None:
    dataset = turns_dataset(n_episodes=3)
    info = {"training_episodes": [2, 0], "config": {"segment": 15}}
    switches = codes_of_steps(info | {"switches": [[[0, 1], [30, 0]], [[0, 2]]]}, dataset, WINDOW.span)
    assert list(switches) == [2, 0]
    assert switches[2].tolist() == [1] * 30 + [0] * 10
    assert switches[0].tolist() == [2] * STEPS
    # 40 steps in segments of 15: the rest of 10 is long enough for a window.
    segments = codes_of_steps(info | {"segments": [[0, 1, 2], [2, 2, 0]]}, dataset, WINDOW.span)
    assert segments[2].tolist() == [0] * 15 + [1] * 15 + [2] * 10
    assert codes_of_steps(info, dataset, WINDOW.span) == {}
    assert turn_scores({}, dataset) is None


def test_who_takes_turns_is_known_from_the_steps() -> None:
    turns, whole = turns_dataset(), random_dataset()
    assert take_turns(turns)
    assert not take_turns(whole)
    assert not take_turns(random_dataset(labels=False))
    assert set(drivers(turns)) == set(NAMES)
    assert drivers(whole) == ["goal_seeking", "forward_moving"]
    assert drivers(random_dataset(labels=False)) == []


def test_a_window_is_its_middle_steps_drivers() -> None:
    model = random_model()
    for dataset in (turns_dataset(), random_dataset()):
        found = sort_dataset(model, dataset, every=3)
        names = drivers_of_windows(dataset, found, WINDOW.span)
        for row, (index, start) in enumerate(zip(found.episode_of_window, found.starts, strict=True)):
            episode: Episode = dataset.episodes[index]
            assert episode.expert_of_step is not None
            assert names[row] == episode.expert_of_step[start + WINDOW.span // 2]
    labels = make_latent_map(model, turns_dataset(), sort_dataset(model, turns_dataset())).labels
    assert labels is not None
    assert set(labels) == set(NAMES)


def test_episodes_of_several_experts_are_not_scored_as_wholes() -> None:
    model, dataset = random_model(), turns_dataset()
    found = sort_dataset(model, dataset)
    assert dataset.labels is not None
    of_window = drivers_of_windows(dataset, found, WINDOW.span)
    agreement = compare_with_labels(found, dataset.labels, of_window=of_window)
    assert agreement.episodes is None
    assert agreement.windows.labels == sorted(NAMES)
    assert agreement.scores.episode is agreement.scores.episode_held_out is None
    assert agreement.scores.n_experts == 2
    assert 0 < agreement.scores.window["nmi"] < 1


def test_the_report_says_whether_training_found_whose_turn_it_was(tmp_path: Path) -> None:
    dataset = turns_dataset()
    switches = [[[0, 0], [10, 1], [20, 0], [30, 1]], [[0, 1], [12, 0], [20, 1], [30, 0]]]
    run = tmp_path / "runs" / "turns"
    save_run(run, tmp_path / "data", dataset, {"training_episodes": [0, 1], "switches": switches})
    report = make_report(ModesConfig(run=run, layouts=2, steps=15))
    scores = report.data.turns
    assert scores is not None
    assert scores["episodes"] == 2
    assert 0.9 < scores["all_steps"]["right_per_step"] < 1  # two steps of 80 are late
    assert turn_line(scores) in summary_lines(report.data)
    assert "; of 6 switches 1.00 have a found one within 20 steps, the nearest 0 off in the median" in turn_line(scores)
    assert turn_line(scores).endswith("; of 6 found ones 1.00 have a true one")
    assert set(report.data.experts) == set(NAMES)
    assert {entry.expert for entry in report.data.modes} <= {*NAMES, None}
    written = write_report(report, tmp_path / "out")
    assert tmp_path / "out" / PICTURES["confusion"] in written
    assert json.loads((tmp_path / "out" / "report.json").read_text())["turns"] == scores
    assert "episode NMI" not in (tmp_path / "out" / "report.md").read_text()
