"""A policy as an ONNX graph, for programs without torch: checked against torch before it takes its place."""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mode_imitation.atomic import write_atomic
from mode_imitation.errors import UserError

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel

TOLERANCE = 1e-6
"""Most that the graph's outputs may differ from torch's, relative to the largest of each."""
CHECKED = 64
"""Random inputs that are compared."""
OPSET = 18


class PolicyGraph(nn.Module):
    """One step of the actor, as the graph has it.

    observation (N, obs_dim), context (N, K) and, with a memory, memory (N, M) -> action (N, A), or (N, C, A) where C
    are predicted at once; distribution (N, C, P), the head's parameters in normalised actions; memory (N, M).
    """

    def __init__(self, model: "ModeModel") -> None:
        super().__init__()
        self.model = model

    def forward(self, observation: Tensor, context: Tensor, memory: Tensor | None = None) -> tuple[Tensor, ...]:
        model = self.model
        actor = model.actor
        hidden = actor.hidden(model.features.rows(observation), context)
        if memory is not None:
            hidden = memory = torch.gru_cell(hidden, memory, *actor.memory.parameters())  # weights, then biases
        parameters = actor.head(hidden, context)
        action = model.features.raw_actions(actor.head.mode(parameters))
        if model.config.chunk == 1:
            action = action[:, 0]
        return (action, parameters) if memory is None else (action, parameters, memory)


def export_onnx(model: "ModeModel", path: Path | str) -> float:
    """Write the model's policy as ONNX.

    Args:
        model: a trained mode model.
        path: of the file; it is there whole, and checked, or not at all.

    Returns:
        The largest difference from torch on random inputs, relative to the largest output of its kind.

    Raises:
        UserError: the packages for ONNX are missing, the policy has no static form, or the graph differs from torch.
    """
    path = Path(path)
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; pip install onnx onnxruntime onnxscript") from None
    model = model.cpu().eval()
    graph, inputs = PolicyGraph(model), example_inputs(model)
    graph(*inputs)  # what is computed once is then there: a tensor that was made while tracing would be kept
    names = ["observation", "context", "memory"][: len(inputs)]
    outputs = ["action", "distribution", "new_memory"][: len(inputs)]
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "policy.onnx"
        try:
            with _quiet():
                shapes = [{0: torch.export.Dim("batch")} for _ in inputs]
                # Traced here: the exporter would try three ways one after the other, a minute long.
                program = torch.export.export(graph, tuple(inputs), dynamic_shapes=shapes, strict=False)
                torch.onnx.export(
                    program,
                    (),
                    str(draft),
                    input_names=names,
                    output_names=outputs,
                    opset_version=OPSET,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
        except Exception as error:  # the exporter's own errors are many, and of many kinds
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"the policy has no static form that ONNX could hold ({type(error).__name__}: {reason}); "
                "export supports the encoders, heads and sensor kinds of this project"
            ) from error
        difference = compare(graph, draft, inputs)
        if not difference <= TOLERANCE:
            raise UserError(
                f"the exported graph differs from torch by {difference:.1e}, more than {TOLERANCE:.0e}; nothing was "
                "written; try another version of onnxruntime or torch"
            )
        write_atomic(path, lambda temporary: temporary.write_bytes(draft.read_bytes()))
    return difference


def example_inputs(model: "ModeModel") -> list[Tensor]:
    """Random observations, contexts of its modes, and a memory where it has one."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    features = model.features
    noise = torch.randn(CHECKED, config.obs_dim, generator=generator)
    observations = features.obs_mean + features.obs_scale * noise
    for start, stop in config.rings:
        observations[:, start:stop] = observations[:, start:stop].clamp_min(0)
    for start, stop, size in config.tokens:
        observations[:, start:stop] = torch.randint(size, (CHECKED, stop - start), generator=generator).float()
    contexts = model.mode_contexts()[torch.randint(config.n_codes, (CHECKED,), generator=generator)]
    memory = [0.5 * torch.randn(CHECKED, config.memory, generator=generator)] if config.memory else []
    return [observations, contexts.contiguous(), *memory]


def compare(graph: PolicyGraph, path: Path, inputs: list[Tensor]) -> float:
    """The largest difference between torch and the ONNX file, relative to the largest output of its kind."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    worst = 0.0
    for count in (CHECKED, 1):  # any number of worlds
        some = [values[:count] for values in inputs]
        with torch.inference_mode():
            expected = [values.double().numpy() for values in graph(*some)]
        found = session.run(None, {name: values.numpy() for name, values in zip(names, some, strict=True)})
        for one, two in zip(expected, found, strict=True):
            size = max(float(np.abs(one).max()), 1.0)
            worst = max(worst, float(np.abs(one - np.asarray(two, np.float64)).max()) / size)
    return worst


@contextlib.contextmanager
def _quiet():
    """The exporter prints, logs and warns about its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
