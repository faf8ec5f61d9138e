"""What is learned first: how well each expert's actions are predicted while a model is being trained.

An expert's fit is the log-likelihood of its actions under the context of *other* windows of the same episode. The
context of the action's own window may know the action (the original's distances do) and then fits better than the
noise allows without anything being learned that could be steered; it is recorded beside.

Labels sort the figures and nothing else: the watcher draws from a generator of its own and changes no weight.
"""

from typing import Any

import numpy as np
import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.objective import log_prob_of_steps
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import HookCall

WINDOWS = 256
"""Windows that each expert's fit is taken over."""


class FitWatcher:
    """A hook for `fit` that records the log-likelihood of each expert's actions, on the same windows every time."""

    def __init__(self, dataset: TrajectoryDataset, config: TrainConfig, seed: int = 0) -> None:
        """
        Args:
            dataset: with labels.
            config: of the training, which decides windows and pooling.
            seed: of the windows that are looked at.
        """
        labels = np.array(dataset.labels)
        self.config = config
        self.iterations: list[int] = []
        self.fits: dict[str, list[float]] = {}
        self.own_window_fits: dict[str, list[float]] = {}
        self.batches = {}
        for name in sorted(set(labels.tolist())):
            data = TrainingData(FlatEpisodes.of(dataset, np.flatnonzero(labels == name)), config.window)
            if not len(data.drawable):
                continue  # disturbed throughout: nothing of this expert is ever trained on
            generator = torch.Generator().manual_seed(seed)
            # A group of windows shares a code, as in training.
            units = data.draw_units(max(1, WINDOWS // config.pool), generator).repeat_interleave(config.pool)
            starts, others = (data.draw_starts(units, generator) for _ in range(2))
            chosen = torch.randint(config.window.horizon, (len(units), 1), generator=generator)
            self.batches[name] = (
                data,
                data.windows(starts),
                data.windows(others),
                starts[:, None] + chosen * config.window.gap,
            )
            self.fits[name], self.own_window_fits[name] = [], []

    def __call__(self, call: HookCall) -> None:
        """Look at the model as it is."""
        self.iterations.append(call.iteration)
        for name, (data, windows, others, steps) in self.batches.items():
            asked = data.steps(steps, call.model.features)
            for source, fits in ((others, self.fits), (windows, self.own_window_fits)):
                with torch.no_grad():
                    contexts = call.model.infer(*source, group=self.config.pool).contexts
                    fit = log_prob_of_steps(call.model, asked, contexts).sum(-1).mean()
                fits[name].append(float(fit))

    def curves(self) -> dict[str, Any]:
        """{"iterations": (N,), "fits": {expert: (N,) nats per step, higher is better}, "own_window_fits": the same}"""
        return {"iterations": self.iterations, "fits": self.fits, "own_window_fits": self.own_window_fits}


def action_entropies(dataset: TrajectoryDataset) -> dict[str, float]:
    """How varied each expert's actions are: nats per step of the Gaussian that fits them best, low for a simple expert.

    Args:
        dataset: with labels; disturbed steps are left out.
    """
    return {name: -_gaussian_fit(own, own) for name, own in _actions_by_expert(dataset).items()}


def uninformed_fit(dataset: TrajectoryDataset) -> float:
    """Mean over experts of their actions' log-likelihood under one Gaussian for all, which knows no observation."""
    actions = _actions_by_expert(dataset)
    pooled = np.concatenate(list(actions.values()))
    return float(np.mean([_gaussian_fit(own, pooled) for own in actions.values()]))


def _actions_by_expert(dataset: TrajectoryDataset) -> dict[str, np.ndarray]:
    """{expert: (N, act_dim) undisturbed actions}"""
    parts: dict[str, list[np.ndarray]] = {}
    for episode, name in zip(dataset.episodes, dataset.labels or [], strict=True):
        usable = slice(None) if episode.disturbed is None else ~np.asarray(episode.disturbed, dtype=bool)
        parts.setdefault(name, []).append(np.asarray(episode.actions, dtype=np.float64)[usable])
    return {name: rows for name, own in sorted(parts.items()) if len(rows := np.concatenate(own))}


def _gaussian_fit(actions: np.ndarray, reference: np.ndarray) -> float:
    """Mean log-likelihood of (N, A) actions under the diagonal Gaussian with the reference's moments."""
    mean, sigma = reference.mean(0), np.maximum(reference.std(0), 1e-3)
    log_density = -0.5 * ((actions - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return float(log_density.sum(-1).mean())
