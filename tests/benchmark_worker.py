"""Stands in for the benchmark's worker: does at once whatever a cell's job says."""

import json
import os
import sys

from mode_imitation.reports.benchmark.cells import Cell

for line in sys.stdin:
    cell = Cell.from_message(json.loads(line))
    if cell.method == "dies":
        os._exit(3)
    if cell.method == "fails":
        print(json.dumps({"error": "no such thing"}), flush=True)
    else:
        cell.write({"seed": cell.seed})
        print(json.dumps({"error": None}), flush=True)
