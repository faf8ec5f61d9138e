"""Figures of the mode report: modes beside experts, confusion, shares, distances between codes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
    colors: dict[str, str] = {}
    for entry in report["modes"]:
        if entry.get("expert") is not None:
            colors.setdefault(entry["expert"], look.mode_color(int(entry["mode"])))
    return {name: colors.get(name, look.UNLABELLED) for name in report.get("experts") or {}}


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
    shown = [metric for metric in metrics if any(_interval(values, metric) for _, _, _, values in rows)]
    if not shown:
        raise UserError(f"the report has none of {', '.join(metrics)}; run the evaluation with a simulator installed")
    columns = min(len(shown), 3)
    lines = -(-len(shown) // columns)
    height = lines * max(0.65 + 0.27 * len(rows), 1.2) + (0.35 if title else 0)
    figure = look.new_figure(2.2 + 2.6 * columns, height, title=title)
    with look.style():
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
        y = _bar_places(rows)
        for ax, metric in zip(axes.flat, shown, strict=False):
            _draw_bars(ax, rows, y, metric)
        for ax in axes.flat[len(shown) :]:
            ax.remove()
        for ax in axes[:, 0]:
            ax.set_yticks(y, [label for label, _, _, _ in rows], fontsize=8.5)
            for tick, (_, is_expert, _, _) in zip(ax.get_yticklabels(), rows, strict=True):
                tick.set(color=look.INK, fontweight="bold" if is_expert else "normal")
        axes[0, 0].set_ylim(y[-1] + 0.6, -0.6)
    return figure


def plot_confusion(
    ax: Axes,
    counts: np.ndarray,
    experts: Sequence[str],
    *,
    modes: Sequence[int] | None = None,
    normalize: Literal["expert", "mode"] = "expert",
    unit: str = "windows",
    title: str | None = None,
) -> Axes:
    """Which mode took which expert's data: each cell a share and a count.

    Args:
        ax: where to draw.
        counts: (K, E) windows or episodes of expert e given to mode k.
        experts: E names.
        modes: K numbers; 0 .. K-1 where None.
        normalize: the shares sum to 1 over an expert's column or over a mode's row.
        unit: what is counted.
        title: over the axes.

    Raises:
        ValueError: the shapes do not agree.
    """
    counts = np.asarray(counts, dtype=np.float64)
    modes = list(range(len(counts))) if modes is None else list(modes)
    if counts.shape != (len(modes), len(experts)):
        raise ValueError(f"counts has shape {counts.shape} for {len(modes)} modes and {len(experts)} experts")
    totals = counts.sum(axis=0 if normalize == "expert" else 1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    with look.style():
        look.draw_heat(ax, shares)
        for (i, j), share in np.ndenumerate(shares):
            ink = look.ink_on(look.SHADES(share)[:3])
            if counts[i, j]:
                _write_cell(ax, j, i, _percent(share), f"{counts[i, j]:,.0f}", ink)
        long = max(map(len, experts)) > 11 and len(experts) > 3
        ax.set_xticks(
            range(len(experts)),
            [name.replace("_", " " if long else "_") for name in experts],
            color=look.INK,
            rotation=28 if long else 0,
            ha="right" if long else "center",
        )
        ax.set_yticks(range(len(modes)), [f"mode {mode}" for mode in modes], color=look.INK)
        per = "each expert's" if normalize == "expert" else "each mode's"
        ax.set_xlabel(f"share of {per} {unit}", color=look.FAINT, fontsize=8.5)
        ax.set_title(title or "", loc="left")
    return ax


def plot_mode_shares(
    ax: Axes, shares: Sequence[float], *, descriptions: Sequence[str] | None = None, title: str | None = None
) -> Axes:
    """How much of the data each code holds; a code that was pruned holds nothing and is shown empty.

    Args:
        ax: where to draw.
        shares: (K,) summing to 1.
        descriptions: K sentences, written behind the bars.
        title: over the axes.
    """
    with look.style():
        look.dress(ax)
        y = np.arange(len(shares))
        ax.barh(y, shares, color=[look.mode_color(mode) for mode in range(len(shares))], height=0.62)
        for mode, share in enumerate(shares):
            text = f"{share:.0%}" if share > 0 else "pruned"
            if descriptions is not None and share > 0:
                text += f"  {descriptions[mode]}"
            ax.text(share + 0.012, mode, text, va="center", fontsize=8.5, color=look.INK if share > 0 else look.FAINT)
        ax.set_yticks(y, [f"mode {mode}" for mode in range(len(shares))], color=look.INK)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(shares) - 0.4, -0.6)
        longest = max((len(text) for text in descriptions), default=0) if descriptions is not None else 0
        ax.set_xlim(0, max(max(shares) * (1.25 + 0.035 * longest), 0.1))
        ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        ax.set_xticks([tick for tick in (0, 0.25, 0.5, 0.75, 1) if tick <= 1.1 * max(shares) or tick < 0.5])
        ax.set_xlabel("share of the data", fontsize=8.5, color=look.FAINT)
        ax.set_title(title or "", loc="left")
    return ax


_Row = tuple[str, bool, str, Mapping[str, Any]]
"""Label, whether it is an expert, its colour, its metrics."""


def _bar_rows(report: Mapping[str, Any]) -> list[_Row]:
    experts = report.get("experts") or {}
    colors, shades = mode_colors(report), expert_colors(report)
    rows: list[_Row] = []

    def add_modes(name: str | None) -> None:
        for entry in report["modes"]:
            expert = entry.get("expert")
            if expert == name or (name is None and expert not in experts):
                share = entry.get("share")
                label = f"mode {entry['mode']}" + (f" ({share:.0%} of data)" if share is not None else "")
                rows.append((label, False, colors[int(entry["mode"])], entry))

    for name, values in experts.items():
        rows.append((name, True, shades[name], values))
        add_modes(name)
    add_modes(None)
    return rows


def _bar_places(rows: Sequence[_Row]) -> np.ndarray:
    """(rows,) heights downwards, with a gap before each expert."""
    gaps = np.cumsum([0.45 * (is_expert and i > 0) for i, (_, is_expert, _, _) in enumerate(rows)])
    return np.arange(len(rows)) + gaps


def _draw_bars(ax: Axes, rows: Sequence[_Row], y: np.ndarray, metric: str) -> None:
    ends = [interval for _, _, _, values in rows if (interval := _interval(values, metric))]
    top = max([abs(end) for interval in ends for end in interval] + [1e-9])
    for place, (_, is_expert, color, values) in zip(y, rows, strict=True):
        interval = _interval(values, metric)
        if interval is None:
            ax.text(0, place, " not known", va="center", fontsize=8, color=look.FAINT)
            continue
        mean, low, high = interval
        fill: dict[str, Any] = (
            {"color": look.lighter(color, 0.65), "edgecolor": color} if is_expert else {"color": color}
        )
        ax.barh(place, mean, height=0.72, lw=1.0, **fill)
        ax.plot([low, high], [place, place], color=look.INK, lw=1.3, solid_capstyle="butt")
        x, side = (max(high, 0) + 0.025 * top, "left") if mean >= 0 else (min(low, 0) - 0.025 * top, "right")
        ax.text(x, place, _figure(mean), va="center", ha=side, fontsize=8, color=look.INK)
    low = min([end for interval in ends for end in interval] + [0.0])
    ax.set_xlim(1.35 * low if low < 0 else 0, 1.2 * top)
    ax.axvline(0, color=look.RULE, lw=0.8)
    ax.xaxis.set_major_locator(look.ticks(4))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_title(metric.replace("_", " "), loc="left")


def _interval(values: Mapping[str, Any], metric: str) -> tuple[float, float, float] | None:
    """(mean, low, high), or None where it is not known."""
    entry = values.get(metric)
    if not entry or entry.get("mean") is None:
        return None
    mean = float(entry["mean"])
    ends = [float(entry[end]) if entry.get(end) is not None else mean for end in ("low", "high")]
    return (mean, ends[0], ends[1]) if np.isfinite([mean, *ends]).all() else None


def _figure(value: float) -> str:
    """As many digits as tell modes apart: 10.9, 0.05, but 0.998."""
    size = abs(value)
    if size >= 100 or size == 0:
        return f"{value:.0f}"
    if size >= 2:
        return f"{value:.1f}"
    return f"{value:.3f}" if 0.98 < size < 1.02 else f"{value:.2f}"


def _percent(share: float) -> str:
    """Whole percents, but 99.8% is not 100% and one window is not 0%."""
    if 0.005 <= share <= 0.995 or share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else f"{share:.1%}"


def _write_cell(ax: Axes, x: float, y: float, large: str, small: str, ink: str) -> None:
    """Two lines about the middle of a cell, apart by points, whatever the size of the cell."""
    common: dict[str, Any] = {"xy": (x, y), "textcoords": "offset points", "ha": "center", "va": "center", "color": ink}
    ax.annotate(large, xytext=(0, 4), fontsize=9.5, fontweight="bold", **common)
    ax.annotate(small, xytext=(0, -7), fontsize=7, **common)
