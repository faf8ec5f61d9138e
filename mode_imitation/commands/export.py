"""`mode-imitation export RUN --onnx policy.onnx`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mode_imitation.options import Argument


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """Which run, and where its policy goes."""

    run: Annotated[Path, Argument("RUN")]
    """The run's folder, as `train --out` made it."""
    onnx: Path
    """File for the policy as ONNX: observation, context and memory in; action, distribution and memory out."""


def run(config: ExportCommand) -> int:
    """Write the file and say what goes in and comes out."""
    from mode_imitation.steering.export import export_onnx
    from mode_imitation.training.run_folder import load_run

    model = load_run(config.run).model
    difference = export_onnx(model, config.onnx)
    sizes = model.config
    memory = f", memory (N, {sizes.memory})" if sizes.memory else ""
    chunk = f"{sizes.chunk}, " if sizes.chunk > 1 else ""
    print(f"in:  observation (N, {sizes.obs_dim}), context (N, {sizes.n_codes}){memory}")
    print(f"out: action (N, {chunk}{sizes.action_space.size}), distribution{', new_memory' if sizes.memory else ''}")
    print("the context of mode i is row i of the identity" if sizes.context == "assignment" else "contexts: distances")
    print(f"wrote {config.onnx}; it differs from torch by at most {difference:.0e}")
    return 0
