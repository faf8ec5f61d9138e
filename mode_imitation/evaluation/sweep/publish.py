"""A sweep's small results, copied to where a page can show them."""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from mode_imitation.atomic import write_atomic, write_text


def publish(written: Sequence[Path], folder: Path) -> list[Path]:
    """Copy a sweep's files into a folder as sweep.json, sweep.md and sweep-*.png.

    Args:
        written: what `write_sweep` returned.
        folder: it need not exist.

    Returns:
        The copies.
    """
    names = {path.name: path.name if path.stem == "sweep" else f"sweep-{path.name}" for path in written}
    for path in written:
        copy = folder / names[path.name]
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            for name, new_name in names.items():
                text = text.replace(f"]({name})", f"]({new_name})")
            write_text(copy, text)
        else:
            write_atomic(copy, functools.partial(shutil.copyfile, path))
    return [folder / name for name in names.values()]
