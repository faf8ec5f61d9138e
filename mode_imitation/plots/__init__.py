"""Pictures: functions that take data and return Matplotlib axes or figures.

Nothing here touches pyplot's global state, opens a window, or needs torch or a simulator.
Names are imported on first use, so that importing this package does not import Matplotlib.
"""
# ruff: noqa: F401, what is imported here is what the package offers.

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mode_imitation.plots.animation import animate_birdseye
    from mode_imitation.plots.attribution import plot_attribution
    from mode_imitation.plots.birdseye import plot_birdseye
    from mode_imitation.plots.latent import plot_latent_map
    from mode_imitation.plots.mode_maps import ModeMap, plot_blend, plot_mode_maps, plot_reactions
    from mode_imitation.plots.overview import plot_overview
    from mode_imitation.plots.panels import Panel, plot_panels
    from mode_imitation.plots.report import expert_colors, mode_colors, plot_confusion, plot_mode_bars, plot_mode_shares
    from mode_imitation.plots.style import expert_color, figure_to_array, mode_color, new_figure, save_figure
    from mode_imitation.plots.sweep import plot_choice

_OFFERED = {
    "animation": ("animate_birdseye",),
    "attribution": ("plot_attribution",),
    "birdseye": ("plot_birdseye",),
    "latent": ("plot_latent_map",),
    "mode_maps": ("ModeMap", "plot_blend", "plot_mode_maps", "plot_reactions"),
    "overview": ("plot_overview",),
    "panels": ("Panel", "plot_panels"),
    "report": ("expert_colors", "mode_colors", "plot_confusion", "plot_mode_bars", "plot_mode_shares"),
    "style": ("expert_color", "figure_to_array", "mode_color", "new_figure", "save_figure"),
    "sweep": ("plot_choice",),
}


def __getattr__(name: str) -> Any:
    for home, names in _OFFERED.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _OFFERED.values() for name in names)})
