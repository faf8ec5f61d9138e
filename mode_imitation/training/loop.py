"""A job: a piece of training that can be killed at any instant and goes on as if it had not been."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.state import State
from mode_imitation.training.tensorboard import TrainingLog

Advance = Callable[[str, int], None]
"""Is told of a stage's name and of how many more of its units of work are done."""
Step = TypeVar("Step")


class Job:
    """A state, the file that it is kept in, and the log of what it does.

    Attributes:
        state: where it stands; the functions that do the work change it.
        log: TensorBoard's.
    """

    def __init__(
        self,
        path: Path,
        first_stage: str,
        make_model: Callable[[], ModeModel],
        config: TrainConfig,
        log_folder: Path,
        advance: Advance,
    ) -> None:
        """
        Args:
            path: of the state; where the file exists the job goes on from it.
            first_stage: of a new job.
            make_model: makes the job's model, with its first weights.
            config: checkpoint_every, log_every, learning_rate.
            log_folder: for TensorBoard's events.
            advance: is told of progress, also of what was done by an earlier process.
        """
        self.path, self.config, self.advance = path, config, advance
        self.state = State.load(path, make_model) if path.exists() else State(make_model(), first_stage)
        self.log = TrainingLog(log_folder, self.state.name)

    def save(self, generator: torch.Generator, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Write the log and the state."""
        self.state.keep(generator, optimiser)
        self._save()

    def enter(self, stage: str) -> None:
        """End the stage under way: the next one begins with nothing drawn and nothing optimised."""
        self.state.stage, self.state.iteration = stage, 0
        self.state.generator, self.state.optimiser = None, {}
        self._save()

    def _save(self) -> None:
        self.log.close()
        self.state.save(self.path)
        self.log.begin(self.state.name)

    @contextmanager
    def timed(self, name: str):
        """Count the seconds spent inside the `with`."""
        started = time.monotonic()
        yield
        self.state.seconds[name] = self.state.seconds.get(name, 0.0) + time.monotonic() - started

    def iterate(
        self,
        total: int,
        step: Callable[[int], Step],
        generator: torch.Generator,
        optimiser: torch.optim.Optimizer,
        *,
        begin: Callable[[], None] = lambda: None,
        figures: Callable[[Step], dict[str, float]] = lambda done: {},
        watch: Callable[[int], None] = lambda iteration: None,
    ) -> None:
        """Train by gradients until `total` iterations of the stage are done.

        Args:
            step: does the iteration of this number.
            generator: what it draws from.
            optimiser: what it optimises with.
            begin: called before the first iteration, not when the job goes on from a later one.
            figures: of a step, for the log; called for few of them.
            watch: told of the iterations that are done, after each.

        Raises:
            UserError: a weight is not finite.
        """
        state, config = self.state, self.config
        if state.restore(generator, optimiser):
            self.advance(state.stage, state.iteration)
        else:
            begin()
        while state.iteration < total:
            done = step(state.iteration)
            state.iteration += 1
            self.advance(state.stage, 1)
            if state.iteration % config.log_every == 0:
                self.check_finite()
                self.log.scalars(state.stage, figures(done), state.iteration)
            watch(state.iteration)
            if state.iteration % config.checkpoint_every == 0:
                self.save(generator, optimiser)
        self.check_finite()

    def check_finite(self) -> None:
        """Stop a run that has diverged before its weights are saved."""
        if all(bool(torch.isfinite(weights).all()) for weights in self.state.model.parameters()):
            return
        raise UserError(
            f"training diverged: a weight is not finite after {self.state.iteration} iterations of "
            f"{self.state.stage}; train again with --overwrite and learning_rate below {self.config.learning_rate:g}"
        )


def seeded(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for everything that draws."""
    words = [seed, 0, *purpose.encode()]
    state = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)
