"""Measurements of the project, not shipped with it; they may import everything, and nothing of it imports them."""
