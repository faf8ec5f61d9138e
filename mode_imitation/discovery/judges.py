"""How well a code explains single steps: told by policies that never saw the episode, so that no code excuses itself.

Two policies are fitted, each on half of the units with the codes as they are, to score the other half under every code.
In-sample likelihood would only confirm the codes. U units, K codes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.model.batches import TrainingData, rows_of
from mode_imitation.model.mode_model import Actor, ModeModel, log_prob
from mode_imitation.model.optimiser import adam, set_gradients, set_one_cycle
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


def fit_twins(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    half: Tensor,
    config: DiscoveryConfig,
    generator: torch.Generator,
) -> Twins:
    """Fit two policies of the model's size, told the code one-hot, to the units outside and inside of `half`.

    Args:
        model: its features and sizes are used; it is not changed.
        data: U units, `showing` the model's features for speed.
        codes: (U,) int.
        half: (U,) bool.
        config: judge_iterations, judge_batch, learning_rate.
        generator: CPU generator.
    """
    twins = (model.judge(generator), model.judge(generator))
    batches = torch.Generator(data.device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    steps = data.trainable
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
            set_gradients(twin.parameters(), of_twin)
        optimiser.step()
    return Twins(*twins, half)


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
