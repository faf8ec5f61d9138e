"""Checks of settings that several commands and rooms share; a wrong one is a UserError of one line."""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mode_imitation.errors import UserError, near_matches


@dataclass(frozen=True)
class Within:
    """Bounds of a setting, beside its type: `Annotated[float, Within(0, 1)]`."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """Whether `low` itself is out."""
    open_high: bool = False

    def check(self, name: str, value: float) -> None:
        """
        Raises:
            UserError: the value is NaN or out of bounds.
        """
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        if not (above and below):
            raise UserError(f"{name} is {value}; expected {self}")

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
        if (self.low, self.high) == (0, 1):
            return f"a share in {'(' if self.open_low else '['}0, 1{')' if self.open_high else ']'}"
        return f"{self.low:g} to {self.high:g}"


Count = Annotated[int, Within(1)]
Amount = Annotated[float, Within(0, math.inf, open_high=True)]
Positive = Annotated[float, Within(0, math.inf, open_low=True, open_high=True)]
Share = Annotated[float, Within(0, 1)]
ShareBelowOne = Annotated[float, Within(0, 1, open_high=True)]
Seed = Annotated[int, Within(0)]
Widths = Annotated[tuple[int, ...], Within(1)]


NUMBERS: dict[Any, tuple[Any, str]] = {int: (Integral, "a whole number"), float: (Real, "a number")}
PLAIN = {bool: (bool, "True or False"), **NUMBERS, str: (str, "a word")}


def check_fields(config: Any) -> None:
    """Hold every field of a config dataclass to its type and bounds; lists become the tuples that they stand for.

    The command line reads types, Python and JSON bring their own.

    Raises:
        UserError: naming the first field that does not fit, what was found and what was expected.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for entry in fields(config):
        kind, value = hints[entry.name], getattr(config, entry.name)
        plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(plain) is tuple and isinstance(value, list):
            value = tuple(value)
            object.__setattr__(config, entry.name, value)
        check_type(entry.name, value, kind)


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a setting of another type than its field's, or out of its bounds.

    Raises:
        UserError: naming what was found and what was expected.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is not None or NoneType not in parts:
            check_type(name, value, next(part for part in parts if part is not NoneType))
    elif origin is Annotated:
        check_type(name, value, parts[0])
        values = value if isinstance(value, tuple) else (value,)
        for bound in parts[1:]:
            if isinstance(bound, Within) and value is not None:
                if not values:
                    raise UserError(f"{name} is empty; expected whole numbers, 64 say")
                for item in values:
                    bound.check(name, item)
    elif origin is Literal:
        if value not in parts:
            known = [str(choice) for choice in parts]
            hint = near_matches(str(value), known)
            raise UserError(f"{name} is {value!r}{hint}; expected {', '.join(known[:-1])} or {known[-1]}")
    elif origin is tuple and parts[0] in NUMBERS:
        if not isinstance(value, tuple):
            raise UserError(f"{name} is {value!r}; expected several numbers")
        for item in value:
            check_type(f"a number of {name}", item, parts[0])
    elif kind in PLAIN:
        accepted, words = PLAIN[kind]
        if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
            raise UserError(f"{name} is {value!r}; expected {words}")


def check_seed(seed: int) -> None:
    """
    Raises:
        UserError: it is negative, which NumPy's generators do not take.
    """
    if seed < 0:
        raise UserError(f"--seed is {seed}; expected 0 or more")


def check_action_noise(action_noise: float) -> None:
    """
    Raises:
        UserError: it is negative or not finite.
    """
    if not (math.isfinite(action_noise) and action_noise >= 0):
        raise UserError(f"--action-noise is {action_noise}; expected a standard deviation of at least 0")
