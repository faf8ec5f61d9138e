"""Episodes, datasets and axes that the tests of pictures share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from mode_imitation import plots
from mode_imitation.data.episodes import Episode, Scene


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


def assert_within(figure: Figure, boxes: Sequence[BboxBase]) -> None:
    """Nothing of a drawn figure is cut off; half a pixel is rounding."""
    for box in boxes:
        assert min(box.x0, box.y0) >= -0.5
        assert box.x1 <= figure.bbox.x1 + 0.5
        assert box.y1 <= figure.bbox.y1 + 0.5


def text_boxes(figure: Figure) -> list[BboxBase]:
    """Extents of all the texts of a figure, drawn first, that are not empty."""
    plots.figure_to_array(figure)
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = [(tick, sorted(axis.get_view_interval())) for axis in axes for tick in axis.get_major_ticks()]
    unseen = {tick.label1 for tick, (low, high) in ticks if not low <= tick.get_loc() <= high}
    texts: list[Any] = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text.get_window_extent() for text in texts if text.get_text().strip() and text not in unseen]


@dataclass
class ADataset:
    name: str
    episodes: list[Episode]
