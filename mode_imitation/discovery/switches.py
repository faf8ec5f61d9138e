"""Experts that switch in mid-episode: from codes of segments on a fixed grid to a code for every step.

A hard EM over steps. The M-step fits judges to the codes as they are; the E-step gives every episode the most probable
path of codes, where a change of code costs SWITCH_COST nats and no code lasts less than a segment of the grid but the
first and the last of an episode: an expert that drives straight ahead for a while is not to have a code for that while,
with an expert that always does. Three things keep it from confirming itself:

- it is cross-fitted: each episode is scored by a judge that was fitted to other episodes;
- the first rounds are blind: their judges see the rings only. What an agent feels of its own motion (speed, turning)
  gives away what it did a moment ago, and a policy that can read that off needs no code;
- it stops early: a few rounds sharpen the switches, more of them drift.

Between the blind and the sighted rounds, codes whose union one policy explains as well as two are merged.
S steps, E episodes, U units.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.discovery.hidden_markov import lasting_path, runs_of
from mode_imitation.discovery.judges import PIECE, Twins, fit_twins, limited, step_log_prob
from mode_imitation.model.batches import TrainingData, Units
from mode_imitation.model.features import TokenEmbedding
from mode_imitation.model.mode_model import Actor, ModeModel

SWITCH_COST = 15.0
"""Nats that a change of code costs on a path; the evidence of a step is `limited`."""
UNION_LOSS = 0.08
"""Nats per step that one policy for two codes may lose against two, for the codes to become one."""
FEWEST_PART = 0.02
"""A part (emphasised steps, the others) with a smaller share of the undisturbed steps is not judged alone."""
BLIND_ROUNDS, SIGHTED_ROUNDS = 5, 4
MERGED_BEFORE = 2
"""Sighted rounds before which codes are merged."""
MOST_SIGHTED = SIGHTED_ROUNDS + MERGED_BEFORE - 1
"""Rounds after the blind ones, at most, beside one a code that is merged."""
SIGHTED_SHARE = 1.5
"""Iterations of a sighted fit, as a multiple of `judge_iterations`: it has more to learn from."""

Kind = Literal["blind", "merge", "sighted"]


def next_kind(rounds: Sequence[Mapping[str, Any]], *, blind: bool) -> Kind | None:
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

    def __init__(self, model: ModeModel, data: TrainingData, config: DiscoveryConfig) -> None:
        """
        Args:
            model: its features and sizes are used; it is not changed. Without a ring the blind rounds see everything.
            data: S steps; its units are not used.
            config: segment, and what judges are fitted with.
        """
        self.model, self.data, self.config = model, data, config
        self.shortest = config.segment or 1
        self.blind = blinded(model)

    def round(self, kind: Kind, codes: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """One round: (S,) codes of the steps -> (S,), and its figures.

        `nll` is in nats per undisturbed emphasised step (of all, where hardly any is) under the new codes, by judges
        that never saw the episode; `changed` the share of the steps that got another code; `loss` what the best union
        of two codes loses.
        """
        sighted = replace(self.config, judge_iterations=round(SIGHTED_SHARE * self.config.judge_iterations))
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


def blinded(model: ModeModel) -> ModeModel:
    """A copy of the model whose judges are told 0 for every number outside of its rings, and no token; the model itself
    where it has no rings."""
    if not model.config.rings:
        return model
    blind = copy.deepcopy(model)
    seen = torch.zeros(model.config.obs_dim, dtype=torch.bool, device=model.alive.device)
    for start, stop in model.config.rings:
        seen[start:stop] = True
    blind.features.obs_scale[~seen] = torch.inf
    blind.features.kinds = [kind for kind in blind.features.kinds if not isinstance(kind, TokenEmbedding)]
    return blind


def merge_once(
    model: ModeModel, data: TrainingData, codes: Tensor, config: DiscoveryConfig, generator: torch.Generator
) -> tuple[Tensor, float | None]:
    """Join the two codes that one policy explains best together, if it does so as well as two policies.

    Returns:
        (S,) codes, and what that union loses, nats per emphasised step or per other step, whichever is more: two
        experts may differ in one of the places only, which an average over both would hide. None where there is one
        code only.
    """
    used = codes.unique().tolist()
    # The same split and the same fit for every candidate.
    seed = int(torch.randint(2**62, (1,), generator=generator))
    if len(used) < 2:
        return codes, None
    data = data.showing(model.features)
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
    model: ModeModel, data: TrainingData, codes: Tensor, config: DiscoveryConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Log density of every step under every code in use, by the judge that saw only other episodes.

    Returns:
        (S, C), `limited`, 0 where disturbed; and (C,) the codes in use.
    """
    used = codes.unique()
    steps = copy.copy(data.showing(model.features))
    steps.unit_of_step = torch.arange(len(data.unit_of_step), device=data.device)  # every step a unit of its own
    episode = torch.from_numpy(data.episode_of_unit).to(data.device)[data.unit_of_step]
    n_episodes = int(episode.max()) + 1
    half = torch.zeros(n_episodes, dtype=torch.bool)
    half[torch.randperm(n_episodes, generator=generator)[: n_episodes // 2]] = True
    twins: Twins = fit_twins(model, steps, codes, half.to(data.device)[episode], config, generator)
    scores = torch.zeros(len(codes), len(used), device=data.device)
    for twin, mine in ((twins.outside, twins.half), (twins.inside, ~twins.half)):
        judged = data.trainable[mine[data.trainable]]
        for column, code in enumerate(used.tolist()):
            scores[judged, column] = _densities(model, steps, twin, judged, code)
    return scores, used


def most_probable_codes(data: TrainingData, scores: Tensor, used: Tensor, shortest: int) -> Tensor:
    """(S, C) scores -> (S,) codes on the most probable path of each episode, on which a code lasts at least `shortest`
    steps, but for the first and the last of the episode."""
    lengths = data.episode_lengths
    flat = scores.double().cpu().numpy()
    padded = np.zeros((len(lengths), lengths.max(), flat.shape[1]))
    inside = np.arange(lengths.max()) < lengths[:, None]
    padded[inside] = flat
    path = lasting_path(padded, SWITCH_COST, shortest, lengths)
    return used[torch.from_numpy(path[inside]).to(used.device)]


def units_of_codes(codes: np.ndarray, lengths: np.ndarray, shortest: int) -> tuple[Units, np.ndarray]:
    """Cut episodes where the code changes; a piece that is too short joins the one before it (the first, the next).

    Args:
        codes: (S,) int, of the steps of all episodes.
        lengths: (E,) int, steps per episode, each at least `shortest`.
        shortest: steps that a unit needs.

    Returns:
        The units, and (U,) int64 the code of each.
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
    return Units(steps, episodes), of_unit


def stretches_by_episode(data: TrainingData, codes: Tensor) -> list[list[list[int]]]:
    """(U,) codes -> of every episode the first step and the code of each of its stretches, in order."""
    starts = np.cumsum(data.unit_lengths) - data.unit_lengths
    found: list[list[list[int]]] = [[] for _ in range(len(data.episode_lengths))]
    first: dict[int, int] = {}
    for start, episode, code in zip(starts.tolist(), data.episode_of_unit.tolist(), codes.tolist(), strict=True):
        step = start - first.setdefault(episode, start)
        if not found[episode] or found[episode][-1][1] != code:  # neighbours of one code are one stretch
            found[episode].append([step, code])
    return found


def codes_by_episode(data: TrainingData, codes: Tensor, n_codes: int) -> list[int]:
    """(U,) codes -> the code that most steps of each episode have."""
    votes = np.zeros((len(data.episode_lengths), n_codes), dtype=np.int64)
    np.add.at(votes, (data.episode_of_unit, codes.cpu().numpy()), data.unit_lengths)
    return votes.argmax(1).tolist()


def _likelihood(model: ModeModel, data: TrainingData, codes: Tensor, config: DiscoveryConfig, seed: int) -> Tensor:
    """(2,) of `_means`, cross-fitted."""
    scores, used = step_scores(model, data, codes, config, torch.Generator().manual_seed(seed))
    return _means(data, scores, used, codes)


def _means(data: TrainingData, scores: Tensor, used: Tensor, codes: Tensor) -> Tensor:
    """(2,) mean score of the undisturbed steps under their codes: of the emphasised ones, and of the others; where one
    of them is hardly any, of all in its place."""
    own = scores.gather(1, torch.searchsorted(used, codes)[:, None])[:, 0]
    others = data.trainable[~torch.isin(data.trainable, data.emphasised)]
    enough = FEWEST_PART * len(data.trainable)
    parts = (part if len(part) >= max(enough, 1) else data.trainable for part in (data.emphasised, others))
    return torch.stack([own[part].mean() for part in parts])


@torch.no_grad()
def _densities(model: ModeModel, data: TrainingData, actor: Actor, steps: Tensor, code: int) -> Tensor:
    context = torch.eye(model.config.n_codes, device=data.device)[code]
    pieces = [step_log_prob(model, data, actor, part, context.expand(len(part), -1)) for part in steps.split(PIECE)]
    return limited(data, torch.cat(pieces))
