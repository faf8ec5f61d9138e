"""Pictures of what a mode is: maps, sensors, the latent space, blends. They show the numbers and all of them."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from mode_imitation import plots
from mode_imitation.errors import UserError
from mode_imitation.plots.mode_maps import BINS
from tests.drawn_episodes import assert_within, named, text_boxes

ARENA = (-1.5, -1.5, 1.5, 1.5)


def test_a_map_holds_the_share_of_time_in_every_cell_and_says_what_lies_beyond() -> None:
    rng = np.random.default_rng(0)
    paths = [rng.uniform(-1.2, 1.2, (50, 2)), np.concatenate([rng.uniform(-1, 1, (25, 2)), np.full((25, 2), 40.0)])]
    figure = plots.plot_mode_maps([plots.ModeMap(title="mode 3", paths=paths, color="#4477aa")], ARENA)
    (ax,) = figure.axes
    (mesh,) = [artist for artist in ax.collections if isinstance(artist, QuadMesh)]
    shares = np.ma.filled(np.ma.asarray(mesh.get_array()), 0.0).reshape(BINS, BINS)
    assert shares.sum() == pytest.approx(0.75)
    x, y = paths[0][0]
    low, high = ax.get_xlim()
    row, column = (int((value - low) / (high - low) * BINS) for value in (y, x))
    assert shares[row, column] >= 0.01
    assert ax.get_xlabel() == "2 episodes · 25% of the time outside"
    assert low < ARENA[0] < ARENA[2] < high


def test_maps_of_several_modes_share_their_shades_and_their_view() -> None:
    rng = np.random.default_rng(0)
    maps = [
        plots.ModeMap(title=f"mode {m}", paths=[rng.normal(0, 0.1 + m, (400, 2))], color=plots.mode_color(m))
        for m in range(5)
    ]
    figure = plots.plot_mode_maps(maps, None, title="Where")
    assert len(figure.axes) == 5
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    norms = {(ax.collections[0].norm.vmin, ax.collections[0].norm.vmax) for ax in figure.axes}
    assert len(norms) == 1
    with pytest.raises(UserError, match="no positions"):
        plots.plot_mode_maps([plots.ModeMap(title="mode 0", paths=[], color="#4477aa")], ARENA)


def test_where_modes_go_has_a_scale_of_its_shades_and_leaves_its_edges_free() -> None:
    rng = np.random.default_rng(0)
    maps = [
        plots.ModeMap(title=f"mode {m}: wanders; 1.3 times the speed of mode 0", paths=[rng.normal(0, 0.5, (400, 2))])
        for m in range(2)
    ]
    figure = plots.plot_mode_maps(maps, ARENA, title="Where each mode goes")
    shades = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(shades) > 2
    assert shades[-1].endswith("% of its time in a cell")
    assert_within(figure, text_boxes(figure))
    assert min(ax.get_window_extent().x0 for ax in figure.axes) > 5


def test_every_sensor_of_every_mode_has_a_bar_of_its_length() -> None:
    reactions = {0: {"gyro": 1.5, "lidar": 0.25}}
    reactions[2] = {"gyro": 0.0, "lidar": 3.0}
    figure = plots.plot_reactions(reactions, colors={0: "#4477aa", 2: "#228833"}, title="t")
    for ax, found in zip(figure.axes, reactions.values(), strict=True):
        widths = [bar.get_width() for bar in ax.patches]  # type: ignore[attr-defined]
        assert widths == list(found.values())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["gyro", "lidar"]
    with pytest.raises(UserError, match="no reactions"):
        plots.plot_reactions({}, colors={})


def test_the_latent_map_shows_modes_experts_codes_and_the_way_with_arrows() -> None:
    rng = np.random.default_rng(0)
    entries = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    codes = np.arange(90) % 2
    points = entries[codes] + rng.normal(0, 0.3, (90, 2))
    path = np.array([[0.0, 0.0], [4.0, 0.0], [0.5, 0.5], [3.5, 0.5]])
    figure = plots.plot_latent_map(
        points,
        codes,
        entries,
        alive=np.array([True, True, False]),
        labels=[("a", "b")[code] for code in codes],
        path=path,
        explained=np.array([0.7, 0.2]),
    )
    modes, experts, way = figure.axes
    for ax in figure.axes:
        assert [artist.get_xydata()[0].tolist() for artist in named(ax, "entry")] == entries[:2].tolist()
        assert len(named(ax, "pruned entry")) == 1
    shown = np.asarray(modes.collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(points, axis=0))
    legend = experts.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    arrows = named(way, "arrow")
    assert len(arrows) == 3
    assert "70% of the variance" in modes.get_xlabel()
    assert len(plots.plot_latent_map(points, codes, entries, alive=np.ones(3, bool)).axes) == 1


def test_every_code_in_use_is_on_the_latent_map_and_names_of_a_ways_ends_do_not_overlap() -> None:
    rng = np.random.default_rng(1)
    points, entries = rng.normal(size=(2000, 2)), np.array([[0.0, 0.0], [9.0, 9.0], [-30.0, 0.0]])
    loop = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    alive = np.array([True, True, False])
    figure = plots.plot_latent_map(points, np.zeros(2000, int), entries, alive=alive, path=loop, title="A map")
    boxes = text_boxes(figure)
    assert_within(figure, boxes)
    for ax in figure.axes:
        view = ax.get_window_extent()
        diamonds = ax.transData.transform(entries[:2])
        assert all(view.contains(x, y) for x, y in diamonds)
        assert max(named(ax, "entry"), key=lambda artist: artist.zorder).zorder > max(
            line.zorder for line in ax.collections
        )
    assert "1 pruned code beyond this view" in [text.get_text() for text in figure.axes[0].texts]
    start, end = (text for text in figure.axes[-1].texts if text.get_text() in ("start", "end"))
    assert not start.get_window_extent().overlaps(end.get_window_extent())


def test_a_blend_shows_every_figure_that_is_known_with_its_interval() -> None:
    rows = [{"mean": 5.0 - i, "low": 4.5 - i, "high": 5.5 - i, "n": 4} for i in range(3)]
    blend = {"modes": [0, 2], "weights": [0.0, 0.5, 1.0], "figures": {"goals": rows, "speed": None}}
    (ax,) = plots.plot_blend(blend, title="t").axes
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_xydata()), [[0, 5], [0.5, 4], [1, 3]])
    band = ax.collections[0].get_paths()[0].vertices
    assert {3.5, 5.5, 4.5} <= set(np.asarray(band)[:, 1].tolist())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["mode 0", "half", "mode 2"]
