"""Small results, copied to where a page can show them."""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from mode_imitation.atomic import write_atomic, write_text


def publish(written: Sequence[Path], main: str, name: str, folder: Path) -> list[Path]:
    """Copy results into a folder under names of their own, links between them included.

    Args:
        written: files of one folder.
        main: stem of those that go by `name` alone; the others are NAME-STEM.
        name: "benchmark-two" say.
        folder: it need not exist.

    Returns:
        The copies.
    """
    copies = {path: folder / f"{name if path.stem == main else f'{name}-{path.stem}'}{path.suffix}" for path in written}
    for path, copy in copies.items():
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            for linked in written:
                text = text.replace(f"]({linked.name})", f"]({copies[linked].name})")
            write_text(copy, text)
        else:
            write_atomic(copy, functools.partial(shutil.copyfile, path))
    return list(copies.values())
