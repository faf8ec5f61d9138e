"""Worlds of any kind: driving them, recording episodes; `safety` is all that knows safety-gymnasium or mujoco."""
