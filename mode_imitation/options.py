"""What a command takes: which of a config's settings its help lists, and what is said of one that was mistyped."""

import dataclasses
import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

NUMBERS = (
    (re.compile(r"invalid literal for int\(\) with base 10: (?P<found>.*)"), "a whole number"),
    (re.compile(r"could not convert string to float: (?P<found>.*)"), "a number"),
    (re.compile(r"no type matching \{None\}\|INT could be instantiated from \[(?P<found>.*)\]"), "a whole number"),
    (re.compile(r"no type matching \{None\}\|FLOAT could be instantiated from \[(?P<found>.*)\]"), "a number"),
)
"""Python's and tyro's words for a value that is no number, and what was expected."""
CHOICE = r"invalid choice '(?P<value>.*)' for argument '(?P<option>.*)'. Expected one of \((?P<known>.*)\)"


def with_unlisted(config: type) -> type:
    """A config dataclass that is read from the command line in full: help lists no setting that is marked Suppress, and
    tyro would not take it either. `as_declared` gives the config back."""
    from tyro.conf import Suppress

    (mark,) = get_args(Suppress[int])[1:]
    hints, changed, defaults = get_type_hints(config, include_extras=True), {}, {}
    for entry in dataclasses.fields(config):
        hint = hints[entry.name]
        if get_origin(hint) is Annotated:
            kind, *marks = get_args(hint)
            if dataclasses.is_dataclass(kind) and isinstance(kind, type):
                inner = with_unlisted(kind)
                changed[entry.name] = Annotated[(inner, *marks)]  # type: ignore[valid-type]
                defaults[entry.name] = dataclasses.field(default_factory=inner)
            elif mark in marks:
                kept = tuple(other for other in marks if other != mark)
                changed[entry.name] = Annotated[(kind, *kept)] if kept else kind  # type: ignore[valid-type]
    if not changed:
        return config
    made = type(config.__name__, (config,), {"__annotations__": changed, "__module__": config.__module__, **defaults})
    return dataclasses.dataclass(frozen=True)(made)


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


def plainly(complaint: str, config: type) -> str:
    """One of tyro's messages in our own words, with the option that a mistyped one is near to."""
    if found := re.match(r"Unrecognized options: (?P<words>.*)", complaint):
        words = found["words"].split(", ")
        unknown = next((word for word in words if word.startswith("-")), None)
        if unknown is None:
            return f"{words[0]!r} is more than was expected"
        option = unknown.split("=")[0]
        return f"there is no option {option}{nearest_option(option, known_options(config))}"
    if found := re.match(r"Error parsing (?P<option>--[\w.-]+): (?P<what>.*)", complaint):
        for pattern, expected in NUMBERS:
            if value := pattern.search(found["what"]):
                return f"{found['option']} is {value['found']}; expected {expected}"
    if found := re.match(CHOICE, complaint):
        known = re.findall(r"'([^']*)'", found["known"])
        near = near_of(found["value"], known)
        hint = f", did you mean {near!r}?" if near else ""
        return f"{found['option']} is {found['value']!r}{hint}; expected {', '.join(known[:-1])} or {known[-1]}"
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
