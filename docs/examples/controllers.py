"""Controllers for two of gymnasium's worlds, as `generate --expert docs/examples/controllers.py:SwingUp=20` takes them.

Pendulum-v1 shows (cos, sin, angular velocity) of an angle that is 0 upright, and takes a torque from -2 to 2.
CartPole-v1 shows cart position, velocity, pole angle and angular velocity, and takes 0 (push left) or 1 (push right).
"""

import numpy as np

GRAVITY, MASS, LENGTH = 10.0, 1.0, 1.0
INERTIA = MASS * LENGTH**2 / 3


class SwingUp:
    """Pumps energy into the pendulum until it stands upright, and holds it there (Astrom and Furuta 2000)."""

    def act(self, observations):  # (N, 3) -> (N, 1)
        cos, sin, velocity = observations.T
        angle = np.arctan2(sin, cos)
        weight = MASS * GRAVITY * LENGTH / 2
        energy = INERTIA * velocity**2 / 2 + weight * (cos - 1)  # 0 at rest upright
        pumped = np.where(energy < 0, 2.0, -0.5) * np.sign(velocity + 1e-3)
        held = -12.0 * angle - 3.0 * velocity
        return np.where((cos > 0.9) & (np.abs(velocity) < 3.0), held, pumped)[:, None]


class Hang:
    """Damps the pendulum until it hangs still."""

    def act(self, observations):
        return -1.5 * observations[:, 2:]


class Spin:
    """Turns the pendulum round and round at a steady speed."""

    speed = 6.0  # radians per second, counterclockwise

    def act(self, observations):
        return 1.5 * (self.speed - observations[:, 2:])


class SpinLeft(Spin):
    """Counterclockwise."""


class SpinRight(Spin):
    """Clockwise."""

    speed = -6.0


class HoldMiddle:
    """Balances the pole with the cart at one place."""

    place = 0.0  # metres

    def act(self, observations):  # (N, 4) -> (N,) choices
        position, velocity, angle, turning = observations.T
        lean = 0.1 * np.clip(self.place - position, -0.8, 0.8) - 0.12 * velocity  # towards the place
        return (angle + 0.3 * turning > lean).astype(int)


class HoldLeft(HoldMiddle):
    """One metre to the left."""

    place = -1.0


class HoldRight(HoldMiddle):
    """One metre to the right."""

    place = 1.0


def mean_position(episode) -> float:
    """Where a cart is over the second half of an episode, in metres: a figure for `modes` and `rollout`."""
    places = episode.observations[len(episode.observations) // 2 :, 0]
    return float(places.mean())
