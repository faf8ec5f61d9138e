"""The one exception that the command line turns into one line and exit status 2."""


class UserError(ValueError):
    """A mistake of the user's: what was found, what was expected, what to do next, in one line.

    It is a ValueError so that Python callers need not know this class.
    """
