"""The command line: one subcommand is one config dataclass and one call; heavy imports wait until they are needed."""

import errno
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from mode_imitation import __version__
from mode_imitation.errors import UserError, near_matches

PROGRAM = "mode-imitation"
SIMULATOR = ("mujoco", "safety_gymnasium", "xmltodict")
"""What training does without and driving does not."""
WRONG_PLACE = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""What the system says of a name that no file or folder can have."""
Config = TypeVar("Config")


class Command(NamedTuple):
    """Where a subcommand lives: `module` has a dataclass `config` and a function `run(config) -> int`."""

    module: str
    config: str
    summary: str


COMMANDS = {
    "demo": Command("demo", "DemoCommand", "the main job, end to end: two experts, discover, train, report, pictures"),
    "experts": Command("experts", "ExpertsCommand", "measure the scripted experts, or your own, on held-out layouts"),
    "generate": Command("generate", "GenerateCommand", "let experts drive, and record a dataset"),
    "import": Command(
        "import_arrays", "ImportCommand", "turn arrays (.npz, HDF5) or tables (CSV, Parquet) into a dataset"
    ),
    "info": Command("info", "InfoCommand", "what a dataset holds, as a table and a picture"),
    "verify": Command("verify", "VerifyCommand", "check a dataset against its checksums"),
    "train": Command("train", "TrainCommand", "discover modes and train one policy conditioned on them"),
    "sweep": Command("sweep", "SweepCommand", "try a grid of k, step size and seed, and choose one without labels"),
    "modes": Command("modes", "ModesCommand", "the report card of every mode on held-out layouts"),
    "rollout": Command("rollout", "RolloutCommand", "steer a trained policy through its world"),
    "attribute": Command("attribute", "AttributeCommand", "which mode made which part of new episodes, or none"),
    "export": Command("export", "ExportCommand", "write a trained policy as ONNX, checked against torch"),
    "plot": Command("plot", "PlotCommand", "pictures of a dataset's episodes, from above or of their states"),
    "simcheck": Command("simcheck", "SimcheckCommand", "compare the batched simulator with the untouched library"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        arguments: what follows the program's name; None takes sys.argv.

    Returns:
        0 when all went well, 1 when a check that was asked for failed, 2 for a user's mistake, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(PROGRAM, __version__)
        return 0
    try:
        return run_command(arguments[0], arguments[1:])
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
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}{near_matches(name, COMMANDS)}; `{PROGRAM} --help` lists them")
    command = COMMANDS[name]
    module = importlib.import_module(f"mode_imitation.commands.{command.module}")
    return module.run(parse(name, getattr(module, command.config), arguments))


def parse(name: str, config: type[Config], arguments: list[str]) -> Config:
    """A subcommand's options, see `read_options`."""
    from mode_imitation.options import read_options

    return read_options(f"{PROGRAM} {name}", config, arguments, COMMANDS[name].summary)


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
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
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
