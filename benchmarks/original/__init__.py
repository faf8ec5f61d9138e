"""The original method, "Multiple Experts, Multiple Objectives" (Eloundou 2021), and its experiment.

    python -m benchmarks.original pointgoal1/two-experts-v0 --codes 2,3,4,8 --strides 1,5,10,20 --seeds 3

`method`, `fit` and `worker` use the package's model and training.
"""
