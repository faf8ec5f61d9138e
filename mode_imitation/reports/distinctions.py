"""What tells a mode from the others where there are no positions: its observations and actions, in words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Sensors

LEAST_EFFECT = 0.25
"""Difference of two modes, in standard deviations of the column over all steps, from which it is worth a word."""
MOST_EFFECT = 1.0
"""Beyond this a larger difference tells no more."""
LEAST_CLARITY = 2.0
"""Difference of two modes, in standard deviations over the episodes of a mode, from which chance has not made it."""
MOST = 2
"""Figures told of a mode."""


class Figure(NamedTuple):
    """One number an episode."""

    words: str
    """What it is, with a place for the number."""
    number: str
    """How a number of another mode is written."""
    values: dict[int, np.ndarray]
    """(E,) for each mode."""
    unit: float
    """The standard deviation, over all steps, of what is measured."""

    def effect(self, mode: int, other: int) -> float:
        """How far two modes are apart, in units; 0 where that is little, or may be chance."""
        mine, theirs = self.values[mode], self.values[other]
        difference = abs(mine.mean() - theirs.mean())
        clear = difference >= LEAST_CLARITY * np.sqrt((mine.var() + theirs.var()) / 2)
        found = difference / self.unit if self.unit > 1e-9 else 0.0
        return min(found, MOST_EFFECT) if clear and found >= LEAST_EFFECT else 0.0


def distinctions(
    episodes: Mapping[int, Sequence[Episode]], space: ActionSpace, sensors: Sensors | None = None
) -> dict[int, str]:
    """For each mode the one or two figures that tell it from the others, without a full stop; "" where none does.

    The first tells it from as many modes as one can, the second from those that are left.

    Args:
        episodes: by mode; modes without any are left out.
        space: of the actions.
        sensors: name the columns of the observations.
    """
    known = {mode: list(own) for mode, own in episodes.items() if own}
    figures = list(_figures(known, space, sensors)) if len(known) > 1 else []
    return {mode: _sentence(mode, [other for other in known if other != mode], figures) for mode in known}


def _sentence(mode: int, others: list[int], figures: Sequence[Figure]) -> str:
    clauses: list[str] = []
    left = others
    while left and len(clauses) < MOST:
        effects = [{other: figure.effect(mode, other) for other in left} for figure in figures]
        best = max(range(len(figures)), key=lambda index: sum(effects[index].values()), default=None)
        told = [other for other in left if best is not None and effects[best][other]]
        if best is None or not told:
            break
        clauses.append(_clause(figures[best], mode, told))
        left = [other for other in left if other not in told]
    if not clauses:
        return ""
    if left:
        first, last = ", ".join(map(str, left[:-1])), left[-1]
        clauses.append(f"much like modes {first} and {last}" if first else f"much like mode {last}")
    return "; ".join(clauses)


def _clause(figure: Figure, mode: int, others: list[int]) -> str:
    """ "observation 0 averages 1.08 late on, others at most 0.06"."""
    mine = figure.values[mode].mean()
    means = {other: figure.values[other].mean() for other in others}
    below, above = (sorted(value for value in means.values() if (value > mine) == higher) for higher in (False, True))
    if len(others) == 1:
        theirs = f"mode {others[0]} {figure.number.format(means[others[0]])}"
    elif not above:
        theirs = f"others at most {figure.number.format(below[-1])}"
    elif not below:
        theirs = f"others at least {figure.number.format(above[0])}"
    else:
        theirs = f"others up to {figure.number.format(below[-1])} or from {figure.number.format(above[0])}"
    return f"{figure.words.format(figure.number.format(mine))}, {theirs}"


def _figures(
    episodes: Mapping[int, Sequence[Episode]], space: ActionSpace, sensors: Sensors | None
) -> Iterator[Figure]:
    """All that may be told; of those that tell equally well the first is."""

    def measured(
        names: Mapping[int, str], words: str, number: str, rows: Callable[[Episode], np.ndarray], measure: Callable
    ) -> Iterator[Figure]:
        """One figure a column of `rows` (T, N)."""
        unit = np.concatenate([rows(one) for own in episodes.values() for one in own]).std(axis=0, dtype=np.float64)
        values = {mode: np.stack([measure(rows(one)) for one in own]) for mode, own in episodes.items()}
        for index, name in names.items():
            own = {mode: each[:, index] for mode, each in values.items()}
            yield Figure(f"{name} {words}", number, own, float(unit[index]))

    def seen(episode: Episode) -> np.ndarray:
        return np.asarray(episode.observations, dtype=np.float64)

    def done(episode: Episode) -> np.ndarray:
        """(T, N) numbers, or which choice was taken."""
        actions = np.asarray(episode.actions)
        if not space.discrete:
            return actions.astype(np.float64)
        taken = [actions[:, [place]] == np.arange(choices) for place, choices in enumerate(space.choices)]
        return np.concatenate(taken, axis=1).astype(np.float64)

    mean, spread = partial(np.mean, axis=0), partial(np.std, axis=0)
    some = next(iter(episodes.values()))[0]
    observations = column_names(some.observations.shape[1], sensors)
    yield from measured(observations, "averages {} late on", "{:z.2f}", seen, lambda rows: mean(rows[len(rows) // 2 :]))
    yield from measured(observations, "averages {}", "{:z.2f}", seen, mean)
    if space.discrete:
        pairs = [(place, choice) for place, choices in enumerate(space.choices) for choice in range(choices)]
        names = {n: f"choice {c}" + (f" of action {p}" if space.size > 1 else "") for n, (p, c) in enumerate(pairs)}
        yield from measured(names, "is taken in {} of the steps", "{:.0%}", done, mean)
    else:
        actions = {place: f"action {place}" for place in range(space.size)}
        yield from measured(actions, "averages {}", "{:z.2f}", done, mean)
        yield from measured(actions, "has a standard deviation of {}", "{:.2g}", done, spread)
    yield from measured(observations, "has a standard deviation of {}", "{:.2g}", seen, spread)


def column_names(obs_dim: int, sensors: Sensors | None) -> dict[int, str]:
    """What to call the columns of an observation that hold amounts; tokens, which name things, are left out."""
    names = {index: f"observation {index}" for index in range(obs_dim)}
    for name, sensor in (sensors or {}).items():
        for index in range(sensor.start, sensor.stop):
            if sensor.kind == "token":
                del names[index]
            else:
                names[index] = name if sensor.stop - sensor.start == 1 else f"{name}[{index - sensor.start}]"
    return names
