"""The original experiment's picture: which codes take which expert's windows, by step size and number of codes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look

PANEL_WIDTH, EXPERT_HEIGHT = 1.3, 0.24
"""Inches of an expert-to-code map and of each of its experts."""


def plot_code_maps(
    panels: Mapping[tuple[int, int], tuple[np.ndarray, str]], experts: Sequence[str], *, title: str
) -> Figure:
    """The grid: rows are step sizes, columns numbers of codes, panels experts by codes.

    Codes have no order of their own; they are sorted by the expert of which they hold most.

    Args:
        panels: {(stride, k): ((L, K) windows of each expert with each code, caption)}
        experts: L names.
        title: over the figure.

    Raises:
        UserError: there is nothing to draw.
    """
    if not panels:
        raise UserError("no training finished, so there is nothing to draw")
    strides, codes = (sorted({place[n] for place in panels}) for n in (0, 1))
    height = (EXPERT_HEIGHT * len(experts) + 0.42) * len(strides) + 1.05
    figure = look.new_figure(max(PANEL_WIDTH * len(codes) + 1.5, 4.0), height, layout="constrained")
    with look.style():
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(len(strides), len(codes), squeeze=False)
        for i, stride in enumerate(strides):
            for j, k in enumerate(codes):
                _map_panel(axes[i, j], panels.get((stride, k)), experts, named=j == 0)
                if i == 0:
                    where = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
                    axes[i, j].annotate(f"k = {k}", (0.5, 1), (0, 17), fontsize=9.5, **where)
            axes[i, 0].set_ylabel(f"step {stride}", fontsize=9.5, color=look.INK)
        scale = figure.colorbar(ScalarMappable(Normalize(0, 1), look.SHADES), ax=axes, aspect=30, pad=0.02)
        scale.set_label("share of the expert's windows", fontsize=8.5, color=look.FAINT)
        scale.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure


def _map_panel(ax: Axes, panel: tuple[np.ndarray, str] | None, experts: Sequence[str], *, named: bool) -> None:
    """One expert-to-code map; a missing one is left blank and says so."""
    if panel is None:
        look.dress(ax)
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "failed", transform=ax.transAxes, ha="center", va="center", fontsize=8, color=look.FAINT)
        return
    counts, caption = panel
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    order = np.lexsort((-shares.max(0), shares.argmax(0), shares.max(0) <= 0))
    look.draw_heat(ax, shares[:, order])
    ax.set_xticks([])
    ax.set_yticks(range(len(experts)), experts if named else [""] * len(experts), color=look.INK, fontsize=8)
    ax.set_title(caption, loc="center", fontsize=7.5, fontweight="normal", color=look.FAINT, pad=3)
