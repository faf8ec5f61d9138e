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
SMOOTHED = 20
"""Steps over which states are averaged before the directions are found: what swings from step to step, a velocity say,
tells less of where an episode goes than what stays."""


def placed(episodes: Sequence[Episode]) -> tuple[list[Episode], bool]:
    """The episodes with something to draw as their positions, and whether these are directions of the states.

    Where every episode knows its positions they stay. Otherwise they become the states along the two principal axes of
    their averages over SMOOTHED steps, each observation column in units of its standard deviation over all the
    episodes. Episodes that kept no observations stay as they are.
    """
    if all(episode.positions is not None for episode in episodes) or not all(e.observations.size for e in episodes):
        return list(episodes), False
    observations = np.concatenate([episode.observations for episode in episodes])
    spread = np.asarray(observations, dtype=np.float64).std(axis=0)
    smooth = np.concatenate([running_mean(episode.observations, SMOOTHED) for episode in episodes])
    mean, directions = state_directions(smooth, spread)
    return [
        replace(episode, positions=(episode.observations - mean) @ directions, headings=None, scene=None)
        for episode in episodes
    ], True


def running_mean(values: np.ndarray, steps: int) -> np.ndarray:
    """(T, N) -> (T, N) float64, the mean over the so many rows that end there, or all there are so far."""
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - steps)
    return (sums[last] - sums[first]) / (last - first)[:, None]


def state_directions(observations: np.ndarray, spread: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The two principal axes of observations.

    Args:
        observations: (S, obs_dim).
        spread: (obs_dim,) the unit of each column; None: their standard deviations.

    Returns:
        (obs_dim,) mean, and (obs_dim, 2) directions: `(observations - mean) @ directions` are (S, 2) coordinates. The
        largest weight of each is positive; columns that never change have none, and so has what is not there.
    """
    shown = np.asarray(observations[:: -(-len(observations) // MOST_STATES)], dtype=np.float64)
    mean = shown.mean(axis=0)
    unit = np.asarray(shown.std(axis=0) if spread is None else spread)
    scale = np.where(unit > 1e-12 * (np.abs(mean) + unit), 1.0 / np.where(unit > 0, unit, 1.0), 0.0)
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
