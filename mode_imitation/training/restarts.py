"""Several looks for codes, side by side in processes of their own, and the choice among them without labels.

Whatever the number of processes, a restart is the same function of data and settings, and so is the choice.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mode_imitation.discovery.reassignment import same_partition
from mode_imitation.discovery.starts import STARTS
from mode_imitation.discovery.switches import BLIND_ROUNDS, MOST_SIGHTED
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.encoders import ENCODERS
from mode_imitation.model.features import KINDS
from mode_imitation.model.heads import HEADS
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.processes import cores, run_tasks
from mode_imitation.progress import progress
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.loop import Job
from mode_imitation.training.run_folder import TENSORBOARD, WORK
from mode_imitation.training.state import State
from mode_imitation.training.tensor_files import read_tensors, write_tensors

FindCodes = Callable[[Job, TrainingData, TrainConfig, int, Tensor | None], None]
LIKELY_RESTARTS = 2
"""The second one mostly finds what the first one found."""


@dataclass(frozen=True)
class RestartPlan:
    """What a restart needs to know beside the data."""

    sizes: ModelConfig
    """Of the model that is steered in the end."""
    config: TrainConfig
    out: Path
    """The run's folder."""
    given: Tensor | None = None
    """(U,) codes to start from."""

    def path(self, restart: int) -> Path:
        return self.out / WORK / f"restart-{restart}.safetensors"

    @property
    def policy_path(self) -> Path:
        return self.out / WORK / "policy.safetensors"

    @property
    def data_path(self) -> Path:
        return self.out / WORK / "data.safetensors"

    def job(self, restart: int, data: TrainingData, advance: Callable[[str, int], None]) -> Job:
        """A restart's job, which goes on from its file where there is one."""
        from mode_imitation.training.preparation import new_model

        # Where nothing is refined, the actor that is trained here is the one that is steered.
        sizes = self.sizes.for_discovery if self.config.refine else self.sizes
        make_model: Callable[[], ModeModel] = partial(new_model, sizes, data, self.config, restart)
        log = self.out / TENSORBOARD / f"restart-{restart}"
        return Job(self.path(restart), "start", make_model, self.config, log, advance)


def units(config: TrainConfig) -> dict[str, float]:
    """About how long each piece of a stage takes, in ms: it makes the stages' progress one number."""
    policy = 45 if config.ring == "attention" else 6
    judging = 2.5 * config.judge_iterations
    return {"start": 9, "reassign": judging, "switches": 1.5 * judging, "policy": policy}


class WholeRun:
    """One progress of all stages, with the time left of the whole run."""

    def __init__(self, config: TrainConfig, name: str) -> None:
        self.config = config
        self.side_by_side = n_workers(config)
        self.units = units(config)
        rounds = config.rounds + 1 if config.refine else 0
        if config.find_switches:
            rounds = BLIND_ROUNDS
        joint = config.joint_iterations * (config.start == "vqvae")
        restart = self.units["start"] * joint + self.units["switches" if config.find_switches else "reassign"] * rounds
        waves = math.ceil(min(LIKELY_RESTARTS, config.restarts) / self.side_by_side)
        sharpening = self.units["switches"] * MOST_SIGHTED * config.find_switches
        self.done, self._shown = 0.0, 0
        self.total = round(restart * waves + sharpening + self.units["policy"] * config.iterations * config.refine)
        self._progress = progress(f"training on {name}", self.total, "")

    def __enter__(self) -> "WholeRun":
        self.bar = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._advance(max(0, self.total - self.done), "")  # codes that settled early left something of the plan
        self._progress.__exit__(*error)

    def _advance(self, units: float, note: str) -> None:
        self.done += units
        self.bar.advance(round(self.done) - self._shown, note=note)
        self._shown = round(self.done)

    def advance(self, stage: str, done: int) -> None:
        """So many more pieces of a stage of a job that runs alone are done."""
        self._advance(done * self.units.get(stage, 0), NOTES.get(stage, ""))

    def restart_advance(self, units: int) -> None:
        """So many more units of restarts that run side by side are done."""
        self._advance(units / self.side_by_side, "looking for codes")


NOTES = {
    "start": "looking for codes",
    "reassign": "looking for codes",
    "switches": "looking for switches",
    "policy": "training the policy",
}


def n_workers(config: TrainConfig) -> int:
    """Restarts that run side by side: all in this process on a GPU, which they would only share."""
    on_gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else max(1, min(config.workers or cores(), config.restarts))


def check_known_to_processes(sizes: ModelConfig, config: TrainConfig) -> None:
    """Refuse what only this process knows where others are to look for codes: a user's script has registered it.

    Raises:
        UserError: a start, encoder, head or kind of sensor is none of the project's own.
    """
    if n_workers(config) == 1:
        return
    used = {f"start {config.start}": STARTS.get(config.start), f"encoder {sizes.encoder}": ENCODERS[sizes.encoder]}
    used[f"head {sizes.head}"] = HEADS[sizes.head]
    kinds = [*["ring"] * bool(sizes.rings), *["token"] * bool(sizes.tokens), *(kind for kind, *_ in sizes.others)]
    for what, part in (used | {f"sensor kind {kind}": KINDS[kind] for kind in kinds}).items():
        if part is not None and not part.__module__.startswith("mode_imitation."):
            raise UserError(
                f"{what} is registered in this process only, and restarts run in processes of their own; give workers=1"
            )


def run_restarts(
    plan: RestartPlan, flat: FlatEpisodes, data: TrainingData, find_codes: FindCodes, whole: WholeRun
) -> tuple[State, list[dict[str, Any]]]:
    """Restarts until two agree, or there were enough; the best of them by cross-fitted likelihood.

    Args:
        plan: settings and folder.
        flat: the training episodes, for the processes.
        data: the same.
        find_codes: what one restart does.
        whole: is told of progress.

    Returns:
        The best restart's state; and of every restart score, number of codes, rounds and seconds.
    """
    config, states = plan.config, []
    while len(states) < config.restarts and not _settled(states):
        wave = range(len(states), min(len(states) + whole.side_by_side, config.restarts))
        missing = [restart for restart in wave if not _is_done(plan, restart)]
        if len(missing) > 1:
            from mode_imitation.training.restart_worker import prepare

            write_tensors(plan.data_path, flat.tensors())
            job = {"out": str(plan.out), "config": config.to_dict(), "sizes": plan.sizes.to_dict()}
            job["given"] = None if plan.given is None else plan.given.tolist()
            with contextlib.closing(run_tasks(prepare, job, missing, len(missing), whole.restart_advance)) as ended:
                for _, outcome in ended:
                    if isinstance(outcome, Exception):
                        raise outcome
        for restart in wave:
            job_here = plan.job(restart, data, whole.advance)
            find_codes(job_here, data, config, restart, plan.given)  # nothing is left to do where a process did it
            states.append(job_here.state)
            if _settled(states):
                break  # what was done beyond, side by side, is not used: the number of processes decides nothing
    best = min(range(len(states)), key=lambda index: (_score(states[index]), -index))
    return states[best], [_figures(state) for state in states]


def _is_done(plan: RestartPlan, restart: int) -> bool:
    path = plan.path(restart)
    return path.exists() and read_tensors(path)[1].get("stage") == "done"


def _score(state: State) -> float:
    return math.inf if state.score is None else state.score


def _settled(states: list[State]) -> bool:
    """Whether the last restart found the very groups of the best one before: what two starts from other weights agree
    on, a third would hardly change."""
    if len(states) < 2:
        return False
    *before, last = states
    best = min(before, key=_score)
    assert best.codes is not None
    assert last.codes is not None
    return same_partition(best.codes, last.codes)


def _figures(state: State) -> dict[str, Any]:
    assert state.codes is not None
    n_codes = len(state.codes.unique())
    return {"score": state.score, "n_codes": n_codes, "rounds": state.rounds, "seconds": state.seconds}
