"""Square panels in rows with one legend for all, and what the legend of bird's-eye plots says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import CircleCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerLineCollection
from matplotlib.lines import Line2D

from mode_imitation.data.episodes import Episode
from mode_imitation.plots import style as look
from mode_imitation.plots.scene import n_goals_reached

GAP = 0.14
"""Inches between panels."""


@dataclass(frozen=True, kw_only=True)
class Square:
    """What stands about a panel."""

    title: str
    caption: str | None = None
    """Below the panel, in as many lines as it takes."""
    color: str | None = None
    """A strip over the panel, the colour that the mode or expert wears in the other figures."""


def square_panels(
    rows: Sequence[Sequence[Square]],
    size: float,
    *,
    row_labels: Sequence[str] = (),
    title: str | None = None,
    handles: Sequence[Any] = (),
    foot: float = 0.02,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of square axes, `size` inches each, with titles and captions about them and one legend below, or else
    `foot` inches.

    Placed by hand, in inches, so that nothing overlaps or is cut off: a layout engine does not know that the panels
    are square, nor wraps a text.
    """
    columns = max(map(len, rows))
    left = 0.34 if any(row_labels) else 0.12
    width = max(left + columns * (size + GAP), 3.8)
    left += (width - left - columns * (size + GAP)) / 2
    heading = look.wrapped(title, width - left - 0.1, 12) if title else ""
    titles = [[look.wrapped(panel.title, size, 10) for panel in row] for row in rows]
    captions = [[look.wrapped(panel.caption or "", size, 8.5, bold=False) for panel in row] for row in rows]
    heads = [0.31 + 0.17 * max(text.count("\n") for text in row) for row in titles]
    feet = [0.26 + 0.15 * max(text.count("\n") for text in row) for row in captions]
    top = 0.36 + 0.2 * heading.count("\n") if heading else 0.06
    legend_columns = columns_that_fit(handles, width - 0.1)
    legend = 0.2 + 0.2 * -(-len(handles) // legend_columns) if handles else foot
    height = top + sum(heads) + sum(feet) + len(rows) * size + legend
    figure = look.new_figure(width, height, layout=None)
    grid: list[list[Axes]] = []
    with look.style():
        figure.text(left / width, 1 - 0.1 / height, heading, fontsize=12, fontweight="bold", va="top")
        bottom = height - top
        for i, row in enumerate(rows):
            bottom -= heads[i] + size
            grid.append([])
            for j, panel in enumerate(row):
                x = left + j * (size + GAP)
                ax = figure.add_axes((x / width, bottom / height, size / width, size / height))
                ax.set_title(titles[i][j], loc="left", pad=5)
                look.caption(ax, captions[i][j])
                ax.spines["top"].set(color=panel.color or look.RULE, linewidth=3 if panel.color else 0.8, visible=True)
                grid[-1].append(ax)
            if i < len(row_labels) and row_labels[i]:
                place = (left - 0.16) / width, (bottom + size / 2) / height
                figure.text(*place, row_labels[i], rotation=90, ha="center", va="center", color=look.FAINT)
            bottom -= feet[i]
        if handles:
            figure.legend(handles=list(handles), loc="lower center", ncols=legend_columns, **LEGEND)
    return figure, grid


def columns_that_fit(handles: Sequence[Any], width: float) -> int:
    """The most columns with which a legend stays within `width` inches, by the length of its labels."""
    lengths = [0.5 + look.text_width(str(handle.get_label()), 8.5) for handle in handles]
    for columns in range(len(handles), 1, -1):
        # Matplotlib fills a legend column by column, the first ones with what is over.
        if sum(max(part) for part in np.array_split(lengths, columns)) <= width:
            return columns
    return 1


def legend_handles(episodes: Sequence[Episode], *, modes: np.ndarray | None = None) -> list[Any]:
    """What a legend of bird's-eye plots must explain, and no more."""
    scenes = [(episode.scene, n_goals_reached(episode)) for episode in episodes if episode.scene is not None]
    if modes is None:
        path: Any = {"cmap": look.TIME_COLORS, "label": "path, from first to last step"}
        handles: list[Any] = [LineCollection([np.zeros((2, 2))], array=[0.0], **path)]
    else:
        handles = [
            Line2D([], [], color=look.mode_color(mode), lw=3, label=look.mode_name(mode))
            for mode in sorted(np.unique(modes), key=lambda mode: (mode < 0, mode))
        ]
    start = "start and heading" if episodes[0].headings is not None else "start"
    for fill, edge, label in (("white", look.INK, start), (look.INK, "white", "end")):
        handles.append(Line2D([], [], marker="o", ls="", ms=6.5, mfc=fill, mec=edge, mew=1.4, label=label))
    if any(episode.disturbed is not None and np.any(episode.disturbed) for episode in episodes):
        handles.append(Line2D([], [], color=look.FAINT, lw=1.6, ls=":", label="disturbed (random action)"))
    if any(reached for _, reached in scenes):
        handles.append(_disc((look.GOAL, 0.17), look.GOAL, "goal, in order reached"))
    if any(reached < len(scene.goals) for scene, reached in scenes):
        handles.append(_disc("none", look.GOAL, "goal not reached", linestyle=[(0, (2, 1.4))]))
    if any(len(scene.hazards) for scene, _ in scenes):
        handles.append(_disc((look.HAZARD, 0.45), look.HAZARD, "hazard"))
    if any(len(scene.vases) for scene, _ in scenes):
        handles.append(Line2D([], [], color=look.VASE, marker="s", ls="", ms=6.5, label="vase"))
    if any(len(scene.lines) for scene, _ in scenes):
        handles.append(Line2D([], [], color=look.GOAL, lw=1.8, ls=(0, (5, 2)), label="line to cross"))
    return handles


def _disc(fill: Any, edge: str, label: str, **looks: Any) -> CircleCollection:
    return CircleCollection([65], facecolors=[fill], edgecolors=[edge], linewidths=[1.1], label=label, **looks)


class _GradientHandler(HandlerLineCollection):
    """Shows a coloured path as a short line that runs through the colour map and grows."""

    def create_artists(self, legend, orig_handle: Any, xdescent, ydescent, width, height, fontsize, trans):
        x = np.linspace(-xdescent, width - xdescent, 25)
        points = np.column_stack([x, np.full_like(x, height / 2 - ydescent)])
        segments = list(np.stack([points[:-1], points[1:]], axis=1))
        looks = {"linewidths": np.linspace(1.5, 3, 24), "capstyle": "round", "cmap": orig_handle.get_cmap()}
        return [LineCollection(segments, array=np.arange(24), transform=trans, **looks)]


LEGEND: Any = {"columnspacing": 1.5, "handletextpad": 0.5, "borderaxespad": 0.3}
LEGEND["handler_map"] = {LineCollection: _GradientHandler()}
"""How every legend of paths looks."""
