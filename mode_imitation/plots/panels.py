"""Bird's-eye plots side by side on one identical layout: the modes above, the experts below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots.birdseye import plot_birdseye, way_out
from mode_imitation.plots.layout import Square, legend_handles, square_panels
from mode_imitation.plots.scene import Limits, View, limits_of, n_goals_reached
from mode_imitation.plots.states import name_axes, placed


@dataclass(frozen=True, kw_only=True)
class Panel(Square):
    """One picture of a row; its caption is goals and cost of the episode where None."""

    episode: Episode
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
    if isinstance(rows, Mapping):
        rows = [Panel(title=name, episode=episode) for name, episode in rows.items()]
    single = [row for row in rows if isinstance(row, Panel)]
    grid = [list(row) for row in rows if not isinstance(row, Panel)]
    grid += [single[first : first + columns] for first in range(0, len(single), columns)]
    labels = [*(row_labels or []), *[""] * len(grid)]
    grid, labels = [row for row in grid if row], [label for row, label in zip(grid, labels, strict=False) if row]
    if not grid:
        raise UserError("there are no episodes to draw; give at least one")
    episodes, of_states = placed([panel.episode for row in grid for panel in row])
    limits = limits_of(view, episodes)
    fill = iter(episodes)
    grid = [[_complete(panel, next(fill), limits, of_states) for panel in row] for row in grid]
    panels = [panel for row in grid for panel in row]
    figure, axes = square_panels(grid, panel_size, row_labels=labels, title=title, handles=_handles(panels))
    for ax, panel in zip((ax for row in axes for ax in row), panels, strict=True):
        scale = ax is axes[0][0] and not of_states
        looks = {"show_legend": False, "show_scale": scale, "linewidth": 1.9}
        plot_birdseye(ax, panel.episode, view=limits, modes=panel.modes, **looks)
    if of_states:
        name_axes(axes[0][0])
    return figure


def caption_of(episode: Episode) -> str:
    """Goals and cost of an episode, as far as it knows them: "11 goals · cost 54"; without goals, whether it succeeds;
    without cost either, return and length."""
    parts = []
    has_goals = episode.goals_met is not None or (episode.scene is not None and len(episode.scene.goals) > 0)
    if has_goals:
        goals = n_goals_reached(episode)
        parts.append(f"{goals} goal{'' if goals == 1 else 's'}")
    elif episode.successes is not None:
        parts.append("success" if np.any(episode.successes) else "no success")
    if episode.costs is not None:
        parts.append(f"cost {float(np.sum(episode.costs)):.0f}")
    elif not has_goals:
        if episode.rewards is not None:
            parts.append(f"return {float(np.sum(episode.rewards)):.4g}")
        parts.append(f"{len(episode)} steps")
    return " · ".join(parts)


def _complete(panel: Panel, episode: Episode, limits: Limits, of_states: bool) -> Panel:
    """With what is drawn as its positions, and a caption that ends in how far its path leaves the view."""
    caption = caption_of(panel.episode) if panel.caption is None else panel.caption
    parts = [caption, "" if of_states else way_out(episode, limits)]
    return replace(panel, episode=episode, caption=" · ".join(part for part in parts if part))


def _handles(panels: Sequence[Panel]) -> list:
    """Legend entries for all panels: the gradient for plain paths, a colour a mode for schedules."""
    episodes = [panel.episode for panel in panels]
    scheduled = [panel.modes for panel in panels if panel.modes is not None]
    if not scheduled:
        return legend_handles(episodes)
    handles = legend_handles(episodes, modes=np.unique(np.concatenate(scheduled)))
    return handles if len(scheduled) == len(panels) else legend_handles(episodes)[:1] + handles
