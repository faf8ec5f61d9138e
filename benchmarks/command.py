"""A benchmark's command line, which keeps the promises of the project's own: a mistake is one line, Ctrl-C no loss."""

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from mode_imitation.errors import UserError
from mode_imitation.options import read_options

Config = TypeVar("Config")


def run_command(
    program: str, config: type[Config], run: Callable[[Config], int], arguments: Sequence[str] | None = None
) -> int:
    """Parse the command line and run it.

    Args:
        program: what the user types.
        config: a dataclass; its docstring and its fields' are the help.
        run: does the work, and goes on where it was.
        arguments: None takes sys.argv.

    Returns:
        The exit status: 2 for a user's mistake, 130 after Ctrl-C, else what `run` returns.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(read_options(program, config, arguments, config.__doc__ or ""))
    except UserError as error:
        print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{program}: stopped; to go on where it was: {program} {shlex.join(arguments)}", file=sys.stderr)
        return 130
