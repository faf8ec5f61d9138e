"""Where a command's pictures go."""

from pathlib import Path

from mode_imitation.errors import UserError

PICTURES = (".png", ".pdf", ".svg")
ANIMATIONS = (".gif", ".mp4")


def picture_path(asked: Path | None, default: Path, kinds: tuple[str, ...], *, overwrite: bool) -> Path:
    """Where a picture goes; one that the user named is not replaced unasked.

    Raises:
        UserError: the name has an ending that cannot be written, or exists; before any work is done.
    """
    if asked is None:
        return default
    if asked.suffix.lower() not in kinds:
        raise UserError(f"{asked} cannot be written; expected a name that ends in {', '.join(kinds)}")
    if asked.exists() and not overwrite:
        raise UserError(f"{asked} exists already; choose another name or replace it with --overwrite")
    return asked
