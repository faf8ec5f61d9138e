"""Tables of Markdown and the figures in their cells."""

from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(interval: Mapping[str, float] | None, digits: int) -> str:
    """`11.2 [10.8, 11.6]`; of a single value only that value, and "-" of none."""
    if interval is None:
        return "-"
    mean = f"{interval['mean']:.{digits}f}"
    if interval["n"] < 2:
        return mean
    return f"{mean} [{interval['low']:.{digits}f}, {interval['high']:.{digits}f}]"
