"""The pictures of a report card, and the one of the modes in a training's log."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation import plots
from mode_imitation.reports.closed_loop import run_modes
from mode_imitation.reports.describe import titled
from mode_imitation.reports.layouts import held_out_layouts, layout_name
from mode_imitation.reports.report_data import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mode_imitation.training.fit import HookCall

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
    data = report.data.as_dict()
    reactions = {entry["mode"]: entry["reactions"] for entry in data["modes"] if entry["reactions"]}
    figures: dict[str, Any] = {"maps": _maps(report), "shares": _shares(report)}
    if report.modes:
        figures["panels"] = _panels(report, plots.expert_colors(data))
        count, places = len(report.data.layouts), _places(report)
        title = f"Modes and experts on the same {count} held-out {places}: mean and 95% interval"
        metrics = [*BARS[:2], *report.own, *BARS[2:]]
        figures["bars"] = plots.plot_mode_bars(data, metrics=metrics, title=title)
    if reactions:
        title = "Which sensors each mode goes by"
        figures["reactions"] = plots.plot_reactions(reactions, colors=plots.mode_colors(data), title=title)
    if any(report.demonstrations.values()):
        figures["exemplars"] = _exemplars(report)
    if report.latent is not None:
        figures["latent"] = _latent(report, plots.expert_colors(data))
    if blend := report.data.blend:
        between = f"Between mode {blend.modes[0]} and mode {blend.modes[1]}"
        title = f"{between}: mean and 95% interval over {len(blend.layouts)} tuning layouts"
        figures["blend"] = plots.plot_blend(data["blend"], title=title)
    if report.agreement:
        figures["confusion"] = _confusion(report)
    # Removed is only what an earlier report there shows: another file of that name is the user's own.
    earlier = (folder / MARKDOWN).read_text(encoding="utf-8", errors="replace") if (folder / MARKDOWN).exists() else ""
    written = []
    for name, file in PICTURES.items():
        if figures.get(name) is not None:
            written.append(plots.save_figure(figures[name], folder / file))
        elif f"]({file})" in earlier:
            (folder / file).unlink(missing_ok=True)
    return written


def _panels(report: Report, shades: dict[str, str]) -> "Figure":
    modes = []
    for entry in report.data.modes:
        title, episode = titled(entry.mode, entry.description), report.modes[entry.mode][0].episode
        modes.append(plots.Panel(title=title, episode=episode, color=plots.mode_color(entry.mode)))
    # Each expert under the mode that matches it.
    matched = [entry.expert for entry in report.data.modes]
    names = sorted(report.experts, key=lambda name: matched.index(name) if name in matched else len(matched))
    first = {name: report.experts[name][0].episode for name in names}
    experts = [plots.Panel(title=n.replace("_", " "), episode=one, color=shades[n]) for n, one in first.items()]
    rows, labels = [], []
    for panels, label in ((modes, "modes"), (experts, "experts")):
        for start in range(0, len(panels), 4):
            rows.append(panels[start : start + 4])
            labels.append(label)
    where = layout_name(report.data.layouts[0], laid_out=_places(report) == "layouts")
    return plots.plot_panels(rows, row_labels=labels, title=f"One policy, each of its modes, on {where}")


def _places(report: Report) -> str:
    """What differs between the episodes that were driven."""
    laid_out = any(drive.episode.scene is not None for drives in report.modes.values() for drive in drives)
    return "layouts" if laid_out else "starts"


def _confusion(report: Report) -> "Figure":
    assert report.agreement is not None
    tables, modes = report.agreement.tables, report.policy.modes
    n_labels = len(report.agreement.windows.labels)
    figure = plots.new_figure(len(tables) * max(2.6, 1.0 + 1.1 * n_labels), max(2.2, 1.1 + 0.6 * len(modes)))
    for ax, (unit, table) in zip(np.atleast_1d(figure.subplots(1, len(tables))), tables.items(), strict=True):
        plots.plot_confusion(ax, table.counts.T[modes], table.labels, modes=modes, unit=unit, title=unit)
    return figure


def _shares(report: Report) -> "Figure":
    from mode_imitation.plots.style import text_width

    shares, sentences = [0.0] * report.data.n_codes, [""] * report.data.n_codes
    for entry in report.data.modes:
        shares[entry.mode], sentences[entry.mode] = entry.share, entry.description
    width = 4.5 + max(text_width(f"100%  {sentence}", 8.5) for sentence in sentences)
    figure = plots.new_figure(width, 0.9 + 0.32 * len(shares))
    plots.plot_mode_shares(figure.add_subplot(), shares, descriptions=sentences, title="Modes found in the data")
    return figure


def _maps(report: Report) -> "Figure | None":
    """Where each mode went, by positions or else by states: on the held-out layouts, else in its demonstrations."""
    from mode_imitation.plots.states import placed

    driven = {mode: [drive.episode for drive in drives] for mode, drives in report.modes.items()}
    episodes = driven or report.demonstrations
    drawn, of_states = placed([episode for found in episodes.values() for episode in found])
    fill, maps = iter(drawn), []
    titles = {entry.mode: titled(entry.mode, entry.description) for entry in report.data.modes}
    for mode, found in episodes.items():
        paths = [positions for _ in found if (positions := next(fill).positions) is not None]
        if paths:
            maps.append(plots.ModeMap(title=titles[mode], paths=paths, color=plots.mode_color(mode)))
    if not maps:
        return None
    scene = next((episode.scene for episode in drawn if episode.scene is not None), None)
    arena = None if scene is None else tuple(float(edge) for edge in scene.arena)
    title = f"Where each mode goes, {len(report.data.layouts)} held-out {_places(report)}"
    title = title if driven else "Where each mode goes, typical episodes of the data"
    return plots.plot_mode_maps(maps, arena, title=title, of_states=of_states)  # pyright: ignore[reportArgumentType]


def _exemplars(report: Report) -> "Figure":
    rows, labels = [], []
    for entry in report.data.modes:
        pairs = list(zip(entry.exemplar_episodes, report.demonstrations[entry.mode], strict=True))
        if pairs:
            color = plots.mode_color(entry.mode)
            rows.append([plots.Panel(title=f"episode {index}", episode=what, color=color) for index, what in pairs])
            labels.append(f"mode {entry.mode}")
    return plots.plot_panels(rows, row_labels=labels, title="Typical demonstrations of each mode")


def _latent(report: Report, colors: dict[str, str]) -> "Figure":
    from mode_imitation.plots.style import UNLABELLED

    found = report.latent
    assert found is not None
    drawn = {name: value for name, value in vars(found).items() if name not in ("path_episode", "path_mode")}
    return plots.plot_latent_map(
        **drawn,
        label_colors={name: color for name, color in colors.items() if color != UNLABELLED},
        path_title=f"way of episode {found.path_episode}, of mode {found.path_mode}",
        title=f"{len(found.points):,} windows as the encoder sees them; diamonds are codes, crosses pruned ones",
    )


def draw_modes(env_id: str, n_steps: int = 500) -> "Callable[[HookCall], None]":
    """A hook for `train` that drives every mode on one layout and adds the picture to the log.

    The layout is one of those that are put aside for tuning, never a reported one.
    """
    from mode_imitation.steering.policy import Policy
    from mode_imitation.worlds.safety import make_vec

    layout = held_out_layouts(1, block="tuning")

    def hook(call: "HookCall") -> None:
        policy = Policy(copy.deepcopy(call.model))  # steering must leave the model in training as it is
        modes = policy.modes
        env = make_vec(env_id, len(modes))
        try:
            drives = run_modes(policy, env, layout, n_steps, modes=modes)
        finally:
            env.close()
        episodes = {f"mode {mode}": driven[0].episode for mode, driven in drives.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a font that lacks a glyph must not stop a training run
            call.log.image("policy/modes", plots.figure_to_array(plots.plot_panels(episodes)), call.iteration)

    return hook
