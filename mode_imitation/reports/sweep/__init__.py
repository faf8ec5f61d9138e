"""Choosing k, stride and restart without labels: a grid of short trainings, and the original's experiment on it."""
