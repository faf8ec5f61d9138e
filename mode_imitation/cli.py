"""The command line: one subcommand is one config dataclass and one call; heavy imports wait until they are needed."""

import errno
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, get_type_hints

from mode_imitation import __version__
from mode_imitation.errors import UserError, near_matches

PROGRAM = "mode-imitation"
SIMULATOR = ("mujoco", "safety_gymnasium", "xmltodict")
"""What training does without and driving does not."""
WRONG_PLACE = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""What the system says of a name that no file or folder can have."""


COMMANDS = {
    "demo": "the main job, end to end: experts drive, discover, train, report, pictures",
    "experts": "measure the scripted experts, or your own, on held-out layouts",
    "generate": "let experts drive, and record a dataset",
    "import": "turn arrays (.npz, HDF5), tables (CSV, Parquet) or text into a dataset",
    "info": "what a dataset holds, as a table and a picture",
    "verify": "check a dataset against its checksums",
    "train": "discover modes and train one policy conditioned on them",
    "sweep": "try a grid of k, step size and seed, and choose one without labels",
    "modes": "the report card of every mode on held-out layouts",
    "rollout": "steer a trained policy through its world",
    "attribute": "which mode made which part of new episodes, or none",
    "export": "write a trained policy as ONNX, checked against torch",
    "plot": "pictures of a dataset's episodes, from above or of their states",
    "simcheck": "compare the batched simulator with the untouched library",
}
"""Each is a module of mode_imitation.commands with a function `run(config) -> int`; the config's fields are options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        arguments: what follows the program's name; None takes sys.argv.

    Returns:
        0 when all went well, 1 when a check that was asked for failed, 2 for a user's mistake, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return run_command(arguments[0] if arguments else "--help", arguments[1:])
        finally:
            sys.stdout.flush()
    except UserError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        command = shlex.join([PROGRAM, *arguments])
        print(f"\n{PROGRAM}: stopped; {how_to_go_on(arguments, command)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; a traceback at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in SIMULATOR:
            raise
        return complain(
            f"the simulator's {missing} is not installed, and `{PROGRAM} {arguments[0]}` drives; "
            "install safety-gymnasium and mujoco as the README says"
        )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = how_to_go_on(arguments, " ".join([PROGRAM, *arguments]))
            return complain(f"the disk is full; nothing that was complete is lost; make room, and {hint}")
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return complain(f"{error.filename}: {error.strerror}; choose another folder or change its permissions")
        if error.filename is not None and error.errno in WRONG_PLACE:
            return complain(f"{error.filename}: {error.strerror}; choose another name or folder")
        raise


def run_command(name: str, arguments: list[str]) -> int:
    """Parse `arguments` into the subcommand's config and run it."""
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(PROGRAM, __version__)
        return 0
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}{near_matches(name, COMMANDS)}; `{PROGRAM} --help` lists them")
    return command_module(name).run(parse(name, arguments))


def parse(name: str, arguments: list[str]) -> Any:
    """A subcommand's config, see `read_options`."""
    from mode_imitation.options import read_options

    return read_options(f"{PROGRAM} {name}", config_of(name), arguments, COMMANDS[name])


def config_of(name: str) -> type:
    """The dataclass of a subcommand's options."""
    return get_type_hints(command_module(name).run)["config"]


def command_module(name: str) -> ModuleType:
    """Where a subcommand lives; `import` is no name for a module."""
    return importlib.import_module(f"mode_imitation.commands.{'import_arrays' if name == 'import' else name}")


def complain(message: str) -> int:
    """Print one line on standard error and return the exit status of a user's mistake."""
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def how_to_go_on(arguments: list[str], command: str) -> str:
    """What to type after Ctrl-C."""
    words = [word for argument in arguments for word in argument.split("=", 1)]  # --out RUN or --out=RUN
    if arguments[0] == "train" and "--resume" not in words and "--out" in words[:-1]:
        run = words[words.index("--out") + 1]
        if not os.path.exists(os.path.join(run, "run.json")):
            return f"nothing was half-written; to start again: {command}"
        return f"to go on from the last checkpoint: {PROGRAM} train --resume {shlex.quote(run)}"
    if arguments[0] in ("generate", "train", "demo", "sweep"):
        return f"to go on where it was: {command}"
    return f"nothing was half-written; to start again: {command}"


def overview() -> str:
    """The text of `mode-imitation --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [OPTIONS]",
            "",
            "Discover the modes in mixed, unlabelled trajectories and steer one policy through them.",
            "",
            "commands:",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` explains a command's options; `{PROGRAM} --version` prints the version.",
        ]
    )
