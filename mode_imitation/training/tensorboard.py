"""The training log: scalars, and pictures where somebody draws them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class TrainingLog:
    """Writes TensorBoard events; after a resume, those of the lost iterations are purged.

    Tags read "start/loss/action_nll", "policy/held_out/leak/gap" and so on.
    """

    def __init__(self, folder: Path, last_step: int = 0) -> None:
        """
        Args:
            folder: where the events go; it is made with the first of them.
            last_step: entries after this one that an earlier process left are replaced.
        """
        self.folder, self.last_step = folder, last_step
        self._writer: Any = None

    @property
    def writer(self) -> Any:
        """torch's SummaryWriter, opened when it is first needed: a job that is over writes nothing."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=self.last_step + 1)
        return self._writer

    def scalars(self, prefix: str, figures: Mapping[str, Any], step: int) -> None:
        """Those of the figures that are numbers."""
        for name, value in figures.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """A picture, (height, width, 3) uint8."""
        self.writer.add_image(tag, pixels, step, dataformats="HWC")

    def flush(self) -> None:
        """Have what was logged written to disk."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write the rest; what is logged later goes into another file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
