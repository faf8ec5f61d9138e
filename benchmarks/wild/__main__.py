"""`python -m benchmarks.wild`"""

import sys

from benchmarks.command import run_command
from benchmarks.wild.config import WildConfig


def run(config: WildConfig) -> int:
    """Make the cells that are missing, then the tables; 1 where a cell failed."""
    from benchmarks.wild.run import run_benchmark, write_results
    from benchmarks.wild.tables import tables
    from mode_imitation.commands.tables import print_table

    results = run_benchmark(config)
    for title, columns, rows in tables(results):
        print_table(title, columns, rows)
    for cell, reason in results["failed"].items():
        print(f"failed: {cell}: {reason}")
    for note in results["notes"]:
        print(note)
    for path in write_results(results, config):
        print("wrote", path)
    return 1 if results["failed"] else 0


def main(arguments: list[str] | None = None) -> int:
    """See `run_command`."""
    return run_command("python -m benchmarks.wild", WildConfig, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
