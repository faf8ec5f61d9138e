"""Columns of CSV and Parquet files, one row a step."""

import array
import csv
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.data.array_files import Contents, check_memory
from mode_imitation.errors import UserError

NUMBER = 8
"""Bytes of a number."""
SAMPLE = 2**16
"""Characters of a table from which the number of its rows is told before it is read."""
WORDS = {"": float("nan"), "true": 1.0, "false": 0.0}
"""Cells that are no number and yet stand for one."""


@contextmanager
def open_csv(source: Path, text: Sequence[str]) -> Iterator[Contents]:
    """Args: text: columns that are words; whole numbers in all rows of another come as int64, others as float64."""
    with source.open(encoding="utf-8-sig", newline="") as file:
        first, some = file.readline(), file.read(SAMPLE)
        n_rows = source.stat().st_size * max(some.count("\n"), 1) // max(len(some), 1)
        file.seek(0)
        rows = csv.reader(file, delimiter=max(",;\t", key=first.count))
        header = [name.strip() for name in next(rows, [])]
        twice = [name for name in header if header.count(name) > 1]
        if not header or twice:
            what = f"has the column {twice[0]!r} {header.count(twice[0])} times" if twice else "is empty"
            raise UserError(f"{source.name} {what}; expected a first row that names every column once")

        def read(names: Sequence[str]) -> dict[str, np.ndarray]:
            check_memory(source, NUMBER * len(names) * n_rows)
            words: dict[str, list[str]] = {name: [] for name in names if name in text}
            numbers = {name: array.array("d") for name in names if name not in words}
            whole = set(numbers)
            places = [(name, header.index(name)) for name in names]
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(
                        f"{source.name}, line {rows.line_num}: {len(row)} cells; expected {len(header)} as in the first"
                    )
                for name, place in places:
                    cell = row[place].strip()
                    if name in words:
                        words[name].append(cell)
                        continue
                    try:
                        numbers[name].append(float(cell))
                    except ValueError:
                        if cell.lower() not in WORDS:
                            raise UserError(
                                f"{source.name}, line {rows.line_num}, column {name}: {cell[:40]!r} is no number"
                            ) from None
                        numbers[name].append(WORDS[cell.lower()])
                    if name in whole and not cell.lstrip("+-").isdigit():
                        whole.discard(name)
            columns = {name: np.asarray(values) for name, values in words.items()}
            for name, values in numbers.items():
                columns[name] = np.asarray(values).astype(np.int64 if name in whole else np.float64, copy=False)
            return columns

        yield Contents(header, read)


@contextmanager
def open_parquet(source: Path) -> Iterator[Contents]:
    """Columns of numbers, of words, or of lists of one length (several numbers a row)."""
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise UserError(
            f"{source.name}: Parquet needs pyarrow, which is not installed; `pip install pyarrow` (`uv pip install "
            "pyarrow` where there is no pip), or save it as CSV"
        ) from None
    with parquet.ParquetFile(source) as file:

        def read(names: Sequence[str]) -> dict[str, np.ndarray]:
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            leaves = [group.column(index) for group in groups for index in range(group.num_columns)]
            # Lists are "name.list.element".
            begins = tuple(f"{name}." for name in names)
            check_memory(
                source, NUMBER * sum(one.num_values for one in leaves if f"{one.path_in_schema}.".startswith(begins))
            )
            table = file.read(columns=list(names))
            return {name: _values(source, name, table.column(name)) for name in names}

        yield Contents(list(file.schema_arrow.names), read)


def _values(source: Path, name: str, column: Any) -> np.ndarray:
    kind = str(column.type)
    if kind.startswith(("list", "large_list", "fixed_size_list")):
        rows = column.to_pylist()
        lengths = {len(row or ()) for row in rows}
        if len(lengths) != 1:
            raise UserError(
                f"{source.name}: column {name} holds lists of {min(lengths, default=0)} to {max(lengths, default=0)} "
                "entries; expected as many in each row"
            )
        return np.asarray(rows)
    if kind.startswith(("struct", "map", "binary", "timestamp")):
        raise UserError(f"{source.name}: column {name} is of type {kind[:40]}; expected numbers")
    values = np.asarray(column.to_numpy())
    return values.astype(str) if values.dtype == object else values
