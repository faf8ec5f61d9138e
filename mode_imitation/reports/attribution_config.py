"""Options of `mode-imitation attribute`; imports nothing heavy, as --help must be quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class AttributeConfig:
    """Which mode made which part of which episode, with a probability, or none of the modes."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder, as `train --out` made it."""
    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """The episodes to attribute: a name below the root (namespace/name-vN), or a path."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    out: Path | None = None
    """Folder for attribution-DATASET.json and the pictures; left out, the run's folder."""
    expected_steps: float = 250.0
    """Steps that one mode is expected to last; longer ones give fewer switches."""
    false_alarm: float = 0.01
    """How often "none of these" may explain 25 steps of a held-out training episode better than the episode's own mode:
    this sets how good an explanation a mode must be."""
    birdseye: int = 0
    """Draw so many episodes from above too, their paths in the colours of the modes."""
    device: str = "cpu"
    """Where the policy runs: cpu, cuda or auto."""
