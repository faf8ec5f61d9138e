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

STEP_LIMIT = 2.5
"""Nats that a step counts at most, either way, for each number of its action, in units of half that number's range: one
surprise must not decide for a trajectory."""
FEW = 0.1
"""Share of the units up to which those that a round moved count as undecided."""
GAIN = 0.05
"""Nats per step below which another code explains a unit no better, once codes settle."""


class Round(NamedTuple):
    """What one round of reassignment did."""

    codes: Tensor
    """(U,) int"""
    nll: float
    """Nats per step of the data under their new codes, scored by policies that never saw them."""
    n_codes: int
    smallest_gap: float | None
    """Between the two most similar codes, before merging; None where there is one code."""
    moved: Tensor
    """(U,) bool, the units that got another code, before merging."""

    @property
    def changed(self) -> int:
        """How many units moved."""
        return int(self.moved.sum())

    def figures(self) -> dict[str, float | int | None]:
        """For the log and the report."""
        return {
            "nll": self.nll,
            "changed": self.changed,
            "n_codes": self.n_codes,
            "smallest_gap": self.smallest_gap,
        }


def reassign(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    config: TrainConfig,
    generator: torch.Generator,
    *,
    merge: bool,
    moved: Tensor | None = None,
) -> Round:
    """Give every unit the code that explains it best, and merge codes that explain each other's units as well.

    Args:
        model: its normaliser and sizes are used; it is not changed.
        data: U units.
        codes: (U,) int, as they are.
        config: scoring_iterations, scoring_batch, merge_gap, learning_rate, actor_hidden.
        generator: CPU generator.
        merge: whether codes are merged in this round.
        moved: (U,) bool, the units that the round before moved, where codes are to settle now: no policy is fitted to
            those that are `undecided`, and a unit keeps its code unless it gains by another; None before.
    """
    data = data.showing(model.normalizer)
    used = codes.unique()
    half = split_in_halves(codes, generator)
    left_out = None if moved is None else undecided(codes, moved)
    twins = fit_twins(model, data, codes, half, config, generator, left_out)
    scores = cross_fitted_scores(model, data, twins, half, used)
    own = scores.gather(1, codes[:, None])[:, 0]
    best = scores.min(1)
    new = best.indices if moved is None else torch.where(own - best.values > GAIN, best.indices, codes)
    # A unit without a step to be judged by keeps its code, unless it would be left alone with it: nobody knows what
    # such a code stands for, and no policy could be fitted to it.
    judged = has_scored_steps(data)
    new = torch.where(judged, new, codes)
    if judged.any():
        new = torch.where(judged | torch.isin(codes, new[judged]), new, new[judged].mode().values)
    gaps = code_gaps(scores[judged], new[judged])
    nll = scores.gather(1, new[:, None])[judged].mean().item()
    merged = merge_codes(new, gaps, config.merge_gap) if merge else new
    smallest = min(gaps.values(), default=None)
    return Round(merged, nll, len(merged.unique()), smallest, moved=new != codes)


def has_scored_steps(data: TrainingData) -> Tensor:
    """(U,) bool, the units that have a step to be judged by."""
    return torch.bincount(data.unit_of_step[data.scored], minlength=data.n_units) > 0


def undecided(codes: Tensor, moved: Tensor) -> Tensor | None:
    """Units that the last round moved, where they are few: no policy should be fitted to them before they have settled.

    A single unit in the wrong code is enough to keep it there, and to draw others after it: told that code, a policy
    learns to do as the unit's expert does wherever the code's own expert never is, and explains both.

    Args:
        codes: (U,) int, after the round.
        moved: (U,) bool.

    Returns:
        (U,) bool; None where nothing moved, or too much. Those that are most of their code are not among them, as
        nothing would be left to fit it to.
    """
    if not moved.any() or moved.double().mean() > FEW:
        return None
    sizes = torch.bincount(codes)
    most = 2 * torch.bincount(codes[moved], minlength=len(sizes)) > sizes
    chosen = moved & ~most[codes]
    return chosen if chosen.any() else None


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
    left_out: Tensor | None = None,
) -> tuple[GaussianActor, GaussianActor]:
    """Two policies of the model's size, told the code one-hot, fitted to the units outside and inside `half`.

    Neither is fitted to the units that are `left_out`, (U,) bool.
    """
    data = data.showing(model.normalizer)
    sizes = model.config

    def fresh() -> GaussianActor:
        actor = GaussianActor(
            sizes.actor_inputs, sizes.act_dim, sizes.n_codes, sizes.actor_hidden, "mode", sizes.min_log_sigma, generator
        )
        return actor.to(data.device)

    twins = (fresh(), fresh())
    batches = torch.Generator(data.device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    own_steps = data.trainable
    if left_out is not None:
        own_steps = own_steps[~left_out[data.unit_of_step[own_steps]]]
    in_half = half[data.unit_of_step[own_steps]]
    steps = (own_steps[~in_half], own_steps[in_half])
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
    """Mean NLL of every unit under every used code, by the twin that did not see it: (U, K), infinite elsewhere.

    Steps count as `limited`.
    """
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
                nll = -limited(data, step_log_density(model, data, twin, steps, contexts))
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
    scores, judged = scores_as_they_are(model, data, codes, config, generator)
    return scores.gather(1, codes[:, None])[judged].mean().item()


def scores_as_they_are(
    model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cross-fitted scores of codes, (U, K), by a split that does not heed them; (U,) bool, which units they judge."""
    data = data.showing(model.normalizer)
    half = torch.rand(data.n_units, generator=generator).to(data.device) < 0.5
    if half.all() or not half.any():
        half = torch.arange(data.n_units, device=data.device) % 2 == 0
    twins = fit_twins(model, data, codes, half, config, generator)
    scores = cross_fitted_scores(model, data, twins, half, codes.unique())
    return scores, has_scored_steps(data)


def step_log_density(
    model: ModeModel, data: TrainingData, actor: GaussianActor, steps: Tensor, contexts: Tensor
) -> Tensor:
    """Log density of raw actions under an actor that shares the model's normaliser: (B,)"""
    normalizer = model.normalizer
    means, log_sigmas = actor(data.actor_inputs_at(steps, normalizer), contexts)
    density = log_density(normalizer.actions(data.actions_at(steps)), means, log_sigmas).sum(-1)
    return density - normalizer.act_scale.log().sum()


def limited(data: TrainingData, densities: Tensor) -> Tensor:
    """Log densities of raw actions as those of actions with a range of [-1, 1], within STEP_LIMIT: (B,) -> (B,)

    So codes do not depend on the units of the actions.
    """
    limit = STEP_LIMIT * data.actions.shape[1]
    return (densities + data.action_nats).clamp(-limit, limit)
