"""The wild benchmark: modes in data that was not made for this project, found by this project's method and by others.

    python -m benchmarks.wild --data FOLDER --seeds 5

`rows` says which data, `methods` which columns; each peer has a short file, with its source. Labels only judge.
"""
