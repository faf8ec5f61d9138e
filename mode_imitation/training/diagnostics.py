"""Figures of a model on data, for the log: what the codes do, how sure the actor is, whether contexts leak actions."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mode_imitation.model.actor import LOG_SQRT_TAU, log_density
from mode_imitation.model.mode_model import Inference, ModeModel
from mode_imitation.model.objective import Asked, joint_objective, log_density_of
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.discovery import DiscoveryStep, objective_weights, unit_codes, unit_distances
from mode_imitation.training.refinement import RefinementStep

WINDOWS = 1024
MODULES = ("encoder", "decoder", "codebook", "actor")


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


def discovery_figures(model: ModeModel, done: DiscoveryStep) -> dict[str, float]:
    """For the log."""
    parts = {f"loss/{name}": value.item() for name, value in done.objective.parts.items()}
    rates = {"learning_rate": done.learning_rate, "gradient_norm/all": done.gradient_norm.item()}
    return parts | code_figures(done.objective.inference) | rates | {"codebook/revived": done.revived}


def refinement_figures(done: RefinementStep) -> dict[str, float]:
    """For the log."""
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


class Leak(NamedTuple):
    """Action NLL, nats per step, of the same actions under two contexts. Equal ones are good."""

    inferred: float
    """Context inferred, as in training, from windows that hold the very actions that are predicted."""
    fixed: float
    """Context of the unit's mode, which is what steering supplies."""

    @property
    def gap(self) -> float:
        """Positive where the inferred context tells more about the action than the mode does: it leaks."""
        return self.fixed - self.inferred


@torch.no_grad()
def context_leak(model: ModeModel, inference: Inference, asked: Asked, fixed_codes: Tensor) -> Leak:
    """Compare the inferred context of B windows with that of each window's mode, (B,) fixed_codes."""
    contexts = model.mode_contexts()[fixed_codes]
    inferred = -log_density_of(model, asked, inference.contexts).sum(-1).mean()
    fixed = -log_density_of(model, asked, contexts).sum(-1).mean()
    return Leak(float(inferred), float(fixed))


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
        codes = unit_codes(model, unit_distances(model, data, generator))
    n_groups = max(1, WINDOWS // config.pool)
    units = data.draw_units(n_groups, generator).repeat_interleave(config.pool)
    starts = data.draw_starts(units, generator)
    size = (len(units), min(config.asked, config.horizon))
    asked = data.asked(starts, torch.randint(config.horizon, size, generator=generator, device=data.device))
    weights = objective_weights(config, config.discovery_iterations)
    objective = joint_objective(model, data.windows(starts), asked, weights, group=config.pool)
    leak = context_leak(model, objective.inference, asked, codes[units])
    figures = {f"loss/{name}": float(value) for name, value in objective.parts.items()}
    figures |= code_figures(objective.inference)
    figures |= {"leak/nll_inferred": leak.inferred, "leak/nll_fixed": leak.fixed, "leak/gap": leak.gap}
    return figures | actor_figures(model, data, codes, generator)


@torch.no_grad()
def actor_figures(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> dict[str, float]:
    """The actor on single steps under its modes' contexts: NLL, error of the mean, sigma, entropy."""
    steps = data.draw_steps(data.trainable, 4096, generator)
    contexts = model.mode_contexts()[codes[data.unit_of_step[steps]]]
    means, log_sigmas = model.action_distribution(data.observations_at(steps), contexts)
    actions = data.actions[steps]
    figures = {
        "actor/nll": float(-log_density(actions, means, log_sigmas).sum(-1).mean()),
        "actor/error": float(((actions - means) ** 2).sum(-1).mean().sqrt()),
        "actor/entropy": float((log_sigmas + LOG_SQRT_TAU + 0.5).sum(-1).mean()),
    }
    sigmas = log_sigmas.exp().mean(0)
    return figures | {f"sigma/action_{index}": float(sigma) for index, sigma in enumerate(sigmas)}
