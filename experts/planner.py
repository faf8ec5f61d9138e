"""Choosing where to drive by trying out many plans in the head: to the goal soon, and not through hazards.

Positions, velocities and directions are (2, N, K): x and y, N worlds, K plans. Headings are unit vectors, so that a
step needs no angle.
"""

from dataclasses import dataclass

import numpy as np

N_DIRECTIONS = 16
HAZARD_RADIUS = 0.2
"""Metres around a hazard's centre within which a step costs."""
MARGIN = 0.04
"""Metres beyond that in which a plan is already dear."""
HAZARD_WEIGHT = 8.0
"""Seconds that a second within a hazard counts for."""
GOAL_RADIUS = 0.29
"""Metres at which the goal counts as reached; the simulator's is 0.3."""
LOYALTY = 0.05
"""Seconds by which another plan must be better than going on with the last one; without it, it dithers."""


@dataclass(frozen=True)
class Pose:
    """Where the robots of N worlds are, in the odometry's frame."""

    position: np.ndarray
    """(N, 2) m."""
    velocity: np.ndarray
    """(N, 2) m/s."""
    front: np.ndarray
    """(N, 2) unit vector along which the robot drives forwards."""
    backwards: np.ndarray
    """(N,) bool, its gear so far."""


class Motion:
    """The planner's idea of how a robot moves over the next seconds."""

    step: float
    """Seconds of a step of a plan."""
    n_steps: int
    """Steps of a plan."""
    hold_times: tuple[float, ...]
    """Seconds for which a plan may hold a direction before it seeks the goal."""
    usual_speed: float
    """m/s at which what is left after the plan's end will be driven."""

    def begin(self, pose: Pose, n_plans: int) -> None:
        """K plans start from here."""
        every = np.ones(n_plans)
        parts = (pose.position, pose.velocity, pose.front)
        self.position, self.velocity, self.front = (part.T[..., None] * every for part in parts)

    def seek(self, offset: np.ndarray) -> np.ndarray:
        """Direction to drive, of any length, towards a goal at an offset."""
        raise NotImplementedError

    def brake(self) -> np.ndarray:
        """Direction in which to drive in order to stop."""
        raise NotImplementedError

    def advance(self, direction: np.ndarray, stopping: np.ndarray) -> None:
        """One step in a direction of any length; where `stopping` (N, K) only until the robot stands."""
        raise NotImplementedError


class PointMotion(Motion):
    """dv/dt = 2.89 h - 1.93 v at full thrust along the heading h, or against it; turns at 3 rad/s."""

    step = 0.05
    n_steps = 40
    hold_times = (0.2, 0.5, 1.0, 1.5)
    usual_speed = 1.2
    THRUST, DRAG, TURN = 2.89, 1.93, 3.0
    KEEP = float(np.exp(-DRAG * step))
    GAIN = (1.0 - KEEP) / DRAG

    def seek(self, offset: np.ndarray) -> np.ndarray:
        return offset * (1.5 / np.sqrt(_dot(offset, offset) + 1e-12)) - 0.85 * self.velocity

    def brake(self) -> np.ndarray:
        return -self.velocity

    def advance(self, direction: np.ndarray, stopping: np.ndarray) -> None:
        gear, share = self.drive(direction)
        self.front = turned(self.front, gear * direction, self.TURN * self.step)
        speed = np.sqrt(_dot(self.velocity, self.velocity))
        little = self.THRUST * np.minimum(speed / (self.THRUST * self.step), 1.0)
        thrust = gear * share * np.where(stopping, little, self.THRUST)
        velocity = self.velocity * self.KEEP + thrust * self.front * self.GAIN
        self.position = self.position + 0.5 * self.step * (self.velocity + velocity)
        self.velocity = velocity

    def drive(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """The gear for a direction, 1 or -1, and the share of the thrust, before the robot turns towards it."""
        return np.where(_dot(self.front, direction) < 0, -1.0, 1.0), 1.0


class SteadyPointMotion(PointMotion):
    """Reverses only towards what lies well behind, and turns before it drives: where what lies at its side is as near
    for either gear, a driver without memory would change the gear for ever."""

    REVERSES_BEYOND = 0.5
    """Minus the cosine of the bearing from which on it reverses: 120 degrees."""

    def drive(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        along = _dot(self.front, direction) / (np.sqrt(_dot(direction, direction)) + 1e-9)
        gear = np.where(along < -self.REVERSES_BEYOND, -1.0, 1.0)
        return gear, np.clip(20.0 * gear * along, 0.0, 1.0)


class CarMotion(Motion):
    """Turns on the spot about its axle or drives straight; picks up speed faster forwards than backwards."""

    step = 0.1
    n_steps = 30
    hold_times = (0.4, 0.9, 1.6, 2.4)
    usual_speed = 0.65
    SPEED, TURN = 0.8, 1.3
    AXLE = 0.1
    """Metres from the axle to the body's centre, which is ahead of it."""
    ALIGNED = 0.15
    """Radians off the wished direction within which it drives."""
    FORWARDS, BACKWARDS, TO_A_STAND = (1.0 - float(np.exp(-0.1 / time)) for time in (0.18, 0.45, 0.15))
    """Share of the way to its new value that the speed goes in a step; the times are seconds."""

    def begin(self, pose: Pose, n_plans: int) -> None:
        super().begin(pose, n_plans)
        self.speed = _dot(self.velocity, self.front)
        self.backwards = np.repeat(pose.backwards[:, None], n_plans, axis=1)

    def seek(self, offset: np.ndarray) -> np.ndarray:
        return offset

    def brake(self) -> np.ndarray:
        return np.where(self.backwards, -1.0, 1.0) * self.front

    def advance(self, direction: np.ndarray, stopping: np.ndarray) -> None:
        along = _dot(self.front, direction) / (np.sqrt(_dot(direction, direction)) + 1e-9)
        self.backwards = np.where(self.backwards, along < 0.1, along < -0.1)
        gear = np.where(self.backwards, -1.0, 1.0)
        driving = (gear * along > np.cos(self.ALIGNED)) & ~stopping
        wished = np.where(driving, gear * self.SPEED, 0.0)
        gain = np.where(driving, np.where(self.backwards, self.BACKWARDS, self.FORWARDS), self.TO_A_STAND)
        speed = self.speed + gain * (wished - self.speed)
        turning = turned(self.front, gear * direction, self.TURN * self.step)
        front = np.where(driving | stopping, self.front, turning)
        forward = 0.5 * self.step * (speed + self.speed)
        self.position = self.position + forward * front + self.AXLE * (front - self.front)
        self.speed, self.front = speed, front


def turned(front: np.ndarray, direction: np.ndarray, most: float) -> np.ndarray:
    """Unit vectors (2, ...) turned towards a direction (2, ...) of any length, by `most` radians at most."""
    length = np.sqrt(_dot(direction, direction)) + 1e-9
    side = np.where(front[0] * direction[1] - front[1] * direction[0] < 0, -np.sin(most), np.sin(most))
    there = _dot(front, direction) / length > np.cos(most)
    return np.where(there, direction / length, front * np.cos(most) + np.stack([-front[1], front[0]]) * side)


class Planner:
    """Plans for N worlds; remembers the last plan of each.

    The plans: seek the goal; drive in one of 16 directions for one of a few times and then seek the goal; stop; go on
    with the last plan. Each is played through over the next seconds, and the cheapest is taken.
    """

    weight = HAZARD_WEIGHT

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        angles = np.tile(np.arange(N_DIRECTIONS) * (2 * np.pi / N_DIRECTIONS), len(motion.hold_times))
        # Columns: seek, hold a direction (16 x times), stop, the last plan.
        self.direction = np.pad(np.stack([np.cos(angles), np.sin(angles)]), ((0, 0), (1, 2)))  # (2, K)
        self.hold = np.pad(np.repeat(motion.hold_times, N_DIRECTIONS), (1, 2))
        self.stop = np.zeros(len(self.hold), dtype=bool)
        self.stop[-2] = True

    def reset(self, n: int) -> None:
        """N worlds without a plan."""
        self.last_direction, self.last_hold = np.zeros((2, n)), np.zeros(n)

    def choose(
        self, pose: Pose, goal: np.ndarray, hazards: np.ndarray, elapsed: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The direction in which to drive now.

        Args:
            pose: of the N robots.
            goal: (N, 2) m.
            hazards: (N, M, 2) m; far away where there is none.
            elapsed: seconds until the next choice.

        Returns:
            direction: (N, 2) in the world's axes, of any length.
            stopping: (N,) bool; there, drive in the direction only until the robot stands.
        """
        n = len(goal)
        held, hold = np.repeat(self.direction[:, None], n, axis=1), np.tile(self.hold, (n, 1))
        held[..., -1], hold[:, -1] = self.last_direction, self.last_hold
        first, cost = self.play(pose, goal, hazards, held, hold)
        cost[:, -1] -= LOYALTY
        best, worlds = cost.argmin(axis=1), np.arange(n)
        self.last_direction = held[:, worlds, best]
        self.last_hold = np.maximum(hold[worlds, best] - elapsed, 0.0)
        return first[:, worlds, best].T, self.stop[best]

    def play(
        self, pose: Pose, goal: np.ndarray, hazards: np.ndarray, held: np.ndarray, hold: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Play plans through that hold the directions `held` (2, N, K) for `hold` (N, K) seconds.

        Returns:
            first: (2, N, K) the direction in which each begins, of any length.
            cost: (N, K) seconds to the goal, and what hazards cost on the way.
        """
        n, n_plans, motion = len(goal), len(self.hold), self.motion
        motion.begin(pose, n_plans)
        path = np.empty((motion.n_steps, 2, n, n_plans))
        first, offset = held, goal.T[..., None] - motion.position
        reached, remaining, duration = np.zeros((n, n_plans), dtype=bool), np.zeros(()), np.zeros((n, n_plans))
        for k in range(motion.n_steps):
            stopping = reached | self.stop
            direction = np.where(k * motion.step < hold, held, motion.seek(offset))
            direction = np.where(stopping, motion.brake(), direction)
            first = direction if k == 0 else first
            motion.advance(direction, stopping)
            path[k] = motion.position
            offset = goal.T[..., None] - motion.position
            remaining = np.sqrt(_dot(offset, offset))
            reached = reached | ((remaining < GOAL_RADIUS) & ~self.stop)
            duration = duration + np.where(reached, 0.0, motion.step)

        beyond = np.maximum(remaining - GOAL_RADIUS, 0.0) / motion.usual_speed + 0.2
        return first, duration + np.where(reached, 0.0, beyond) + self.hazard_cost(path, hazards)

    def hazard_cost(self, path: np.ndarray, hazards: np.ndarray) -> np.ndarray:
        """(N, K) seconds that the time within hazards (N, M, 2) costs on paths (T, 2, N, K)."""
        nearest = np.full((len(path), *path.shape[2:]), np.inf)  # squared distance to the nearest hazard
        for hazard in range(hazards.shape[1]):
            offset = path - hazards[:, hazard].T[..., None]
            np.minimum(nearest, offset[:, 0] * offset[:, 0] + offset[:, 1] * offset[:, 1], out=nearest)
        near = self.nearness(np.sqrt(nearest))
        total = np.zeros(path.shape[2:])
        for instant in near:  # one after the other: a sum's order must not depend on the shape
            total += instant
        return self.weight * self.motion.step * total

    def nearness(self, distance: np.ndarray) -> np.ndarray:
        """What an instant at a distance from the nearest hazard's centre, m, counts: 0 to 1"""
        return np.clip((HAZARD_RADIUS + MARGIN - distance) / MARGIN, 0.0, 1.0)


class SoftPlanner(Planner):
    """Does not take the cheapest plan but weighs all of them, by one instant alone: what it chooses changes smoothly,
    where the cheapest plan's direction jumps. So a policy can imitate it. It keeps a wide berth."""

    weight = 8.0
    BERTH = 0.15
    """Metres around a hazard within which it is dear to be, the dearer the nearer."""
    SHARPNESS = 6.0
    """Per second by which a plan is dearer, its weight falls by a factor of e as often."""

    def __init__(self, motion: Motion) -> None:
        super().__init__(motion)
        # Between ahead, left, behind and right: what lies exactly there is turned to one way, and its mirror image too.
        along, across, half = *self.direction, np.pi / N_DIRECTIONS
        self.direction = np.stack(
            [along * np.cos(half) - across * np.sin(half), along * np.sin(half) + across * np.cos(half)]
        )

    def direction_at(self, pose: Pose, goal: np.ndarray, hazards: np.ndarray) -> np.ndarray:
        """The mean of the plans' first directions: as `choose` takes them -> (N, 2), of length 1 at most.

        The plans differ from `choose`'s in that there is no last one.
        """
        n = len(goal)
        held, hold = np.repeat(self.direction[:, None], n, axis=1), np.tile(self.hold, (n, 1))
        first, cost = self.play(pose, goal, hazards, held, hold)  # the last plan holds nothing: a second seeker
        weights = np.exp(-self.SHARPNESS * (cost - cost.min(axis=1, keepdims=True)))
        weights = weights / weights.sum(axis=1, keepdims=True) / (np.sqrt(_dot(first, first)) + 1e-9)
        return (weights * first).sum(axis=-1).T

    def nearness(self, distance: np.ndarray) -> np.ndarray:
        return np.clip((HAZARD_RADIUS + self.BERTH - distance) / self.BERTH, 0.0, 1.0) ** 2


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[0] * other[0] + one[1] * other[1]
