"""One file a subcommand: a config dataclass whose docstrings are its help, and `run`, which does the heavy imports."""
