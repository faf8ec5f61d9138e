"""`hazard_avoiding` without its memory: does its caution need the map that it remembers?

It does not, and a policy that imitates this expert, which goes by one observation as the policy does, is no more
careful. docs/results.md has the commands and the figures.
"""

import numpy as np

from experts.hazard_avoiding import HazardAvoidingExpert


class Forgetful(HazardAvoidingExpert):
    """Draws its map from one observation and plans anew at every step. Only its gear it remembers, which the velocity
    shows as well."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim)."""
        self.odometry.reset(observations)
        self.map.reset(len(observations))
        self.planner.reset(len(observations))
        self.step = 0  # so that no plan is kept for the next step
        return super().act(observations)
