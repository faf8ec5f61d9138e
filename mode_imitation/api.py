"""What `import mode_imitation as mi` offers: from arrays or a dataset to a policy that is steered, in a few lines."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.data.arrays import from_arrays, join
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.drives import Drives, Page, rollout
from mode_imitation.steering.policy import Policy
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit as fit_into_folder
from mode_imitation.training.preparation import Codes, check_parts
from mode_imitation.training.run_folder import Run, check_folder, load_run
from mode_imitation.training.sources import source_of

Datasets = TrajectoryDataset | str | os.PathLike | Sequence[TrajectoryDataset | str | os.PathLike]


@dataclass(frozen=True)
class FittedRun:
    """What `fit` returns."""

    run: Run
    kept: bool
    """Whether it lies in a folder of the caller's."""

    @property
    def path(self) -> Path | None:
        """Its folder; None where it was not kept."""
        return self.run.path if self.kept else None

    @property
    def model(self) -> ModeModel:
        """What was trained, a torch module."""
        return self.run.model

    @property
    def info(self) -> dict[str, Any]:
        """All of run.json."""
        return self.run.info

    @property
    def policy(self) -> Policy:
        """A policy of its own at each call, to be steered."""
        return Policy(self.run.model)

    @property
    def n_modes(self) -> int:
        """How many codes are in use."""
        return self.run.model.n_modes

    @property
    def assignment(self) -> np.ndarray:
        """(E,) int64, the mode of every episode; -1 for those that training held out."""
        modes = np.full(self.run.info["dataset"]["n_episodes"], -1, dtype=np.int64)
        modes[self.run.info["training_episodes"]] = self.run.info["assignment"]
        return modes

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Figures on the training and on the held-out episodes: "actor/nll", "leak/gap" and so on."""
        return self.run.info["summary"]["figures"]

    def __repr__(self) -> str:
        summary = self.run.info["summary"]
        shares = ", ".join(f"mode {mode} {share:.0%}" for mode, share in enumerate(summary["shares"]))
        of = "held_out" if "held_out" in self.scores else "train"
        nll = self.scores[of]["actor/nll"]
        where = self.run.path if self.kept else "not kept; give fit(out=...) a folder to keep it"
        return (
            f"Run on {self.run.info['dataset']['name']}: {self.n_modes} mode{'s' * (self.n_modes != 1)} ({shares})\n"
            f"  action NLL {nll:.2f} nats a step on {of.replace('_', '-')} episodes\n"
            f"  {where}"
        )


def fit(
    data: Datasets,
    *,
    out: str | os.PathLike | None = None,
    config: TrainConfig | None = None,
    given: Codes | None = None,
    overwrite: bool = False,
    resume: bool = False,
    **settings: Any,
) -> FittedRun:
    """Find the modes in trajectories and train one policy for all of them.

    Args:
        data: a dataset, its name, or several of them, which train together.
        out: folder that keeps the run, for `load_policy`, the command line and `resume`; None keeps nothing.
        config: settings; None takes the defaults.
        given: codes that the search starts from, in place of those of a start: (E,) int; or an (T,) array for each
            episode, of its steps, with rounds=0.
        overwrite: replace the run at `out`.
        resume: go on with the run at `out` that was interrupted.
        **settings: changes to the settings, codes=4 say; see TrainConfig.

    Raises:
        UserError: the data or the settings do not fit.
    """
    entries = [data] if isinstance(data, TrajectoryDataset | str | os.PathLike) else list(data)
    known = TrainConfig.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise UserError(f"there is no setting {name!r}{near_matches(name, known)}; TrainConfig lists them")
    if given is not None:
        settings.setdefault("start", "given")
        if len(given) and np.ndim(given[0]) == 0:
            given = np.asarray(given)
    chosen = TrainConfig.from_dict((config or TrainConfig()).to_dict() | settings)
    check_parts(chosen)
    if out is not None:
        check_folder(Path(out), resume=resume, overwrite=overwrite)
    loaded = [entry if isinstance(entry, TrajectoryDataset) else load_dataset(entry) for entry in entries]
    dataset = join(loaded)
    if out is not None:
        roots = {entry.root for entry in loaded if entry.root is not None}
        root = roots.pop() if len(roots) == 1 else None
        source = source_of([entry.name if entry.root == root else entry.folder or entry.name for entry in loaded], root)
        run = fit_into_folder(
            dataset, chosen, Path(out), codes=given, overwrite=overwrite, resume=resume, source=source
        )
        return FittedRun(run, kept=True)
    folder = tempfile.mkdtemp(prefix="mode-imitation-")
    try:
        return FittedRun(fit_into_folder(dataset, chosen, Path(folder) / "run", codes=given), kept=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(run: FittedRun, *drives: Drives) -> Page:
    """What a run found, and how it drives: `report(run, rollout(...), rollout(...)).save("report")`.

    Args:
        run: from `fit`.
        drives: from `rollout`, any number.

    Returns:
        A page; its `save(folder)` writes it, with a picture of each of the drives.
    """
    summary = run.info["summary"]
    of = "held_out" if "held_out" in run.scores else "train"
    facts: dict[str, Any] = {
        "modes": run.n_modes,
        "share of the training steps": ", ".join(f"mode {i} {share:.0%}" for i, share in enumerate(summary["shares"])),
        f"action NLL, {of.replace('_', '-')} episodes": f"{run.scores[of]['actor/nll']:.3f} nats a step",
        "leak": f"{run.scores[of]['leak/gap']:.3f} nats a step",
    }
    return Page(f"Modes of {run.info['dataset']['name']}", facts, list(drives))


__all__ = ["FittedRun", "fit", "from_arrays", "load_dataset", "load_run", "report", "rollout"]
