"""What the columns of observations and actions are, as the dataset declares it; nothing is guessed from a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.config_checks import Count, check_fields
from mode_imitation.errors import UserError

SensorKind = str
"""plain: numbers. ring: readings at even bearings around the body, counterclockwise from straight ahead, larger where
something is nearer, 0 where nothing is in reach. token: whole numbers that name one of a few things. Others as
model.features.KINDS has them."""


@dataclass(frozen=True)
class Sensor:
    """Columns [start, stop) of an observation, and what they are."""

    start: int
    stop: int
    kind: SensorKind = "plain"

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise UserError(f"a sensor has the columns {self.start}:{self.stop}; expected 0 <= start < stop")
        if not (isinstance(self.kind, str) and self.kind.isidentifier()):
            raise UserError(f"a sensor's kind is {self.kind!r}; expected plain, ring, token or another word")

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


Sensors = Mapping[str, Sensor]


@dataclass(frozen=True)
class Mirror:
    """What data looks like with left for right, in a world that is the same in a mirror.

    Number i of a row becomes signs[i] times number order[i] of it.
    """

    obs_order: tuple[int, ...]
    obs_signs: tuple[int, ...]
    act_order: tuple[int, ...]
    act_signs: tuple[int, ...]

    def __post_init__(self) -> None:
        for order, signs in ((self.obs_order, self.obs_signs), (self.act_order, self.act_signs)):
            twice = sorted(order) == list(range(len(order))) == [order[other] for other in order]
            if len(order) != len(signs) or not twice or any(signs[i] * signs[order[i]] != 1 for i in range(len(order))):
                raise UserError("a mirror's order and signs are no reflection; expected one that undoes itself")

    def observations(self, values: np.ndarray) -> np.ndarray:
        """(..., obs_dim) -> (..., obs_dim)"""
        return values[..., self.obs_order] * np.array(self.obs_signs, values.dtype)

    def actions(self, values: np.ndarray) -> np.ndarray:
        """(..., size) numbers -> (..., size)"""
        return values[..., self.act_order] * np.array(self.act_signs, values.dtype)

    def to_dict(self) -> dict[str, list[int]]:
        """As JSON holds it; `from_dict` reads it back."""
        return {name: list(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Mirror":
        """
        Raises:
            UserError: it is no reflection.
            TypeError, ValueError: it is not of this form.
        """
        return cls(**{name: tuple(map(int, value)) for name, value in values.items()})


def slices_of(sensors: Sensors | None) -> dict[str, slice] | None:
    """{name: columns}; None where the data names no sensors."""
    return None if sensors is None else {name: sensor.columns for name, sensor in sensors.items()}


def of_kind(sensors: Sensors | None, kind: SensorKind) -> list[Sensor]:
    """The sensors of a kind, in the order in which they are declared."""
    return [sensor for sensor in (sensors or {}).values() if sensor.kind == kind]


def in_sight(observations: np.ndarray, sensors: Sensors | None) -> np.ndarray:
    """Whether a ring sensor has anything in reach: the steps that training emphasises.

    Args:
        observations: (..., obs_dim).
        sensors: by name.

    Returns:
        (...) bool; all True where no ring sensor is declared.
    """
    rings = of_kind(sensors, "ring")
    seen = np.full(observations.shape[:-1], not rings)
    for ring in rings:
        seen |= (observations[..., ring.columns] > 0).any(axis=-1)
    return seen


@dataclass(frozen=True)
class ActionSpace:
    """What an action is: `size` numbers, or `size` choices by number.

    An episode's actions are (T, size): float32 where they are numbers, int64 from 0 on where they are choices.
    """

    size: Count
    choices: tuple[int, ...] = ()
    """How many there are to choose from in each column (gymnasium's Discrete has one column, MultiDiscrete several);
    empty where actions are numbers."""
    starts: tuple[int, ...] = ()
    """What the environment calls choice 0 of each column; empty: 0."""
    low: tuple[float, ...] = ()
    """Bounds of each number; empty: none."""
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("choices", "starts", "low", "high"):
            if len(getattr(self, name)) not in (0, self.size):
                raise UserError(f"{name} of the action space has {len(getattr(self, name))} entries for {self.size}")
        if any(choices < 1 for choices in self.choices):
            raise UserError(f"an action has {min(self.choices)} choices; expected at least 1")

    @property
    def discrete(self) -> bool:
        """Whether actions are choices."""
        return bool(self.choices)

    @property
    def dtype(self) -> type[np.generic]:
        return np.int64 if self.discrete else np.float32

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """(..., size) actions as an environment of this space takes them: clipped, or counted from its own start.

        A Discrete space has no last axis: (..., 1) -> (...).
        """
        if not self.discrete:
            return np.clip(actions, self.low, self.high).astype(self.dtype) if self.low else actions
        shifted = actions + np.asarray(self.starts or (0,) * self.size, dtype=np.int64)
        return shifted[..., 0] if self.size == 1 else shifted

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ActionSpace":
        """
        Raises:
            UserError: a field is missing, unknown, of the wrong type, or out of range.
        """
        try:
            fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
            return cls(**fields)
        except (TypeError, AttributeError) as error:
            raise UserError(f"the action space cannot be read: {error}") from None
