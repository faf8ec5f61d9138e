"""`train`: both phases on one model, with restarts, a log and checkpoints; labels never come in."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.training.checkpoint import Stage
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.preparation import check_data, choose_device, same_run
from mode_imitation.training.refinement import order_by_share
from mode_imitation.training.run_folder import (
    TENSORBOARD,
    check_folder,
    held_folder,
    load_run,
    read_info,
    save_model,
    write_info,
)
from mode_imitation.training.segmentation import codes_by_episode, stretches_by_episode
from mode_imitation.training.session import Hook, HookCall, TrainingSession
from mode_imitation.training.stages import assign, discover, refine, settled
from mode_imitation.training.switching_stages import sharpen, switch
from mode_imitation.training.tensorboard import TrainingLog

__all__ = ["Hook", "HookCall", "RunSummary", "settled", "train"]

STAGES: dict[Stage, Callable[[TrainingSession], bool]] = {
    "discovery": discover,
    "assignment": assign,
    "switching": switch,
    "sharpening": sharpen,
    "refinement": refine,
}
"""Each returns whether training is over; if not, the session's state names the stage that follows."""


@dataclass(frozen=True)
class RunSummary:
    """What came out of a run."""

    path: Path
    n_modes: int
    shares: list[float]
    """(n_modes,) share of the training steps that each mode explains."""
    restarts: list[dict[str, Any]]
    """Of every restart: score (cross-fitted nats per step), codes, rounds."""
    seconds: dict[str, float]
    """By stage."""
    figures: dict[str, dict[str, float]]
    """"train" and, where there are held-out episodes, "held_out"."""


def train(
    dataset: TrajectoryDataset,
    config: TrainConfig | None,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    hook: Hook | None = None,
    source: dict[str, Any] | None = None,
) -> RunSummary:
    """Find modes in unlabelled trajectories and train one policy that is steered by them.

    A run that was killed at any instant and resumed ends with the same weights, bit for bit, as one that was not: on
    the same machine, on a CPU. On a GPU all draws are the same too, but torch does not fix the order of every sum.

    Args:
        dataset: only its observations, actions, disturbed marks and the sensors' slices are used.
        config: settings; None, on resuming, takes those of the run.
        out: the run's folder.
        resume: go on from the last checkpoint of a run that was interrupted; a finished run is left as it is.
        overwrite: replace a run that is there; refused where anything else lies in its folder.
        hook: called every `hook_every` iterations of either phase and after each phase.
        source: where the dataset came from, for the record: {"root": ...}.

    Raises:
        UserError: the folder, the data or the settings do not allow it; nothing is half-written.
    """
    out = Path(out)
    device = choose_device(config.device) if config else None
    if config is not None:
        check_data(dataset, config)
    going_on = check_folder(out, resume=resume, overwrite=overwrite)
    if going_on:
        info = read_info(out)
        config = same_run(info, dataset, config, out)
        if info.get("status") == "complete":
            load_run(out)  # says so where its weights were damaged since
            return RunSummary(out, **info["summary"])
        device = choose_device(config.device)
        check_data(dataset, config)
    if config is None or device is None:
        raise UserError(f"there is no run at {out} to resume; give a dataset and --out {out} to start one")
    with _threads(config.threads), held_folder(out, resume=resume, overwrite=overwrite):
        return run_stages(TrainingSession(dataset, config, out, device, hook, source, going_on=going_on))


def run_stages(session: TrainingSession) -> RunSummary:
    """Run every stage from where the session stands, and finish."""
    with TrainingLog(session.out / TENSORBOARD, session.step) as session.log:
        while True:
            stage = session.state.stage
            started = time.monotonic()
            finished = STAGES[stage](session)
            session.count_seconds(stage, started)
            session.checkpoint = None
            if finished:
                return finish(session)


def finish(session: TrainingSession) -> RunSummary:
    """Order the modes, write the model, and mark the run complete."""
    state = session.state
    assert state.codes is not None
    codes = order_by_share(state.model, state.codes)
    figures = session.log_evaluation(codes)
    session.call_hook()
    n_modes = state.model.n_modes
    summary = {
        "n_modes": n_modes,
        "shares": state.model.mode_shares[:n_modes].tolist(),
        "restarts": state.restarts,
        "seconds": {stage: round(seconds, 2) for stage, seconds in state.seconds.items()},
        "figures": figures,
    }
    save_model(session.out, state.model)
    info = session.info | {"status": "complete", "summary": summary}
    info["assignment"] = codes_by_episode(session.data, codes, session.config.codes)
    if session.config.find_switches:
        info["switches"] = stretches_by_episode(session.data, codes)
    elif session.config.segment is not None:
        info["segments"] = [
            codes[session.data.episode_of_unit == index].tolist() for index in range(len(session.training))
        ]
    write_info(session.out, info)
    return RunSummary(session.out, **summary)


@contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
