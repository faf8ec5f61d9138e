"""The encoder's space on a plane: windows by mode and by expert, the codebook, and one episode's way through it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from mode_imitation.plots import style as look
from mode_imitation.plots.scene import HALO

ARROWS = 14
"""Along one episode's way."""
LONGEST = 60
"""Points of the way, at most; further ones are averaged, so that it can be followed."""


def plot_latent_map(
    points: np.ndarray,
    codes: np.ndarray,
    entries: np.ndarray,
    *,
    alive: np.ndarray,
    labels: Sequence[str] | None = None,
    label_colors: Mapping[str, str] | None = None,
    path: np.ndarray | None = None,
    path_title: str = "one episode's way",
    explained: np.ndarray | None = None,
    title: str | None = None,
) -> Figure:
    """Windows in the plane in which they spread most.

    Args:
        points: (W, 2) encoded windows.
        codes: (W,) int, the mode of each.
        entries: (K, 2) codebook entries.
        alive: (K,) bool; pruned entries are drawn as small crosses.
        labels: (W,) expert of each window; the picture beside is left out where None.
        label_colors: of each expert.
        path: (P, 2) windows of one episode in the order of time.
        path_title: over its picture.
        explained: (2,) share of the variance along each axis.
        title: over the figure.
    """
    n_panels = 1 + (labels is not None) + (path is not None)
    figure = look.new_figure(3.6 * n_panels + 0.2, 3.9 + (0.3 if title else 0), title=title)
    with look.style():
        axes = list(figure.subplots(1, n_panels, squeeze=False, sharex=True, sharey=True)[0])
        limits = _limits(np.concatenate([points, entries[alive]]))
        for index, ax in enumerate(axes):
            _frame(ax, limits, explained, first=index == 0)
        _scatter(axes[0], points, codes, {int(c): (look.mode_color(int(c)), f"mode {c}") for c in np.unique(codes)})
        axes[0].set_title("windows by mode", loc="left")
        if labels is not None:
            names = np.asarray(labels)
            known = {
                name: ((label_colors or {}).get(name) or look.expert_color(name, sorted(set(labels))), name)
                for name in dict.fromkeys(labels)
            }
            _scatter(axes[1], points, names, known)
            axes[1].set_title("the same windows by expert", loc="left")
        if path is not None:
            ax = axes[-1]
            ax.scatter(*points.T, s=4, color=look.lighter(look.FAINT, 0.72), lw=0, rasterized=True)
            _draw_path(ax, path)
            ax.set_title(path_title, loc="left")
        for ax in axes:
            _draw_entries(ax, entries, alive)
    return figure


def _frame(ax: Axes, limits: tuple[float, float, float, float], explained: np.ndarray | None, *, first: bool) -> None:
    look.dress(ax)
    ax.set_xlim(limits[0], limits[2])
    ax.set_ylim(limits[1], limits[3])
    ax.set_xticks([])
    ax.set_yticks([])
    shares = ["", ""] if explained is None else [f" ({share:.0%} of the variance)" for share in explained]
    ax.set_xlabel(f"first axis{shares[0]}", fontsize=8, color=look.FAINT)
    if first:
        ax.set_ylabel(f"second axis{shares[1]}", fontsize=8, color=look.FAINT)


def _scatter(ax: Axes, points: np.ndarray, groups: np.ndarray, known: Mapping) -> None:
    """Points of all groups in one shuffled order, so that none hides another."""
    colors = np.array([known[group][0] for group in groups.tolist()])
    order = np.random.default_rng(0).permutation(len(points))
    ax.scatter(*points[order].T, s=6, c=colors[order], alpha=0.55, lw=0, rasterized=True)
    handles = [Line2D([], [], ls="", marker="o", ms=5, color=color, label=name) for color, name in known.values()]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.08),
        ncols=min(len(handles), 2 if max(len(str(handle.get_label())) for handle in handles) > 10 else 4),
        handletextpad=0.2,
        columnspacing=1.0,
    )


def _draw_entries(ax: Axes, entries: np.ndarray, alive: np.ndarray) -> None:
    for index, (x, y) in enumerate(entries):
        if not alive[index]:
            ax.plot(x, y, marker="x", ms=5, color=look.FAINT, mew=1.0, zorder=7, gid="pruned entry")
            continue
        ax.plot(x, y, marker="D", ms=11, mfc=look.mode_color(index), mec="white", mew=1.4, zorder=8, gid="entry")
        ink = look.ink_on(look.mode_color(index))
        ax.annotate(str(index), (x, y), ha="center", va="center", fontsize=7.5, fontweight="bold", color=ink, zorder=9)


def _draw_path(ax: Axes, path: np.ndarray) -> None:
    step = -(-len(path) // LONGEST)
    path = np.stack([path[first : first + step].mean(axis=0) for first in range(0, len(path), step)])
    norm = Normalize(0, max(len(path) - 1, 1))
    line = LineCollection(
        list(np.stack([path[:-1], path[1:]], axis=1)), array=np.arange(len(path) - 1), cmap=look.TIME_COLORS, norm=norm
    )
    line.set(linewidth=1.3, zorder=4, alpha=0.9, gid="path")
    ax.add_collection(line, autolim=False)
    gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    # On the longest stretches, where there is room for a head.
    for index in np.argsort(-gaps)[:ARROWS]:
        if gaps[index] < 0.03 * np.ptp(ax.get_xlim()):
            break
        (x0, y0), (x1, y1) = path[index], path[index] + 0.6 * (path[index + 1] - path[index])
        arrow = FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            arrowstyle="-|>",
            mutation_scale=13,
            shrinkA=0,
            shrinkB=0,
            lw=0,
            color=look.TIME_COLORS(norm(index)),
            zorder=5,
            gid="arrow",
        )
        ax.add_patch(arrow)
    for index, name in ((0, "start"), (len(path) - 1, "end")):
        ax.plot(*path[index], marker="o", ms=5, mfc="white" if name == "start" else look.INK, mec=look.INK, zorder=6)
        ax.annotate(
            name,
            path[index],
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=8,
            color=look.INK,
            path_effects=HALO,
            zorder=10,
        )


def _limits(points: np.ndarray) -> tuple[float, float, float, float]:
    """All but the outermost thousandth of the points, and a margin."""
    low, high = np.percentile(points, [0.1, 99.9], axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-6)
    return (*(low - margin).tolist(), *(high + margin).tolist())
