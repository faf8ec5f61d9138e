"""The mode benchmark: this project's method, the labels given and alternatives, on the same data and layouts, over
seeds, with intervals.

    python -m benchmarks.modes two --seeds 5 --layouts 200

`core` has all that comes from the package's training, and `categorical_vae` asks its model; all else goes by policies.
"""
