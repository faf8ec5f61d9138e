"""Checks of settings that several commands and rooms share; a wrong one is a UserError of one line."""

import math
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from mode_imitation.errors import UserError, near_matches


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a setting of another type than its field's: the command line reads types, Python and JSON bring their own.

    Raises:
        UserError: naming what was found and what was expected.
    """
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            known = [str(choice) for choice in get_args(kind)]
            hint = near_matches(str(value), known)
            raise UserError(f"{name} is {value!r}{hint}; expected {', '.join(known[:-1])} or {known[-1]}")
        return
    kinds = (kind,) if get_origin(kind) is tuple else get_args(kind) or (kind,)
    known_kinds = ((bool, bool, "True or False"), (int, Integral, "a whole number"), (float, Real, "a number"))
    for plain, accepted, words in known_kinds:
        if plain in kinds:
            fits = isinstance(value, accepted) and (plain is bool or not isinstance(value, bool))
            if not fits and not (value is None and NoneType in kinds):
                raise UserError(f"{name} is {value!r}; expected {words}")
            return


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
