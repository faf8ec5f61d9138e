"""Which mode made an episode: its windows' distances to the codes, pooled over the episode as in training.

Emphasised windows, those with something in sight, have as much more weight as training draws them more often.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import Sensor, in_sight
from mode_imitation.data.windows import WindowShape, all_inside, window_starts, window_steps
from mode_imitation.errors import UserError
from mode_imitation.model.batches import EMPHASIS

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel

BATCH = 4096
"""Windows encoded at a time."""


@dataclass(frozen=True)
class EpisodeWindows:
    """Windows of one episode, how far each is from every code, and the context that follows from them."""

    starts: np.ndarray
    """(W,) int64, first step of each window."""
    distances: np.ndarray
    """(W, K) float64."""
    alive: np.ndarray
    """(K,) bool, the codes that were not pruned."""
    weights: np.ndarray
    """(W,) of the windows, as often as training would draw them; their sum is 1."""
    context: np.ndarray
    """(K,) float32, what the policy is steered by to drive like this episode."""

    @property
    def codes(self) -> np.ndarray:
        """(W,) int64, the nearest code in use of each window."""
        return nearest(self.distances, self.alive)

    @property
    def pooled(self) -> np.ndarray:
        """(K,) weighted mean of the distances over the windows."""
        return self.weights @ self.distances

    @property
    def code(self) -> int:
        """The nearest code in use of the whole episode."""
        return int(nearest(self.pooled, self.alive))


def encode_windows(model: "ModeModel", episode: Episode, *, every: int = 1) -> EpisodeWindows:
    """How an episode looks to a model.

    Args:
        model: a trained mode model.
        episode: observations and actions as the model was trained on; disturbed windows are left out where others
            remain.
        every: takes a window at every so many steps.

    Raises:
        UserError: the episode does not fit the model, or is shorter than a window.
    """
    check_fits(model, episode)
    shape: WindowShape = model.config.window
    starts = usable_starts(episode, shape)[::every]
    if not len(starts):
        raise UserError(
            f"the episode has {len(episode)} steps, a window of this run spans {shape.span}; give a longer episode"
        )
    parts = [encoded(model, episode, starts[first : first + BATCH]) for first in range(0, len(starts), BATCH)]
    with torch.inference_mode():
        distances = torch.cat([model.codebook.distances(z) for z in parts]).double().cpu().numpy()  # (W, K)
    # The model's ring sensors, whatever its actor is shown of them.
    rings = {f"ring {number}": Sensor(*columns, "ring") for number, columns in enumerate(model.config.rings)}
    weights = draw_weights(in_sight(episode.observations[starts + shape.span // 2], rings))
    context = context_of(model, weights @ distances)
    return EpisodeWindows(starts, distances, model.alive.cpu().numpy(), weights, context)


def draw_weights(inside: np.ndarray) -> np.ndarray:
    """How often training draws each window of an episode: (W,) bool, whether it is emphasised -> (W,), sum 1.

    EMPHASIS of the draws are among the emphasised ones where there are any, the others among all; see
    `TrainingData.draw_starts`.
    """
    n_windows, n_inside = len(inside), int(inside.sum())
    if not n_inside:
        return np.full(n_windows, 1 / n_windows)
    return (1 - EMPHASIS) / n_windows + np.where(inside, EMPHASIS / n_inside, 0.0)


def nearest(distances: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(..., K) distances -> (...) int64, the nearest of the codes that were not pruned."""
    return np.where(alive, distances, np.inf).argmin(axis=-1)


def usable_starts(episode: Episode, shape: WindowShape) -> np.ndarray:
    """(W,) int64 starts of the windows without a disturbed step; of all windows where none is without."""
    starts = window_starts(np.array([len(episode)]), shape.span)
    if episode.disturbed is None or not len(starts):
        return starts
    calm = starts[all_inside(~episode.disturbed, starts, shape.span)]
    return calm if len(calm) else starts


def context_of(model: "ModeModel", distances: np.ndarray) -> np.ndarray:
    """(..., K) distances -> (..., K) float32 contexts, as the model makes them."""
    with torch.inference_mode():
        return model.context(torch.from_numpy(distances.astype(np.float32)).to(model.alive.device)).cpu().numpy()


def check_fits(model: "ModeModel", episode: Episode) -> None:
    """Refuse an episode whose observations or actions are not of the model's size.

    Raises:
        UserError: naming both sizes.
    """
    found = (episode.observations.shape[1], episode.actions.shape[1])
    expected = (model.config.obs_dim, model.config.action_space.size)
    if found != expected:
        raise UserError(
            f"the episode has observations of {found[0]} and actions of {found[1]} numbers; "
            f"the run was trained on {expected[0]} and {expected[1]}"
        )


def encoded(model: "ModeModel", episode: Episode, starts: np.ndarray) -> torch.Tensor:
    """(W,) first steps of an episode's windows -> (W, D), as the encoder sees them."""
    shape = model.config.window
    steps = window_steps(starts, shape)  # (W,) -> (W, H)
    states = episode.observations[steps]
    parts = states, episode.observations[steps + shape.stride] - states, episode.actions[steps]
    types = np.float32, np.float32, model.config.action_space.dtype
    with torch.inference_mode():
        return model.encode(
            *(torch.tensor(part.astype(t), device=model.alive.device) for part, t in zip(parts, types, strict=True))
        )
