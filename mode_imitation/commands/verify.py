"""`mode-imitation verify DATASET`"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mode_imitation.options import Argument


@dataclass(frozen=True, kw_only=True)
class VerifyCommand:
    """Which dataset to check."""

    dataset: Annotated[str, Argument("DATASET")]
    """Name below the root (namespace/name-vN), or a path."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""


def run(config: VerifyCommand) -> int:
    """Exit status 1 when anything differs from what was written."""
    from mode_imitation.data import verify_dataset

    result = verify_dataset(config.dataset, config.root)
    if result.ok:
        print(f"{result.name}: as written; {result.note}")
        return 0
    for problem in result.problems:
        print(f"{result.name}: {problem}", file=sys.stderr)
    return 1
