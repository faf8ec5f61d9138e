"""What a command takes: which of a config's settings its help lists, and what is said of one that was mistyped."""

import ast
import dataclasses
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin, get_type_hints

NUMBERS = (
    (re.compile(r"invalid literal for int\(\) with base 10: (?P<found>.*)"), "a whole number"),
    (re.compile(r"could not convert string to float: (?P<found>.*)"), "a number"),
    (re.compile(r"no type matching \{None\}\|INT could be instantiated from \[(?P<found>.*)\]"), "a whole number"),
    (re.compile(r"no type matching \{None\}\|FLOAT could be instantiated from \[(?P<found>.*)\]"), "a number"),
    (re.compile(r"Could not find valid parse for arguments: \[(?P<found>.*)\]"), "numbers with spaces between them"),
)
"""Python's and tyro's words for a value that is no number, or values of which one is none, and what was expected."""
CHOICE = r"invalid choice '(?P<value>.*)' for argument '(?P<option>.*)'. Expected one of \((?P<known>.*)\)"


def with_unlisted(config: type) -> type:
    """A config dataclass that is read from the command line in full: help lists no setting that is marked Suppress, and
    tyro would not take it either. `as_declared` gives the config back."""
    from tyro.conf import Suppress

    (unlisted,) = get_args(Suppress[int])[1:]
    return remade(config, lambda _, name, marks: [mark for mark in marks if mark is not unlisted])


def with_plain_help(config: type) -> type:
    """A config dataclass whose help breaks lines where they end: tyro keeps the breaks of a docstring's own lines."""
    from tyro.conf import arg

    def joined(owner: type, name: str, marks: list[Any]) -> list[Any]:
        text = field_docstrings(owner).get(name)
        return marks if text is None else [*marks, arg(help=text)]

    return remade(config, joined)


def remade(config: type, change: Callable[[type, str, list[Any]], list[Any]]) -> type:
    """A subclass with other marks (what Annotated carries) at its fields and at those of configs within it.

    Args:
        config: a dataclass.
        change: from a config, a field's name and its marks to the marks that it shall have.
    """
    hints, changed, defaults = get_type_hints(config, include_extras=True), {}, {}
    for entry in dataclasses.fields(config):
        hint = hints[entry.name]
        kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        inner = remade(kind, change) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else kind
        marks = change(config, entry.name, marks)
        changed[entry.name] = Annotated[(inner, *marks)] if marks else inner  # type: ignore[valid-type]
        if inner is not kind:
            defaults[entry.name] = dataclasses.field(default_factory=inner)
        elif entry.default_factory is not dataclasses.MISSING:
            defaults[entry.name] = dataclasses.field(default_factory=entry.default_factory)
    said = {"__doc__": config.__doc__, "__module__": config.__module__}
    made = type(config.__name__, (config,), {"__annotations__": changed, **said, **defaults})
    return dataclasses.dataclass(frozen=True, kw_only=True)(made)


def field_docstrings(config: type) -> dict[str, str]:
    """{name: text in one line} of the fields of a dataclass, its bases' too."""
    texts: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        try:
            source = inspect.getsource(owner) if dataclasses.is_dataclass(owner) else ""
        except OSError:
            source = ""  # installed without its source
        if not source:
            continue
        (node,) = ast.parse(textwrap.dedent(source)).body
        assert isinstance(node, ast.ClassDef)
        for entry, after in pairwise(node.body):
            if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
                match after:
                    case ast.Expr(ast.Constant(str(text))):
                        texts[entry.target.id] = " ".join(text.split())
    return texts


def as_declared(config: type, values: Any) -> Any:
    """A config of its own class, from one that `with_unlisted` made."""
    found = {entry.name: getattr(values, entry.name) for entry in dataclasses.fields(config)}
    for name, value in found.items():
        if dataclasses.is_dataclass(value):
            declared = type(value).__mro__[1]
            found[name] = as_declared(declared, value) if dataclasses.is_dataclass(declared) else value
    return config(**found)


def known_options(config: type) -> set[str]:
    """Names of the options that a config file may set: the fields of the config and of configs within it."""
    names = set()
    for entry in dataclasses.fields(config):
        names.add(entry.name)
        default = entry.default_factory() if callable(entry.default_factory) else entry.default
        if dataclasses.is_dataclass(default):
            names |= {inner.name for inner in dataclasses.fields(default)}
    return names


def plainly(complaint: str, config: type, arguments: Sequence[str]) -> str:
    """One of tyro's messages in our own words, with the option that a mistyped one is near to."""
    known = known_options(config)
    if complaint.startswith("Missing from "):
        # What is missing may have been mistyped.
        typed = [word.split("=")[0] for word in arguments if re.match("--[a-z]", word)]
        names = [word for word in typed if word[2:].replace("-", "_").removeprefix("no_") not in known]
        if names:
            return f"there is no option {names[0]}{nearest_option(names[0], known)}"
        missing = re.findall(r"(?:: |\(required\) )(--[\w-]+|[A-Z]{2,})\b", complaint)
        if missing:
            return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if found := re.match(r"Unrecognized options: (?P<words>.*)", complaint):
        words = found["words"].split(", ")
        unknown = next((word for word in words if word.startswith("-")), None)
        if unknown is None:
            return f"{words[0]!r} is more than was expected"
        option = unknown.split("=")[0]
        return f"there is no option {option}{nearest_option(option, known)}"
    if found := re.match(r"Error parsing (?P<option>--[\w.-]+): (?P<what>.*)", complaint):
        for pattern, expected in NUMBERS:
            if value := pattern.search(found["what"]):
                return f"{found['option']} is {value['found']}; expected {expected}"
    if found := re.match(CHOICE, complaint):
        choices = re.findall(r"'([^']*)'", found["known"])
        near = near_of(found["value"], choices)
        hint = f", did you mean {near!r}?" if near else ""
        return f"{found['option']} is {found['value']!r}{hint}; expected {', '.join(choices[:-1])} or {choices[-1]}"
    if found := re.match(r"Missing value for argument .(?P<option>--[\w-]+)", complaint):
        return f"{found['option']} has no value"
    return complaint


def nearest_option(option: str, known: Iterable[str]) -> str:
    """`, did you mean --learning-rate?` of --learning-rat, --lr or --learning; nothing where none is near."""
    typed = option.lstrip("-").replace("_", "-").removeprefix("no-")
    near = near_of(typed, sorted(name.replace("_", "-") for name in known))
    return f", did you mean --{near}?" if near else ""


def near_of(typed: str, known: list[str]) -> str | None:
    """The name that is spelt nearly so, or begins so, or has these initials."""
    spelt = difflib.get_close_matches(typed, known, n=1, cutoff=0.75)
    begun = [name for name in known if typed and name.startswith(typed)]
    initials = [name for name in known if len(typed) > 1 and "".join(part[:1] for part in name.split("-")) == typed]
    return next(iter([*spelt, *begun, *initials, *difflib.get_close_matches(typed, known, n=1)]), None)
