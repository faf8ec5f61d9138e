"""Pictures: functions that take data and return Matplotlib axes or figures.

Nothing here touches pyplot's global state, opens a window, or needs torch or a simulator.
"""
# ruff: noqa: F401, what is imported here is what the package offers.

from mode_imitation.plots.animation import animate_birdseye
from mode_imitation.plots.attribution import plot_attribution
from mode_imitation.plots.birdseye import plot_birdseye
from mode_imitation.plots.commanded import plot_commanded
from mode_imitation.plots.latent import plot_latent_map
from mode_imitation.plots.mode_maps import ModeMap, plot_blend, plot_mode_maps, plot_reactions
from mode_imitation.plots.overview import plot_overview
from mode_imitation.plots.panels import Panel, plot_panels
from mode_imitation.plots.report import expert_colors, mode_colors, plot_confusion, plot_mode_bars, plot_mode_shares
from mode_imitation.plots.style import expert_color, figure_to_array, mode_color, new_figure, save_figure
from mode_imitation.plots.sweep import plot_choice
