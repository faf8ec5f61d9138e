"""Bursts of random action from which the expert recovers, so that data show how to come back from a mistake.

Laskey et al., DART: Noise Injection for Robust Imitation Learning, 2017. The random actions are executed and recorded,
and marked, so that training leaves them out.
"""

from dataclasses import dataclass

import numpy as np

from mode_imitation.errors import UserError

AWAY = (0.75, 1.5)
"""Least and most steps of a burst that drives away, as multiples of a burst's most. With once to twice, five of sixty
goal seekers ended out of reach of everything; with this, none to three."""
AWAY_THROTTLE = 0.5
"""Least size of the action of a burst that drives away; what hardly moves shows no way back."""
COURSES = {"Point": (1.0, 0.0), "Car": (1.0, 1.0)}
"""Robot: the action that drives it straight on."""
NEAR_FIRST = 0.2
"""Share of the episode, from its beginning, in which no burst drives away: who is driven out of reach before having
shown anything may never come back, and lost experts are alike. Of one such episode, two experts would have chosen every
action with the same probability."""


@dataclass(frozen=True)
class Disturbance:
    """When bursts come and how long they last; steps are the simulator's."""

    probability: float = 1 / 150
    """That a burst begins at a step at which none is on."""
    shortest: int = 20
    """Fewest steps of a burst."""
    longest: int = 80
    """Most steps of a burst."""
    at_start: bool = True
    """Whether every episode begins with a burst."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise around a burst's constant action, itself uniform in [-1, 1]."""
    away: float = 0.0
    """Share of the bursts that drive away, of those that begin after NEAR_FIRST of the episode: they last AWAY times
    the longest time and hold a course, so that data show the way back from where sensors hardly reach. An expert
    without memory does not always find it."""
    course: tuple[float, ...] | None = None
    """The action that drives the robot straight on, see COURSES; None where that is not known."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UserError(f"the disturbance's probability is {self.probability}; expected a number from 0 to 1")
        if not 1 <= self.shortest <= self.longest:
            raise UserError(
                f"disturbances last {self.shortest} to {self.longest} steps; expected 1 <= shortest <= longest"
            )
        if not 0 <= self.away <= 1:
            raise UserError(f"the share of disturbances that drive away is {self.away}; expected a number from 0 to 1")
        if not (np.isfinite(self.noise) and self.noise >= 0):
            raise UserError(f"the disturbance's noise is {self.noise}; expected a number of at least 0")

    def draw(self, n_steps: int, act_dim: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The bursts of one episode, drawn before it begins, so that they depend on its generator alone.

        Args:
            n_steps: T, steps of the episode, at least 0.
            act_dim: A, numbers in an action.
            rng: the episode's own generator.

        Returns:
            disturbed: (T,) bool.
            actions: (T, A) in [-1, 1], to be executed where disturbed; 0 elsewhere.
        """
        disturbed = np.zeros(n_steps, dtype=bool)
        actions = np.zeros((n_steps, act_dim))
        start = 0 if self.at_start else self._pause(n_steps, rng)
        while start < n_steps:
            drives_away = self.away > 0 and start >= NEAR_FIRST * n_steps and rng.random() < self.away
            length, action = self._away(act_dim, rng) if drives_away else self._off_course(act_dim, rng)
            stop = min(start + length, n_steps)
            disturbed[start:stop] = True
            actions[start:stop] = action + self.noise * rng.standard_normal((stop - start, act_dim))
            start = stop + self._pause(n_steps, rng)
        return disturbed, np.clip(actions, -1.0, 1.0)

    def _off_course(self, act_dim: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Steps and action (A,) of a common burst."""
        return int(rng.integers(self.shortest, self.longest, endpoint=True)), rng.uniform(-1.0, 1.0, act_dim)

    def _away(self, act_dim: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Steps and action (A,) of a burst that drives away, forwards or backwards.

        Where the course is not known, half of them are a Point's, of the first number alone, and half of them a Car's,
        of equal numbers.
        """
        size = rng.uniform(AWAY_THROTTLE, 1.0) * rng.choice([-1.0, 1.0])
        straight = np.ones(act_dim)
        if self.course is not None:
            straight[:] = self.course
        elif rng.random() < 0.5:
            straight[1:] = 0.0
        action = size * straight
        least, most = (max(1, round(times * self.longest)) for times in AWAY)
        return int(rng.integers(least, most, endpoint=True)), action

    def _pause(self, n_steps: int, rng: np.random.Generator) -> int:
        """Steps without a burst before the next one."""
        return int(rng.geometric(self.probability)) - 1 if self.probability > 0 else n_steps
