"""Experts that switch in mid-episode: from codes of segments on a fixed grid to a code for every step.

A hard EM over steps. The M-step fits a policy to the codes as they are; the E-step gives every episode the most
probable path of codes, where a change of code costs SWITCH_COST nats and no code lasts less than a segment of the grid
but the first and the last of an episode: an expert that drives straight ahead for a while is not to have a code for
that while, with an expert that always does. Three things keep it from confirming itself:

- it is cross-fitted: each episode is scored by a policy that was fitted to other episodes;
- the first rounds are blind: their policies see the lidars only. What an agent feels of its own motion (speed, turning)
  gives away what it did a moment ago, and a policy that can read that off needs no code;
- it stops early: a few rounds sharpen the switches, more of them drift.

Between the blind and the sighted rounds, codes whose union one policy explains as well as two are merged.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mode_imitation.model.actor import GaussianActor
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.assignment import fit_twins, limited, step_log_density
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.hidden_markov import lasting_path, runs_of

SWITCH_COST = 15.0
"""Nats that a change of code costs on a path; the evidence of a step is `limited`."""
UNION_LOSS = 0.08
"""Nats per step that one policy for two codes may lose against two, for the codes to become one."""
FEWEST_PART = 0.02
"""A part (in the arena, outside of it) with a smaller share of the undisturbed steps is not judged alone."""


BLIND_ROUNDS, SIGHTED_ROUNDS = 5, 4
MERGED_BEFORE = 2
"""Sighted rounds before which codes are merged."""
MOST_SIGHTED = SIGHTED_ROUNDS + MERGED_BEFORE - 1
"""Rounds after the blind ones, at most, beside one a code that is merged."""
SIGHTED_SHARE = 1.5
"""Iterations of a sighted fit, as a multiple of `scoring_iterations`: it has more to learn from."""

Kind = Literal["blind", "merge", "sighted"]


def next_round(rounds: Sequence[Mapping[str, Any]], *, blind: bool) -> Kind | None:
    """What follows the rounds that are done; None at the end.

    Args:
        rounds: `kind` of each, and `merged` of those that merge.
        blind: whether the search is at the blind rounds still; then come sighted ones, the first of them after merging.
    """
    kinds = [entry["kind"] for entry in rounds]
    if blind:
        return "blind" if len(kinds) < BLIND_ROUNDS else None
    sighted, last = kinds.count("sighted"), rounds[-1]
    if sighted == SIGHTED_ROUNDS:
        return None
    merging = sighted < MERGED_BEFORE and not (last["kind"] == "merge" and not last["merged"])
    return "merge" if merging else "sighted"


class SwitchSearch:
    """Does the rounds. All that carries over from one to the next are the codes and the generator's state."""

    def __init__(
        self, model: ModeModel, data: TrainingData, slices: dict[str, slice] | None, config: TrainConfig
    ) -> None:
        """
        Args:
            model: its normaliser and sizes are used; it is not changed.
            data: S steps; its units are not used.
            slices: sensors by name; without a lidar among them the blind rounds see everything.
            config: segment, scoring_iterations, scoring_batch, learning_rate, actor_hidden.
        """
        self.model, self.data, self.config = model, data, config
        self.shortest = config.segment or 1
        self.blind = blinded(model, lidar_columns(slices, model.config.obs_dim))

    def round(self, kind: Kind, codes: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """One round: (S,) codes of the steps -> (S,), and its figures.

        `nll` is in nats per undisturbed step in the arena (of all, where hardly any is) under the new codes, by
        policies that never saw the episode; `changed` the share of the steps that got another code; `loss` what the
        best union of two codes loses.
        """
        sighted = replace(self.config, scoring_iterations=round(SIGHTED_SHARE * self.config.scoring_iterations))
        if kind == "merge":
            new, loss = merge_once(self.model, self.data, codes, sighted, generator)
            merged = len(new.unique()) < len(codes.unique())
            return new, {"kind": kind, "merged": merged, "loss": loss, "n_codes": len(new.unique())}
        model, config = (self.model, sighted) if kind == "sighted" else (self.blind, self.config)
        scores, used = step_scores(model, self.data, codes, config, generator)
        new = most_probable_codes(self.data, scores, used, self.shortest)
        return new, {
            "kind": kind,
            "nll": -float(_means(self.data, scores, used, new)[0]),
            "changed": float((new != codes).float().mean()),
            "n_codes": len(new.unique()),
        }


def lidar_columns(slices: dict[str, slice] | None, obs_dim: int) -> Tensor | None:
    """(obs_dim,) bool, what the blind rounds see; None where the data does not say which observations are lidar."""
    seen = torch.zeros(obs_dim, dtype=torch.bool)
    for name, part in (slices or {}).items():
        if name.endswith("_lidar"):
            seen[part] = True
    return seen if seen.any() else None


def blinded(model: ModeModel, seen: Tensor | None) -> ModeModel:
    """A copy of the model that is told 0 for every observation outside of `seen`, (obs_dim,) bool."""
    blind = copy.deepcopy(model)
    if seen is not None:
        blind.normalizer.obs_scale[~seen.to(blind.alive.device)] = torch.inf
    return blind


def merge_once(
    model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, float | None]:
    """Join the two codes that one policy explains best together, if it does so as well as two policies.

    Returns:
        (S,) codes, and what that union loses, nats per step in the arena or outside of it, whichever is more: two
        experts may differ in one of the places only, which an average over both would hide. None where there is one
        code only.
    """
    used = codes.unique().tolist()
    # The same split and the same fit for every candidate.
    seed = int(torch.randint(2**62, (1,), generator=generator))
    if len(used) < 2:
        return codes, None
    data = data.showing(model.normalizer)
    base = _likelihood(model, data, codes, config, seed)
    best, united = float("inf"), codes
    for index, first in enumerate(used):
        for second in used[index + 1 :]:
            candidate = torch.where(codes == second, first, codes)
            loss = float((base - _likelihood(model, data, candidate, config, seed)).max())
            if loss < best:
                best, united = loss, candidate
    return (united if best < UNION_LOSS else codes), best


def step_scores(
    model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Log density of every step under every code in use, by the policy that saw only other episodes.

    Returns:
        (S, C), `limited`, 0 where disturbed; and (C,) the codes in use.
    """
    used = codes.unique()
    steps = _steps_as_units(data.showing(model.normalizer))
    episode = torch.from_numpy(data.episode_of_unit).to(data.device)[data.unit_of_step]
    n_episodes = int(episode.max()) + 1
    half = torch.zeros(n_episodes, dtype=torch.bool)
    half[torch.randperm(n_episodes, generator=generator)[: n_episodes // 2]] = True
    side = half.to(data.device)[episode]
    twins = fit_twins(model, steps, codes, side, config, generator)
    scores = torch.zeros(len(codes), len(used), device=data.device)
    for twin, mine in ((twins[0], side), (twins[1], ~side)):
        judged = data.trainable[mine[data.trainable]]
        for column, code in enumerate(used.tolist()):
            scores[judged, column] = _densities(model, steps, twin, judged, code)
    return scores, used


def most_probable_codes(data: TrainingData, scores: Tensor, used: Tensor, shortest: int) -> Tensor:
    """(S, C) scores -> (S,) codes on the most probable path of each episode, on which a code lasts at least `shortest`
    steps, but for the first and the last of the episode."""
    lengths = np.bincount(data.episode_of_unit, weights=data.unit_lengths).astype(np.int64)
    flat = scores.double().cpu().numpy()
    padded = np.zeros((len(lengths), lengths.max(), flat.shape[1]))
    inside = np.arange(lengths.max()) < lengths[:, None]
    padded[inside] = flat
    path = lasting_path(padded, SWITCH_COST, shortest, lengths)
    return used[torch.from_numpy(path[inside]).to(used.device)]


def units_of_codes(codes: np.ndarray, lengths: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut episodes where the code changes; a piece that is too short joins the one before it (the first, the next).

    Args:
        codes: (S,) int, of the steps of all episodes.
        lengths: (E,) int, steps per episode, each at least `shortest`.
        shortest: steps that a unit needs.

    Returns:
        (U,) steps per unit, (U,) its episode, (U,) its code.
    """
    units: list[tuple[int, int, int]] = []
    start = 0
    for episode, length in enumerate(lengths.tolist()):
        own = codes[start : start + length]
        start += length
        pieces: list[list[int]] = []
        for first, last in runs_of(own):
            code = int(own[first])
            if pieces and (last - first < shortest or pieces[-1][0] < shortest or pieces[-1][1] == code):
                if pieces[-1][0] < shortest <= last - first:
                    pieces[-1][1] = code
                pieces[-1][0] += last - first
            else:
                pieces.append([last - first, code])
        units += [(steps, episode, code) for steps, code in pieces]
    steps, episodes, of_unit = (np.array(column, dtype=np.int64) for column in zip(*units, strict=True))
    return steps, episodes, of_unit


def stretches_by_episode(data: TrainingData, codes: Tensor) -> list[list[list[int]]]:
    """(U,) codes -> of every episode the first step and the code of each of its stretches, in order."""
    starts = np.cumsum(data.unit_lengths) - data.unit_lengths
    found: list[list[list[int]]] = [[] for _ in range(int(data.episode_of_unit.max()) + 1)]
    first: dict[int, int] = {}
    for start, episode, code in zip(starts.tolist(), data.episode_of_unit.tolist(), codes.tolist(), strict=True):
        step = start - first.setdefault(episode, start)
        if not found[episode] or found[episode][-1][1] != code:  # neighbours of one code are one stretch
            found[episode].append([step, code])
    return found


def codes_by_episode(data: TrainingData, codes: Tensor, n_codes: int) -> list[int]:
    """(U,) codes -> the code that most steps of each episode have."""
    votes = np.zeros((int(data.episode_of_unit.max()) + 1, n_codes), dtype=np.int64)
    np.add.at(votes, (data.episode_of_unit, codes.cpu().numpy()), data.unit_lengths)
    return votes.argmax(1).tolist()


def _likelihood(model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, seed: int) -> Tensor:
    """(2,) of `_means`, cross-fitted."""
    scores, used = step_scores(model, data, codes, config, torch.Generator().manual_seed(seed))
    return _means(data, scores, used, codes)


def _means(data: TrainingData, scores: Tensor, used: Tensor, codes: Tensor) -> Tensor:
    """(2,) mean score of the undisturbed steps under their codes: of those in the arena, and of those outside; where
    one of them is hardly any, of all in its place."""
    own = scores.gather(1, torch.searchsorted(used, codes)[:, None])[:, 0]
    outside = data.trainable[~torch.isin(data.trainable, data.trainable_in_arena)]
    enough = FEWEST_PART * len(data.trainable)
    parts = (part if len(part) >= max(enough, 1) else data.trainable for part in (data.trainable_in_arena, outside))
    return torch.stack([own[part].mean() for part in parts])


def _steps_as_units(data: TrainingData) -> TrainingData:
    """The same data with a code for every step."""
    steps = copy.copy(data)
    steps.unit_of_step = torch.arange(len(data.unit_of_step), device=data.device)
    return steps


@torch.no_grad()
def _densities(model: ModeModel, data: TrainingData, actor: GaussianActor, steps: Tensor, code: int) -> Tensor:
    context = torch.eye(model.config.n_codes, device=data.device)[code]
    pieces = [step_log_density(model, data, actor, part, context.expand(len(part), -1)) for part in steps.split(65_536)]
    return limited(data, torch.cat(pieces))
