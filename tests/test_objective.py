import pytest
import torch

from mode_imitation.data.windows import WindowShape
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.objective import Objective, ObjectiveWeights, Steps, Windows, joint_objective
from tests.small_models import CHOICES, make_model, make_windows

ASKED = torch.tensor([[0, 3], [1, 1], [7, 2], [4, 5], [0, 0], [6, 2], [3, 3], [5, 1]])
"""Which two transitions of each of eight windows."""


def objective(model: ModeModel, windows: Windows, **weights) -> Objective:
    return joint_objective(model, windows, steps_of(model, windows, ASKED), ObjectiveWeights(**weights), group=2)


def steps_of(model: ModeModel, windows: Windows, transitions: torch.Tensor) -> Steps:
    rows = torch.arange(len(transitions))[:, None]
    return Steps(model.features.rows(windows.states[rows, transitions]), windows.actions[rows, transitions])


def slow_terms(model: ModeModel, windows: Windows, reconstruction: float, commitment: float):
    """V of every window and log pi of every asked action, one window at a time."""
    inferred = model.infer(*windows, group=2)
    features, act_scale, vq, log_pi = model.features, model.features.act_scale, [], []
    for row in range(len(ASKED)):
        seen = features.window(*(part[row : row + 1] for part in windows))[0]  # (H, F)
        z, entry = inferred.z[row], model.codebook.entries[inferred.codes[row]]
        target = torch.cat([seen.mean(0), seen.std(0, correction=0)])
        error = ((model.decoder.network(entry) - target) ** 2).mean()
        value = reconstruction * error + commitment * ((z - entry) ** 2).mean()
        if model.config.codebook == "gradient":
            value = value + ((z - entry) ** 2).mean()
        vq.append(value)
        for step in ASKED[row]:
            told = model.actor(features.rows(windows.states[row, step])[None], inferred.contexts[row][None])[0, 0]
            action = windows.actions[row, step]
            if model.config.action_space.discrete:
                parts = [
                    torch.distributions.Categorical(logits=logits).log_prob(choice)
                    for logits, choice in zip(told.split(list(CHOICES.choices)), action, strict=True)
                ]
                log_pi.append(torch.stack(parts))
            else:
                mean, sigma = told[:2] * act_scale + features.act_mean, told[2:].exp() * act_scale
                log_pi.append(torch.distributions.Normal(mean, sigma).log_prob(action))
    return torch.stack(vq), torch.stack(log_pi).view(len(ASKED), 2, -1)


@pytest.mark.parametrize("head", ["gaussian", "categorical"])
@pytest.mark.parametrize("context", ["assignment", "distances"])
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
@pytest.mark.parametrize("kind", ["sum", "ratio", "log_ratio"])
def test_the_objective_is_what_its_formula_says(kind: str, codebook: str, context: str, head: str) -> None:
    space = {"action_space": CHOICES, "head": "categorical"} if head == "categorical" else {}
    model = make_model(codebook=codebook, context=context, **space)
    windows = make_windows(config=model.config)
    vq, log_pi = slow_terms(model, windows, 0.3, 0.25)
    expected = {
        "sum": vq.mean() - log_pi.sum(-1).mean(),
        "ratio": (vq[:, None] * (1 / (log_pi.exp() + 0.1)).sum(-1)).mean(),
        "log_ratio": vq.log().mean() - log_pi.sum(-1).mean(),
    }[kind]
    got = objective(model, windows, kind=kind, reconstruction=0.3, commitment=0.25)
    torch.testing.assert_close(got.total, expected)
    torch.testing.assert_close(got.parts["action_nll"], -log_pi.sum(-1).mean())
    torch.testing.assert_close(got.parts["vq"], vq.mean())


def test_balance_is_lowest_for_even_usage_and_confidence_for_sure_codes() -> None:
    model, windows = make_model(), make_windows()
    parts = objective(model, windows).parts
    probabilities = model.infer(*windows, group=2).probabilities
    used = probabilities.mean(0)
    torch.testing.assert_close(parts["balance"], (used * used.log()).sum(), atol=1e-5, rtol=0)
    entropy = -(probabilities * probabilities.log()).nan_to_num(0).sum(-1).mean()
    torch.testing.assert_close(parts["confidence"], entropy, atol=1e-5, rtol=0)
    plain = objective(model, windows, balance=2.0, confidence=3.0).total - objective(model, windows).total
    torch.testing.assert_close(plain, 2 * parts["balance"] + 3 * parts["confidence"], atol=1e-5, rtol=1e-5)


def test_the_commitment_moves_the_encoder_and_the_codebook_term_the_entries() -> None:
    model = make_model(codebook="gradient")
    parts = objective(model, make_windows()).parts
    wanted = [*model.encoder.parameters(), model.codebook.entries]
    moved = torch.autograd.grad(parts["commitment"], wanted, retain_graph=True, allow_unused=True)
    assert moved[-1] is None
    assert moved[0] is not None
    moved = torch.autograd.grad(parts["codebook"], wanted, allow_unused=True)
    assert moved[-1] is not None
    assert moved[0] is None


def test_one_transition_without_state_and_action_is_the_original_method_s_input() -> None:
    shape = WindowShape(horizon=1, gap=1, stride=3, include_state=False, include_action=False)
    model = make_model(window=shape, context="distances", codebook="gradient")
    windows = make_windows(config=model.config)
    limit = 5.0
    expected = (windows.deltas / model.features.delta_scale).clamp(-limit, limit)
    torch.testing.assert_close(model.features.window(*windows), expected)
    assert model.decoder.network[-1].out_features == 3
    steps = steps_of(model, windows, torch.zeros(8, 1, dtype=torch.long))
    got = joint_objective(model, windows, steps, ObjectiveWeights(kind="ratio"))
    torch.testing.assert_close(got.inference.contexts, got.inference.distances)
    assert torch.isfinite(got.total)


def test_of_what_a_head_predicts_at_once_the_first_action_counts() -> None:
    one, three = make_model(), make_model(chunk=3)
    windows = make_windows()
    with torch.no_grad():
        for name, value in one.actor.state_dict().items():
            target = three.actor.state_dict()[name]
            target.copy_(value.repeat(3, *[1] * (value.ndim - 1)) if target.shape != value.shape else value)
        for name, value in one.state_dict().items():
            if not name.startswith("actor."):
                three.state_dict()[name].copy_(value)
    torch.testing.assert_close(objective(one, windows).total, objective(three, windows).total)
