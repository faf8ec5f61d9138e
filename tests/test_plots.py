"""Bird's-eye pictures show what the data says: true sizes, goals in order, nothing invented."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text

from mode_imitation import plots
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import panels, scene, style
from mode_imitation.plots.birdseye import way_out
from mode_imitation.plots.states import placed, running_mean
from tests.drawn_episodes import an_axes, an_episode, assert_within, named, text_boxes


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


def test_the_older_part_of_a_path_is_thinner_and_a_long_path_is_thinner_everywhere() -> None:
    [path] = named(plots.plot_birdseye(an_axes(), an_episode(), linewidth=2.0), "path")
    widths = path.get_linewidths()
    assert (np.diff(widths) > 0).all()
    assert widths[-1] == pytest.approx(2.0, rel=0.02)
    back_and_forth = np.column_stack([np.resize([-1.0, 1.0], 1001), np.zeros(1001)])
    long = replace(an_episode(steps=1000), positions=back_and_forth)
    [path] = named(plots.plot_birdseye(an_axes(), long, linewidth=2.0), "path")
    assert max(path.get_linewidths()) < 0.5
    drawn = path.get_segments()
    assert len(drawn) < 200  # pieces of one colour each, through every position
    np.testing.assert_allclose(np.concatenate([drawn[0], *(piece[1:] for piece in drawn[1:])]), back_and_forth)


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
    [dotted] = named(ax, "disturbed")
    assert [len(run) for run in dotted.get_segments()] == [11, 11]


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
    assert_within(figure, text_boxes(figure))
    assert "hazard" in [text.get_text() for text in legend.get_texts()]
    bare = replace(an_episode(), scene=None, goals_met=None, headings=None)
    legend = plots.plot_birdseye(an_axes(), bare).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["path, from first to last step", "start", "end"]


def test_a_path_that_leaves_the_view_is_marked_at_the_edge_and_the_caption_says_how_far_it_went() -> None:
    episode = an_episode(steps=900)  # ends at x = 17
    ax = plots.plot_birdseye(an_axes(), episode)
    assert ax.get_xlim()[1] < 3
    assert len(named(ax, "way out")) == 1
    assert ax.get_xlabel() == "out to 17 m"
    whole = plots.plot_birdseye(an_axes(), episode, view="all")
    assert whole.get_xlim()[1] > 17
    assert not named(whole, "way out")


def test_the_arrow_at_the_edge_stands_where_the_path_left_for_its_furthest_point() -> None:
    limits = (-1.0, -1.0, 1.0, 1.0)
    there_and_back = np.array([[0, 0], [0, 2], [0, 0], [0, 0], [4, 0], [0, 0]], float)
    episode = replace(an_episode(steps=5, n_goals=1), positions=there_and_back)
    assert way_out(episode, limits) == "out to 4.0 m and back"
    [arrow] = named(plots.plot_birdseye(an_axes(), episode, view=limits), "way out")
    np.testing.assert_allclose(arrow._posA_posB, [(0.88, 0), (1, 0)])
    assert way_out(replace(episode, positions=np.zeros((6, 2))), limits) == ""
    assert way_out(replace(episode, positions=there_and_back + 3), limits) == ""  # it began outside


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


@pytest.mark.parametrize("n", [1, 2, 5])
def test_panels_do_not_overlap_and_titles_and_legend_stay_in_the_figure(n: int) -> None:
    titles = [f"mode {i}: circles to the left with a radius of 0.6 m; 1.3 times the speed of mode 0" for i in range(n)]
    figure = plots.plot_panels({title: an_episode(seed=i) for i, title in enumerate(titles)}, title="A title " * 9)
    plots.figure_to_array(figure, dpi=50)
    boxes = [box for ax in figure.axes if (box := ax.get_tightbbox()) is not None]
    assert len(boxes) == n
    boxes += [figure.legends[0].get_window_extent(), figure.texts[0].get_window_extent()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    assert_within(figure, boxes)


def test_panels_in_one_list_fill_rows_and_nothing_is_refused() -> None:
    single = [panels.Panel(title=str(i), episode=an_episode()) for i in range(3)]
    figure = plots.plot_panels(single, columns=2, row_labels=["modes", "experts"])
    assert len({ax.get_position().y0 for ax in figure.axes}) == 2
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


def test_a_running_mean_is_that_of_the_rows_before() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    slow = [values[max(0, row - 6) : row + 1].mean(axis=0) for row in range(30)]
    np.testing.assert_allclose(running_mean(values, 7), slow)


def test_what_swings_from_step_to_step_is_no_direction_of_the_states_where_something_lasts() -> None:
    """A place that the episodes hold, and a wider swing about nothing: paths are drawn along the place."""
    swing = np.where(np.arange(200) % 2, 1.0, -1.0)
    held = [np.stack([np.full(200, place), swing], axis=1) for place in (-0.5, 0.5)]
    episodes = [Episode(observations=states, actions=np.zeros((199, 1))) for states in held]
    drawn, by_states = placed(episodes)
    assert by_states
    first, second = (episode.positions for episode in drawn)
    assert first is not None
    assert second is not None
    assert abs(first[50:, 0].mean() - second[50:, 0].mean()) > 5 * (first[50:, 0].std() + second[50:, 0].std())
