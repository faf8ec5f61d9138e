"""Figures of the mode report: modes beside experts, confusion, shares, distances between codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mode_imitation.errors import UserError
from mode_imitation.plots import style as look


def mode_colors(report: Mapping[str, Any]) -> dict[int, str]:
    """The colour of each mode of a report, the same as in every other figure."""
    return {int(entry["mode"]): look.mode_color(int(entry["mode"])) for entry in report["modes"]}


def expert_colors(report: Mapping[str, Any]) -> dict[str, str]:
    """The colour of each expert beside the modes: that of the first mode that matches it, grey where none does."""
    matched = {entry.get("expert"): look.mode_color(int(entry["mode"])) for entry in reversed(report["modes"])}
    return {name: matched.get(name, look.UNLABELLED) for name in report.get("experts") or {}}


def plot_mode_bars(
    report: Mapping[str, Any], *, metrics: Sequence[str] = ("goals", "cost", "straightness"), title: str | None = None
) -> Figure:
    """Bars with intervals, every mode under the expert that it matches.

    Args:
        report: as in report.json: "experts" {name: {metric: {mean, low, high}}} and "modes" [{mode, share, expert,
            metric: {mean, low, high}}]; "experts" may be empty and a mode's "expert" None.
        metrics: axes each, three in a row; one that nothing has is left out.
        title: over the figure.

    Raises:
        UserError: the report has neither modes nor experts, or none of the metrics.
    """
    rows = _bar_rows(report)
    if not rows:
        raise UserError("the report has neither modes nor experts; run the evaluation first")
    shown = [metric for metric in metrics if any(row.bar(metric) for row in rows)]
    if not shown:
        raise UserError(f"the report has none of {', '.join(metrics)}; run the evaluation with a simulator installed")
    # A gap before each expert.
    places = np.cumsum([1 + 0.45 * (row.is_expert and index > 0) for index, row in enumerate(rows)])
    with look.style():
        height = max(0.55 + 0.27 * len(rows), 1.2)
        figure, axes = look.small_axes(len(shown), 2.7, height, columns=3, title=title, margin=1.6, sharey=True)
        for ax, metric in zip(axes, shown, strict=True):
            look.draw_bars(ax, places, [row.bar(metric) or look.Bar(0, "not known", row.color) for row in rows])
            ax.set_title(look.figure_name(metric), loc="left")
            ax.set_yticks(places, [row.label for row in rows], fontsize=8.5)
            for tick, row in zip(ax.get_yticklabels(), rows, strict=False):
                tick.set(color=look.INK, fontweight="bold" if row.is_expert else "normal")
    return figure


def plot_confusion(
    ax: Axes,
    counts: np.ndarray,
    experts: Sequence[str],
    *,
    modes: Sequence[int] | None = None,
    unit: str = "windows",
    title: str | None = None,
) -> Axes:
    """Which mode took which expert's data: each cell a share of the expert's and a count.

    Args:
        ax: where to draw.
        counts: (K, E) windows or episodes of expert e given to mode k.
        experts: E names.
        modes: K numbers; 0 .. K-1 where None.
        unit: what is counted.
        title: over the axes.

    Raises:
        ValueError: the shapes do not agree.
    """
    counts = np.asarray(counts, dtype=np.float64)
    modes = list(range(len(counts))) if modes is None else list(modes)
    if counts.shape != (len(modes), len(experts)):
        raise ValueError(f"counts has shape {counts.shape} for {len(modes)} modes and {len(experts)} experts")
    totals = counts.sum(axis=0, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    with look.style():
        look.draw_heat(ax, shares)
        for (i, j), share in np.ndenumerate(shares):
            if counts[i, j]:
                # Two lines about the middle of a cell, apart by points, whatever the size of the cell.
                looks: dict[str, Any] = {"ha": "center", "va": "center", "color": look.ink_on(look.SHADES(share)[:3])}
                looks |= {"xy": (j, i), "textcoords": "offset points"}
                ax.annotate(_percent(share), xytext=(0, 4), fontsize=9.5, fontweight="bold", **looks)
                ax.annotate(f"{counts[i, j]:,.0f}", xytext=(0, -7), fontsize=7, **looks)
        long = max(map(len, experts)) > 11 and len(experts) > 3
        names = [name.replace("_", " ") for name in experts] if long else experts
        turned = {"rotation": 28 * long, "ha": "right" if long else "center"}
        ax.set_xticks(range(len(experts)), names, color=look.INK, **turned)
        ax.set_yticks(range(len(modes)), [f"mode {mode}" for mode in modes], color=look.INK)
        look.caption(ax, f"share of each expert's {unit}")
        ax.set_title(title or "", loc="left", color=look.INK)
    return ax


def plot_mode_shares(
    ax: Axes, shares: Sequence[float], *, descriptions: Sequence[str] | None = None, title: str | None = None
) -> Axes:
    """How much of the data each code holds; a code that was pruned holds nothing and is shown empty.

    Args:
        ax: where to draw.
        shares: (K,) summing to 1.
        descriptions: K sentences, written beside the bars.
        title: over the axes.
    """
    y = np.arange(len(shares))
    with look.style():
        look.draw_bars(ax, y, [look.Bar(share, "", look.mode_color(mode)) for mode, share in enumerate(shares)])
        for mode, (share, text) in enumerate(zip(shares, descriptions or [""] * len(shares), strict=True)):
            place, ink = ax.get_yaxis_transform(), look.INK if share > 0 else look.FAINT
            told = f"{share:.0%}  {text}".rstrip() if share > 0 else "pruned"
            ax.text(1.03, mode, told, transform=place, va="center", fontsize=8.5, color=ink)  # beside the axis
        ax.set_yticks(y, [f"mode {mode}" for mode in range(len(shares))], color=look.INK)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        look.caption(ax, "share of the data")
        ax.set_title(title or "", loc="left", color=look.INK)
    return ax


@dataclass(frozen=True)
class _Row:
    """An expert or a mode, and its figures."""

    label: str
    color: str
    values: Mapping[str, Any]
    is_expert: bool

    def bar(self, metric: str) -> look.Bar | None:
        """None where it is not known."""
        entry = self.values.get(metric) or {}
        if entry.get("mean") is None:
            return None
        low, mean, high = (
            float(entry["mean"] if entry.get(end) is None else entry[end]) for end in ("low", "mean", "high")
        )
        known = np.isfinite([low, mean, high]).all()
        return look.Bar(mean, _figure(mean), self.color, (low, high), self.is_expert) if known else None


def _bar_rows(report: Mapping[str, Any]) -> list[_Row]:
    """Every expert with the modes below that match it, then the modes that match none."""
    experts, shades = report.get("experts") or {}, expert_colors(report)
    rows = []
    for name in [*experts, None]:
        if name is not None:
            rows.append(_Row(name, shades[name], experts[name], True))
        for entry in report["modes"]:
            if (entry.get("expert") if entry.get("expert") in experts else None) == name:
                share = entry.get("share")
                label = f"mode {entry['mode']}" + (f" ({share:.0%} of data)" if share is not None else "")
                rows.append(_Row(label, look.mode_color(int(entry["mode"])), entry, False))
    return rows


def _figure(value: float) -> str:
    """As many digits as tell modes apart: 10.9, 0.05, but 0.998."""
    size = abs(value)
    digits = 0 if size >= 100 or size == 0 else 1 if size >= 2 else 3 if 0.98 < size < 1.02 else 2
    return f"{value:.{digits}f}"


def _percent(share: float) -> str:
    """Whole percents, but 99.8% is not 100% and one window is not 0%."""
    if 0.005 <= share <= 0.995 or share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else f"{share:.1%}"
