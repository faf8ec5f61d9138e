"""Observations of names and parts as one row of numbers, and the spaces of gymnasium as this project's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.data.spaces import ActionSpace, Sensor, SensorKind
from mode_imitation.errors import UserError

Bounds = tuple[np.ndarray | float | tuple[float, ...], np.ndarray | float | tuple[float, ...]]
FLATTENABLE = "Box, Discrete, MultiDiscrete and MultiBinary, and Dict of these"


@dataclass(frozen=True)
class Part:
    """One entry of an observation that may have several, by name."""

    keys: tuple[str, ...]
    """From the outermost Dict inwards; empty where the observation is one array."""
    size: int
    """Numbers in it."""
    first: int
    """What its space calls 0; 0 but for choices."""
    kind: SensorKind


def parts_of(space: Mapping[str, Any], whose: str) -> list[Part]:
    """The parts of an observation, in the order of their columns.

    Args:
        space: as Minari writes it: {"type": "Dict", "subspaces": {"speed": {"type": "Box", "shape": [3], ...}}}.
        whose: for the complaint, "dataset some/data-v0" say.

    Raises:
        UserError: there are images, Tuples or other things that are no row of numbers.
    """
    return list(_parts(space, whose, ()))


def _parts(space: Mapping[str, Any], whose: str, keys: tuple[str, ...]) -> Iterator[Part]:
    kind, where = space.get("type"), f" under {'/'.join(keys)!r}" if keys else ""
    if kind == "Dict":
        for key, inner in space["subspaces"].items():
            yield from _parts(inner, whose, (*keys, str(key)))
        return
    size = int(np.prod(space.get("shape", ()), dtype=np.int64))
    if kind == "Box" and space.get("dtype") == "uint8" and len(space.get("shape", ())) > 1:
        shape = " x ".join(map(str, space["shape"]))
        raise UserError(f"{whose} has images ({shape}) as observations{where}; expected {FLATTENABLE}")
    if kind == "Box" and size:
        yield Part(keys, size, 0, "plain")
    elif kind == "Discrete":
        yield Part(keys, 1, int(space.get("start", 0)), "token")
    elif kind == "MultiDiscrete":
        yield Part(keys, int(np.size(space["nvec"])), 0, "token")
    elif kind == "MultiBinary":
        yield Part(keys, int(np.prod(space["n"])), 0, "plain")
    else:
        found = f"{kind} observations" if size else "observations without numbers"
        raise UserError(f"{whose} has {found}{where}; expected {FLATTENABLE}; wrap the environment to give them")


def sensors_of(parts: Sequence[Part]) -> dict[str, Sensor] | None:
    """The columns of each part by name, `camera/zoom` within Dicts; None for one array of plain numbers."""
    if not parts or (len(parts) == 1 and not parts[0].keys and parts[0].kind == "plain"):
        return None
    sensors, start = {}, 0
    for part in parts:
        sensors["/".join(part.keys) or "observation"] = Sensor(start, start + part.size, part.kind)
        start += part.size
    return sensors


def flatten(parts: Sequence[Part], observations: Any) -> np.ndarray:
    """(N, obs_dim) of N observations: an array, or the Dict of arrays that gymnasium and Minari make of them."""
    columns = []
    for part in parts:
        values = observations
        for key in part.keys:
            values = values[key]
        values = np.asarray(values).reshape(len(values), part.size)
        columns.append(values - part.first if part.first else values)
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


def action_space_of(space: Mapping[str, Any], whose: str) -> ActionSpace:
    """A space of actions, as Minari writes it.

    Raises:
        UserError: it is neither Box, Discrete, MultiDiscrete nor MultiBinary, or a Box of whole numbers.
    """
    kind = space.get("type")
    if kind in ("Discrete", "MultiDiscrete"):
        choices = tuple(np.ravel(space["n" if kind == "Discrete" else "nvec"]).astype(int).tolist())
        starts = np.broadcast_to(np.ravel(space.get("start") or 0), len(choices))
        return ActionSpace(len(choices), choices, tuple(starts.astype(int).tolist()))
    if kind == "MultiBinary":
        size = int(np.prod(space["n"]))
        return ActionSpace(size, (2,) * size)
    if kind == "Box" and "int" not in str(space.get("dtype", "")):
        shape = space.get("shape", ())
        size = int(np.prod(shape, dtype=np.int64))
        ends = np.asarray(space.get("low", -np.inf), float), np.asarray(space.get("high", np.inf), float)
        low, high = (tuple(np.broadcast_to(end, shape).ravel().tolist()) for end in ends)
        return ActionSpace(size, low=low, high=high) if np.isfinite([*low, *high]).any() else ActionSpace(size)
    found = "Box (of whole numbers)" if kind == "Box" else kind
    raise UserError(f"{whose} has {found} actions; expected a Box of numbers, Discrete, MultiDiscrete or MultiBinary")


def action_space_text(space: ActionSpace) -> str:
    """An action space in Minari's notation; infinities as Python's json writes and reads them."""
    if not space.discrete:
        return box_text((space.low or -np.inf, space.high or np.inf), space.size)
    starts = list(space.starts or (0,) * space.size)
    if space.size == 1:
        return json.dumps({"type": "Discrete", "dtype": "int64", "start": starts[0], "n": space.choices[0]})
    return json.dumps({"type": "MultiDiscrete", "dtype": "int64", "nvec": list(space.choices), "start": starts})


def box_text(bounds: Bounds, size: int) -> str:
    """A Box of (low, high), each a number or `size` of them, in Minari's notation."""
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), (size,)).tolist() for bound in bounds)
    return json.dumps({"type": "Box", "dtype": "float32", "shape": [size], "low": low, "high": high})
