"""Which trajectories belong together: starts, evidence, reassignment, switches."""
