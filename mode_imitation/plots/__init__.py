"""Pictures: functions that take data and return Matplotlib axes or figures.

Nothing here touches pyplot's global state, opens a window, or needs torch or a simulator.
Names are imported on first use, so that importing this package does not import Matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mode_imitation.plots.animation import animate_birdseye
    from mode_imitation.plots.attribution import plot_attribution
    from mode_imitation.plots.birdseye import plot_birdseye
    from mode_imitation.plots.curves import plot_curves
    from mode_imitation.plots.latent import plot_latent_map
    from mode_imitation.plots.mode_maps import ModeMap, plot_blend, plot_mode_maps, plot_reactions
    from mode_imitation.plots.overview import plot_overview
    from mode_imitation.plots.panels import Panel, plot_panels
    from mode_imitation.plots.report import (
        expert_colors,
        mode_colors,
        plot_code_distances,
        plot_confusion,
        plot_mode_bars,
        plot_mode_shares,
    )
    from mode_imitation.plots.style import expert_color, figure_to_array, mode_color, new_figure, save_figure
    from mode_imitation.plots.sweep import plot_choice

_HOMES = {
    "ModeMap": "mode_maps",
    "Panel": "panels",
    "animate_birdseye": "animation",
    "expert_color": "style",
    "expert_colors": "report",
    "figure_to_array": "style",
    "mode_color": "style",
    "mode_colors": "report",
    "new_figure": "style",
    "plot_attribution": "attribution",
    "plot_birdseye": "birdseye",
    "plot_blend": "mode_maps",
    "plot_choice": "sweep",
    "plot_code_distances": "report",
    "plot_confusion": "report",
    "plot_curves": "curves",
    "plot_latent_map": "latent",
    "plot_mode_bars": "report",
    "plot_mode_maps": "mode_maps",
    "plot_mode_shares": "report",
    "plot_overview": "overview",
    "plot_panels": "panels",
    "plot_reactions": "mode_maps",
    "save_figure": "style",
}

__all__ = [
    "ModeMap",
    "Panel",
    "animate_birdseye",
    "expert_color",
    "expert_colors",
    "figure_to_array",
    "mode_color",
    "mode_colors",
    "new_figure",
    "plot_attribution",
    "plot_birdseye",
    "plot_blend",
    "plot_choice",
    "plot_code_distances",
    "plot_confusion",
    "plot_curves",
    "plot_latent_map",
    "plot_mode_bars",
    "plot_mode_maps",
    "plot_mode_shares",
    "plot_overview",
    "plot_panels",
    "plot_reactions",
    "save_figure",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
