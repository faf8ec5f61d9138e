"""`hazard_avoiding` without its memory: does its caution need the map that it remembers?

    mode-imitation experts --expert hazard_avoiding --expert benchmarks/forgetful.py:Forgetful
    mode-imitation generate --expert benchmarks/forgetful.py:Forgetful=60 --seed 5 --burst-away 0 --out mine/forget-v0
    mode-imitation train mine/forget-v0 --codes 2 --no-lidar-directions --out runs/forgetful
    mode-imitation modes runs/forgetful

It does not, and a policy that imitates this expert, which goes by one observation as the policy does, is no more
careful. docs/results.md has the figures.
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
