"""A config dataclass from the command line: fields are options, their docstrings the help, a mistake is one line."""

import ast
import contextlib
import dataclasses
import difflib
import inspect
import io
import shutil
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    @property
    def field(self) -> tuple[str, Any, dataclasses.Field]:
        """As `dataclasses.make_dataclass` takes it, with what tyro is to know."""
        from tyro import conf

        hint = tuple[self.kind, ...] if self.several else self.kind
        marks: list[Any] = [
            conf.arg(help=self.help, help_behavior_hint=self.hint, metavar=self.argument or self.metavar)
        ]
        if self.argument:
            marks.append(conf.Positional)
        if REPEATED in self.marks:
            marks.append(conf.UseAppendAction)
        default = {} if self.default is MISSING else {"default": self.default}
        return self.name, Annotated[(hint | None if None in self.marks else hint, *marks)], dataclasses.field(**default)

    @property
    def metavar(self) -> str | None:
        return None if self.kind is bool or get_origin(self.kind) is Literal else self.kind.__name__.upper()

    @property
    def hint(self) -> str:
        """What help adds: the default where it says something."""
        if self.default is MISSING:
            return "" if self.argument else "(required)"
        if REPEATED in self.marks:
            return "(repeatable)"
        if self.default is None or self.default is False or self.default == ():
            return ""
        shown = " ".join(map(str, self.default)) if self.several else self.default
        return f"(default: {shown})"

    def complaint(self, text: str) -> str | None:
        """What is wrong with a value that was typed."""
        if text == "None" and None in self.marks:
            return None
        try:
            if get_origin(self.kind) is Literal:
                check_type(self.flag, text, self.kind)
            elif self.kind is not bool:
                self.kind(text)
        except UserError as error:
            return str(error)
        except ValueError:
            return f"{self.flag} is {text!r}; expected {NUMBERS[self.kind]}"
        return None


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
    import tyro

    options = all_options(config)
    words = [as_tyro_has_it(*pair, options) for pair in pairwise([*arguments, ""])]
    if "config" in options:
        repeated = {name for name, option in options.items() if REPEATED in option.marks}
        words = expand_config_file(words, options.keys() - {"config"}, repeated)
    shown = [option for option in options.values() if option.listed or {"-h", "--help"}.isdisjoint(words)]
    asked = dataclasses.make_dataclass(config.__name__, [option.field for option in shown], kw_only=True)
    shown_help, complaint = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(shown_help), contextlib.redirect_stderr(complaint):
            found = tyro.cli(asked, args=words, prog=program, description="")
    except SystemExit as stop:
        if stop.code in (0, None):
            # tyro wraps the options at the terminal's width, and neither its line of usage nor a description.
            named = [option.argument for option in options.values() if option.argument]
            within = [inner.__doc__ or "" for inner in configs_within(config).values()]
            head = [" ".join(["usage:", program, *named, "[OPTIONS]"]), summary, *within]
            width = shutil.get_terminal_size().columns
            print("\n\n".join(textwrap.fill(" ".join(text.split()), width) for text in head), end="\n\n")
            print(shown_help.getvalue().partition("\n\n")[2].strip("\n"))
            raise
        mistake = what_is_wrong(words, options) or " ".join(complaint.getvalue().split())
        raise UserError(f"{mistake}; `{program} --help` explains every option") from None
    return made(config, vars(found))


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


def as_tyro_has_it(word: str, following: str, options: Mapping[str, Option]) -> str:
    """`--find_switches` is `--find-switches`; `--no-disturbances`, which may be left out, is `--disturbances=False`."""
    name, mark, value = word.partition("=")
    if not name.startswith("--"):
        return word
    name = name.replace("_", "-")
    for flag, stands_for in ((name, "True"), (f"--{name.removeprefix('--no-')}", "False")):
        option = options.get(flag[2:].replace("-", "_"))
        valueless = not mark and following not in ("True", "False", "None")
        if valueless and option and option.kind is bool and None in option.marks:
            return f"{flag}={stands_for}"
    return name + mark + value


def made(config: type[Config], values: Mapping[str, Any]) -> Config:
    """The config of these values, lists as tuples; what is not among them has its default."""
    names = [entry.name for entry in dataclasses.fields(config)]  # type: ignore[arg-type]
    own = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
    return config(**own, **{name: made(inner, values) for name, inner in configs_within(config).items()})


def what_is_wrong(words: Sequence[str], options: Mapping[str, Option]) -> str | None:
    """In one line, what was typed that nobody takes, or not typed that is needed; None where it is something else."""
    flags = {option.flag: option for option in options.values()}
    loose, given, rest = [], set(), deque(words)
    while rest:
        word = rest.popleft()
        flag, mark, value = word.partition("=")
        if not word.startswith("--"):
            if loose and given:
                return f"{word!r} is more than was expected"
            loose.append(word)
            continue
        option = flags.get(flag) or flags.get(f"--{flag.removeprefix('--no-')}")
        if option is None or (option.flag != flag and option.kind is not bool):
            near = near_option(flag.lstrip("-").removeprefix("no-"), [known[2:] for known in flags])
            return f"there is no option {flag}{f', did you mean --{near}?' if near else ''}"
        given.add(option.name)
        if option.kind is bool and None not in option.marks:
            if mark:
                return f"{flag} takes no value"
            continue
        values = [value] if mark else []
        most = len(rest) if option.several and REPEATED not in option.marks else 1
        while not mark and rest and not rest[0].startswith("--") and len(values) < most:
            values.append(rest.popleft())
        if not values:
            return f"{flag} has no value"
        if found := next(filter(None, map(option.complaint, values)), None):
            return found
    named = [option for option in options.values() if option.argument]
    if len(loose) > len(named) and not any(option.several for option in named):
        return f"{loose[len(named)]!r} is more than was expected"
    given |= {option.name for option, _ in zip(named, loose, strict=False)}
    missing = [o.argument or o.flag for o in options.values() if o.default is MISSING and o.name not in given]
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else None


def near_option(typed: str, known: list[str]) -> str | None:
    """The name that is spelt nearly so, or begins so, or has these initials: learning-rate of learning-rat or lr."""
    spelt = difflib.get_close_matches(typed, known, n=1, cutoff=0.75)
    begun = [name for name in known if typed and name.startswith(typed)]
    initials = [name for name in known if len(typed) > 1 and "".join(part[:1] for part in name.split("-")) == typed]
    return next(iter([*spelt, *begun, *initials, *difflib.get_close_matches(typed, known, n=1)]), None)
