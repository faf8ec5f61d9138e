"""The iterations of a stage that trains by gradients: progress, log, evaluation, hook and checkpoints between them."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from mode_imitation.progress import progress
from mode_imitation.training.diagnostics import gradient_norms
from mode_imitation.training.session import TrainingSession

EVALUATE_EVERY = 5
"""Entries in the log from one evaluation on held-out episodes to the next."""

Step = TypeVar("Step", covariant=True)


class Phase(Protocol[Step]):
    """What is iterated: `iteration` counts the steps that are done."""

    iteration: int

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Saved with the session."""
        ...

    def step(self) -> Step:
        """One iteration."""
        ...


def iterate(
    session: TrainingSession,
    phase: Phase[Step],
    generator: torch.Generator,
    n_iterations: int,
    figures: Callable[[Step], dict[str, float]],
    *,
    label: str,
    windows: int,
    codes: Tensor | None,
    last_hook: bool,
) -> None:
    """Go on until `n_iterations` are done.

    Args:
        session: whose state counts along, and is saved.
        phase: trains the session's model.
        generator: the phase's, saved with it.
        n_iterations: of the whole stage, those that are done included.
        figures: of a step, for the log; called for few of them.
        label: of the progress.
        windows: or steps, that an iteration takes in, for the rate in the log.
        codes: (U,) int, of every unit, for the evaluations; None where they are not known yet.
        last_hook: whether the user's hook sees the last iteration from here, or the caller sees to that.

    Raises:
        UserError: a weight is not finite.
    """
    state, config = session.state, session.config
    since, counted = time.monotonic(), 0
    with progress(label, n_iterations, "iterations") as bar:
        bar.advance(phase.iteration)
        while phase.iteration < n_iterations:
            done = phase.step()
            counted += 1
            state.iteration = phase.iteration
            bar.advance()
            if state.iteration % config.log_every == 0:
                session.check_finite()
                now = time.monotonic()
                rate = {"windows_per_second": counted * windows / max(now - since, 1e-9)}
                since, counted = now, 0
                session.log.scalars(state.stage, figures(done) | gradient_norms(state.model) | rate, session.step)
            if state.iteration % (EVALUATE_EVERY * config.log_every) == 0:
                session.log_evaluation(codes)
            if state.iteration % config.hook_every == 0 and (last_hook or state.iteration < n_iterations):
                session.call_hook()
            if state.iteration % config.checkpoint_every == 0:
                session.save(phase.optimizer, generator)
    session.check_finite()
