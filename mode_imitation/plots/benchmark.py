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
TURNS = {
    "right_per_step_in_arena": "undisturbed, in the arena",
    "all_right_per_step_in_arena": "all, in the arena",
    "all_right_per_step": "all",
}
"""Steps, where experts take turns."""
STEERING = {
    "coverage_within_5_percent": "experts matched within 5%",
    "fidelity": "fidelity",
    "leak": "leak (nat)",
    "entropy": "behaviour entropy",
    "conditional_entropy": "the same on one layout",
    "processor_seconds": "processor time of a cell (s)",
}
"""Figures of one number a seed, and their titles."""
SEEDS_NOTE = "dots: seeds; bar: from the least to the largest, with five seeds a 94% interval of the median; tick: mean"
CLOSED_LOOP = {
    "goals": "goals",
    "return": "return",
    "cost": "cost",
    "straightness": "straightness",
    "path_length": "path (m)",
}
INTERVAL_NOTE = "mean and 95% interval over seeds and layouts; open circles: sampled actions"
ROW = 0.32
"""Inches of a method."""


def plot_ratios(results: Mapping[str, Any]) -> Figure | None:
    """Axes for each expert: how the mode that stands for it drives, a row a method.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where nothing was driven but the experts.
    """
    methods = _compared(results)
    experts = results["experts"]
    if not methods:
        return None
    columns = min(3, len(experts))
    rows = -(-len(experts) // columns)
    figure = look.new_figure(3.6 * columns + 0.9, ROW * rows * (len(methods) + 3) + 0.4)
    with look.style():
        axes = _panels(figure, len(experts), rows, columns)
        for ax, expert in zip(axes, experts, strict=True):
            _compare(ax, methods, results["methods"].get(REFERENCE), expert)
        _one_row_each(axes[0], methods)
        _note(figure, INTERVAL_NOTE)
    return figure


def plot_agreement(results: Mapping[str, Any]) -> Figure | None:
    """NMI of codes and experts, a dot a seed, a row a method: trajectories, windows, windows in the arena.

    Where experts take turns, the share of the steps with a mode of the expert that drove.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where no method has codes.
    """
    methods = {name: entry for name, entry in results["methods"].items() if entry.get("clustering")}
    if not methods:
        return None
    place, panels, label = "clustering", AGREEMENTS, "NMI with the experts"
    if any("turns" in entry for entry in methods.values()):
        place, panels, label = "turns", TURNS, "share of the steps that are right"
    figure = look.new_figure(3.0 * len(panels) + 0.9, ROW * (len(methods) + 3.6))
    with look.style():
        axes = figure.subplots(1, len(panels), sharey=True, sharex=True)
        for ax, (key, title) in zip(axes, panels.items(), strict=True):
            _seeds(ax, {name: entry[place][key] for name, entry in methods.items()})
            _finish(ax, title)
            ax.set_xlim(-0.03, 1.03)
            ax.set_xlabel(label, fontsize=8.5, color=look.FAINT)
        _one_row_each(axes[0], methods)
        _note(figure, SEEDS_NOTE)
    return figure


def plot_steering(results: Mapping[str, Any]) -> Figure | None:
    """Coverage, fidelity, leak, entropies and time, a dot a seed, a row a method.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where nothing was driven but the experts, or nothing of this was measured.
    """
    methods = _compared(results)
    shown = {key: title for key, title in STEERING.items() if any(entry.get(key) for entry in methods.values())}
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = look.new_figure(3.0 * columns + 0.9, ROW * rows * (len(methods) + 2.6) + 0.4)
    with look.style():
        axes = _panels(figure, len(shown), rows, columns)
        for ax, (key, title) in zip(axes, shown.items(), strict=True):
            _seeds(ax, {name: entry.get(key) for name, entry in methods.items()})
            _finish(ax, title)
        _one_row_each(axes[0], methods)
        _note(figure, SEEDS_NOTE)
    return figure


def plot_closed_loop(results: Mapping[str, Any]) -> Figure | None:
    """A row an expert, a column a figure: what the mode that stands for it does beside the expert's own interval.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where nothing was driven but the experts.
    """
    methods = _compared(results)
    experts = results["experts"]
    if not methods:
        return None
    figure = look.new_figure(2.5 * len(CLOSED_LOOP) + 0.9, ROW * len(experts) * (len(methods) + 2.2) + 0.4)
    with look.style():
        grid = figure.subplots(len(experts), len(CLOSED_LOOP), squeeze=False, sharey=True)
        for axes, expert in zip(grid, experts, strict=True):
            for ax, (name, title) in zip(axes, CLOSED_LOOP.items(), strict=True):
                theirs = results["methods"].get(REFERENCE, {}).get("experts", {}).get(expert)
                if theirs:
                    _band(ax, theirs[name])
                _driven(ax, {method: _places(entry, expert, name) for method, entry in methods.items()})
                _finish(ax, f"{expert}: {title}" if ax is axes[0] else title)
        _one_row_each(grid[0, 0], methods)
        _note(figure, f"{INTERVAL_NOTE}; band: the expert's own")
    return figure


def plot_switching(results: Mapping[str, Any]) -> Figure | None:
    """Goals after another mode has driven for a while, over the experts' under the same schedule.

    Args:
        results: as results.json of a benchmark holds them.

    Returns:
        None where nothing was switched.
    """
    methods = _compared(results)
    names = list(dict.fromkeys(name for entry in methods.values() for name in entry.get("switching", {})))
    if not names or REFERENCE not in results["methods"]:
        return None
    rows = -(-len(names) // 2)
    figure = look.new_figure(7.6, ROW * rows * (len(methods) + 2.2) + 0.4)
    with look.style():
        axes = _panels(figure, len(names), rows, 2, sharex=True)
        for ax, name in zip(axes, names, strict=True):
            ax.axvline(1.0, color=look.INK, lw=0.9, zorder=1)
            after = {method: entry["switching"].get(name, {}).get("ratio") for method, entry in methods.items()}
            _driven(ax, {method: (ratio[-1] if ratio else None, None) for method, ratio in after.items()})
            other, _, steps = name.partition(":")
            _finish(ax, f"after {steps} steps of {other}")
        axes[0].set_xlim(left=-0.03)
        _one_row_each(axes[0], methods)
        _note(
            figure,
            "goals in 250 steps over the experts' under the same schedule; mean and 95% interval; none where one mode "
            "stands for both",
        )
    return figure


def _compared(results: Mapping[str, Any]) -> dict[str, Any]:
    """The methods; the experts are what they are compared with."""
    return {name: entry for name, entry in results["methods"].items() if name != REFERENCE}


def _panels(figure: Figure, n: int, rows: int, columns: int, *, sharex: bool = False) -> list[Axes]:
    """The first n axes of a grid, row by row; the rest of it is left blank."""
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=True).ravel())
    for ax in axes[n:]:
        ax.set_axis_off()
    return axes[:n]


def _places(entry: Mapping[str, Any], expert: str, figure: str, ratio: bool = False) -> tuple[Any, Any]:
    """A figure of the mode that stands for an expert, by its mean action and by sampled ones; None for what is not."""
    found = [entry.get(place, {}).get(expert, {}) for place in ("experts", "sampled")]
    mean, sampled = ((figures.get("ratio") or {} if ratio else figures).get(figure) for figures in found)
    return mean, sampled


def _compare(ax: Axes, methods: Mapping[str, Any], reference: Any, expert: str) -> None:
    theirs = reference and reference["experts"][expert]
    by_goals = bool(theirs) and theirs["goals"]["mean"] >= FEW_GOALS and theirs["cost"]["mean"] >= LITTLE_COST
    shown = "goals" if by_goals else "cost"
    _driven(ax, {method: _places(entry, expert, shown, ratio=by_goals) for method, entry in methods.items()})
    if by_goals:
        ax.axvline(1.0, color=look.INK, lw=0.9, zorder=1)
        ax.set_xlabel("goals, share of the expert's", fontsize=8.5, color=look.FAINT)
        ax.set_xlim(left=-0.03)
    elif theirs:
        _band(ax, theirs["cost"])
        ax.set_xlabel("cost per episode; the line is the expert's", fontsize=8.5, color=look.FAINT)
        ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    _finish(ax, expert)


def _driven(ax: Axes, rows: Mapping[str, tuple[Any, Any]]) -> None:
    """Mean and interval of every method: by its mean action in full circles, by sampled ones in open circles."""
    for row, (name, (mean, sampled)) in enumerate(rows.items()):
        for found, shift, fill in ((mean, -0.12, _color(name)), (sampled, 0.18, "white")):
            if not found:
                continue
            away = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
            ax.errorbar(
                [found["mean"]], [row + shift], xerr=np.maximum(away, 0), fmt="o", ms=4.5, lw=1.4,
                color=_color(name), markerfacecolor=fill, zorder=3,
            )  # fmt: skip


def _seeds(ax: Axes, rows: Mapping[str, Mapping[str, Any] | None]) -> None:
    """A dot a seed, a bar from the least to the largest, a tick at the mean; nothing for what a method lacks."""
    for row, (name, scores) in enumerate(rows.items()):
        if scores is None:
            continue
        values = np.asarray(scores["values"])
        shift = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot([scores["least"], scores["largest"]], [row, row], color=_color(name), lw=1.0, alpha=0.6, zorder=2)
        ax.scatter(values, row + shift, s=16, color=_color(name), alpha=0.75, lw=0, zorder=3)
        ax.plot([scores["mean"]] * 2, [row - 0.3, row + 0.3], color=_color(name), lw=1.6, zorder=4)


def _band(ax: Axes, theirs: Mapping[str, float]) -> None:
    """The expert's own mean and interval, behind the methods."""
    ax.axvspan(theirs["low"], theirs["high"], color=look.RULE, alpha=0.6, lw=0, zorder=0)
    ax.axvline(theirs["mean"], color=look.INK, lw=0.9, zorder=1)


def _note(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=7.5, color=look.FAINT, x=0.01, ha="left")


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
