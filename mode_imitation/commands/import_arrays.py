"""`mode-imitation import FILE --out NAME`"""

from mode_imitation.data.config import ImportConfig as ImportCommand

__all__ = ["ImportCommand", "run"]


def run(config: ImportCommand) -> int:
    """Write the dataset and say what was not in the file."""
    from mode_imitation.data import import_arrays

    result = import_arrays(config)
    print(f"{config.out}: {result.episodes} episodes, {result.steps:,} steps, in {result.folder}")
    for note in result.notes:
        print(note)
    print(f"next: mode-imitation info {config.out}")
    return 0
