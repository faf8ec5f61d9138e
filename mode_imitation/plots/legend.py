"""One legend for bird's-eye plots: a gradient for the path, discs for what is round."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.legend_handler import HandlerLineCollection, HandlerPatch
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from mode_imitation.data.episodes import Episode
from mode_imitation.plots import style as look
from mode_imitation.plots.scene import n_goals_reached


def add_legend(ax: Axes, episodes: Sequence[Episode], *, modes: np.ndarray | None = None) -> None:
    """One legend under the axes, of what the episodes hold."""
    handles = legend_handles(episodes, modes=modes)
    legend = ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=min(len(handles), 3),
        columnspacing=1.4,
        handletextpad=0.6,
        handler_map=LEGEND_HANDLERS,
    )
    legend.set_in_layout(True)


def legend_handles(episodes: Sequence[Episode], *, modes: np.ndarray | None = None) -> list[Any]:
    """What a legend must explain, and no more."""
    scenes = [episode.scene for episode in episodes if episode.scene is not None]
    handles: list[Any] = []
    if modes is None:
        handles.append(
            LineCollection(
                [np.zeros((2, 2))], array=[0.0], cmap=look.TIME_COLORS, lw=3, label="path, from first to last step"
            )
        )
    else:
        handles += [
            Line2D([], [], color=look.mode_color(m), lw=3, label=look.mode_name(m))
            for m in sorted(np.unique(modes), key=lambda m: (m < 0, m))
        ]
    handles.append(_dot("white", look.INK, "start and heading" if episodes[0].headings is not None else "start"))
    handles.append(_dot(look.INK, "white", "end"))
    if any(episode.disturbed is not None and np.any(episode.disturbed) for episode in episodes):
        handles.append(Line2D([], [], color=look.FAINT, lw=1.6, ls=":", label="disturbed (random action)"))
    if any(n_goals_reached(episode) and episode.scene is not None for episode in episodes):
        handles.append(_Disc(facecolor=(look.GOAL, 0.17), edgecolor=look.GOAL, lw=0.9, label="goal, in order reached"))
    if any(episode.scene is not None and n_goals_reached(episode) < len(episode.scene.goals) for episode in episodes):
        handles.append(_Disc(facecolor="none", edgecolor=look.GOAL, lw=1.2, ls=(0, (2, 1.4)), label="goal not reached"))
    if any(len(scene.hazards) for scene in scenes):
        handles.append(_Disc(facecolor=(look.HAZARD, 0.45), edgecolor=(look.HAZARD, 0.9), lw=0.9, label="hazard"))
    if any(len(scene.vases) for scene in scenes):
        handles.append(Line2D([], [], color=look.VASE, marker="s", ls="", ms=6.5, label="vase"))
    return handles


def legend_columns(handles: Sequence[Any], width: float) -> int:
    """The most columns with which a legend stays within `width` inches, by the length of its labels."""
    lengths = [0.58 + 0.073 * len(str(handle.get_label())) for handle in handles]
    for columns in range(len(handles), 1, -1):
        # Matplotlib fills a legend column by column, the first ones with what is over.
        if sum(max(part) for part in np.array_split(lengths, columns)) <= width:
            return columns
    return 1


class _Disc(Patch):
    """A patch that the legend shows as a circle."""

    def get_path(self):  # only its colours are used
        raise NotImplementedError


class _DiscHandler(HandlerPatch):
    def __init__(self) -> None:
        super().__init__(patch_func=self._circle)

    @staticmethod
    def _circle(*, width, height, xdescent, ydescent, **_) -> Circle:
        return Circle((width / 2 - xdescent, height / 2 - ydescent), 0.62 * height)


class _GradientHandler(HandlerLineCollection):
    """Shows a coloured path as a short line that runs through the colour map."""

    def create_artists(self, legend, orig_handle: Any, xdescent, ydescent, width, height, fontsize, trans):
        x = np.linspace(-xdescent, width - xdescent, 25)
        points = np.column_stack([x, np.full_like(x, height / 2 - ydescent)])
        segments = np.stack([points[:-1], points[1:]], axis=1)
        line = LineCollection(list(segments), array=np.arange(24), cmap=orig_handle.get_cmap(), transform=trans)
        line.set_linewidth(orig_handle.get_linewidth())
        return [line]


LEGEND_HANDLERS: dict[Any, Any] = {_Disc: _DiscHandler(), LineCollection: _GradientHandler()}


def _dot(fill: str, edge: str, label: str) -> Line2D:
    return Line2D([], [], marker="o", ls="", ms=6.5, mfc=fill, mec=edge, mew=1.4, label=label)
