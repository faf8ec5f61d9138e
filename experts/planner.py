"""Choosing where to drive by trying out many plans in the head: to the goal soon, and not through hazards."""

import numpy as np

from experts.planned_motion import Motion, Pose

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


class Planner:
    """Plans for N worlds; remembers the last plan of each.

    The plans: seek the goal; drive in one of 16 directions for one of a few times and then seek the goal; stop; go on
    with the last plan. Each is played through over the next seconds, and the cheapest is taken.
    """

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        angles = np.arange(N_DIRECTIONS) * (2 * np.pi / N_DIRECTIONS)
        times = np.repeat(motion.hold_times, N_DIRECTIONS)
        # Columns: seek, hold a direction (16 x times), stop, the last plan.
        self.x = np.concatenate([[0.0], np.tile(np.cos(angles), len(motion.hold_times)), [0.0, 0.0]])
        self.y = np.concatenate([[0.0], np.tile(np.sin(angles), len(motion.hold_times)), [0.0, 0.0]])
        self.hold = np.concatenate([[0.0], times, [0.0, 0.0]])
        self.stop = np.zeros(len(self.hold), dtype=bool)
        self.stop[-2] = True

    def reset(self, n: int) -> None:
        """N worlds without a plan."""
        self.last_x, self.last_y, self.last_hold = np.zeros(n), np.zeros(n), np.zeros(n)

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
        n, n_plans = len(goal), len(self.hold)
        hold_x, hold_y, hold = (np.tile(plans, (n, 1)) for plans in (self.x, self.y, self.hold))
        hold_x[:, -1], hold_y[:, -1], hold[:, -1] = self.last_x, self.last_y, self.last_hold

        motion = self.motion
        motion.begin(pose, n_plans)
        path_x, path_y = np.empty((motion.n_steps, n, n_plans)), np.empty((motion.n_steps, n, n_plans))
        reached = np.zeros((n, n_plans), dtype=bool)
        first_x, first_y = hold_x, hold_y
        remaining = np.zeros((n, n_plans))
        duration = np.zeros((n, n_plans))
        for k in range(motion.n_steps):
            stopping = reached | self.stop
            x, y = motion.seek(goal[:, :1] - motion.x, goal[:, 1:] - motion.y)
            holding = k * motion.step < hold
            x, y = np.where(holding, hold_x, x), np.where(holding, hold_y, y)
            brake_x, brake_y = motion.brake()
            x, y = np.where(stopping, brake_x, x), np.where(stopping, brake_y, y)
            if k == 0:
                first_x, first_y = x, y
            motion.advance(x, y, stopping)
            path_x[k], path_y[k] = motion.x, motion.y
            remaining = np.sqrt((goal[:, :1] - motion.x) ** 2 + (goal[:, 1:] - motion.y) ** 2)
            reached = reached | ((remaining < GOAL_RADIUS) & ~self.stop)
            duration = duration + np.where(reached, 0.0, motion.step)

        beyond = np.maximum(remaining - GOAL_RADIUS, 0.0) / motion.usual_speed + 0.2
        cost = duration + np.where(reached, 0.0, beyond) + self.hazard_cost(path_x, path_y, hazards)
        cost[:, -1] -= LOYALTY
        best = cost.argmin(axis=1)
        worlds = np.arange(n)
        self.last_x, self.last_y = hold_x[worlds, best], hold_y[worlds, best]
        self.last_hold = np.maximum(hold[worlds, best] - elapsed, 0.0)
        return np.stack([first_x[worlds, best], first_y[worlds, best]], axis=1), self.stop[best]

    def hazard_cost(self, path_x: np.ndarray, path_y: np.ndarray, hazards: np.ndarray) -> np.ndarray:
        """What the time within hazards costs, in seconds.

        Args:
            path_x: (T, N, K) m.
            path_y: (T, N, K) m.
            hazards: (N, M, 2) m.

        Returns:
            (N, K).
        """
        nearest = np.full(path_x.shape, np.inf)  # squared distance to the nearest hazard
        for hazard in range(hazards.shape[1]):
            across, up = path_x - hazards[:, hazard, :1], path_y - hazards[:, hazard, 1:]
            np.minimum(nearest, across * across + up * up, out=nearest)
        depth = np.clip((HAZARD_RADIUS + MARGIN - np.sqrt(nearest)) / MARGIN, 0.0, 1.0)
        total = np.zeros(path_x.shape[1:])
        for instant in depth:  # one after the other: a sum's order must not depend on the shape
            total += instant
        return HAZARD_WEIGHT * self.motion.step * total
