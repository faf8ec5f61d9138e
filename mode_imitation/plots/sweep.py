"""What a sweep's choice goes by: heat maps over k and step size, the chosen setting framed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look


def _smallest(values: Sequence[float | None]) -> float | None:
    return min([value for value in values if value is not None], default=None)


PANELS = (
    ("cross-fitted NLL,\nbest seed", lambda entry: entry["nll"][0], "{:.3f}"),
    ("least clear pair of\nall seeds", lambda entry: _smallest(entry["clarities"]), "{:.2f}"),
    ("stability between\nseeds", lambda entry: entry["stability"], "{:.2f}"),
    ("modes found,\nbest seed", lambda entry: entry["n_modes"][0], "{:.0f}"),
)
"""Name, the setting's value, how it is written."""


def plot_choice(
    settings: Sequence[Mapping[str, Any]], *, chosen: tuple[int, int] | None, title: str | None = None
) -> Figure:
    """Likelihood, clarity of the least clear pair of codes, agreement of seeds and number of modes of every setting.

    Args:
        settings: as in sweep.json: "codes", "stride", "nll" and "n_modes" (best seed first), "clarities" (of each
            seed; None for a single code), "stability".
        chosen: (k, stride), or None.
        title: over the figure.

    Raises:
        UserError: there are no settings.
    """
    if not settings:
        raise UserError("no setting of the sweep finished, so there is nothing to draw")
    strides = sorted({entry["stride"] for entry in settings})
    codes = sorted({entry["codes"] for entry in settings})
    shown = []
    for name, value, pattern in PANELS:
        values = np.full((len(strides), len(codes)), np.nan)
        for entry in settings:
            if (found := value(entry)) is not None:
                values[strides.index(entry["stride"]), codes.index(entry["codes"])] = found
        if np.isfinite(values).any():
            shown.append((name, values, pattern))
    with look.style():
        width, height = max(2.0, 0.6 * len(codes) + 0.5), 0.4 * len(strides) + 1.0
        figure, axes = look.small_axes(len(shown), width, height, margin=0.5, title=title, sharey=True)
        for ax, (name, values, pattern) in zip(axes, shown, strict=True):
            _heat_map(ax, values, pattern, low_is_dark="NLL" in name)
            ax.set_title(name, loc="left", fontsize=9.5)
            ax.set_xticks(range(len(codes)), [f"{k}" for k in codes])
            ax.set_yticks(range(len(strides)), [f"{stride}" for stride in strides])
            ax.set_xlabel("k", color=look.FAINT)
            if chosen is not None:
                place = codes.index(chosen[0]) - 0.5, strides.index(chosen[1]) - 0.5
                ax.add_patch(Rectangle(place, 1, 1, fill=False, ec=look.PALETTE[1], lw=2.4, zorder=5, clip_on=False))
        axes[0].set_ylabel("stride (steps)", color=look.FAINT)
    return figure


def _heat_map(ax: Axes, values: np.ndarray, pattern: str, *, low_is_dark: bool) -> None:
    """Squares whose colours span the values, each with its value written into it."""
    low, high = np.nanmin(values), np.nanmax(values)
    depth = 0.75 * (values - low) / max(high - low, 1e-12)
    depth = 0.75 - depth if low_is_dark and high > low else depth
    look.draw_heat(ax, depth)
    for (i, j), value in np.ndenumerate(values):
        known = bool(np.isfinite(value))
        ink = look.ink_on(look.SHADES(depth[i, j])[:3]) if known else look.INK
        ax.text(j, i, pattern.format(value) if known else "-", ha="center", va="center", fontsize=8, color=ink)
