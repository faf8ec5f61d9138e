"""How well a code explains a trajectory: told by policies that never saw it, so that no code can excuse itself.

Two policies are fitted, each on half of the units with the codes as they are, and each scores the other half under
every code. In-sample likelihood would only confirm the codes. U units, K codes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.model.batches import TrainingData, rows_of
from mode_imitation.model.mode_model import Actor, ModeModel, log_prob
from mode_imitation.model.optimiser import adam, set_one_cycle
from mode_imitation.model.threads import side_by_side

STEP_LIMIT = 2.5
"""Nats that a step counts at most, either way, for each number of its action, in units of half that number's range: one
surprise must not decide for a trajectory."""
PIECE = 65_536
"""Steps that are scored at a time."""


class Twins(NamedTuple):
    """Two judges. Each was fitted to the units of one side and judges those of the other."""

    outside: Actor
    """Fitted to the units outside `half`, judges those inside."""
    inside: Actor
    half: Tensor
    """(U,) bool"""


def halves(codes: Tensor, generator: torch.Generator) -> Tensor:
    """(U,) codes -> (U,) bool, half of each code True, so that both judges know every code of two units or more."""
    shuffled = torch.randperm(len(codes), generator=generator).to(codes.device)
    order = shuffled[torch.sort(codes[shuffled], stable=True).indices]
    half = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
    half[order[::2]] = True
    return half


def blind_halves(n_units: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """(U,) bool, about half True, whatever the codes are: to compare one coding with another."""
    half = torch.rand(n_units, generator=generator).to(device) < 0.5
    if half.all() or not half.any():
        half = torch.arange(n_units, device=device) % 2 == 0
    return half


def fit_twins(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    half: Tensor,
    config: DiscoveryConfig,
    generator: torch.Generator,
    left_out: Tensor | None = None,
) -> Twins:
    """Fit two policies of the model's size, told the code one-hot, to the units outside and inside of `half`.

    Args:
        model: its features and sizes are used; it is not changed.
        data: U units, `showing` the model's features for speed.
        codes: (U,) int.
        half: (U,) bool.
        config: judge_iterations, judge_batch, learning_rate.
        generator: CPU generator.
        left_out: (U,) bool, units to which neither is fitted; None: none.
    """
    twins = (model.judge(generator), model.judge(generator))
    batches = torch.Generator(data.device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    steps = data.trainable
    if left_out is not None:
        steps = steps[~left_out[data.unit_of_step[steps]]]
    inside = half[data.unit_of_step[steps]]
    fitted = [(twin, own) for twin, own in zip(twins, (steps[~inside], steps[inside]), strict=True) if len(own)]
    one_hot = torch.eye(model.config.n_codes, device=data.device)
    optimiser = adam([parameter for twin in twins for parameter in twin.parameters()], config.learning_rate)

    def gradients(drawn: tuple[Actor, Tensor]) -> tuple[Tensor, ...]:
        twin, batch = drawn
        contexts = rows_of(one_hot, codes[data.unit_of_step[batch]])
        loss = -step_log_prob(model, data, twin, batch, contexts).mean()
        return torch.autograd.grad(loss, list(twin.parameters()), materialize_grads=True)

    for iteration in range(config.judge_iterations):
        set_one_cycle(optimiser, iteration, config.judge_iterations, config.learning_rate)
        drawn = [(twin, data.draw_steps(own, config.judge_batch, batches)) for twin, own in fitted]
        found = side_by_side(gradients, drawn, None if data.device.type == "cpu" else 1)
        for (twin, _), of_twin in zip(drawn, found, strict=True):
            for parameter, gradient in zip(twin.parameters(), of_twin, strict=True):
                parameter.grad = gradient
        optimiser.step()
    return Twins(*twins, half)


@torch.no_grad()
def unit_scores(model: ModeModel, data: TrainingData, twins: Twins, used: Tensor) -> Tensor:
    """Mean NLL of every unit under every used code, by the judge that did not see it: (U, K), infinite elsewhere.

    Steps count as `limited`, and only those of `data.scored`.
    """
    n_codes = model.config.n_codes
    owner = data.unit_of_step[data.scored]
    counts = torch.bincount(owner, minlength=data.n_units).clamp_min(1)
    scores = torch.full((data.n_units, n_codes), torch.inf, device=data.device)
    one_hot = torch.eye(n_codes, device=data.device)
    for code in used.tolist():
        sums = torch.zeros(data.n_units, device=data.device)
        for twin, side in ((twins.outside, twins.half), (twins.inside, ~twins.half)):
            for steps in data.scored[side[owner]].split(PIECE):
                contexts = one_hot[code].expand(len(steps), -1)
                nll = -limited(data, step_log_prob(model, data, twin, steps, contexts))
                sums.index_add_(0, data.unit_of_step[steps], nll)
        scores[:, code] = sums / counts
    return scores


def judged_units(data: TrainingData) -> Tensor:
    """(U,) bool, the units that have a step to be judged by."""
    return torch.bincount(data.unit_of_step[data.scored], minlength=data.n_units) > 0


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


def scores_as_they_are(
    model: ModeModel, data: TrainingData, codes: Tensor, config: DiscoveryConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Scores of codes, (U, K), by a split that does not heed them; (U,) bool, which units they judge.

    To compare codings, give each the same generator state: the split and the fit are then the same, whatever the codes
    are called.
    """
    data = data.showing(model.features)
    twins = fit_twins(model, data, codes, blind_halves(data.n_units, data.device, generator), config, generator)
    return unit_scores(model, data, twins, codes.unique()), judged_units(data)


def selection_score(
    model: ModeModel, data: TrainingData, codes: Tensor, config: DiscoveryConfig, generator: torch.Generator
) -> float:
    """Cross-fitted nats per step of the codes as they are, (U,); lower is better. See `scores_as_they_are`."""
    scores, judged = scores_as_they_are(model, data, codes, config, generator)
    return scores.gather(1, codes[:, None])[judged].mean().item()


def step_log_prob(model: ModeModel, data: TrainingData, actor: Actor, steps: Tensor, contexts: Tensor) -> Tensor:
    """Log density of the raw actions of these steps under an actor of the model's features: (B,), (B, K) -> (B,)"""
    parameters = actor(data.rows_at(steps, model.features), contexts)[:, 0]
    return log_prob(actor, model.features, parameters, data.actions_at(steps)).sum(-1)


def limited(data: TrainingData, densities: Tensor) -> Tensor:
    """Log densities of raw actions as those of actions with a range of [-1, 1], within STEP_LIMIT: (B,) -> (B,)

    So codes do not depend on the units of the actions.
    """
    limit = STEP_LIMIT * data.actions.shape[1]
    return (densities + data.action_nats).clamp(-limit, limit)
