"""The joint objective of the VQ-VAE and the actor, as named parts."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mode_imitation.model.config import ObjectiveKind
from mode_imitation.model.mode_model import Inference, ModeModel

RATIO_OFFSET = 0.1
"""Keeps the original ratio finite where the policy gives an action no density."""


@dataclass(frozen=True)
class ObjectiveWeights:
    """How the parts add up; `balance` changes from one iteration to the next."""

    kind: ObjectiveKind = "sum"
    reconstruction: float = 0.02
    commitment: float = 0.25
    balance: float = 0.0
    confidence: float = 0.0


class Windows(NamedTuple):
    """Raw windows, which the encoder sees."""

    states: Tensor
    """(B, H, obs_dim)"""
    deltas: Tensor
    """(B, H, obs_dim)"""
    actions: Tensor
    """(B, H, A)"""


class Steps(NamedTuple):
    """P steps of each of B windows whose actions the actor is to predict."""

    rows: Tensor
    """(B, P, row_size), what the actor sees, see Features.rows."""
    actions: Tensor
    """(B, P, A) raw"""


class Objective(NamedTuple):
    """The combined objective of one batch."""

    total: Tensor
    """Scalar, to be minimised."""
    parts: dict[str, Tensor]
    """Scalars by name, unweighted, for the log; gradients can be taken of each."""
    inference: Inference


def joint_objective(
    model: ModeModel, windows: Windows, steps: Steps, weights: ObjectiveWeights, group: int = 1
) -> Objective:
    """Encode windows, let the actor predict some of their actions, and weigh everything up.

    With V = reconstruction + codebook + commitment terms of a window and pi the density of an action of it:
    `sum` is V - log pi; `ratio` is V * sum over action dimensions of 1 / (pi + .1), the original (Eloundou 2021);
    `log_ratio` is log V - log pi. Balance and confidence are added to each of them.

    Args:
        model: its actor sees the context that is inferred from the windows themselves.
        windows: B windows.
        steps: of each window, whose actions the actor is to predict.
        weights: of the parts.
        group: consecutive windows that share a code, see ModeModel.infer.
    """
    inferred = model.infer(*windows, group=group)
    entries = model.codebook.entries[inferred.codes]  # (B, D)
    quantised = inferred.z + (entries - inferred.z).detach()
    reconstruction = model.decoder.error(quantised, inferred.features)  # (B,)
    commitment = ((inferred.z - entries.detach()) ** 2).mean(-1)
    # Zero gradient, and the commitment's value, where the codes follow moving averages.
    codebook = ((inferred.z.detach() - entries) ** 2).mean(-1)
    log_pi = log_prob_of_steps(model, steps, inferred.contexts)  # (B, P, parts)
    nll = -log_pi.sum(-1).mean()

    vq = weights.reconstruction * reconstruction + weights.commitment * commitment
    if model.config.codebook == "gradient":
        vq = vq + codebook
    if weights.kind == "ratio":
        joint = (vq[:, None] * (1 / (log_pi.exp() + RATIO_OFFSET)).sum(-1)).mean()
    elif weights.kind == "log_ratio":
        joint = (vq + 1e-8).log().mean() + nll
    else:
        joint = vq.mean() + nll

    used = inferred.probabilities.mean(0)
    balance = (used * (used + 1e-9).log()).sum()
    confidence = -(inferred.probabilities * (inferred.probabilities + 1e-9).log()).sum(-1).mean()
    parts = {
        "total": joint + weights.balance * balance + weights.confidence * confidence,
        "action_nll": nll,
        "vq": vq.mean(),
        "reconstruction": reconstruction.mean(),
        "commitment": commitment.mean(),
        "codebook": codebook.mean(),
        "balance": balance,
        "confidence": confidence,
    }
    return Objective(parts["total"], parts, inferred)


def log_prob_of_steps(model: ModeModel, steps: Steps, contexts: Tensor) -> Tensor:
    """Log densities of actions, each window under its own context; of what a head predicts at once, the first counts.

    Args:
        steps: of B windows.
        contexts: (B, K).

    Returns:
        (B, P, parts)
    """
    n_steps = steps.actions.shape[1]
    repeated = contexts.repeat_interleave(n_steps, dim=0)  # (B, K) -> (B * P, K)
    parameters = model.predict(steps.rows.flatten(0, 1), repeated)[:, 0]
    return model.log_prob(parameters, steps.actions.flatten(0, 1)).unflatten(0, (-1, n_steps))
