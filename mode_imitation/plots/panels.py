"""Bird's-eye plots side by side on one identical layout: the modes above, the experts below."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.birdseye import plot_birdseye
from mode_imitation.plots.legend import LEGEND_HANDLERS, legend_columns, legend_handles
from mode_imitation.plots.scene import Limits, View, limits_of, n_goals_reached
from mode_imitation.plots.states import name_axes, placed


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of a row."""

    title: str
    episode: Episode
    caption: str | None = None
    """Below the picture, wrapped; goals and cost of the episode where None."""
    color: str | None = None
    """A strip over the picture, the colour that the mode or expert wears in the other figures."""
    modes: np.ndarray | None = None
    """(T,) int, the mode commanded in each step, for a schedule."""


Rows = Mapping[str, Episode] | Sequence[Panel] | Sequence[Sequence[Panel]]


def plot_panels(
    rows: Rows,
    *,
    row_labels: Sequence[str] | None = None,
    title: str | None = None,
    view: View = "arena",
    panel_size: float = 2.7,
    columns: int = 4,
) -> Figure:
    """Draw episodes in rows, all in one view and to one scale, with one legend for all.

    From above where all of them know their positions, else along the two widest directions of their states.

    Args:
        rows: panels in rows; or panels or {title: episode}, which fill rows of `columns`.
        row_labels: to the left of each row, "modes" and "experts" say.
        title: over the figure.
        view: of every panel; limits are found over all the episodes.
        panel_size: width of a panel in inches.
        columns: panels in a row, where `rows` does not say it.

    Raises:
        UserError: there is nothing to draw, or an episode has neither positions nor observations.
    """
    grid, labels = _as_rows(rows, row_labels, columns)
    panels = [panel for row in grid for panel in row]
    if not panels:
        raise UserError("there are no episodes to draw; give at least one")
    episodes, of_states = placed([panel.episode for panel in panels])
    panels = [replace(panel, episode=episode) for panel, episode in zip(panels, episodes, strict=True)]
    fill = iter(panels)
    grid = [[next(fill) for _ in row] for row in grid]
    limits = limits_of(view, episodes)
    n_columns = max(len(row) for row in grid)

    # Placed by hand, in inches: a layout engine cannot know that the panels are square.
    left = 0.34 if any(labels) else 0.12
    captions = [[_wrapped(panel, panel_size) for panel in row] for row in grid]
    n_lines = max(text.count("\n") + 1 for row in captions for text in row)
    gap, strip, caption = 0.14, 0.3, 0.11 + 0.16 * n_lines
    top = 0.42 if title else 0.06
    width = max(left + n_columns * (panel_size + gap), 3.8)
    handles = _shared_handles(panels)
    legend_width = legend_columns(handles, width - 0.1)
    legend = 0.2 + 0.2 * -(-len(handles) // legend_width)
    left += (width - left - n_columns * (panel_size + gap)) / 2
    height = top + len(grid) * (strip + panel_size + caption) + legend
    figure = look.new_figure(width, height, layout=None)
    with look.style():
        if title:
            figure.text(left / width, 1 - 0.26 / height, title, fontsize=12, fontweight="bold", va="center")
        for i, (row, label) in enumerate(zip(grid, labels, strict=True)):
            bottom = height - top - (i + 1) * (strip + panel_size + caption) + caption
            for j, panel in enumerate(row):
                x = left + j * (panel_size + gap)
                ax = figure.add_axes((x / width, bottom / height, panel_size / width, panel_size / height))
                _draw_panel(ax, panel, limits, captions[i][j], show_scale=i == 0 and j == 0 and not of_states)
                if of_states and i == 0 and j == 0:
                    name_axes(ax)
                if j == 0 and label:
                    y = (bottom + panel_size / 2) / height
                    figure.text((x - 0.16) / width, y, label, rotation=90, ha="center", va="center", color=look.FAINT)
        figure.legend(
            handles=handles,
            handler_map=LEGEND_HANDLERS,
            loc="lower center",
            ncols=legend_width,
            columnspacing=1.5,
            handletextpad=0.5,
            borderaxespad=0.3,
        )
    return figure


def caption_of(episode: Episode) -> str:
    """Goals and cost of an episode, as far as it knows them: "11 goals · cost 54"; else success, return and length."""
    parts = []
    if episode.goals_met is not None or episode.scene is not None:
        goals = n_goals_reached(episode)
        parts.append(f"{goals} goal{'' if goals == 1 else 's'}")
    if episode.costs is not None:
        parts.append(f"cost {float(np.sum(episode.costs)):.0f}")
    if not parts:
        if episode.successes is not None:
            parts.append("success" if np.any(episode.successes) else "no success")
        if episode.rewards is not None:
            parts.append(f"return {float(np.sum(episode.rewards)):.4g}")
        parts.append(f"{len(episode)} steps")
    return " · ".join(parts)


def _wrapped(panel: Panel, width: float) -> str:
    """The caption in lines that fit under a panel of `width` inches."""
    caption = caption_of(panel.episode) if panel.caption is None else panel.caption
    return "\n".join(textwrap.wrap(caption, max(int(width / 0.061), 8)))


def _draw_panel(ax: Axes, panel: Panel, limits: Limits, caption: str, *, show_scale: bool) -> None:
    plot_birdseye(
        ax,
        panel.episode,
        title=panel.title,
        view=limits,
        modes=panel.modes,
        show_legend=False,
        show_scale=show_scale,
        linewidth=1.9,
    )
    if panel.color:
        ax.spines["top"].set(color=panel.color, linewidth=3)
    ax.set_xlabel(caption, fontsize=8.5, color=look.FAINT, labelpad=3, loc="left")


def _shared_handles(panels: Sequence[Panel]) -> list[Any]:
    """Legend entries for all panels: the gradient for plain paths, a colour a mode for schedules."""
    episodes = [panel.episode for panel in panels]
    scheduled = [panel.modes for panel in panels if panel.modes is not None]
    if not scheduled:
        return legend_handles(episodes)
    handles = legend_handles(episodes, modes=np.unique(np.concatenate(scheduled)))
    return handles if len(scheduled) == len(panels) else legend_handles(episodes)[:1] + handles


def _as_rows(rows: Rows, row_labels: Sequence[str] | None, columns: int) -> tuple[list[list[Panel]], list[str]]:
    """The panels in rows, empty ones left out, and a label a row."""
    if isinstance(rows, Mapping):
        rows = [Panel(title=name, episode=episode) for name, episode in rows.items()]
    single = [row for row in rows if isinstance(row, Panel)]
    grid = [list(row) for row in rows if not isinstance(row, Panel)]
    grid += [single[first : first + columns] for first in range(0, len(single), columns)]
    labels = [*(row_labels or []), *[""] * len(grid)]
    kept = [(row, label) for row, label in zip(grid, labels, strict=False) if row]
    return [row for row, _ in kept], [label for _, label in kept]
