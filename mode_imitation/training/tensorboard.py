"""The training log: scalars, and pictures where somebody draws them."""

from pathlib import Path
from types import TracebackType

import numpy as np


class TrainingLog:
    """Writes TensorBoard events; after a resume, those of the lost iterations are purged.

    Tags read "discovery/loss/action_nll", "refinement/held_out/leak/gap" and so on.
    """

    def __init__(self, folder: Path, last_step: int = 0) -> None:
        """
        Args:
            folder: where the events go.
            last_step: entries after this one that an earlier process left are replaced.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=last_step + 1)

    def scalars(self, prefix: str, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """A picture, (height, width, 3) uint8."""
        self.writer.add_image(tag, pixels, step, dataformats="HWC")

    def flush(self) -> None:
        self.writer.flush()

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
