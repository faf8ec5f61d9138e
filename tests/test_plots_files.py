"""Pictures and animations on disk are whole; drawing leaves nothing open, and takes unusual episodes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mode_imitation import plots
from mode_imitation.data.episodes import Scene
from mode_imitation.errors import UserError
from mode_imitation.plots.animation import EVERY
from tests.drawn_episodes import ADataset, an_episode


def test_an_animation_has_a_picture_for_every_so_many_steps(tmp_path: Path) -> None:
    path = tmp_path / "modes.gif"
    plots.animate_birdseye({"mode 0": an_episode(steps=60), "mode 1": an_episode(steps=40, speed=0.2)}, path)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 0) == 60 // EVERY + 1
        assert image.info["loop"] == 0
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_animation_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end the name in \.gif"):
        plots.animate_birdseye({"a": an_episode()}, tmp_path / "a.avi")
    with pytest.raises(UserError, match="no episodes"):
        plots.animate_birdseye({}, tmp_path / "a.gif")
    blind = replace(an_episode(), positions=None, observations=np.zeros((len(an_episode()) + 1, 0)))
    with pytest.raises(UserError, match="no agent positions"):
        plots.animate_birdseye({"a": blind}, tmp_path / "a.gif")
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
    plots.animate_birdseye({"mode 0": an_episode(steps=4)}, tmp_path / "a.gif")
    assert dict(mpl.rcParams) == before
    code = "import sys\nfrom mode_imitation.plots import plot_birdseye\n"
    code += "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    plots.animate_birdseye({"one": episode}, tmp_path / "a.gif")


def test_an_episode_of_one_step_is_drawn(tmp_path: Path) -> None:
    episode = an_episode(steps=1, n_goals=1)
    plots.figure_to_array(plots.plot_panels({"one": episode}), dpi=40)
    plots.animate_birdseye({"one": episode}, tmp_path / "a.gif")
