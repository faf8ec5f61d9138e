"""Choosing k, stride and seed without labels, from a grid of short trainings."""
