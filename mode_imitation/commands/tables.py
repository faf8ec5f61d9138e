"""Tables and lines on standard output, the same on a terminal and in a log."""

from collections.abc import Iterable, Sequence


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first column is aligned left, the others right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A log has no width of its own, and a narrow terminal wraps lines better than a table that cuts figures short.
    wide = Console(highlight=False, width=1000)
    print(title)
    Console(highlight=False, width=wide.measure(table).maximum).print(table)
