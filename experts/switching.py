"""Experts that take turns within an episode: "goal_seeking+forward_moving@250" changes hands every 250 steps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experts.protocol import Expert
from mode_imitation.errors import UserError


class Turns(NamedTuple):
    """Who takes turns, and for how long each drives."""

    specs: tuple[str, ...]
    """Two or more experts, as `registry.make_expert` takes them."""
    every: int
    """Steps from one change to the next."""


def parse_turns(spec: str) -> Turns | None:
    """Read `EXPERT+EXPERT@STEPS`; None where the text is something else.

    Raises:
        UserError: it is of this form, but names fewer than two experts, none between two +, or no steps.
    """
    names, mark, steps = spec.rpartition("@")
    if not mark or not steps.lstrip("+-").isdecimal():
        plain = all(name.strip().isidentifier() for name in spec.partition("@")[0].split("+"))
        if "+" not in spec or not plain:
            return None  # a file's name may hold any character
        names, steps = spec, "0"
    specs = tuple(name.strip() for name in names.split("+"))
    if len(specs) < 2 or not all(specs) or int(steps) < 1:
        raise UserError(
            f"{spec!r} says no turns; expected two experts or more and the steps that each drives, "
            "goal_seeking+forward_moving@250 say"
        )
    return Turns(specs, int(steps))


def members(spec: str) -> tuple[str, ...]:
    """The experts that a spec names: those that take turns, or the one."""
    turns = parse_turns(spec)
    return turns.specs if turns else (spec,)


class SwitchingExpert:
    """Lets one expert after the other drive, in their order, each for as many steps; who begins is drawn by episode.

    All of them see every step, so that one that remembers is up to date when its turn comes.
    """

    def __init__(self, experts: Sequence[Expert], labels: Sequence[str], every: int) -> None:
        """
        Args:
            experts: in the order of their turns.
            labels: their names, as they are recorded.
            every: steps, at least 1.
        """
        self.experts, self.labels, self.every = list(experts), np.array(labels), every
        common = [set(expert.robots) for expert in experts if expert.robots]
        self.robots = tuple(sorted(set.intersection(*common))) if common else ()
        self._first = np.zeros(0, dtype=np.int64)
        self._step = 0

    @property
    def acting(self) -> np.ndarray:
        """(N,) str: who made the actions of the last call of `act`."""
        return self.labels[self._turn(self._step - 1)]

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """As in `protocol.Expert`."""
        self._first = np.array([rng.integers(len(self.experts)) for rng in rngs], dtype=np.int64)
        self._step = 0
        for expert in self.experts:
            expert.reset(observations, rngs)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        wanted = np.stack([expert.act(observations) for expert in self.experts])  # (M, N, act_dim)
        turn = self._turn(self._step)
        self._step += 1
        return wanted[turn, np.arange(len(observations))]

    def _turn(self, step: int) -> np.ndarray:
        """(N,) int, which expert drives at a step."""
        return (self._first + step // self.every) % len(self.experts)
