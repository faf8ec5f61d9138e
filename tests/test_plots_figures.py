"""Figures of datasets, reports and logs show their numbers, at the right name and length."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from mode_imitation import plots
from mode_imitation.errors import UserError
from mode_imitation.plots import style
from tests.drawn_episodes import ADataset, an_axes, an_episode, assert_within, text_boxes


def test_overview_shows_each_expert_and_says_what_is_missing() -> None:
    episodes = [an_episode(seed=i, expert=name) for i in range(4) for name in ("goal_seeking", "forward_moving")]
    figure = plots.plot_overview(ADataset("pointgoal1/two-experts-v0", episodes), time_step=0.02)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert {"goal_seeking", "forward_moving", "return", "goals", "cost", "speed", "action 0", "episode length"} <= {
        *titles
    }
    assert not any("not in this data" in text.get_text() for text in figure.texts)

    plain = [
        replace(e, expert=None, positions=None, headings=None, rewards=None, costs=None, goals_met=None)
        for e in episodes
    ]
    figure = plots.plot_overview(ADataset("theirs", plain))
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.axison]
    assert titles == ["action 0", "action 1", "episode length"]
    [note] = [text.get_text() for text in figure.texts if "not in this data" in text.get_text()]
    for name in ("positions", "expert labels", "return", "goals", "cost", "speed"):
        assert name in note
    plots.figure_to_array(figure, dpi=30)
    with pytest.raises(UserError, match="no episodes"):
        plots.plot_overview(ADataset("empty", []))


def test_maps_of_the_overview_have_one_scale_and_say_how_much_lies_outside() -> None:
    episodes = [an_episode(steps=900, expert="far"), an_episode(steps=60, expert="near")]
    figure = plots.plot_overview(ADataset("two", episodes))
    far, near = (ax for ax in figure.axes if ax.get_title(loc="left") in ("far", "near"))
    assert (far.get_xlim(), far.get_ylim()) == (near.get_xlim(), near.get_ylim())
    assert far.get_xlabel().endswith("% of the time outside")
    assert near.get_xlabel() == "1 episodes"


def test_overview_shows_each_experts_mean() -> None:
    goals = {"a": 3, "b": 1}
    episodes = [an_episode(seed=i, expert=name, n_goals=n + 1) for i in range(5) for name, n in goals.items()]
    figure = plots.plot_overview(ADataset("two", episodes))
    ax = next(ax for ax in figure.axes if ax.get_title(loc="left") == "goals")
    assert [text.get_text() for text in ax.texts] == ["3", "1", "mean"]


def a_report() -> dict[str, Any]:
    def interval(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean}

    return {
        "experts": {
            "goal_seeking": {"goals": interval(11.0), "cost": interval(50.0)},
            "mine": {"goals": interval(2.0)},
        },
        "modes": [
            {"mode": 0, "share": 0.6, "expert": "mine", "goals": interval(1.5), "cost": interval(3.0)},
            {"mode": 1, "share": 0.3, "expert": "goal_seeking", "goals": interval(10.5), "cost": interval(52.0)},
            {"mode": 2, "share": 0.1, "expert": "goal_seeking", "goals": interval(5.0), "cost": interval(20.0)},
        ],
    }


def test_mode_bars_stand_under_the_expert_that_they_match_with_the_right_lengths() -> None:
    figure = plots.plot_mode_bars(a_report())
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["goals", "cost"]  # nobody has a straightness
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["goal_seeking", "mode 1 (30% of data)", "mode 2 (10% of data)", "mine", "mode 0 (60% of data)"]
    widths = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert widths == [11.0, 10.5, 5.0, 2.0, 1.5]
    assert "not known" in [text.get_text() for text in figure.axes[1].texts]


def test_bars_say_their_unit_and_their_texts_neither_overlap_nor_leave_the_figure() -> None:
    report = a_report()
    for entry in report["modes"]:
        entry["speed"] = {"mean": -1.25, "low": -1.5, "high": -1.0}
    title = "Modes and experts on the same 20 held-out layouts: mean and 95% interval"
    figure = plots.plot_mode_bars(report, metrics=("goals", "cost", "speed"), title=title)
    boxes = text_boxes(figure)
    assert figure.axes[-1].get_title(loc="left") == "speed (m/s)"
    assert_within(figure, boxes)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_mode_bars_without_labels_show_the_modes_alone() -> None:
    report = a_report()
    report["experts"] = {}
    for entry in report["modes"]:
        entry["expert"] = None
    figure = plots.plot_mode_bars(report, metrics=("goals",))
    assert len(figure.axes[0].get_yticklabels()) == 3
    with pytest.raises(UserError, match="none of straightness"):
        plots.plot_mode_bars(report, metrics=("straightness",))


def test_an_expert_wears_the_colour_of_the_first_mode_that_matches_it() -> None:
    report = a_report()
    report["experts"]["nobody"] = {}
    assert plots.mode_colors(report) == {mode: plots.mode_color(mode) for mode in range(3)}
    assert plots.expert_colors(report) == {
        "goal_seeking": plots.mode_color(1),
        "mine": plots.mode_color(0),
        "nobody": style.UNLABELLED,
    }


def test_confusion_cells_hold_shares_of_the_expert_and_counts() -> None:
    ax = plots.plot_confusion(an_axes(), np.array([[95, 0], [5, 2000]]), ["a", "b"])
    assert {text.get_text() for text in ax.texts} == {"95%", "95", "5%", "5", "100%", "2,000"}
    with pytest.raises(ValueError, match="3 experts"):
        plots.plot_confusion(an_axes(), np.zeros((2, 2)), ["a", "b", "c"])


def test_shares_write_their_numbers() -> None:
    shares = plots.plot_mode_shares(an_axes(), [0.75, 0.25, 0.0], descriptions=["turns", "rests", ""])
    assert [text.get_text() for text in shares.texts if text.get_text()] == ["75%  turns", "25%  rests", "pruned"]
    assert shares.get_xlim() == (0, 1)
