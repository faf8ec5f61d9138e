"""Which code explains a trajectory: judged by policies that never saw it, so that no code can excuse itself.

A hard EM in which the E-step is cross-fitted: two policies are fitted, each on half of the units with the codes as
they are, and each scores the other half under every code. In-sample likelihood would only confirm the codes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mode_imitation.model.actor import GaussianActor, log_density
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.batches import TrainingData, rows_of
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.schedule import adam, set_one_cycle

NLL_LIMIT = 5.0
"""A step counts at most this many nats either way: one surprise must not decide for a trajectory."""


class Round(NamedTuple):
    """What one round of reassignment did."""

    codes: Tensor
    """(U,) int"""
    nll: float
    """Nats per step of the data under their new codes, scored by policies that never saw them."""
    changed: int
    """Units that got another code, before merging."""
    n_codes: int
    smallest_gap: float | None
    """Between the two most similar codes, before merging; None where there is one code."""


def reassign(
    model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator, *, merge: bool
) -> Round:
    """Give every unit the code that explains it best, and merge codes that explain each other's units as well.

    Args:
        model: its normaliser and sizes are used; it is not changed.
        data: U units.
        codes: (U,) int, as they are.
        config: scoring_iterations, scoring_batch, merge_gap, learning_rate, actor_hidden.
        generator: CPU generator.
        merge: whether codes are merged in this round.
    """
    used = codes.unique()
    half = split_in_halves(codes, generator)
    twins = fit_twins(model, data, codes, half, config, generator)
    scores = cross_fitted_scores(model, data, twins, half, used)
    new = scores.argmin(1)
    # A unit without a step to be judged by keeps its code.
    judged = torch.bincount(data.unit_of_step[data.scored], minlength=data.n_units) > 0
    new = torch.where(judged, new, codes)
    gaps = code_gaps(scores, new)
    nll = scores.gather(1, new[:, None])[judged].mean().item()
    merged = merge_codes(new, gaps, config.merge_gap) if merge else new
    smallest = min(gaps.values(), default=None)
    return Round(merged, nll, int((new != codes).sum()), len(merged.unique()), smallest)


def split_in_halves(codes: Tensor, generator: torch.Generator) -> Tensor:
    """(U,) bool, about half True, in every code too, so that both policies know every code of two units or more."""
    shuffled = torch.randperm(len(codes), generator=generator).to(codes.device)
    order = shuffled[torch.sort(codes[shuffled], stable=True).indices]
    half = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
    half[order[::2]] = True
    return half


def fit_twins(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    half: Tensor,
    config: TrainConfig,
    generator: torch.Generator,
) -> tuple[GaussianActor, GaussianActor]:
    """Two policies of the model's size, told the code one-hot, fitted to the units outside and inside `half`."""
    sizes = model.config

    def fresh() -> GaussianActor:
        actor = GaussianActor(
            sizes.actor_inputs, sizes.act_dim, sizes.n_codes, sizes.actor_hidden, "mode", sizes.min_log_sigma, generator
        )
        return actor.to(data.device)

    twins = (fresh(), fresh())
    batches = torch.Generator(data.device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    in_half = half[data.unit_of_step[data.trainable]]
    steps = (data.trainable[~in_half], data.trainable[in_half])
    fitted = [(twin, own) for twin, own in zip(twins, steps, strict=True) if len(own)]
    one_hot = torch.eye(sizes.n_codes, device=data.device)
    optimizer = adam([parameter for twin in twins for parameter in twin.parameters()], config.learning_rate)
    for iteration in range(config.scoring_iterations):
        set_one_cycle(optimizer, iteration, config.scoring_iterations, config.learning_rate)
        losses = []
        for twin, own in fitted:
            batch = data.draw_steps(own, config.scoring_batch, batches)
            contexts = rows_of(one_hot, codes[data.unit_of_step[batch]])
            losses.append(-step_log_density(model, data, twin, batch, contexts).mean())
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return twins


@torch.no_grad()
def cross_fitted_scores(
    model: ModeModel, data: TrainingData, twins: tuple[GaussianActor, GaussianActor], half: Tensor, used: Tensor
) -> Tensor:
    """Mean NLL of every unit under every used code, by the twin that did not see it: (U, K), infinite elsewhere."""
    n_codes = model.config.n_codes
    owner = data.unit_of_step[data.scored]
    counts = torch.bincount(owner, minlength=data.n_units).clamp_min(1)
    scores = torch.full((data.n_units, n_codes), torch.inf, device=data.device)
    one_hot = torch.eye(n_codes, device=data.device)
    for code in used.tolist():
        sums = torch.zeros(data.n_units, device=data.device)
        for twin, side in ((twins[0], half), (twins[1], ~half)):
            for steps in data.scored[side[owner]].split(65_536):
                contexts = one_hot[code].expand(len(steps), -1)
                nll = -step_log_density(model, data, twin, steps, contexts).clamp(-NLL_LIMIT, NLL_LIMIT)
                sums.index_add_(0, data.unit_of_step[steps], nll)
        scores[:, code] = sums / counts
    return scores


def code_gaps(scores: Tensor, codes: Tensor) -> dict[tuple[int, int], float]:
    """How much worse two codes explain each other's units than their own, nats per step, for every pair in use.

    Args:
        scores: (U, K) mean NLL.
        codes: (U,) int.
    """
    used = codes.unique().tolist()
    gaps = {}
    for i, first in enumerate(used):
        for second in used[i + 1 :]:
            of_first, of_second = scores[codes == first], scores[codes == second]
            loss = (of_first[:, second] - of_first[:, first]).mean() + (
                of_second[:, first] - of_second[:, second]
            ).mean()
            gaps[first, second] = loss.item() / 2
    return gaps


def merge_codes(codes: Tensor, gaps: dict[tuple[int, int], float], threshold: float) -> Tensor:
    """Join every pair of codes whose gap is below the threshold, the closest first: (U,) -> (U,)"""
    codes = codes.clone()
    parent: dict[int, int] = {}

    def root(code: int) -> int:
        while code in parent:
            code = parent[code]
        return code

    for (first, second), gap in sorted(gaps.items(), key=lambda item: item[1]):
        if gap < threshold and root(first) != root(second):
            parent[root(second)] = root(first)
    for code in list(parent):
        codes[codes == code] = root(code)
    return codes


def selection_score(
    model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator
) -> float:
    """Cross-fitted nats per step in the arena of the codes as they are; lower is better.

    To compare restarts, give each the same generator state: the split and the fit are then the same, whatever the
    codes are called.
    """
    half = torch.rand(data.n_units, generator=generator).to(data.device) < 0.5
    if half.all() or not half.any():
        half = torch.arange(data.n_units, device=data.device) % 2 == 0
    twins = fit_twins(model, data, codes, half, config, generator)
    scores = cross_fitted_scores(model, data, twins, half, codes.unique())
    judged = torch.bincount(data.unit_of_step[data.scored], minlength=data.n_units) > 0
    return scores.gather(1, codes[:, None])[judged].mean().item()


def step_log_density(
    model: ModeModel, data: TrainingData, actor: GaussianActor, steps: Tensor, contexts: Tensor
) -> Tensor:
    """Log density of raw actions under an actor that shares the model's normaliser: (B,)"""
    normalizer = model.normalizer
    means, log_sigmas = actor(normalizer.actor_inputs(data.observations_at(steps)), contexts)
    density = log_density(normalizer.actions(data.actions_at(steps)), means, log_sigmas).sum(-1)
    return density - normalizer.act_scale.log().sum()
