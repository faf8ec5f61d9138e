"""Pictures show what the data says: true sizes, goals in order, nothing invented, nothing left open."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text

from mode_imitation import plots
from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.errors import UserError
from mode_imitation.plots import curves, panels, scene, style
from mode_imitation.plots.birdseye import way_out


def an_episode(
    *, steps: int = 60, speed: float = 0.02, n_goals: int = 3, expert: str | None = "goal_seeking", seed: int = 0
) -> Episode:
    """Drives along +x from (-1, 0); every goal but the last was reached, 10 steps apart."""
    rng = np.random.default_rng(seed)
    x = -1 + speed * np.arange(steps + 1)
    goals_met = np.zeros(steps, bool)
    goals_met[9 : 10 * (n_goals - 1) : 10] = True
    return Episode(
        observations=np.zeros((steps + 1, 4), np.float32),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=goals_met.astype(np.float32),
        costs=np.ones(steps, np.float32),
        goals_met=goals_met,
        positions=np.column_stack([x, np.zeros_like(x)]).astype(np.float32),
        headings=np.zeros(steps + 1, np.float32),
        expert=expert,
        layout_seed=seed,
        scene=Scene(
            goals=rng.uniform(-1.2, 1.2, (n_goals, 2)),
            goal_steps=10 * np.arange(n_goals),
            hazards=rng.uniform(-1.2, 1.2, (5, 2)),
            vases=rng.uniform(-1.2, 1.2, (2, 2)),
            goal_radius=0.3,
            hazard_radius=0.23,
        ),
    )


def an_axes() -> Axes:
    return plots.new_figure(4, 4.6).subplots()


def named(ax: Axes, gid: str) -> list[Any]:
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


@dataclass
class ADataset:
    name: str
    episodes: list[Episode]


def test_hazards_goals_vases_and_arena_have_their_true_place_and_size() -> None:
    episode = an_episode()
    assert episode.scene is not None
    ax = plots.plot_birdseye(an_axes(), episode)
    hazards: list[Circle] = named(ax, "hazard")
    np.testing.assert_allclose([disc.center for disc in hazards], episode.scene.hazards)
    assert {disc.radius for disc in hazards} == {0.23}
    goals: list[Circle] = named(ax, "goal")
    np.testing.assert_allclose([disc.center for disc in goals], episode.scene.goals)
    assert {disc.radius for disc in goals} == {0.3}
    vases: list[Rectangle] = named(ax, "vase")
    np.testing.assert_allclose([vase.get_xy() for vase in vases], episode.scene.vases - 0.1)
    assert {vase.get_width() for vase in vases} == {vase.get_height() for vase in vases} == {0.2}
    [arena] = named(ax, "arena")
    assert (*arena.get_xy(), arena.get_width(), arena.get_height()) == (-1.5, -1.5, 3, 3)


def test_goals_carry_the_order_in_which_they_were_reached_and_the_one_not_reached_is_dashed() -> None:
    episode = an_episode(n_goals=4)
    ax = plots.plot_birdseye(an_axes(), episode)
    numbers: list[Text] = named(ax, "goal number")
    assert [number.get_text() for number in numbers] == ["1", "2", "3"]
    assert episode.scene is not None
    for number, goal in zip(numbers, episode.scene.goals, strict=False):
        assert np.linalg.norm(np.array(number.get_position()) - goal) < episode.scene.goal_radius
    assert [disc.get_linestyle() == "-" for disc in named(ax, "goal")] == [True, True, True, False]


def test_axes_are_equal_and_the_path_runs_through_the_positions_coloured_by_step() -> None:
    episode = an_episode()
    assert episode.positions is not None
    ax = plots.plot_birdseye(an_axes(), episode)
    assert ax.get_aspect() == 1
    [path] = named(ax, "path")
    segments = np.array(path.get_segments())
    np.testing.assert_allclose(segments[:, 0], episode.positions[:-1], atol=1e-6)
    np.testing.assert_allclose(segments[:, 1], episode.positions[1:], atol=1e-6)
    np.testing.assert_array_equal(path.get_array(), np.arange(60))


def test_the_start_and_its_heading_are_marked() -> None:
    episode = replace(an_episode(), headings=np.full(61, np.pi / 2, np.float32))
    ax = plots.plot_birdseye(an_axes(), episode)
    [start] = named(ax, "start")
    np.testing.assert_allclose(start.center, (-1, 0))
    [arrow] = named(ax, "heading")
    (x0, y0), (x1, y1) = arrow._posA_posB
    assert x1 == pytest.approx(x0, abs=1e-6)
    assert y1 > y0
    assert not named(plots.plot_birdseye(an_axes(), replace(episode, headings=None)), "heading")


def test_disturbed_steps_are_not_part_of_the_coloured_path() -> None:
    disturbed = np.zeros(60, bool)
    disturbed[5:15] = disturbed[40:50] = True
    ax = plots.plot_birdseye(an_axes(), replace(an_episode(), disturbed=disturbed))
    [path] = named(ax, "path")
    assert len(path.get_segments()) == 40
    dotted = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_gid() != "path"]
    assert [len(run) for run in dotted[0].get_segments()] == [11, 11]


def test_a_schedule_colours_the_path_by_mode_and_the_legend_says_which() -> None:
    modes = np.repeat([2, 0], 30)
    ax = plots.plot_birdseye(an_axes(), an_episode(), modes=modes)
    [path] = named(ax, "path")
    assert style.to_hex(path.get_colors()[0]) == plots.mode_color(2)
    assert style.to_hex(path.get_colors()[-1]) == plots.mode_color(0)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:2] == ["mode 0", "mode 2"]
    with pytest.raises(UserError, match="modes has 3 entries for 60 steps"):
        plots.plot_birdseye(an_axes(), an_episode(), modes=np.zeros(3, int))


def test_the_legend_lies_below_the_axes_and_names_only_what_is_there() -> None:
    figure = plots.new_figure(5, 5.6)
    ax = plots.plot_birdseye(figure.subplots(), an_episode())
    plots.figure_to_array(figure)
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y1 <= ax.get_window_extent().y0
    assert "hazard" in [text.get_text() for text in legend.get_texts()]
    bare = replace(an_episode(), scene=None, goals_met=None, headings=None)
    legend = plots.plot_birdseye(an_axes(), bare).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["path, from first to last step", "start", "end"]


def test_a_path_that_leaves_the_view_is_marked_at_the_edge_with_the_distance_it_reached() -> None:
    episode = an_episode(steps=900)  # ends at x = 17
    ax = plots.plot_birdseye(an_axes(), episode)
    assert ax.get_xlim()[1] < 3
    label = next(artist for artist in named(ax, "way out") if isinstance(artist, Text))
    assert label.get_text() == "out to 17 m"
    whole = plots.plot_birdseye(an_axes(), episode, view="all")
    assert whole.get_xlim()[1] > 17
    assert not named(whole, "way out")


def test_way_out_finds_the_crossing_of_the_furthest_excursion() -> None:
    limits = (-1.0, -1.0, 1.0, 1.0)
    there_and_back = np.array([[0, 0], [0, 2], [0, 0], [0, 0], [4, 0], [0, 0]], float)
    out = way_out(there_and_back, limits, np.zeros(2))
    assert out is not None
    np.testing.assert_allclose(out.at, (1, 0))
    np.testing.assert_allclose(out.direction, (1, 0))
    assert out.distance == 4
    assert out.came_back
    assert way_out(np.zeros((5, 2)), limits, np.zeros(2)) is None


def test_episodes_without_positions_or_with_broken_ones_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="no agent positions") as caught:
        plots.plot_birdseye(an_axes(), replace(an_episode(), positions=None))
    assert "\n" not in str(caught.value)
    positions = np.zeros((61, 2), np.float32)
    positions[7] = np.nan
    with pytest.raises(UserError, match="not finite at step 7"):
        plots.plot_birdseye(an_axes(), replace(an_episode(), positions=positions))


def test_numbers_of_goals_in_one_place_are_parted_but_stay_in_their_discs() -> None:
    points = np.array([[0.0, 0.0], [0.0, 0.0], [0.05, 0.0], [2.0, 2.0]])
    moved = scene._apart(points, 0.2, furthest=0.22)
    gaps = np.linalg.norm(moved[:, None] - moved[None], axis=-1)[~np.eye(4, dtype=bool)]
    assert gaps.min() > 0.1
    assert np.linalg.norm(moved - points, axis=1).max() <= 0.22 + 1e-9
    np.testing.assert_array_equal(moved[3], points[3])


def test_panels_share_one_view_and_say_goals_and_cost() -> None:
    episode = an_episode()
    grid = [
        [panels.Panel(title="mode 0", episode=episode), panels.Panel(title="mode 1", episode=an_episode(steps=900))],
        [panels.Panel(title="goal_seeking", episode=episode, caption="mine", color="#123456")],
    ]
    figure = plots.plot_panels(grid, row_labels=["modes", "experts"], view="all")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["mode 0", "mode 1", "goal_seeking"]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}) == 1
    assert [ax.get_xlabel() for ax in figure.axes] == ["2 goals · cost 60", "2 goals · cost 900", "mine"]
    assert len(figure.legends) == 1
    assert not any(ax.get_legend() for ax in figure.axes)


def test_panels_do_not_overlap_and_the_legend_stays_in_the_figure() -> None:
    for n in (1, 2, 5):
        figure = plots.plot_panels({f"mode {i}": an_episode(seed=i) for i in range(n)}, title="A title")
        plots.figure_to_array(figure, dpi=50)
        boxes = [box for ax in figure.axes if (box := ax.get_tightbbox()) is not None]
        assert len(boxes) == n
        legend = figure.legends[0].get_window_extent()
        assert legend.x0 >= 0
        assert legend.x1 <= figure.bbox.x1
        for i, box in enumerate(boxes):
            assert not box.overlaps(legend)
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_panels_accept_rows_by_name_and_refuse_nothing() -> None:
    figure = plots.plot_panels({"modes": {"mode 0": an_episode()}, "experts": {"a": an_episode(), "b": an_episode()}})
    assert {"modes", "experts"} <= {text.get_text() for text in figure.texts}
    with pytest.raises(UserError, match="no episodes to draw"):
        plots.plot_panels({})


def test_the_arena_view_grows_for_a_path_that_then_fits_but_not_for_one_that_leaves() -> None:
    inside, near, far = an_episode(steps=10), an_episode(steps=155), an_episode(steps=900)  # to -0.8, 2.1 and 17
    view = scene.limits_of("arena", [inside])
    np.testing.assert_allclose(view, np.array([-1, -1, 1, 1]) * 1.5 * (1 + 2 * scene.ARENA_MARGIN))
    assert 2.1 < scene.limits_of("arena", [inside, near])[2] < 2.3
    assert scene.limits_of("arena", [inside, far]) == view


def test_a_long_caption_is_wrapped_above_the_next_row() -> None:
    words = "drives straight ahead and turns a little at the end of it all"
    rows = [
        [panels.Panel(title="mode 0", episode=an_episode(), caption=words)],
        [panels.Panel(title="e", episode=an_episode())],
    ]
    figure = plots.plot_panels(rows, panel_size=2)
    plots.figure_to_array(figure)
    first, second = (ax.get_tightbbox() for ax in figure.axes)
    assert figure.axes[0].get_xlabel().replace("\n", " ") == words
    assert first is not None
    assert second is not None
    assert first.y0 >= second.y1


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
    assert " not known" in [text.get_text() for text in figure.axes[1].texts]


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


def test_shares_and_distances_write_their_numbers() -> None:
    shares = plots.plot_mode_shares(an_axes(), [0.75, 0.25, 0.0], descriptions=["turns", "rests", ""])
    assert [text.get_text() for text in shares.texts] == ["75%  turns", "25%  rests", "pruned"]
    distances = plots.plot_code_distances(an_axes(), np.array([[0, 1.5], [1.5, 0]]))
    assert [text.get_text() for text in distances.texts] == ["0", "1.5", "1.5", "0"]


def test_curves_with_one_name_share_axes_and_values_that_are_not_finite_are_left_out() -> None:
    steps = np.arange(10)
    figure = plots.plot_curves(
        {
            "train/action_nll": (steps, np.where(steps == 3, np.nan, 1.0)),
            "held_out/action_nll": (steps, steps),
            "loss": (steps, steps),
        },
        marks={"refinement": 5},
    )
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["action nll", "loss"]
    lines = [line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    assert [(line.get_label(), len(np.asarray(line.get_xdata()))) for line in lines] == [("train", 9), ("held out", 10)]
    with pytest.raises(UserError, match="no curves"):
        plots.plot_curves({})
    with pytest.raises(UserError, match="smoothing is 1"):
        plots.plot_curves({"loss": (steps, steps)}, smoothing=1)


def test_running_mean_of_a_constant_is_that_constant() -> None:
    np.testing.assert_allclose(curves.running_mean(np.full(20, 3.0), 0.9), 3.0)


def test_learning_order_names_every_expert_at_its_line_without_touching() -> None:
    fits = {"goal_seeking": [0, 0.5, 1.0], "forward_moving": [0, 0.9, 1.0], "circling": [0, 0.8, 1.0]}
    ax = plots.plot_learning_order(an_axes(), [0, 1, 2], fits)
    labels = [text for text in ax.texts if text.get_text()]
    assert {text.get_text() for text in labels} == set(fits)
    assert np.diff(sorted(text.xy[1] for text in labels)).min() > 0.05  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_an_animation_has_a_picture_for_every_so_many_steps(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"modes.{ending}"
    episodes = {"mode 0": an_episode(steps=60), "mode 1": an_episode(steps=40, speed=0.2)}
    plots.animate_birdseye(episodes, path, every=10, fps=10, panel_pixels=81, hold=0.2, time_step=0.02)
    expected = 60 // 10 + 1
    if ending == "gif":
        from PIL import Image

        with Image.open(path) as image:
            assert getattr(image, "n_frames", 0) == expected
            assert image.info["loop"] == 0
    else:
        from imageio_ffmpeg import count_frames_and_secs

        assert count_frames_and_secs(str(path))[0] == expected + 2  # the last one stands for 0.2 s
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_animation_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.gif or \.mp4"):
        plots.animate_birdseye({"a": an_episode()}, tmp_path / "a.avi")
    with pytest.raises(UserError, match="no episodes"):
        plots.animate_birdseye({}, tmp_path / "a.gif")
    with pytest.raises(UserError, match="no agent positions"):
        plots.animate_birdseye({"a": replace(an_episode(), positions=None)}, tmp_path / "a.gif")
    with pytest.raises(UserError, match="at least 1"):
        plots.animate_birdseye({"a": an_episode()}, tmp_path / "a.gif", every=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_saved_pictures_are_whole_and_nothing_else_is_left(tmp_path: Path, ending: str) -> None:
    figure = plots.new_figure(3, 3)
    plots.plot_birdseye(figure.subplots(), an_episode(), show_legend=False)
    path = plots.save_figure(figure, tmp_path / "new" / f"a.{ending}")
    assert path.stat().st_size > 1000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a.png", "b.png"):
        figure = plots.plot_panels({"mode 0": an_episode()})
        files.append(plots.save_figure(figure, tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_a_picture_format_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end the name in \.png"):
        plots.save_figure(Figure(), tmp_path / "a.docx")


def test_every_expert_of_a_picture_has_its_own_colour_and_keeps_it() -> None:
    names = ["mine", "goal_seeking", "yours", "circling"]
    colors = [plots.expert_color(name, names) for name in names]
    assert len(set(colors)) == 4
    assert plots.expert_color("goal_seeking") == colors[1]
    assert len({plots.mode_color(mode) for mode in range(12)}) == 12


def test_no_pyplot_and_no_settings_are_touched(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.save_figure(plots.plot_panels({"mode 0": an_episode()}), tmp_path / "a.png")
    plots.animate_birdseye({"mode 0": an_episode(steps=4)}, tmp_path / "a.gif", panel_pixels=60)
    assert dict(mpl.rcParams) == before
    names = ["birdseye", "panels", "overview", "report", "curves", "animation", "style"]
    code = "import sys\n" + "".join(f"import mode_imitation.plots.{name}\n" for name in names)
    code += "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    code += "from mode_imitation.plots import plot_birdseye"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_alone_does_not_import_matplotlib() -> None:
    code = "import sys, mode_imitation.plots; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(hasattr(plots, name) for name in plots.__all__)


@pytest.mark.parametrize(
    "change",
    [
        {"positions": np.zeros((61, 2), np.float32)},
        {"positions": np.full((61, 2), 40.0, np.float32)},
        {"scene": None, "positions": np.zeros((61, 2), np.float32)},
        {"scene": Scene(goals=np.zeros((0, 2)), goal_steps=np.zeros(0, int))},
        {"disturbed": np.ones(60, bool)},
        {"goals_met": None, "costs": None},
    ],
    ids=["still", "far outside", "no scene", "empty scene", "all disturbed", "no figures"],
)
def test_unusual_episodes_are_drawn_all_the_same(change: dict[str, Any], tmp_path: Path) -> None:
    episode = replace(an_episode(), **change)
    for view in ("arena", "all"):
        plots.figure_to_array(plots.plot_panels({"one": episode, "two": an_episode()}, view=view), dpi=40)
    plots.plot_overview(ADataset("odd", [episode]))
    plots.animate_birdseye({"one": episode}, tmp_path / "a.gif", every=30, panel_pixels=60)


def test_an_episode_of_one_step_is_drawn(tmp_path: Path) -> None:
    episode = an_episode(steps=1, n_goals=1)
    plots.figure_to_array(plots.plot_panels({"one": episode}), dpi=40)
    plots.animate_birdseye({"one": episode}, tmp_path / "a.gif", panel_pixels=60)
