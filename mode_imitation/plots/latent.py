"""The encoder's space on a plane: windows by mode and by expert, the codebook, and one episode's way through it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
    # All but the outermost thousandth of the windows, every code in use, and a margin.
    shown = np.concatenate([np.percentile(points, [0.1, 99.9], axis=0), entries[alive]])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.1 * np.maximum(high - low, 1e-6)
    low, high = low - margin, high + margin
    outside = int(np.sum(np.any((entries < low) | (entries > high), axis=1)))
    modes = {int(code): (look.mode_color(int(code)), f"mode {code}") for code in np.unique(codes)}
    panels: list[tuple[str, np.ndarray, Mapping]] = [("windows by mode", codes, modes)]
    if labels is not None:
        names, known = list(dict.fromkeys(labels)), label_colors or {}
        experts = {name: (known.get(name) or look.expert_color(name, sorted(names)), name) for name in names}
        panels.append(("the same windows by expert", np.asarray(labels), experts))
    with look.style():
        n_panels = len(panels) + (path is not None)
        figure, axes = look.small_axes(n_panels, 3.6, 3.9, title=title, sharex=True, sharey=True)
        for ax, (name, groups, known) in zip(axes, panels, strict=False):
            _scatter(ax, points, groups, known)
            ax.set_title(name, loc="left")
        if path is not None:
            axes[-1].scatter(*points.T, s=4, color=look.lighter(look.FAINT, 0.72), lw=0, rasterized=True)
            _draw_way(axes[-1], path, high[0] - low[0])
            axes[-1].set_title(path_title, loc="left")
        shares = ["", ""] if explained is None else [f" ({share:.0%} of the variance)" for share in explained]
        for ax in axes:
            _draw_entries(ax, entries, alive)
            ax.set_xlabel(f"first axis{shares[0]}", fontsize=8, color=look.FAINT)
        axes[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        axes[0].set_ylabel(f"second axis{shares[1]}", fontsize=8, color=look.FAINT)
        if outside:
            note = f"{outside} pruned code{'s' * (outside > 1)} beyond this view"
            axes[0].text(0.99, 0.01, note, transform=axes[0].transAxes, ha="right", fontsize=7.5, color=look.FAINT)
    return figure


def _scatter(ax: Axes, points: np.ndarray, groups: np.ndarray, known: Mapping) -> None:
    """Points of all groups in one shuffled order, so that none hides another."""
    colors = np.array([known[group][0] for group in groups.tolist()])
    order = np.random.default_rng(0).permutation(len(points))
    ax.scatter(*points[order].T, s=6, c=colors[order], alpha=0.55, lw=0, rasterized=True)
    handles = [Line2D([], [], ls="", marker="o", ms=5, color=color, label=name) for color, name in known.values()]
    columns = 2 if max(len(str(handle.get_label())) for handle in handles) > 10 else 4
    spots = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": min(len(handles), columns)}
    ax.legend(handles=handles, handletextpad=0.2, columnspacing=1.0, **spots)


def _draw_entries(ax: Axes, entries: np.ndarray, alive: np.ndarray) -> None:
    """Over everything else: diamonds for the codes in use, crosses for pruned ones."""
    for index, place in enumerate(entries):
        if not alive[index]:
            ax.plot(*place, marker="x", ms=5, color=look.FAINT, mew=1.0, zorder=7, gid="pruned entry")
            continue
        color = look.mode_color(index)
        ax.plot(*place, marker="D", ms=11, mfc=color, mec="white", mew=1.4, zorder=11, gid="entry")
        looks = {"fontsize": 7.5, "fontweight": "bold", "color": look.ink_on(color), "zorder": 12}
        ax.annotate(str(index), place, ha="center", va="center", **looks)


def _draw_way(ax: Axes, path: np.ndarray, width: float) -> None:
    step = -(-len(path) // LONGEST)
    path = np.stack([path[first : first + step].mean(axis=0) for first in range(0, len(path), step)])
    norm = Normalize(0, max(len(path) - 1, 1))
    segments = list(np.stack([path[:-1], path[1:]], axis=1))
    line = LineCollection(segments, array=np.arange(len(segments)), cmap=look.TIME_COLORS, norm=norm)
    line.set(linewidth=1.3, zorder=4, alpha=0.9, gid="path")
    ax.add_collection(line, autolim=False)
    gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    for index in np.argsort(-gaps)[:ARROWS]:  # on the longest stretches, where there is room for a head
        if gaps[index] > 0.03 * width:
            head = path[index] + 0.6 * (path[index + 1] - path[index])
            look.draw_arrow(
                ax, path[index], head, color=look.TIME_COLORS(norm(index)), linewidth=0, zorder=5, gid="arrow"
            )
    above = path[0, 1] >= path[-1, 1]  # the higher end is named above, the lower one below: they may coincide
    for index, name, up in ((0, "start", above), (-1, "end", not above)):
        ax.plot(*path[index], marker="o", ms=5, mfc="white" if index == 0 else look.INK, mec=look.INK, zorder=6)
        looks = {"fontsize": 8, "color": look.INK, "path_effects": HALO, "zorder": 10}
        place = {"xytext": (0, 6 if up else -6), "textcoords": "offset points", "ha": "center"}
        ax.annotate(name, path[index], va="bottom" if up else "top", **place, **looks)
