"""Figures of a model on data, for the log: what the codes do, how sure the actor is, whether contexts leak actions."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mode_imitation.discovery.starts import JointStep, drawn_objective, nearest_codes, unit_distances
from mode_imitation.errors import UserError
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import Inference, ModeModel
from mode_imitation.model.objective import log_prob_of_steps
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.policy_training import PolicyStep

MODULES = ("encoder", "decoder", "codebook", "actor")
EVALUATED_STEPS = 4096
LEAK_WINDOWS = 1024


class Leak(NamedTuple):
    """Action NLL, nats per step, of the same actions under two contexts. Equal ones are good."""

    nll_inferred: float
    """Context inferred, as in training, from windows that hold the very actions that are predicted."""
    nll_fixed: float
    """Context of the unit's mode, which is what steering supplies."""
    gap: float
    """Positive where the inferred context tells more about the action than the mode does: it leaks."""


@torch.no_grad()
def measure_leak(model: ModeModel, data: TrainingData, pool: int, codes: Tensor | None = None, seed: int = 0) -> Leak:
    """Does the context know the action? If it does, the policy reads it there, and a fixed context steers nothing.

    Args:
        model: as it is.
        data: units, at best ones that training did not see.
        pool: windows of one unit whose distances are averaged into one context, as in training.
        codes: (U,) settled codes; None takes the nearest ones.
        seed: of the windows that are drawn.

    Raises:
        UserError: every window without a disturbed step lies across the edge of a unit.
    """
    if len(data.drawable) == 0:
        raise UserError(f"no undisturbed window of {data.window.span} steps lies within an episode or segment")
    generator = torch.Generator(data.device).manual_seed(seed)
    if codes is None:
        codes = nearest_codes(model, unit_distances(model, data, generator))
    units = data.draw_units(max(1, LEAK_WINDOWS // pool), generator).repeat_interleave(pool)  # (B,)
    starts = data.draw_starts(units, generator)
    samples = torch.arange(data.window.horizon, device=data.device) * data.window.gap
    asked = data.steps(starts[:, None] + samples, model.features)
    inferred = model.infer(*data.windows(starts), group=pool).contexts  # (B, K)
    fixed = model.mode_contexts()[codes[units]]
    nlls = [float(-log_prob_of_steps(model, asked, contexts).sum(-1).mean()) for contexts in (inferred, fixed)]
    return Leak(*nlls, gap=nlls[1] - nlls[0])


def code_figures(inference: Inference) -> dict[str, float]:
    """Usage and distances of the codes in a batch."""
    n_codes = inference.probabilities.shape[1]
    usage = torch.bincount(inference.codes, minlength=n_codes).double() / len(inference.codes)
    nearest = inference.distances.detach().topk(min(2, n_codes), largest=False).values  # (B, 2)
    figures = {
        "codebook/perplexity": float((-(usage * usage.clamp_min(1e-12).log()).sum()).exp()),
        "codebook/codes_used": float((usage > 0.01).sum()),
        "distances/nearest": float(nearest[:, 0].mean()),
        "distances/margin": float((nearest[:, -1] - nearest[:, 0]).mean()),
        "distances/mean": float(inference.distances.detach().mean()),
    }
    return figures | {f"usage/code_{code}": float(share) for code, share in enumerate(usage)}


def joint_figures(model: ModeModel, done: JointStep) -> dict[str, float]:
    """Of an iteration of the joint objective, for the log."""
    parts = {f"loss/{name}": value.item() for name, value in done.objective.parts.items()}
    rates = {"learning_rate": done.learning_rate, "gradient_norm/all": done.gradient_norm.item()}
    own = {"codebook/revived": float(done.revived)}
    return parts | code_figures(done.objective.inference) | rates | own | gradient_norms(model)


def policy_figures(done: PolicyStep) -> dict[str, float]:
    """Of an iteration of the policy's training, for the log."""
    found = {"loss/action_nll": done.action_nll.item(), "learning_rate": done.learning_rate}
    if done.agreement is not None and done.reconstruction is not None:
        found |= {"loss/agreement": done.agreement.item(), "loss/reconstruction": done.reconstruction.item()}
    return found


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """L2 norm of every module's gradient, before it is used and after any clipping."""
    norms = {}
    for name in MODULES:
        gradients = [p.grad for p in getattr(model, name).parameters() if p.grad is not None]
        if gradients:
            norms[f"gradient_norm/{name}"] = float(torch.stack([g.norm() for g in gradients]).norm())
    return norms


@torch.no_grad()
def evaluate(
    model: ModeModel, data: TrainingData, config: TrainConfig, codes: Tensor | None = None, seed: int = 0
) -> dict[str, float]:
    """Figures on data, on batches that are the same at every call.

    Args:
        model: as it is.
        data: training or held-out units.
        config: how windows are pooled and what the objective is.
        codes: (U,) settled codes; None takes the nearest ones.
        seed: of the batches.
    """
    generator = torch.Generator(data.device).manual_seed(seed)
    if codes is None:
        codes = nearest_codes(model, unit_distances(model, data, generator))
    objective = drawn_objective(model, data, config, generator, config.joint_iterations)
    figures = {f"loss/{name}": float(value) for name, value in objective.parts.items()}
    figures |= code_figures(objective.inference)
    leak = measure_leak(model, data, config.pool, codes, seed)
    figures |= {f"leak/{name}": value for name, value in leak._asdict().items()}
    return figures | actor_figures(model, data, codes, generator)


@torch.no_grad()
def actor_figures(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> dict[str, float]:
    """The actor on single steps under its modes' contexts: NLL, error of the likeliest action, spread.

    `actor/error` is the root of the mean squared error of numbers, or the share of wrong choices. An actor with a
    memory has forgotten everything here.
    """
    steps = data.draw_steps(data.trainable, EVALUATED_STEPS, generator)
    contexts = model.mode_contexts()[codes[data.unit_of_step[steps]]]
    parameters = model.predict(data.rows_at(steps, model.features), contexts)[:, 0]
    actions, head = data.actions_at(steps), model.actor.head
    likeliest, spread = model.features.raw_actions(head.mode(parameters)), head.spread(parameters)
    if model.config.action_space.discrete:
        error = float((likeliest != actions).any(-1).double().mean())
    else:
        error = float(((actions - likeliest) ** 2).sum(-1).mean().sqrt())
        spread = spread * model.features.act_scale
    figures = {"actor/nll": float(-model.log_prob(parameters, actions).sum(-1).mean()), "actor/error": error}
    return figures | {f"spread/action_{index}": float(value) for index, value in enumerate(spread.mean(0))}
