"""Does the context know the action? If it does, the policy reads it there, and a fixed context steers nothing.

A distance vector inferred from a window that holds the action can carry the action itself. The policy then fits the
data better under inferred contexts than noise allows, and falls apart under the fixed context of a mode. The gap
between the two is the leak; it should be near 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.data.windows import WindowShape, segment_lengths, window_steps
from mode_imitation.errors import UserError
from mode_imitation.model.leak import Leak
from mode_imitation.steering.infer import context_of, encode_windows, nearest

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel


def measure_leak(
    model: "ModeModel",
    episodes: Sequence[Episode],
    *,
    pool: int,
    segment: int | None = None,
    every: int = 5,
    seed: int = 0,
) -> Leak:
    """Action NLL under inferred and under fixed contexts, on episodes that training did not see, at best.

    Args:
        pool: windows of one episode, or segment, whose distances are averaged into one context, as in training.
        segment: steps of a stretch with a mode of its own, as in training; None for whole episodes.
        every: takes a window at every so many steps.
        seed: of the order in which windows are pooled.

    Raises:
        UserError: an episode does not fit the model, or is shorter than a window; or every window without a disturbed
            step lies across the edge of a segment.
    """
    rng = np.random.default_rng(seed)
    shape: WindowShape = model.config.window
    modes = model.mode_contexts().detach().cpu().numpy()  # (K, K)
    observations, actions, inferred, fixed = [], [], [], []
    for episode in episodes:
        windows = encode_windows(model, episode, every=every)
        for members in stretches(windows.starts, len(episode), segment, shape.span):
            size = min(pool, len(members))
            # A rest of fewer windows would make a context unlike training's.
            order = rng.permutation(members)[: len(members) // size * size]
            pooled = windows.distances[order].reshape(-1, size, model.config.n_codes).mean(axis=1)
            steps = window_steps(windows.starts[order], shape).ravel()  # (W * H,)
            observations.append(episode.observations[steps])
            actions.append(episode.actions[steps])
            # (W / size, K) -> (W * H, K)
            inferred.append(np.repeat(context_of(model, pooled), size * shape.horizon, axis=0))
            weights = windows.weights[members] / windows.weights[members].sum()
            mode = nearest(weights @ windows.distances[members], windows.alive)
            fixed.append(np.broadcast_to(modes[mode], inferred[-1].shape))
    if not inferred:
        raise UserError(f"no undisturbed window of {shape.span} steps lies within a segment of {segment}")
    data = np.concatenate(observations), np.concatenate(actions)
    return Leak(
        nll_inferred=float(action_nll(model, *data, np.concatenate(inferred)).mean()),
        nll_fixed=float(action_nll(model, *data, np.concatenate(fixed)).mean()),
    )


def stretches(starts: np.ndarray, length: int, segment: int | None, span: int) -> list[np.ndarray]:
    """Indices of the windows, (W,) first steps in an episode of `length` steps, in each segment that holds one.

    Windows of `span` steps across an edge lie in no segment; None is one segment of the whole episode.
    """
    ends = np.cumsum(segment_lengths(np.array([length]), segment, span)[0])
    unit = np.searchsorted(ends, starts, side="right")
    inside = starts + span <= ends[unit]
    return [members for index in range(len(ends)) if len(members := np.flatnonzero(inside & (unit == index)))]


def action_nll(
    model: "ModeModel",
    observations: np.ndarray,
    actions: np.ndarray,
    contexts: np.ndarray,
    *,
    consecutive: bool = False,
) -> np.ndarray:
    """(B,) negative log-likelihood of raw actions in nats; of what is predicted at once, the first action counts.

    Args:
        observations, actions, contexts: (B, obs_dim), (B, act_dim), (B, K).
        consecutive: they are an episode, from its first step on, which an actor with a memory takes up; else it is
            asked at each step as if at an episode's first.
    """
    dtypes = (np.float32, model.config.action_space.dtype, np.float32)
    seen, done, told = (
        torch.from_numpy(np.ascontiguousarray(part, dtype)).to(model.alive.device)
        for part, dtype in zip((observations, actions, contexts), dtypes, strict=True)
    )
    with torch.inference_mode():
        rows = model.features.rows(seen)
        parameters = (model.follow if consecutive else model.predict)(rows, told)[:, 0]
        return -model.log_prob(parameters, done).sum(-1).double().cpu().numpy()
