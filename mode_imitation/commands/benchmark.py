"""`mode-imitation benchmark two|four|six|turns`"""

from dataclasses import replace

from mode_imitation.commands.tables import print_table
from mode_imitation.reports.benchmark.config import BenchmarkConfig as BenchmarkCommand

__all__ = ["BenchmarkCommand", "run"]


def run(config: BenchmarkCommand) -> int:
    """Train, drive, compare; 1 where a cell failed."""
    from mode_imitation.reports.benchmark.results import headline, make_results, write_results
    from mode_imitation.reports.benchmark.run import physics_of, run_benchmark
    from mode_imitation.reports.benchmark.tables import tables
    from mode_imitation.reports.publishing import publish

    if physics_of(config) == "exact":  # whether asked for or not; the results say so
        config = replace(config, exact_physics=True)
    finished = run_benchmark(config)
    results = make_results(config, finished)
    written = write_results(results, config.out / config.name)
    for line in headline(results):
        print(line)
    for table in tables(results):
        print_table(table.title, table.columns, table.rows)
    for cell, reason in finished.failed.items():
        print(f"failed: {cell}: {reason}")
    for note in finished.notes:
        print(note)
    if config.publish is not None:
        written += publish(written, "results", f"benchmark-{config.name}", config.publish)
    for path in written:
        print("wrote", path)
    return 1 if finished.failed else 0
