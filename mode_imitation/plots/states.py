"""Where there are no positions: the two directions in which the states spread most, to draw paths along."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from mode_imitation.data.episodes import Episode
from mode_imitation.plots import style as look
from mode_imitation.plots.scene import HALO

MOST_STATES = 20_000
"""States that the directions are found from, evenly over all; more do not turn them visibly."""


def placed(episodes: Sequence[Episode]) -> tuple[list[Episode], bool]:
    """The episodes with something to draw as their positions, and whether these are directions of the states.

    Where every episode knows its positions they stay. Otherwise they become the states along their two principal axes,
    each observation column in units of its standard deviation over all the episodes. Episodes that kept no observations
    stay as they are.
    """
    if all(episode.positions is not None for episode in episodes) or not all(e.observations.size for e in episodes):
        return list(episodes), False
    mean, directions = state_directions(np.concatenate([episode.observations for episode in episodes]))
    return [
        replace(episode, positions=(episode.observations - mean) @ directions, headings=None, scene=None)
        for episode in episodes
    ], True


def state_directions(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two principal axes of observations.

    Args:
        observations: (S, obs_dim).

    Returns:
        (obs_dim,) mean, and (obs_dim, 2) directions: `(observations - mean) @ directions` are (S, 2) coordinates. The
        largest weight of each is positive; columns that never change have none, and so has what is not there.
    """
    shown = np.asarray(observations[:: -(-len(observations) // MOST_STATES)], dtype=np.float64)
    mean, spread = shown.mean(axis=0), shown.std(axis=0)
    scale = np.where(spread > 1e-12 * (np.abs(mean) + spread), 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    _, _, axes = np.linalg.svd((shown - mean) * scale, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, axes.shape[1]))])[:2]  # of a single column there is one axis
    axes *= np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
    return mean, (axes * scale).T


def name_axes(ax: Axes) -> None:
    """Say in the corner of a picture what its axes are; no unit, so no scale."""
    for number, (x, y, ha, va) in enumerate([(0.98, 0.02, "right", "bottom"), (0.02, 0.98, "left", "top")]):
        looks = {"fontsize": 7, "color": look.FAINT, "path_effects": HALO, "zorder": 9, "gid": "axis"}
        text = f"state direction {number + 1} \N{RIGHTWARDS ARROW}"
        ax.text(x, y, text, transform=ax.transAxes, rotation=90 * number, ha=ha, va=va, **looks)
