"""The one exception that the command line turns into one line and exit status 2, and words that such lines need."""

from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's: what was found, what was expected, what to do next, in one line.

    It is a ValueError so that Python callers need not know this class.
    """


def near_matches(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'train'?`, or nothing where no name is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def brief(error: BaseException, most: int = 120) -> str:
    """What another package says, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]
