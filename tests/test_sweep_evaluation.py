"""What a sweep shows beside its choice equals its slow definition; the picture of the choice shows what it is given."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.lines import Line2D
from sklearn import metrics

from mode_imitation import plots
from mode_imitation.data.spaces import Sensor
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.sweep.agreement import SCORES, agreement_with_labels
from mode_imitation.reports.sweep.claims import separation
from mode_imitation.reports.sweep.config import SweepConfig
from mode_imitation.reports.sweep.pictures import code_maps
from mode_imitation.reports.sweep.recommendation import gather, recommend
from mode_imitation.reports.sweep.sweep import Sweep
from mode_imitation.steering.infer import encode_windows
from mode_imitation.training.config import TrainConfig
from tests.synthetic import two_laws

OBJECTIVES, CODES, STRIDES, SEEDS = ("ours", "original"), (2, 4), (1, 5, 10), (0, 1, 2)
SLOW_SCORES = {
    "nmi": metrics.normalized_mutual_info_score,
    "ari": metrics.adjusted_rand_score,
    "homogeneity": metrics.homogeneity_score,
    "completeness": metrics.completeness_score,
}


def random_cells(seed: int) -> list[dict[str, Any]]:
    """Cells of a whole grid, as their files hold them; some failed, one setting altogether, and in no order."""
    rng = np.random.default_rng(seed)
    grid = [(o, k, stride, s) for o in OBJECTIVES for k in CODES for stride in STRIDES for s in SEEDS]
    cells = []
    for index in rng.permutation(len(grid)):
        objective, k, stride, at = grid[index]
        cell: dict[str, Any] = {"cell": {"objective": objective, "codes": k, "stride": stride, "seed": at}}
        if rng.random() < 0.2 or (objective, k, stride) == ("ours", 2, 5):
            cells.append({**cell, "status": "failed", "reason": "no memory"})
            continue
        criteria = {"nll": rng.normal(), "episode_nll": rng.normal(size=4).tolist(), "smallest_gap": rng.random()}
        window = {name: rng.random() for name in SCORES}
        evaluation = {"window": window, "counts": rng.integers(0, 9, (2, k)).tolist()}
        codes = rng.integers(0, k, 4).tolist()
        cells.append(
            {**cell, "status": "done", "criteria": criteria, "evaluation": evaluation, "codes": codes, "n_modes": k}
        )
    return cells


@pytest.mark.parametrize("seed", range(5))
def test_separation_is_the_median_homogeneity_of_a_setting_s_windows(seed: int) -> None:
    cells = random_cells(seed)
    for objective in OBJECTIVES:
        expected: dict[int, dict[int, float]] = {}
        for stride in STRIDES:
            for k in CODES:
                values = []
                for cell in cells:
                    wanted = {"objective": objective, "codes": k, "stride": stride, "seed": cell["cell"]["seed"]}
                    if cell["cell"] == wanted and cell["status"] == "done":
                        values.append(cell["evaluation"]["window"]["homogeneity"])
                if values:
                    expected.setdefault(stride, {})[k] = statistics.median(values)
        found = separation(cells, objective)
        assert list(found) == sorted(expected)
        assert {stride: pytest.approx(row) for stride, row in found.items()} == expected


def test_separation_leaves_out_cells_of_data_without_labels() -> None:
    cells = [cell | {"evaluation": None} for cell in random_cells(0)]
    assert separation(cells, "ours") == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_maps_are_those_of_each_setting_s_best_seed(seed: int) -> None:
    cells = random_cells(seed)
    settings = gather(cells)
    data = two_laws(n_each=2)
    config = SweepConfig(dataset=data.name)
    shown = Sweep(config, data, cells, settings, recommend(settings, config.merge_gap), "", {}, [])
    for objective in OBJECTIVES:
        found = code_maps(shown, objective)
        for stride in STRIDES:
            for k in CODES:
                best = None
                for cell in cells:
                    place = cell["cell"]["objective"], cell["cell"]["codes"], cell["cell"]["stride"]
                    if place != (objective, k, stride) or cell["status"] == "failed":
                        continue
                    if best is None or cell["criteria"]["nll"] < best["criteria"]["nll"]:
                        best = cell
                if best is None:
                    assert (stride, k) not in found
                    continue
                counts, caption = found[stride, k]
                assert counts.tolist() == best["evaluation"]["counts"]
                assert caption == f"homogeneity {best['evaluation']['window']['homogeneity']:.2f}"


@pytest.mark.parametrize("lidar", [False, True])
def test_agreement_counts_every_window_and_scores_windows_and_episodes(lidar: bool) -> None:
    data = two_laws(n_each=4, ragged=True)
    if lidar:
        data = dataclasses.replace(
            data, sensors={"goals_lidar": Sensor(0, 1, "ring"), "hazards_lidar": Sensor(1, 2, "ring")}
        )
    config = TrainConfig(codes=3, horizon=4, gap=2, pool=2, actor_hidden=(16,))
    torch.manual_seed(0)
    model = ModeModel(config.model_config(3, 1))
    given = [0, 1, 0, 2, 0, 1, 1, 1]
    found = agreement_with_labels(model, data, given)

    experts, codes, arena = [], [], []
    for episode in data.episodes:
        windows = encode_windows(model, episode, every=5)
        for start, distances in zip(windows.starts, windows.distances, strict=True):
            experts.append(episode.expert)
            codes.append(min(range(3), key=lambda code: distances[code]))
            arena.append(bool((episode.observations[start][:2] > 0).any()))
    assert len(set(codes)) > 1
    assert len(set(arena)) > 1
    assert found["experts"] == ["minus", "plus"]
    pairs = list(zip(experts, codes, strict=True))
    assert found["counts"] == [[pairs.count((name, code)) for code in range(3)] for name in ("minus", "plus")]
    of_episode = [episode.expert for episode in data.episodes]
    inside = [pair for pair, seen in zip(pairs, arena, strict=True) if seen]
    assert set(SLOW_SCORES) == set(SCORES)
    for name, slow in SLOW_SCORES.items():
        assert found["window"][name] == pytest.approx(slow(experts, codes))
        assert found["episode"][name] == pytest.approx(slow(of_episode, given))
        if lidar:
            assert found["window_in_arena"][name] == pytest.approx(slow(*zip(*inside, strict=True)))
    assert lidar or found["window_in_arena"] is None


# ---- the picture of the choice


def settings_with(gaps: list[list[float | None]]) -> list[dict[str, Any]]:
    """Settings of k = 2, 3, ... at one stride, as in sweep.json."""
    return [
        {"codes": 2 + index, "stride": 1, "nll": [-1.0], "n_modes": [2], "stability": 1.0, "smallest_gap": own}
        for index, own in enumerate(gaps)
    ]


def test_every_seed_s_smallest_gap_is_drawn_beside_the_line_below_which_codes_merge(tmp_path: Path) -> None:
    figure = plots.plot_choice(settings_with([[0.9, 0.2], [None, None], [None, 3.1]]), chosen=(2, 1), merge_gap=0.4)
    panel = figure.axes[-1]
    assert [ax.get_title(loc="left") for ax in figure.axes][-1] == "smallest gap (nats)"
    lines = [line for line in panel.get_lines() if isinstance(line, Line2D)]
    drawn = [list(np.asarray(line.get_ydata())) for line in lines if line.get_gid() == "gaps"]
    assert drawn == [[0.9, 0.2], [3.1]]
    [limit] = [line for line in lines if line.get_gid() == "merge gap"]
    assert set(np.asarray(limit.get_ydata())) == {0.4}
    low, high = panel.get_ylim()
    assert low <= 0 < 3.1 < high
    assert plots.save_figure(figure, tmp_path / "choice.png").stat().st_size > 1000


def test_without_any_gap_there_is_no_panel_of_gaps() -> None:
    figure = plots.plot_choice(settings_with([[None], [None]]), chosen=(2, 1), merge_gap=0.4)
    assert "smallest gap (nats)" not in [ax.get_title(loc="left") for ax in figure.axes]
