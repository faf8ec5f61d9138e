"""What training did over its iterations."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look

Curve = tuple[ArrayLike, ArrayLike]
"""Iterations and values, equally many."""


def plot_curves(
    curves: Mapping[str, Curve],
    *,
    marks: Mapping[str, float] | None = None,
    smoothing: float = 0.0,
    columns: int = 3,
    title: str | None = None,
) -> Figure:
    """Small axes side by side, one a quantity.

    Args:
        curves: tag -> curve. Tags that are equal behind their first slash share axes: "train/action_nll" and
            "held_out/action_nll" are two lines of "action_nll".
        marks: name -> iteration, a thin upright line: where a phase begins, say.
        smoothing: 0 .. 1, weight of the past in a running mean; the raw curve then stays faint behind it.
        columns: axes in a row.
        title: over the figure.

    Raises:
        UserError: no curve has a finite value, or smoothing is not in 0 .. 1.
    """
    if not 0 <= smoothing < 1:
        raise UserError(f"smoothing is {smoothing}; expected 0 <= smoothing < 1")
    grouped: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for tag, (steps, values) in curves.items():
        source, _, name = tag.partition("/")
        x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
        known = np.isfinite(y)
        if known.any():
            grouped.setdefault(name or source, {})[source if name else ""] = (x[known], y[known])
    if not grouped:
        raise UserError("there are no curves to draw; train first")
    columns = min(columns, len(grouped))
    rows = -(-len(grouped) // columns)
    figure = look.new_figure(3.3 * columns, 2.0 * rows + (0.35 if title else 0))
    with look.style():
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        sources = list(dict.fromkeys(source for lines in grouped.values() for source in lines))
        for ax, (name, lines) in zip(axes, grouped.items(), strict=False):
            for source, (x, y) in lines.items():
                color = look.PALETTE[sources.index(source) % len(look.PALETTE)]
                if smoothing:
                    ax.plot(x, y, color=color, lw=0.7, alpha=0.25)
                ax.plot(x, running_mean(y, smoothing), color=color, lw=1.5, label=source.replace("_", " "))
            _finish(ax, name, marks or {})
            if len(lines) > 1:
                ax.legend(loc="best", handlelength=1.2)
        for ax in axes[len(grouped) :]:
            ax.set_axis_off()
        for ax in axes[max(len(grouped) - columns, 0) : len(grouped)]:
            ax.set_xlabel("iteration", fontsize=8.5, color=look.FAINT)
            ax.tick_params(labelbottom=True)
    return figure


def running_mean(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential running mean without the bias towards its start (Kingma & Ba 2015, section 3)."""
    if weight == 0:
        return values
    mean, out = 0.0, np.empty(len(values))
    for i, value in enumerate(values):
        mean = weight * mean + (1 - weight) * value
        out[i] = mean / (1 - weight ** (i + 1))
    return out


def _finish(ax: Axes, name: str, marks: Mapping[str, float]) -> None:
    look.dress(ax)
    ax.set_title(name.replace("_", " "), loc="left", fontsize=9.5)
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(look.ticks(4))
    ax.yaxis.set_major_locator(look.ticks(4))
    ax.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if abs(step) >= 1000 else f"{step:g}")
    ax.margins(x=0.02)
    for label, step in marks.items():
        ax.axvline(step, color=look.FAINT, lw=0.8, ls=(0, (3, 2)), zorder=0)
        ax.text(
            step,
            1.0,
            f" {label}",
            transform=ax.get_xaxis_transform(),
            fontsize=7,
            color=look.FAINT,
            va="top",
            ha="left",
        )
