"""The joint objective of the VQ-VAE and the actor, as named parts."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mode_imitation.model.actor import log_density
from mode_imitation.model.config import ObjectiveKind
from mode_imitation.model.mode_model import Inference, ModeModel

RATIO_OFFSET = 0.1
"""Keeps the original ratio finite where the policy gives an action no density."""


@dataclass(frozen=True)
class ObjectiveWeights:
    """How the parts add up; `balance` and `confidence` may change from one iteration to the next."""

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
    """(B, H, act_dim)"""


class Asked(NamedTuple):
    """Raw steps of windows, P of each, whose actions the actor is to predict."""

    observations: Tensor
    """(B, P, obs_dim), or (B, P, 1 + history, obs_dim), as ModeModel.action_distribution takes them."""
    actions: Tensor
    """(B, P, act_dim)"""


class Objective(NamedTuple):
    total: Tensor
    """Scalar, to be minimised."""
    parts: dict[str, Tensor]
    """Scalars by name, unweighted, for the log; gradients can be taken of each."""
    inference: Inference


def joint_objective(
    model: ModeModel, windows: Windows, asked: Asked, weights: ObjectiveWeights, group: int = 1
) -> Objective:
    """Encode windows, let the actor predict some of their actions, and weigh everything up.

    With V = reconstruction + codebook + commitment terms of a window and pi the density of an action of it:
    `sum` is V - log pi; `ratio` is V * sum over action dimensions of 1 / (pi + .1), the original; `log_ratio` is
    log V - log pi. Balance and confidence are added to each of them.

    Args:
        model: its actor sees the context that is inferred from the windows themselves.
        windows: B windows.
        asked: steps of each window whose actions the actor is to predict.
        weights: of the parts.
        group: consecutive windows that share a code, see ModeModel.infer.
    """
    inferred = model.infer(*windows, group=group)
    entries = model.codebook.entries[inferred.codes]  # (B, D)
    quantised = inferred.z + (entries - inferred.z).detach()
    reconstruction = model.decoder.error(quantised, inferred.features)  # (B,)
    commitment = ((inferred.z - entries.detach()) ** 2).mean(-1)
    # Zero gradient, and the commitment's value, where the entries follow moving averages.
    codebook = ((inferred.z.detach() - entries) ** 2).mean(-1)
    log_pi = log_density_of(model, asked, inferred.contexts)  # (B, P, A)
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
    total = joint + weights.balance * balance + weights.confidence * confidence
    parts = {
        "total": total,
        "action_nll": nll,
        "vq": vq.mean(),
        "reconstruction": reconstruction.mean(),
        "commitment": commitment.mean(),
        "codebook": codebook.mean(),
        "balance": balance,
        "confidence": confidence,
    }
    return Objective(total, parts, inferred)


def log_density_of(model: ModeModel, asked: Asked, contexts: Tensor) -> Tensor:
    """Log density of the asked actions, by dimension, each window under its own context.

    Args:
        asked: of B windows.
        contexts: (B, K).

    Returns:
        (B, P, act_dim)
    """
    repeated = contexts[:, None].expand(-1, asked.actions.shape[1], -1)  # (B, P, K)
    mean, log_sigma = model.action_distribution(asked.observations, repeated)
    return log_density(asked.actions, mean, log_sigma)
