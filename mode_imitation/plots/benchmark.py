"""What the mode benchmark found: methods side by side, with intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mode_imitation.plots import style as look

REFERENCE = "experts"
HIGHLIGHTED = "ours"
FEW_GOALS = 1.0
"""An expert with fewer goals per episode is compared by cost: ratios to almost nothing say nothing."""
LITTLE_COST = 1.0
"""So is an expert with less cost per episode, whatever its goals: its caution is what tells it from others."""
AGREEMENTS = {"episode_nmi": "trajectories", "window_nmi": "windows", "window_nmi_in_arena": "windows in the arena"}


def plot_ratios(results: Mapping[str, Any]) -> Figure | None:
    """Axes for each expert: how the mode that stands for it drives, a row a method.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where nothing was driven but the experts.
    """
    methods = {name: entry for name, entry in results["methods"].items() if name != REFERENCE}
    experts = results["experts"]
    if not methods:
        return None
    columns = min(3, len(experts))
    rows = -(-len(experts) // columns)
    figure = look.new_figure(3.6 * columns + 0.9, 0.32 * rows * (len(methods) + 3) + 0.4)
    with look.style():
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for ax, expert in zip(axes, experts, strict=False):
            _compare(ax, methods, results["methods"].get(REFERENCE), expert)
        for ax in axes[len(experts) :]:
            ax.set_axis_off()
        _one_row_each(axes[0], methods)
        note = "mean and 95% interval over seeds and layouts; open circles: sampled actions"
        figure.supxlabel(note, fontsize=7.5, color=look.FAINT, x=0.01, ha="left")
    return figure


def plot_agreement(results: Mapping[str, Any]) -> Figure | None:
    """NMI of codes and experts, a dot a seed, a row a method: trajectories, windows, windows in the arena.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where no method has codes.
    """
    methods = {name: entry for name, entry in results["methods"].items() if entry.get("clustering")}
    if not methods:
        return None
    figure = look.new_figure(3.0 * len(AGREEMENTS) + 0.9, 0.32 * (len(methods) + 3))
    with look.style():
        axes = figure.subplots(1, len(AGREEMENTS), sharey=True, sharex=True)
        for ax, (key, title) in zip(axes, AGREEMENTS.items(), strict=True):
            for row, (name, entry) in enumerate(methods.items()):
                scores = entry["clustering"][key]
                if scores is None:
                    continue
                values = np.asarray(scores["values"])
                shift = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
                ax.scatter(values, row + shift, s=16, color=_color(name), alpha=0.75, lw=0, zorder=3)
                ax.plot([scores["mean"]] * 2, [row - 0.3, row + 0.3], color=_color(name), lw=1.6, zorder=4)
            _finish(ax, title)
            ax.set_xlim(-0.03, 1.03)
            ax.set_xlabel("NMI with the experts", fontsize=8.5, color=look.FAINT)
        _one_row_each(axes[0], methods)
    return figure


def _compare(ax: Axes, methods: Mapping[str, Any], reference: Any, expert: str) -> None:
    theirs = reference and reference["experts"][expert]
    by_goals = bool(theirs) and theirs["goals"]["mean"] >= FEW_GOALS and theirs["cost"]["mean"] >= LITTLE_COST
    for row, (name, entry) in enumerate(methods.items()):
        for place, shift, fill in (("experts", -0.12, _color(name)), ("sampled", 0.18, "white")):
            figures = entry.get(place, {}).get(expert)
            found = figures and (figures.get("ratio", {}).get("goals") if by_goals else figures["cost"])
            if not found:
                continue
            away = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
            ax.errorbar(
                [found["mean"]], [row + shift], xerr=np.maximum(away, 0), fmt="o", ms=4.5, lw=1.4,
                color=_color(name), markerfacecolor=fill, zorder=3,
            )  # fmt: skip
    if by_goals:
        ax.axvline(1.0, color=look.INK, lw=0.9, zorder=1)
        ax.set_xlabel("goals, share of the expert's", fontsize=8.5, color=look.FAINT)
        ax.set_xlim(left=-0.03)
    elif theirs:
        ax.axvspan(theirs["cost"]["low"], theirs["cost"]["high"], color=look.RULE, alpha=0.6, lw=0, zorder=0)
        ax.axvline(theirs["cost"]["mean"], color=look.INK, lw=0.9, zorder=1)
        ax.set_xlabel("cost per episode; the line is the expert's", fontsize=8.5, color=look.FAINT)
        ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    _finish(ax, expert)


def _one_row_each(ax: Axes, methods: Mapping[str, Any]) -> None:
    """The first method on top; all axes share this one's rows."""
    ax.set_yticks(range(len(methods)), list(methods), fontsize=8.5)
    ax.set_ylim(len(methods) - 0.5, -0.5)


def _finish(ax: Axes, title: str) -> None:
    look.dress(ax)
    ax.set_title(title, loc="left", fontsize=9.5)
    ax.grid(axis="x")
    ax.xaxis.set_major_locator(look.ticks(5))


def _color(method: str) -> str:
    return look.PALETTE[0] if method == HIGHLIGHTED else look.FAINT
