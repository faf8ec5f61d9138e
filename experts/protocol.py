"""What an expert is: a class that turns observations into actions. This one, in ten lines of a user's own file,

    import numpy as np

    class SpinningTop:
        def __init__(self, setting):
            self.gyro = setting.slices["gyro"]

        def act(self, observations):  # (N, obs_dim) -> (N, act_dim)
            turning = observations[:, self.gyro][:, 2]  # rad/s
            return np.stack([np.zeros(len(turning)), np.where(turning > 2, 0.0, 1.0)], axis=1)

is driven by `mode-imitation generate --expert my_experts.py:SpinningTop=40`. All it must have is `act`. It may have

- a constructor that takes the `ExpertSetting`, as above, or nothing;
- `robots = ("Point",)`: the robots that it can drive; without it, any;
- `reset(observations, rngs)`: called before the first `act` of N new episodes; an expert that remembers or draws
  random numbers needs it;
- `batched = False`: it drives one world. `act` then takes (obs_dim,) and returns (act_dim,), `reset` takes one
  observation and one generator, and there is one instance for each world.

Where the world's actions are choices (gymnasium's Discrete), `act` returns their numbers, from 0 on: (N,) ints.

Row i of what a batched expert returns must not depend on the other rows, so that a dataset does not depend on how
many worlds were driven at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mode_imitation.errors import UserError


@dataclass(frozen=True)
class ExpertSetting:
    """What an expert is told about where it will drive."""

    robot: str
    """The robot's name, "Point" or "Car" say; "" where the world has none."""
    slices: dict[str, slice]
    """Where each sensor stands in an observation: {"accelerometer": slice(0, 3), ..., "goal_lidar": slice(12, 28)};
    empty where the world names none."""
    time_step: float
    """Seconds between two actions; 0.02 for Point, 0.04 for Car, NaN where the world does not say."""
    act_dim: int
    """Numbers in an action; 2 for Point and Car. 1 for gymnasium's Discrete."""
    choices: tuple[int, ...] = ()
    """Where actions are choices by number from 0 on: how many there are in each column. Empty: actions are numbers."""
    low: tuple[float, ...] = ()
    """Least value of each number of an action; empty: no bounds, or choices."""
    high: tuple[float, ...] = ()
    """Greatest value of each number of an action."""

    def sensor(self, name: str, expert: str) -> slice:
        """Where sensor `name` stands, which `expert` cannot do without.

        Raises:
            UserError: the environment has no such sensor.
        """
        if name not in self.slices:
            known = ", ".join(self.slices) or "none by name"
            raise UserError(
                f"expert {expert} needs the sensor {name}, this environment has {known}; "
                "choose another environment or another expert"
            )
        return self.slices[name]


class Expert(Protocol):
    """What `registry.make_expert` returns; a user's class may have less, see above."""

    robots: tuple[str, ...]
    """Robots that it can drive; empty where it can drive any."""

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Forget everything; N new episodes start.

        Args:
            observations: (N, obs_dim), the first of each episode.
            rngs: N generators; row i draws from rngs[i] only.
        """
        ...

    def act(self, observations: np.ndarray) -> np.ndarray:
        """The expert's action in each world, without noise. Call it at every step, disturbed ones too: it may remember.

        Args:
            observations: (N, obs_dim), of the same N worlds as at the reset.

        Returns:
            (N, act_dim), finite; what lies outside of the bounds is clipped when it is executed. Choices are whole
            numbers from 0 on, (N, 1) or (N,) for gymnasium's Discrete.
        """
        ...
