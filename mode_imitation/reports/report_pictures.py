"""The pictures of a report card."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.reports.layouts import layout_name
from mode_imitation.reports.report_data import Report

MARKDOWN = "report.md"
PICTURES = {
    "panels": "panels.png",
    "bars": "modes-and-experts.png",
    "maps": "where.png",
    "reactions": "sensors.png",
    "exemplars": "exemplars.png",
    "latent": "latent-map.png",
    "blend": "blend.png",
    "confusion": "confusion.png",
    "shares": "shares.png",
}
BARS = ("goals", "return", "success", "cost", "straightness", "speed")


def draw_pictures(report: Report, folder: Path) -> list[Path]:
    """Those of PICTURES that the report has the data for; ones that it has not are removed, for they would be old."""
    from mode_imitation.plots import mode_colors, plot_blend, plot_mode_bars, plot_reactions, save_figure

    data = report.data
    figures: dict[str, Any] = {}
    if report.modes:
        figures["panels"] = _panels(report)
        title = (
            f"Modes and experts on the same {len(data['layouts'])} held-out {_places(report)}: mean and 95% interval"
        )
        metrics = [*BARS[:2], *data["own_figures"], *BARS[2:]]
        figures["bars"] = plot_mode_bars(data, metrics=metrics, title=title)
    if (maps := _maps(report)) is not None:
        figures["maps"] = maps
    reactions = {entry["mode"]: entry["reactions"] for entry in data["modes"] if entry["reactions"]}
    if reactions:
        title = "Which sensors each mode goes by"
        figures["reactions"] = plot_reactions(reactions, colors=mode_colors(data), title=title)
    if any(report.demonstrations.values()):
        figures["exemplars"] = _exemplars(report)
    if report.latent is not None:
        figures["latent"] = _latent(report)
    if data["blend"]:
        first, second = data["blend"]["modes"]
        count = len(data["blend"]["layouts"])
        title = f"Between mode {first} and mode {second}: mean and 95% interval over {count} tuning layouts"
        figures["blend"] = plot_blend(data["blend"], title=title)
    if report.agreement:
        figures["confusion"] = _confusion(report)
    figures["shares"] = _shares(data)
    # Removed is only what an earlier report there shows: another file of that name is the user's own.
    earlier = (folder / MARKDOWN).read_text(encoding="utf-8", errors="replace") if (folder / MARKDOWN).exists() else ""
    written = []
    for name, file in PICTURES.items():
        if name in figures:
            written.append(save_figure(figures[name], folder / file))
        elif f"]({file})" in earlier:
            (folder / file).unlink(missing_ok=True)
    return written


def _panels(report: Report):
    from mode_imitation.plots import Panel, expert_colors, mode_colors, plot_panels

    colors, shades = mode_colors(report.data), expert_colors(report.data)
    sentences = {entry["mode"]: entry["description"] for entry in report.data["modes"]}
    modes = [
        Panel(
            title=f"mode {mode}: {_short(sentences[mode])}",
            episode=drives[0].episode,
            color=colors[mode],
        )
        for mode, drives in report.modes.items()
    ]
    # Each expert under the mode that matches it.
    matched = [entry.get("expert") for entry in report.data["modes"]]
    names = sorted(report.experts, key=lambda name: matched.index(name) if name in matched else len(matched))
    experts = [
        Panel(title=name.replace("_", " "), episode=report.experts[name][0].episode, color=shades.get(name))
        for name in names
    ]
    rows, labels = [], []
    for panels, label in ((modes, "modes"), (experts, "experts")):
        for first in range(0, len(panels), 4):
            rows.append(panels[first : first + 4])
            labels.append(label)
    where = layout_name(report.data["layouts"][0], laid_out=_places(report) == "layouts")
    return plot_panels(rows, row_labels=labels, title=f"One policy, each of its modes, on {where}")


def _places(report: Report) -> str:
    """What differs between the episodes that were driven."""
    laid_out = any(drive.episode.scene is not None for drives in report.modes.values() for drive in drives)
    return "layouts" if laid_out else "starts"


def _confusion(report: Report):
    from mode_imitation.plots import new_figure, plot_confusion

    assert report.agreement is not None
    tables = report.agreement.tables
    n_modes, n_labels = report.data["n_modes"], len(report.agreement.windows.labels)
    figure = new_figure(len(tables) * max(2.6, 1.0 + 1.1 * n_labels), max(2.2, 1.1 + 0.6 * n_modes))
    axes = np.atleast_1d(figure.subplots(1, len(tables)))
    modes = [entry["mode"] for entry in report.data["modes"]]
    for ax, (unit, table) in zip(axes, tables.items(), strict=True):
        plot_confusion(ax, table.counts.T[modes], table.labels, modes=modes, unit=unit, title=unit)
    return figure


def _shares(data: Mapping[str, Any]):
    from mode_imitation.plots import new_figure, plot_mode_shares
    from mode_imitation.plots.style import text_width

    shares, sentences = np.zeros(data["n_codes"]), [""] * data["n_codes"]
    for entry in data["modes"]:
        shares[entry["mode"]], sentences[entry["mode"]] = entry["share"], entry["description"]
    width = 4.5 + max(text_width(f"100%  {sentence}", 8.5) for sentence in sentences)
    figure = new_figure(width, 0.9 + 0.32 * len(shares))
    plot_mode_shares(figure.add_subplot(), shares.tolist(), descriptions=sentences, title="Modes found in the data")
    return figure


def _maps(report: Report):
    """Where each mode went, by positions or else by states: on the held-out layouts, else in its demonstrations."""
    from mode_imitation.plots import ModeMap, mode_colors, plot_mode_maps
    from mode_imitation.plots.states import placed

    driven = {mode: [drive.episode for drive in drives] for mode, drives in report.modes.items()}
    episodes = driven or {mode: list(found) for mode, found in report.demonstrations.items()}
    drawn, of_states = placed([episode for found in episodes.values() for episode in found])
    fill = iter(drawn)
    episodes = {mode: [next(fill) for _ in found] for mode, found in episodes.items()}
    positions = {
        mode: [episode.positions for episode in found if episode.positions is not None]
        for mode, found in episodes.items()
    }
    positions = {mode: paths for mode, paths in positions.items() if paths}
    if not positions:
        return None
    colors = mode_colors(report.data)
    sentences = {entry["mode"]: entry["description"] for entry in report.data["modes"]}
    maps = [
        ModeMap(title=f"mode {mode}: {_short(sentences[mode])}", paths=paths, color=colors[mode])
        for mode, paths in positions.items()
    ]
    scene = next((e.scene for found in episodes.values() for e in found if e.scene is not None), None)
    arena = None if scene is None else tuple(float(edge) for edge in scene.arena)
    where = f"{len(report.data['layouts'])} held-out {_places(report)}" if driven else "typical episodes of the data"
    title = f"Where each mode goes, {where}"
    return plot_mode_maps(maps, arena, title=title, of_states=of_states)  # pyright: ignore[reportArgumentType]


def _exemplars(report: Report):
    from mode_imitation.plots import Panel, mode_colors, plot_panels

    colors = mode_colors(report.data)
    chosen = {entry["mode"]: entry["exemplar_episodes"] for entry in report.data["modes"]}
    rows, labels = [], []
    for mode, episodes in report.demonstrations.items():
        row = [
            Panel(title=f"episode {entry['episode']}", episode=episode, color=colors[mode])
            for entry, episode in zip(chosen[mode], episodes, strict=True)
        ]
        if row:
            rows.append(row)
            labels.append(f"mode {mode}")
    return plot_panels(rows, row_labels=labels, title="Typical demonstrations of each mode")


def _latent(report: Report):
    from mode_imitation.plots import expert_colors, plot_latent_map
    from mode_imitation.plots.style import UNLABELLED

    found = report.latent
    assert found is not None
    colors = expert_colors(report.data)
    return plot_latent_map(
        found.points,
        found.codes,
        found.entries,
        alive=found.alive,
        labels=found.labels,
        label_colors={name: color for name, color in colors.items() if color != UNLABELLED},
        path=found.path,
        path_title=f"way of episode {found.path_episode}, of mode {found.path_mode}",
        explained=found.explained,
        title=f"{len(found.points):,} windows as the encoder sees them; diamonds are codes, crosses pruned ones",
    )


def _short(sentence: str) -> str:
    """The beginning of a description, for a title."""
    return re.split(",|;| with a ", sentence)[0]
