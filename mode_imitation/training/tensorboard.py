"""The training log: scalars, and pictures where somebody draws them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class TrainingLog:
    """Writes TensorBoard events, a file from each save of the job to the next.

    What a killed process wrote after its last save comes again, so that file is removed. TensorBoard's own purging goes
    by steps, and takes the entries of other stages with it, which count theirs from 1, too.

    Tags read "start/loss/action_nll", "policy/held_out/leak/gap" and so on.
    """

    def __init__(self, folder: Path, saved: str) -> None:
        """
        Args:
            folder: where the events go; it is made with the first of them.
            saved: names the job's last save.
        """
        self.folder = folder
        self._writer: Any = None
        self.begin(saved)

    def begin(self, saved: str) -> None:
        """Write what follows into a file of the save that has this name."""
        self.close()
        self._suffix = f".{saved}"
        for lost in self.folder.glob(f"events.out.tfevents.*{self._suffix}"):
            lost.unlink()

    @property
    def writer(self) -> Any:
        """torch's SummaryWriter, opened when it is first needed: a job that is over writes nothing."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), filename_suffix=self._suffix)
        return self._writer

    def scalars(self, prefix: str, figures: Mapping[str, Any], step: int) -> None:
        """Those of the figures that are numbers."""
        for name, value in figures.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """A picture, (height, width, 3) uint8."""
        self.writer.add_image(tag, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Have what was logged written to disk."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
