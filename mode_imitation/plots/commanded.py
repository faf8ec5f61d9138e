"""All commanded behaviours in one picture, each in its colour, over the scene that they share."""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mode_imitation.data.episodes import Episode
from mode_imitation.plots import style as look
from mode_imitation.plots.layout import LEGEND
from mode_imitation.plots.scene import (
    draw_goals,
    draw_scale,
    draw_scene,
    limits_of,
    positions_of,
    prepare_axes,
    square_about,
)

LIGHTNESSES = (0.36, 0.52, 0.66)
"""In turns, so that neighbouring hues differ in lightness too."""
MARGIN = 0.09
"""Of the arena's longer side: none of the paths is to be looked for outside."""


def many_colors(n: int) -> list[str]:
    """`n` colours, around the circle of hues."""
    shades = [colorsys.hls_to_rgb(i / n, LIGHTNESSES[i % 3], 0.75) for i in range(n)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in shade) for shade in shades]


def plot_commanded(
    ax: Axes,
    drives: Mapping[str, Sequence[Episode]],
    *,
    title: str | None = None,
    apart: float = 0.0,
    legend_columns: int = 6,
) -> Axes:
    """Draw the paths of each behaviour in a colour of its own, with a legend of their names below.

    Args:
        ax: where to draw; its limits and aspect are set.
        drives: name: its episodes, with positions; one scene for all is drawn, the first's.
        title: over the axes.
        apart: metres by which paths are moved aside at most, where several take the same cells of a grid.
        legend_columns: of the names.

    Returns:
        `ax`.

    Raises:
        UserError: an episode has no positions.
    """
    episodes = [episode for shown in drives.values() for episode in shown]
    scene = episodes[0].scene
    around = "all" if scene is None else square_about(np.reshape(scene.arena, (2, 2)), MARGIN)
    limits = limits_of(around, episodes)
    shifts = apart * np.linspace(-1, 1, max(len(drives), 2))
    with look.style():
        prepare_axes(ax, limits, title=title)
        if scene is not None:
            draw_scene(ax, scene)
            draw_goals(ax, scene, 0)
        colors = dict(zip(drives, many_colors(len(drives)), strict=True))
        for shift, (name, shown) in zip(shifts, drives.items(), strict=False):
            for episode in shown:
                path = positions_of(episode) + shift
                ax.plot(*path.T, color=colors[name], lw=1.5, alpha=0.9, solid_capstyle="round", zorder=4, gid="path")
                ax.plot(*path[-1], marker="o", ms=3.5, mfc=colors[name], mec="white", mew=0.6, zorder=5, gid="end")
        draw_scale(ax, limits)
        handles = [Line2D([], [], color=color, lw=2.5, label=name) for name, color in colors.items()]
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=legend_columns, **LEGEND)
    return ax
