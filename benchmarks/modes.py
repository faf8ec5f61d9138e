"""Modes beside their experts: this project's method, the true-label ceiling and the alternatives, on the same data.

    python benchmarks/modes.py two --seeds 5 --layouts 200
    python benchmarks/modes.py four
    python benchmarks/modes.py six --seeds 20

The same as `mode-imitation benchmark`, which `--help` explains. What an earlier call finished is kept.
"""

import sys

from mode_imitation.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
