"""`mode-imitation benchmark two|four|six`"""

from mode_imitation.evaluation.benchmark.config import BenchmarkConfig as BenchmarkCommand

__all__ = ["BenchmarkCommand", "run"]


def run(config: BenchmarkCommand) -> int:
    """Train, drive, compare; 1 where a cell failed."""
    from mode_imitation.evaluation.benchmark.run import run_benchmark

    finished = run_benchmark(config)
    for cell, reason in finished.failed.items():
        print(f"failed: {cell}: {reason}")
    for note in finished.notes:
        print(note)
    return 1 if finished.failed else 0
