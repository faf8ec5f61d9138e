"""A policy as ONNX does what torch does, whatever it is made of."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mode_imitation.data.spaces import ActionSpace
from mode_imitation.errors import UserError
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.steering import export
from mode_imitation.steering.export import export_onnx
from mode_imitation.steering.policy import Policy

KINDS = {
    "gaussian": {},
    "mixture and chunks": {"head": "mixture", "chunk": 3},
    "choices": {"head": "categorical", "action_space": ActionSpace(2, (3, 4))},
    "attention and memory": {"ring": "attention", "memory": 6},
}


def model_of(**changes) -> ModeModel:
    sizes = {
        "obs_dim": 14,
        "action_space": ActionSpace(2),
        "n_codes": 3,
        "rings": ((3, 8), (8, 13)),
        "tokens": ((13, 14, 4),),
        "actor_hidden": (8, 8),
    }
    model = ModeModel(ModelConfig(**(sizes | changes)), torch.Generator().manual_seed(1))
    if not model.config.action_space.discrete:
        model.features.act_scale.copy_(torch.tensor([0.3, 2.0]))
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_drives_as_the_policy_does_step_by_step(tmp_path: Path, kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = model_of(**KINDS[kind])
    assert export_onnx(model, tmp_path / "policy.onnx") <= 1e-6
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"), providers=["CPUExecutionProvider"])
    observations = export.example_inputs(model)[0][:15].view(5, 3, 14).numpy()  # five steps of three worlds
    policy = Policy(model).steer(mode=1)
    memory = np.zeros((3, model.config.memory), np.float32)
    for step, seen in enumerate(observations):
        given = {"observation": seen, "context": np.tile(policy.mode_contexts(1), (3, 1)).astype(np.float32)}
        if model.config.memory:
            given["memory"] = memory
        action, _, *rest = session.run(None, given)
        if rest:
            memory = rest[0]
        if model.config.chunk == 1 or step == 0:
            first = action if model.config.chunk == 1 else action[:, 0]
            np.testing.assert_allclose(policy.actions(seen), first, rtol=1e-5, atol=1e-6)


def test_what_differs_from_torch_or_has_no_static_form_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    with monkeypatch.context() as patched:
        patched.setattr(export, "compare", lambda *arguments: 1e-3)
        with pytest.raises(UserError, match=r"differs from torch by 1.0e-03, more than 1e-06"):
            export_onnx(model, tmp_path / "policy.onnx")

    class Strange(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.compiler.is_exporting():
                raise NotImplementedError("knows no graph")
            return x

    model.actor.trunk.append(Strange())
    with pytest.raises(UserError, match="no static form that ONNX could hold"):
        export_onnx(model, tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())
