"""Is a dataset on disk still what was written?"""

import os
from dataclasses import dataclass

from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.storage import damaged_files, data_folder
from mode_imitation.errors import UserError


@dataclass(frozen=True)
class VerifyResult:
    """What `verify_dataset` found."""

    name: str
    problems: tuple[str, ...]
    """One line each; empty when all is well."""
    note: str
    """What was checked, in one line."""

    @property
    def ok(self) -> bool:
        return not self.problems


def verify_dataset(name_or_path: str | os.PathLike, root: str | os.PathLike | None = None) -> VerifyResult:
    """Check every byte of a dataset against its checksums, then read it and check its arrays.

    Where a dataset has no SHA256SUMS (it is not one of ours) only the second can be done, and the note says so.

    Args:
        name_or_path: see `load_dataset`.
        root: see `load_dataset`.

    Raises:
        UserError: there is no such dataset, or it is not finished.
    """
    damage = damaged_files(data_folder(name_or_path, root).parent)
    if damage:
        return VerifyResult(str(name_or_path), tuple(damage), "compared with SHA256SUMS")
    try:
        dataset = load_dataset(name_or_path, root)
    except UserError as error:
        return VerifyResult(str(name_or_path), (str(error),), "read every array")
    contents = f"{len(dataset):,} episodes, {int(dataset.lengths.sum()):,} steps"
    files = "no SHA256SUMS to compare with" if damage is None else "every file as in SHA256SUMS"
    return VerifyResult(dataset.name, (), f"{contents}: {files}, every array read and finite")
