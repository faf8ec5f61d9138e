"""Which mode made each step of an episode, or none of them: a hidden Markov model over the modes of a run.

The density of a step under a mode is the policy's, of the action that was taken, under that mode's context. The state
"none of these" gives every step one constant density, the level. It is calibrated without labels on episodes that the
run's training held out: so low that at most a share of `false_alarm` of their blocks of 25 steps is explained worse by
their own mode. Two guards keep the probabilities from being too sure of themselves: one step counts at most SURPRISE
nats below the typical one, and, as a policy's errors last for several steps, the evidence of each step is divided by
the autocorrelation time of the log densities. Disturbed steps are no evidence at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.discovery.hidden_markov import forward_backward, runs_of, sticky_transitions, viterbi
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.turns import NONE, usable_steps
from mode_imitation.steering.infer import check_fits

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel

SURPRISE = 5.0
"""Nats below the typical log density that a step counts at most: one must not decide for a segment."""
BLOCK = 25
"""Steps of the blocks that the level of "none of these" is calibrated on."""
LEAST_GAP = 2.0
"""Nats that the level of "none of these" is at least below the typical density: actions that are off by two sigmas.
Nearer, chance alone would make strangers of short stretches of an exactly imitated expert."""
LONGEST_LAG = 100
LITTLE = 0.05
"""Autocorrelation below which steps count as independent."""
UNKNOWN_CORRELATION = 6.0
"""Steps, where there are no episodes to take the autocorrelation time from; measured ones were 4 to 8."""
BATCH = 64
"""Episodes decoded together."""
DRAWS = 1000
"""Of each mode, over which its own mean density is taken."""


@dataclass(frozen=True)
class Calibration:
    """What "none of these" is measured by."""

    level: float
    """Log density of every step under "none of these", nats."""
    typical: float
    """Median log density of a step under its own mode, nats."""
    correlation_steps: float
    """Autocorrelation time of the log densities under their own mode; at least 1."""
    n_episodes: int
    """It was taken from; 0: from the spread of the training actions alone."""
    false_alarm: float
    modes: tuple[int, ...]
    """That had a block of steps in them."""


@dataclass(frozen=True)
class Segment:
    """A stretch of steps that one mode made."""

    start: int
    end: int
    """One after the last step."""
    mode: int
    """NONE for none of these."""
    probability: float
    """Mean of the probabilities, given the whole episode, that the steps of the segment were this mode's."""


@dataclass(frozen=True)
class Attribution:
    """One episode of T steps."""

    states: np.ndarray
    """(T,) int64, the mode of each step on the most probable path; NONE for none of these."""
    probabilities: np.ndarray
    """(T, M + 1) of each mode of the run, in their order, and last of none of these."""
    modes: tuple[int, ...]
    """M modes."""

    @property
    def segments(self) -> list[Segment]:
        """In order, without gaps."""
        own = self.probability
        return [Segment(a, b, int(self.states[a]), float(own[a:b].mean())) for a, b in runs_of(self.states)]

    @property
    def probability(self) -> np.ndarray:
        """(T,) that the step is of the state that `states` names."""
        columns = np.array([*self.modes, NONE])
        return self.probabilities[np.arange(len(self.states)), (columns == self.states[:, None]).argmax(axis=1)]

    @property
    def shares(self) -> dict[int, float]:
        """Expected share of the episode's steps by state, NONE among them."""
        return dict(zip([*self.modes, NONE], self.probabilities.mean(axis=0).tolist(), strict=True))


def attribute_episodes(
    model: "ModeModel",
    episodes: Sequence[Episode],
    calibration: Calibration,
    *,
    expected_steps: float = 250.0,
    progress: Progress = no_progress,
) -> list[Attribution]:
    """Say which mode made which step of each episode.

    Args:
        episodes: of which only observations, actions and disturbed marks are read.
        calibration: see `calibrate`.
        expected_steps: that one mode lasts, more than 1.
        progress: advanced by one an episode.

    Raises:
        UserError: an episode does not fit the model, or the expected length is not more than a step.
    """
    modes = modes_of(model)
    transitions = sticky_transitions(len(modes) + 1, expected_steps)
    start = np.full(len(modes) + 1, -np.log(len(modes) + 1))
    floor = calibration.typical - SURPRISE
    states = np.array([*modes, NONE])
    found = []
    for first in range(0, len(episodes), BATCH):
        group = episodes[first : first + BATCH]
        lengths = np.array([len(episode) for episode in group])
        evidence = np.zeros((len(group), lengths.max(), len(states)))
        for row, episode in enumerate(group):
            densities = np.maximum(log_densities(model, episode), floor) - calibration.level  # (T, M)
            densities[~usable_steps(episode)] = 0.0
            evidence[row, : len(episode), :-1] = densities / calibration.correlation_steps
        posterior = forward_backward(evidence, transitions, start, lengths).probabilities
        paths = viterbi(evidence, transitions, start, lengths)
        for row, length in enumerate(lengths):
            found.append(Attribution(states[paths[row, :length]], posterior[row, :length], tuple(modes)))
            progress.advance()
    return found


def calibrate(
    model: "ModeModel",
    episodes: Sequence[Episode],
    *,
    false_alarm: float = 0.01,
    expected_steps: float = 250.0,
) -> Calibration:
    """Find the level of "none of these", without labels.

    Where there is no episode, the level is what a policy blind to observation and mode gives the training actions on
    average: their Gaussian, or all choices alike.

    Args:
        episodes: of the experts that it was trained on, best ones that training did not see; may be none.
        false_alarm: share of blocks of those episodes that none of the modes is to explain well enough, in (0, 1).
        expected_steps: as in `attribute_episodes`.

    Raises:
        UserError: an episode does not fit the model.
    """
    own = [stretch for episode in episodes for stretch in _own_densities(model, episode, expected_steps)]
    if not own:
        typical = float(np.median(_own_density(model)))
        return Calibration(_blind_density(model), typical, UNKNOWN_CORRELATION, 0, false_alarm, ())
    typical = float(np.median(np.concatenate([densities for _, densities in own])))
    guarded = [(mode, np.maximum(densities, typical - SURPRISE)) for mode, densities in own]
    blocks: dict[int, list[np.ndarray]] = {}
    for mode, densities in guarded:
        if n := len(densities) // BLOCK:
            blocks.setdefault(mode, []).append(densities[: n * BLOCK].reshape(n, BLOCK).mean(axis=1))
    # A block's own density: between two blocks, more than the share of them could lie below. The level serves every
    # mode: that of the one which the policy imitates least exactly.
    levels = [float(np.quantile(np.concatenate(means), false_alarm, method="lower")) for means in blocks.values()]
    level = min([typical - LEAST_GAP, *levels])
    return Calibration(level, typical, correlation_time(guarded), len(episodes), false_alarm, tuple(sorted(blocks)))


def log_densities(model: "ModeModel", episode: Episode) -> np.ndarray:
    """(T, M) log density of each action under each mode of the model, nats.

    Raises:
        UserError: the episode does not fit the model.
    """
    check_fits(model, episode)
    types = np.float32, model.config.action_space.dtype
    seen, done = (
        torch.from_numpy(np.ascontiguousarray(part, dtype)).to(model.alive.device)
        for part, dtype in zip((episode.observations[:-1], episode.actions), types, strict=True)
    )
    with torch.inference_mode():
        rows = model.features.rows(seen)
        parameters = [model.follow(rows, one.expand(len(rows), -1))[:, 0] for one in model.mode_contexts()[model.alive]]
        densities = [model.log_prob(found, done).sum(-1) for found in parameters]
        return torch.stack(densities, dim=1).double().cpu().numpy()


def modes_of(model: "ModeModel") -> list[int]:
    """The codes that were not pruned."""
    return np.flatnonzero(model.alive.cpu().numpy()).tolist()


def correlation_time(groups: Sequence[tuple[int, np.ndarray]]) -> float:
    """Steps after which log densities under their own mode are as good as independent: 1 + 2 sum of autocorrelations.

    Args:
        groups: mode and (n,) log densities of consecutive steps; pooled, each around the mean of its mode. The sum ends
            where the autocorrelation has become little (Geyer's initial sequence, Practical MCMC, 1992, simplified).

    Returns:
        At least 1.
    """
    means = {mode: np.concatenate([d for of, d in groups if of == mode]).mean() for mode, _ in groups}
    centred = [densities - means[mode] for mode, densities in groups]
    variance = np.concatenate(centred).var()
    total = 1.0
    for lag in range(1, LONGEST_LAG + 1):
        products = [part[lag:] * part[:-lag] for part in centred if len(part) > lag]
        if not products or variance <= 0:
            break
        correlation = np.concatenate(products).mean() / variance
        if correlation < LITTLE:
            break
        total += 2 * correlation
    return float(total)


def _own_densities(model: "ModeModel", episode: Episode, expected_steps: float) -> list[tuple[int, np.ndarray]]:
    """Mode and (n,) log densities under it of each stretch that one mode explains best, undisturbed steps only."""
    modes = modes_of(model)
    densities = log_densities(model, episode)[usable_steps(episode)]  # (n, M)
    if not len(densities):
        return []
    guarded = np.clip(densities - np.median(densities.max(axis=1)), -SURPRISE, None)
    start = np.full(len(modes), -np.log(len(modes)))
    transitions = sticky_transitions(len(modes), expected_steps)
    (path,) = viterbi(guarded[None] / UNKNOWN_CORRELATION, transitions, start, np.array([len(guarded)]))
    return [(modes[path[first]], densities[first:last, path[first]]) for first, last in runs_of(path)]


def _own_density(model: "ModeModel") -> np.ndarray:
    """(M,) mean log density of each mode's own draws, where observations are average."""
    with torch.inference_mode():
        contexts = model.mode_contexts()[model.alive]  # (M, K)
        rows = model.features.rows(model.features.obs_mean.expand(len(contexts), -1))
        parameters = model.predict(rows, contexts)[:, 0].expand(DRAWS, len(contexts), -1)  # (DRAWS, M, P)
        drawn = model.actor.head.sample(parameters, 1.0, torch.Generator().manual_seed(0))
        density = model.log_prob(parameters, model.features.raw_actions(drawn)).sum(-1)
        return density.mean(0).double().cpu().numpy()


def _blind_density(model: "ModeModel") -> float:
    """Mean log density of actions under the Gaussian of all of them (minus its entropy), or under chance."""
    space = model.config.action_space
    if space.discrete:
        return -float(np.log(space.choices).sum())
    scale = model.features.act_scale.double().cpu().numpy()
    return float(-(np.log(scale) + 0.5 * np.log(2 * np.pi * np.e)).sum())
