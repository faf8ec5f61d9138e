"""What a dataset holds, on one page: where its agents went, and how return, goals, cost, speed and actions spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.layout import columns_that_fit
from mode_imitation.plots.scene import Limits, beyond, draw_arena, draw_scale, map_limits, positions_of, prepare_axes

WIDTH = 11.0
"""Inches."""
UNLABELLED = "unlabelled"
MOST_PATHS = 60
"""Paths drawn for an expert; more only blacken the picture."""
MOST_ACTIONS = 6
"""Dimensions of the action that are drawn."""
MOST_STEPS = 20_000
"""Rows that a histogram is made of, evenly spread over the data."""


class Dataset(Protocol):
    """What the overview needs of a dataset; `mode_imitation.data.TrajectoryDataset` is one."""

    @property
    def name(self) -> str: ...
    @property
    def episodes(self) -> Sequence[Episode]: ...


@dataclass(frozen=True)
class _Group:
    """The episodes of one expert, or all that have no label."""

    label: str
    color: str
    episodes: list[Episode]

    @property
    def placed(self) -> list[Episode]:
        return [episode for episode in self.episodes if episode.positions is not None]


def plot_overview(dataset: Dataset, *, time_step: float | None = None) -> Figure:
    """Positions by expert, and the distributions of return, goals, cost, length, speed and action.

    What the data lacks is left out; a line under the title says what and why. The pictures of positions have one scale:
    they show the arena, and say how much of the time was spent beyond.

    Args:
        dataset: anything with a name and episodes.
        time_step: seconds per step, where the dataset's metadata do not hold it; speeds are then in m/s, else in
            metres per step.

    Raises:
        UserError: the dataset has no episodes.
    """
    episodes = list(dataset.episodes)
    if not episodes:
        raise UserError(f"dataset {dataset.name!r} has no episodes; there is nothing to draw")
    time_step = time_step or getattr(dataset, "metadata", {}).get("time_step")
    names = list(dict.fromkeys(episode.expert for episode in episodes))
    known = [name for name in names if name is not None]
    groups = [
        _Group(name or UNLABELLED, look.expert_color(name, known), [e for e in episodes if e.expert == name])
        for name in names
    ]
    with_positions = [group for group in groups if group.placed]
    histograms, missing = _histograms(groups, time_step)
    if not with_positions:
        missing.insert(0, "positions")
    map_columns = max(len(with_positions) if len(with_positions) <= 6 else -(-len(with_positions) // 2), 1)
    map_rows, histogram_rows = -(-len(with_positions) // map_columns), -(-len(histograms) // 4)
    row_height = 0.95 + 0.28 * max(len(groups), 3)
    heights = [0.72, max(map_rows * WIDTH / max(map_columns, 3), 0.01), histogram_rows * row_height]
    figure = look.new_figure(WIDTH, sum(heights), layout="constrained")
    with look.style():
        parts = figure.add_gridspec(3, 1, height_ratios=heights)
        summary = f"{len(episodes):,} episodes, {sum(map(len, episodes)):,} steps"
        summary += f" · not in this data: {', '.join(missing)}" if missing else ""
        _draw_heading(figure, dataset.name, summary, groups)
        if with_positions:
            paths = [positions_of(episode) for group in with_positions for episode in group.placed]
            arena = next((e.scene.arena for group in with_positions for e in group.placed if e.scene), None)
            limits = map_limits(np.concatenate(paths), arena)
            axes = _subplots(figure, parts[1], map_rows, map_columns, len(with_positions))
            for ax, group in zip(axes, with_positions, strict=True):
                _draw_positions(ax, group, limits, arena)
        for ax, draw in zip(_subplots(figure, parts[2], histogram_rows, 4, len(histograms)), histograms, strict=True):
            draw(ax)
    return figure


def _subplots(figure: Figure, part: Any, rows: int, columns: int, n: int) -> list[Axes]:
    """`n` axes in a part of the figure, the others of the grid blank."""
    axes = figure.add_subfigure(part).subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_axis_off()
    return list(axes[:n])


def _draw_heading(figure: Figure, name: str, summary: str, groups: list[_Group]) -> None:
    """Name, size, what is not there, and which colour is whose; in inches from the top."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.22 / height, name, fontsize=13, fontweight="bold", va="center")
    figure.text(0.012, 1 - 0.5 / height, summary, fontsize=9, color=look.FAINT, va="center")
    if len(groups) > 1 or groups[0].label != UNLABELLED:
        handles = [Patch(color=group.color, label=group.label) for group in groups]
        place = {"loc": "upper right", "bbox_to_anchor": (0.995, 1 - 0.06 / height)}
        legend = figure.legend(
            handles=handles, ncols=columns_that_fit(handles, 6.2), handlelength=1.1, columnspacing=1.3, **place
        )
        legend.set_in_layout(False)


def _histograms(groups: list[_Group], time_step: float | None) -> tuple[list[Callable[[Axes], None]], list[str]]:
    """What can be drawn, as functions of the axes, and the names of what cannot."""
    drawn: list[Callable[[Axes], None]] = []
    everything = [episode for group in groups for episode in group.episodes]
    missing = [] if any(episode.expert for episode in everything) else ["expert labels"]

    def add(title: str, unit: str, value: Callable[[Episode], np.ndarray | float | None]) -> None:
        """`value` gives a number or rows of an episode, or None for what it lacks."""
        found = [[value(episode) for episode in group.episodes] for group in groups]
        if any(part is None for parts in found for part in parts):
            missing.append(title)
            return
        rows = [np.concatenate([np.atleast_1d(np.asarray(part, np.float64)) for part in parts]) for parts in found]
        values = [part[:: -(-len(part) // MOST_STEPS)] for part in rows]
        drawn.append(lambda ax: _draw_rows(ax, groups, values, title, unit))

    def total(name: str) -> Callable[[Episode], float | None]:
        return lambda e: None if getattr(e, name) is None else float(np.sum(getattr(e, name)))

    def speeds(episode: Episode) -> np.ndarray | None:
        if episode.positions is None:
            return None
        return np.linalg.norm(np.diff(episode.positions, axis=0), axis=1) / (time_step or 1.0)

    add("return", "sum of rewards", total("rewards"))
    add("goals", "reached in an episode", total("goals_met"))
    add("cost", "sum over an episode", total("costs"))
    add("speed", "metres per step" if time_step is None else "m/s", speeds)
    n_actions = everything[0].actions.shape[1]
    for dim in range(min(n_actions, MOST_ACTIONS)):
        more = f", {n_actions - MOST_ACTIONS} more not shown" if dim + 1 == MOST_ACTIONS < n_actions else ""
        add(f"action {dim}", f"as executed{more}", lambda e, dim=dim: e.actions[:, dim])
    add("episode length", "steps", len)
    return drawn, missing


def _draw_positions(ax: Axes, group: _Group, limits: Limits, arena: Limits | None) -> None:
    paths = [positions_of(episode) for episode in group.placed]
    shown = paths[:: -(-len(paths) // MOST_PATHS)]
    prepare_axes(ax, limits, title=group.label)
    ax.spines["top"].set(color=group.color, linewidth=3)
    if arena is not None:
        draw_arena(ax, arena, ec=look.FAINT, ls=(0, (3, 2)))
    alpha = float(np.clip(6 / len(shown), 0.12, 0.7))
    ax.add_collection(LineCollection(shown, colors=group.color, lw=0.8, alpha=alpha), autolim=False)
    starts = np.array([path[0] for path in shown])
    ax.plot(*starts.T, ls="", marker=".", ms=2.5, color=look.INK, alpha=0.5)
    draw_scale(ax, limits)
    few = "" if len(shown) == len(paths) else f"{len(shown)} of "
    text = f"{few}{len(group.episodes):,} episodes{beyond(paths, limits)}"
    look.caption(ax, look.wrapped(text, WIDTH / 4.5, 8.5, bold=False))


def _draw_rows(ax: Axes, groups: list[_Group], values: list[np.ndarray], title: str, unit: str) -> None:
    """One histogram a group, each on its own line over common bins, with its mean at the right."""
    finite = [part[np.isfinite(part)] for part in values]
    bins = _bins(np.concatenate(finite))
    beside: dict[str, Any] = {"va": "bottom", "transform": ax.get_yaxis_transform()}
    for row, (group, part) in enumerate(zip(groups, finite, strict=True)):
        base = len(groups) - 1 - row
        ax.axhline(base, color=look.RULE, lw=0.6, zorder=0)
        if not len(part):
            continue
        counts = np.histogram(np.clip(part, bins[0], bins[-1]), bins)[0]
        heights = base + 0.82 * counts / counts.max()
        ax.stairs(heights, bins, baseline=base, fill=True, color=group.color, alpha=0.3)
        ax.stairs(heights, bins, baseline=base, color=group.color, lw=1.2)
        ax.text(1.02, base + 0.1, _mean_text(part, bins), fontsize=8, color=look.INK, **beside)
    ax.text(1.02, 1.02 * len(groups), "mean", fontsize=7, color=look.FAINT, **beside)
    ax.set_title(title, loc="left", fontsize=9.5)
    ax.set_xlabel(unit, fontsize=8, color=look.FAINT)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(0, len(groups))
    ax.ticklabel_format(useOffset=False)
    ax.xaxis.set_major_locator(look.ticks(5, integer=bool(np.all(bins == np.round(bins * 2) / 2))))


def _mean_text(values: np.ndarray, bins: np.ndarray) -> str:
    """With about three digits of the range that the axis spans."""
    digits = int(np.clip(2 - np.floor(np.log10(np.ptp(bins))), 1, 5))
    mean = round(float(values.mean()), digits)
    return f"{mean:.0f}" if np.ptp(values) == 0 and mean == round(mean) else f"{mean + 0.0:.{digits}f}"


def _bins(values: np.ndarray) -> np.ndarray:
    """Edges: one bin a whole number where there are few of them, else 40 bins; a few far values go into the last."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    whole = bool(np.all(values == np.round(values)))
    if low == high:
        step = 1.0 if whole else 0.05 * max(abs(low), 1e-6)
        return low + step * (np.arange(8) - 3.5)
    if whole and high - low <= 40:
        return np.arange(low - 0.5, high + 1)
    low, high = (float(edge) for edge in np.percentile(values, [0.1, 99.9])) if len(values) > 1000 else (low, high)
    return np.linspace(low, max(high, low + 1e-9), 41)
