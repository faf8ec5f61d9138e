"""`python -m benchmarks.modes two|four|six|turns`"""

import sys
from dataclasses import replace

from benchmarks.command import run_command
from benchmarks.modes.config import BenchmarkConfig


def run(config: BenchmarkConfig) -> int:
    """Train, drive, compare; 1 where a cell failed."""
    from benchmarks.modes.run import headline, make_results, physics_of, run_benchmark, write_results
    from benchmarks.modes.tables import tables
    from mode_imitation.commands.tables import print_table

    if physics_of(config) == "exact":  # whether asked for or not; the results say so
        config = replace(config, exact_physics=True)
    finished = run_benchmark(config)
    results = make_results(config, finished)
    for line in headline(results):
        print(line)
    for table in tables(results):
        print_table(table.title, table.columns, table.rows)
    for cell, reason in finished.failed.items():
        print(f"failed: {cell}: {reason}")
    for note in finished.notes:
        print(note)
    for path in write_results(results, config):
        print("wrote", path)
    return 1 if finished.failed else 0


def main(arguments: list[str] | None = None) -> int:
    """See `run_command`."""
    return run_command("python -m benchmarks.modes", BenchmarkConfig, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
