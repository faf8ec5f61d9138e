"""A config dataclass from the command line: fields are options, their docstrings the help, a mistake is one line."""

import argparse
import ast
import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mode_imitation.config_checks import check_type
from mode_imitation.config_file import expand_config_file
from mode_imitation.errors import UserError

Value = TypeVar("Value")
Config = TypeVar("Config")
UNLISTED, REPEATED = "unlisted", "repeated"
Suppress = Annotated[Value, UNLISTED]
"""A setting that is taken, and that help does not list."""
Repeated = Annotated[tuple[str, ...], REPEATED]
"""An option of one value that may be given several times."""
NUMBERS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Argument:
    """Marks a field that stands on the command line without an option's name."""

    name: str


@dataclass(frozen=True)
class Option:
    """A field of a config as the command line has it."""

    name: str
    kind: Any
    """int, float, str, bool, Path or a Literal; of a tuple, what is in it."""
    several: bool
    marks: tuple[Any, ...]
    """What Annotated adds; None where None is a value, too."""
    default: Any
    help: str

    @property
    def listed(self) -> bool:
        """Whether help shows it."""
        return UNLISTED not in self.marks

    @property
    def argument(self) -> str | None:
        return next((mark.name for mark in self.marks if isinstance(mark, Argument)), None)

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def add_to(self, group: Any) -> None:
        """Have an argparse group take it; what is not typed is not among the values that were found."""
        text = self.help.replace("%", "%%")
        if self.default is MISSING:
            text += "" if self.argument else " (required)"
        elif REPEATED in self.marks:
            text += " (repeatable)"
        elif self.default is not None and self.default is not False and self.default != ():
            shown = " ".join(map(str, self.default)) if self.several else self.default
            text += f" (default: {str(shown).replace('%', '%%')})"
        how: dict[str, Any] = {"help": text if self.listed else argparse.SUPPRESS, "default": argparse.SUPPRESS}
        if self.argument:
            nargs = "*" if self.several else "?"
            group.add_argument(self.name, metavar=self.argument, nargs=nargs, type=self.read, **how)
        elif self.kind is bool:
            group.add_argument(self.flag, action=argparse.BooleanOptionalAction, **how)
        else:
            words = get_args(self.kind) if get_origin(self.kind) is Literal else ()
            how["metavar"] = f"{{{','.join(words)}}}" if words else self.kind.__name__.upper()
            if REPEATED in self.marks:
                how["action"] = "append"
            elif self.several:
                how["nargs"] = "+"
            group.add_argument(self.flag, type=self.read, **how)

    def read(self, text: str) -> Any:
        """A value of what was typed; argparse says what is wrong with it."""
        if text == argparse.SUPPRESS:  # of an argument that was left out
            return text
        if text == "None" and None in self.marks:
            return None
        try:
            if get_origin(self.kind) is not Literal:
                return self.kind(text)
            check_type(self.flag, text, self.kind)
            return text
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        except ValueError:
            raise argparse.ArgumentTypeError(f"{self.flag} is {text!r}; expected {NUMBERS[self.kind]}") from None


def read_options(program: str, config: type[Config], arguments: Iterable[str], summary: str) -> Config:
    """Fill a config dataclass, and configs within it, from the command line.

    Args:
        program: what the user types before the arguments.
        config: its fields are int, float, str, bool, Path, Literal, tuples of one of them, None beside one of them, or
            configs, whose fields are options like its own; where it has `config`, that names a file of settings.
        arguments: what follows.
        summary: help's first line.

    Raises:
        UserError: an option is unknown or has a wrong value, something is missing or too much.
        SystemExit: help was asked for, and printed.
    """
    within = configs_within(config)
    options = all_options(config)
    words = [hyphened(word) for word in arguments]
    if "config" in options:
        repeated = {name for name, option in options.items() if REPEATED in option.marks}
        words = expand_config_file(words, options.keys() - {"config"}, repeated)
    named = [option.argument for option in options.values() if option.argument]
    usage = " ".join([program, *named, "[OPTIONS]"])
    parser = argparse.ArgumentParser(program, usage, summary, allow_abbrev=False, exit_on_error=False)
    for option in sorted(options_of(config), key=lambda option: option.default is not MISSING):
        option.add_to(parser)
    for name, inner in within.items():
        group = parser.add_argument_group(name, inner.__doc__)
        for option in options_of(inner):
            option.add_to(group)
    try:
        values, more = parser.parse_known_args(words)
        mistake = what_is_wrong(more, options, vars(values))
    except argparse.ArgumentError as error:
        name = str(error.argument_name).partition("/")[0]
        known = {"expected": f"{name} has no value", "ignored": f"{name} takes no value"}
        mistake = known.get(error.message.split()[0], error.message)
    if mistake:
        raise UserError(f"{mistake}; `{program} --help` explains every option")
    return made(config, vars(values))


def all_options(config: type) -> dict[str, Option]:
    """By name, the settings that a command takes, in a config file too: those of configs within it as well."""
    return {option.name: option for one in (config, *configs_within(config).values()) for option in options_of(one)}


def options_of(config: type) -> list[Option]:
    """The fields of a config that are no configs themselves."""
    texts, found = docstrings_of(config), []
    for entry, kind, marks in fields_of(config):
        if not dataclasses.is_dataclass(kind):
            several = get_origin(kind) is tuple
            default = entry.default if entry.default_factory is MISSING else entry.default_factory()
            kind = get_args(kind)[0] if several else kind
            found.append(Option(entry.name, kind, several, marks, default, texts.get(entry.name, "")))
    return found


def configs_within(config: type) -> dict[str, type]:
    """Fields of a config that are configs themselves."""
    kinds = {entry.name: kind for entry, kind, _ in fields_of(config)}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


def fields_of(config: type) -> Iterator[tuple[dataclasses.Field, Any, tuple[Any, ...]]]:
    """Its fields with their types; what Annotated adds to these; None where that is a value, too."""
    hints = get_type_hints(config, include_extras=True)
    for entry in dataclasses.fields(config):
        kind, marks = hints[entry.name], []
        while get_origin(kind) in (Annotated, Union, UnionType):
            if get_origin(kind) is Annotated:
                kind, *more = get_args(kind)
                marks += more
            else:
                kind = next(part for part in get_args(kind) if part is not NoneType)
                marks.append(None)
        yield entry, kind, tuple(marks)


def docstrings_of(config: type) -> dict[str, str]:
    """{name: text in one line} of the fields of a dataclass, its bases' too; empty where it has no source."""
    texts: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        try:
            (node,) = ast.parse(inspect.getsource(owner)).body if dataclasses.is_dataclass(owner) else (None,)
        except OSError:
            continue
        for entry, after in pairwise(getattr(node, "body", ())):
            match entry, after:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def hyphened(word: str) -> str:
    """`--find_switches` is `--find-switches`."""
    name, mark, value = word.partition("=")
    return name.replace("_", "-") + mark + value if name.startswith("--") else word


def made(config: type[Config], values: Mapping[str, Any]) -> Config:
    """The config of these values, lists as tuples; what is not among them has its default."""
    names = [entry.name for entry in dataclasses.fields(config)]  # type: ignore[arg-type]
    own = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
    return config(**own, **{name: made(inner, values) for name, inner in configs_within(config).items()})


def what_is_wrong(more: list[str], options: Mapping[str, Option], values: Mapping[str, Any]) -> str | None:
    """In one line, what was typed that nobody takes, or not typed that is needed."""
    unknown = next((word.split("=")[0] for word in more if word.startswith("-")), None)
    if unknown:
        near = near_option(unknown.lstrip("-").removeprefix("no-"), [option.flag[2:] for option in options.values()])
        return f"there is no option {unknown}{f', did you mean --{near}?' if near else ''}"
    if more:
        return f"{more[0]!r} is more than was expected"
    needed = [option for name, option in options.items() if option.default is MISSING and not values.get(name)]
    missing = [option.argument or option.flag for option in needed]
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else None


def near_option(typed: str, known: list[str]) -> str | None:
    """The name that is spelt nearly so, or begins so, or has these initials: learning-rate of learning-rat or lr."""
    spelt = difflib.get_close_matches(typed, known, n=1, cutoff=0.75)
    begun = [name for name in known if typed and name.startswith(typed)]
    initials = [name for name in known if len(typed) > 1 and "".join(part[:1] for part in name.split("-")) == typed]
    return next(iter([*spelt, *begun, *initials, *difflib.get_close_matches(typed, known, n=1)]), None)
