"""The mode benchmark: this project's method, the labels given and alternatives, on the same data and layouts, over
seeds, with intervals.

    python -m benchmarks.modes two --seeds 5 --layouts 200

`core` and `categorical_vae` use the package's model and training, `methods` its `train`; all else goes by policies.
"""
