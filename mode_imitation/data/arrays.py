"""Arrays as a dataset, whichever way they are laid out; and several datasets as one. E episodes, S steps in all."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mode_imitation.data.config import ArrayOptions
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import OF_STATES, Episode
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.data.text import KEY
from mode_imitation.errors import UserError

Layout = Literal["list", "stacked", "flat"]
MANY = 1000
"""Whole numbers that lie so far apart are hardly choices."""
NAMED = 5
"""Episodes or columns that a message names before it counts the rest."""
ROWS = "expected one row of numbers a step"
IMAGES = (
    "several axes a step, as images have; expected vectors of numbers: encode them first, or reshape them where every "
    "number is a quantity of its own"
)
KEPT = 0.5
"""Share of a column's different values below which float32 is said to lose them."""


@dataclass
class Given:
    """One episode as it was given."""

    arrays: dict[str, np.ndarray]
    """Observations, actions, and what else there is: (T or T + 1, columns) each."""
    label: str | None
    terminated: bool


def from_arrays(
    observations: Any,
    actions: Any = "difference",
    lengths: Any = None,
    *,
    rewards: Any = None,
    costs: Any = None,
    positions: Any = None,
    headings: Any = None,
    disturbed: Any = None,
    labels: Any = None,
    terminated: Any = None,
    sensors: Mapping[str, Sensor] | None = None,
    name: str = "arrays",
    env_id: str | None = None,
    **options: Any,
) -> TrajectoryDataset:
    """A dataset of arrays in memory.

    Args:
        observations: a list of (T + 1, obs_dim) or (T, obs_dim) arrays, one an episode; or (E, T + 1, obs_dim) or
            (E, T, obs_dim); or all of them one after another, (S + E, obs_dim) or (S, obs_dim), with `lengths`. Where
            no observation follows the last action, that action is left out.
        actions: in the same layout, (.., act_dim); whole numbers are choices, counted from their smallest. Or
            "difference": what an observation changes by until the next is the action.
        lengths: (E,) actions of each episode; of stacked arrays, how much of each row counts.
        rewards: in the layout of the actions, one number a step.
        costs: likewise.
        disturbed: likewise, whether the action was random; such steps are not imitated.
        positions: in the layout of the observations, (.., 2) metres.
        headings: likewise, radians.
        labels: (E,) names, for evaluation only.
        terminated: (E,) bool, whether each episode ended by itself.
        sensors: which columns are what, {"lidar": Sensor(3, 19, "ring")}.
        name: of the dataset.
        env_id: the environment that the data comes from, where one is known.
        **options: see ArrayOptions.

    Raises:
        UserError: shapes do not fit, or values are no finite numbers.
    """
    chosen = ArrayOptions(**options)
    extra = {"rewards": rewards, "costs": costs, "positions": positions, "headings": headings, "disturbed": disturbed}
    given, dropped = by_episode(observations, actions, lengths, extra, labels=labels, terminated=terminated)
    dataset, notes = as_dataset(given, chosen, sensors=sensors, name=name, env_id=env_id)
    for note in dropped + notes:
        warnings.warn(note, stacklevel=2)
    return dataset


def by_episode(
    observations: Any, actions: Any, lengths: Any, extra: Mapping[str, Any], *, labels: Any, terminated: Any
) -> tuple[list[Given], list[str]]:
    """Cut arrays of any layout into episodes, and say what was left out; arguments and errors as in `from_arrays`."""
    layout = _layout_of(observations, lengths)
    counts = None if lengths is None else _lengths(lengths)
    if layout == "flat" and counts is not None and np.ndim(actions) and counts.sum() != len(actions):
        raise UserError(f"lengths add up to {counts.sum():,}, but actions has {len(actions):,} rows; expected as many")
    given = {"observations": observations, "actions": actions, **extra}
    if isinstance(actions, str):
        if actions != "difference":
            raise UserError(f"actions is {actions!r}; expected an array, or 'difference'")
        given["actions"] = None
    cut = {key: _cut(key, values, layout, counts) for key, values in given.items() if values is not None}
    if isinstance(actions, str):
        cut["observations"] = [part.astype(np.float64) for part in cut["observations"]]
        cut["actions"] = [np.diff(part, axis=0) for part in cut["observations"]]
    n_episodes = len(cut["observations"])
    if len(cut["actions"]) != n_episodes:
        raise UserError(
            f"there are observations of {n_episodes} episodes and actions of {len(cut['actions'])}; expected as many"
        )
    for key in (key for key in extra if key in cut):
        columns = 2 if key == "positions" else 1
        if len(cut[key]) != n_episodes or any(part.shape[1] != columns for part in cut[key]):
            raise UserError(
                f"{key} has shape {np.shape(extra[key])}; expected {columns} column{'s' * (columns > 1)}, for each of "
                f"{n_episodes} episodes"
            )
    names = [None if entry is None else _label(entry) for entry in _entries("labels", labels, n_episodes)]
    ended = [bool(entry) for entry in _entries("terminated", terminated, n_episodes)]
    rows = [dict(zip(cut, parts, strict=True)) for parts in zip(*cut.values(), strict=True)]
    episodes = [Given(*one) for one in zip(rows, names, ended, strict=True)]
    dropped = sum(_drop_last(index, episode) for index, episode in enumerate(episodes))
    notes = [f"the last action of {_counted(dropped)} left out: no observation follows it"] if dropped else []
    return episodes, notes


def as_dataset(
    given: Sequence[Given],
    options: ArrayOptions,
    *,
    sensors: Mapping[str, Sensor] | None = None,
    name: str = "arrays",
    env_id: str | None = None,
) -> tuple[TrajectoryDataset, list[str]]:
    """Episodes of arrays, and what was left out or changed on the way, a line each; errors as in `from_arrays`."""
    kept, notes = _kept(given, options)
    actions = [one.arrays["actions"] for one in kept]
    whole = all(part.dtype.kind in "iub" for part in actions)
    few = whole and max(int(part.max()) for part in actions) - min(int(part.min()) for part in actions) < MANY
    discrete = few if options.choices is None else options.choices
    if discrete and not all(np.array_equal(part, np.round(part)) for part in actions):
        raise UserError("actions are to be choices, but are no whole numbers; leave choices out")
    if options.choices is None and whole:
        others = "choices (no: choices=False, --no-choices)" if few else f"quantities, being of {MANY:,} kinds and more"
        notes.append(f"actions are whole numbers and count as {others}")
    space = _choices_of(actions) if discrete else ActionSpace(actions[0].shape[1])
    notes += _lost_precision([one.arrays["observations"] for one in kept])
    shown = _lagged_sensors(dict(sensors or {}), options.lags, kept[0].arrays["observations"].shape[1])
    episodes = tuple(_as_episode(one, space, options.lags) for one in kept)
    return TrajectoryDataset(name, episodes, shown or None, env_id=env_id, action_space=space), notes


def join(datasets: Sequence[TrajectoryDataset]) -> TrajectoryDataset:
    """Several datasets as one: their episodes one after another.

    Raises:
        UserError: there is none, or they differ in sizes, sensors or action space.
    """
    if not datasets:
        raise UserError("there is no dataset to train on; give one, or several")
    first, *others = datasets
    if not others:
        return first
    for other in others:
        for what in ("obs_dim", "sensors", "action_space"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two and not (what == "action_space" and _same_actions(one, two)):
                words = {"obs_dim": "numbers of an observation"}.get(what, what.replace("_", " "))
                raise UserError(
                    f"{first.name} and {other.name} differ in their {words} ({_short(one)} and {_short(two)}); "
                    "datasets that train together agree in these"
                )
    texts = [dataset.metadata.get(KEY) for dataset in datasets]
    if any(text != texts[0] for text in texts):
        raise UserError(
            f"{' and '.join(dataset.name for dataset in datasets)} are texts of different tokens, or not all texts; "
            "import them together"
        )
    env_ids = {dataset.env_id for dataset in datasets}
    return TrajectoryDataset(
        " + ".join(dataset.name for dataset in datasets),
        tuple(episode for dataset in datasets for episode in dataset.episodes),
        first.sensors,
        env_id=env_ids.pop() if len(env_ids) == 1 else None,
        metadata={KEY: texts[0]} if texts[0] else {},
        action_space=first.action_space,
        mirror=first.mirror if all(other.mirror == first.mirror for other in others) else None,
    )


def _same_actions(one: ActionSpace, two: ActionSpace) -> bool:
    """Whether actions mean the same: bounds may differ, they only limit what is carried out."""
    return (one.size, one.choices, one.starts) == (two.size, two.choices, two.starts)


def _layout_of(observations: Any, lengths: Any) -> Layout:
    if isinstance(observations, list | tuple):
        return "list"
    ndim = np.ndim(observations)
    if ndim == 3:
        n_rows, n_episodes = len(observations), np.size(lengths)
        # Rows one after another that have two axes each are images, and no stack.
        if lengths is None or n_rows == n_episodes or n_rows - np.sum(lengths) not in (0, n_episodes):
            return "stacked"
    if ndim in (1, 2) and lengths is not None:
        return "flat"
    shape = np.shape(observations)
    if ndim in (1, 2):
        raise UserError(
            f"observations have shape {shape} and no lengths say where episodes end; give lengths (E,), a list of "
            "arrays, or (E, T, obs_dim)"
        )
    raise UserError(f"observations have shape {shape}, {IMAGES}" if shape else f"observations are one number; {ROWS}")


def _lengths(lengths: Any) -> np.ndarray:
    values = np.asarray(lengths)
    if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values) or (values < 1).any():
        raise UserError("lengths must be whole numbers of at least 1, one an episode")
    return values.astype(np.int64)


def _cut(key: str, values: Any, layout: Layout, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Any layout -> one (T or T + 1, columns) array an episode."""
    of_states = key in OF_STATES
    if layout == "list":
        if not isinstance(values, list | tuple):
            raise UserError(f"{key} is no list, but observations are; expected one array an episode")
        return [_matrix(f"{key} of episode {index}", part) for index, part in enumerate(values)]
    array = np.asarray(values)
    if layout == "stacked":
        if array.ndim not in (2, 3):
            raise UserError(f"{key} has shape {array.shape}; expected (E, T, ..) as the observations")
        parts = [_matrix(f"{key} of episode {index}", part) for index, part in enumerate(array)]
        if lengths is None:
            return parts
        if len(lengths) != len(parts):
            raise UserError(f"lengths has {len(lengths)} entries for {len(parts)} episodes; expected as many")
        return [
            part[: length + (of_states and len(part) > length)] for part, length in zip(parts, lengths, strict=True)
        ]
    assert lengths is not None
    flat, n_steps, n_episodes = _matrix(key, array), int(lengths.sum()), len(lengths)
    if len(flat) == n_steps:
        rows = lengths
    elif of_states and len(flat) == n_steps + n_episodes:
        rows = lengths + 1
    else:
        expected = f"{n_steps:,}" + (
            f", or {n_steps + n_episodes:,} with each episode's final one" if of_states else ""
        )
        raise UserError(
            f"{key} has {len(flat):,} rows for {n_steps:,} steps in {n_episodes:,} episodes; expected {expected}"
        )
    ends = np.cumsum(rows)
    return [flat[end - count : end] for end, count in zip(ends, rows, strict=True)]


def _matrix(key: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise UserError(f"{key} is ragged; {ROWS}") from None
    if array.dtype.kind not in "fiub":
        raise UserError(f"{key} is of type {array.dtype}; expected numbers")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise UserError(f"{key} has shape {array.shape}, {IMAGES}" if array.ndim else f"{key} is one number: {ROWS}")
    if not array.shape[1]:
        raise UserError(f"{key} has shape {array.shape}; expected at least one number a step")
    return array


def _entries(key: str, values: Any, n_episodes: int) -> list[Any]:
    """One entry an episode; None where there are none."""
    listed = [None] * n_episodes if values is None else np.asarray(values).reshape(-1).tolist()
    if len(listed) != n_episodes:
        raise UserError(f"{key} has {len(listed)} entries for {n_episodes} episodes; expected as many")
    return listed


def _drop_last(index: int, episode: Given) -> bool:
    """See that rows fit; whether the last action was left out, as the last observation is missing."""
    steps, n_actions = len(episode.arrays["observations"]) - 1, len(episode.arrays["actions"])
    if steps not in (n_actions - 1, n_actions):
        raise UserError(
            f"episode {index} has {steps + 1} observations for {n_actions} actions; expected {n_actions}, or "
            f"{n_actions + 1} with the final one"
        )
    for key, values in episode.arrays.items():
        size = steps + (key in OF_STATES)
        if not size <= len(values) <= size + 1:
            raise UserError(f"{key} of episode {index} has {len(values)} rows; expected {size}")
        episode.arrays[key] = values[:size]
    # The termination goes with the action that led to it.
    episode.terminated &= steps == n_actions
    return steps < n_actions


def _kept(given: Sequence[Given], options: ArrayOptions) -> tuple[list[Given], list[str]]:
    """The episodes that are long enough and finite, and what is said of the others."""
    shortest = max(1, options.drop_short)
    long = {index: one for index, one in enumerate(given) if len(one.arrays["actions"]) >= shortest}
    notes = []
    if len(long) < len(given):
        notes.append(f"{_counted(len(given) - len(long))} of fewer than {shortest} transitions left out")
    bad: dict[int, str] = {}
    for index, one in long.items():
        for key, values in one.arrays.items():
            wrong = ~(np.abs(values.astype(np.float64)) <= np.finfo("f4").max)  # NaN, too
            if wrong.any():
                bad.setdefault(index, f"{key} at step {np.argmax(wrong.any(axis=1))}")
    if bad and not options.drop_nan:
        listed = ", ".join(map(str, list(bad)[:NAMED])) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
        raise UserError(
            f"{_counted(len(bad))} with NaN, infinity or numbers beyond float32: {listed}, the first in the "
            f"{next(iter(bad.values()))}; repair them, or leave them out (drop_nan, --drop-nan)"
        )
    if bad:
        notes.append(f"{_counted(len(bad))} with NaN, infinity or numbers beyond float32 left out")
    kept = [one for index, one in long.items() if index not in bad]
    if not kept:
        raise UserError("no episode is left; expected at least one of finite numbers that is long enough")
    sizes = {(one.arrays["observations"].shape[1], one.arrays["actions"].shape[1]) for one in kept}
    if len(sizes) > 1:
        raise UserError(
            f"episodes have observations and actions of sizes {sorted(sizes)}; expected one size throughout"
        )
    return kept, notes


def _as_episode(one: Given, space: ActionSpace, lags: int) -> Episode:
    found: dict[str, Any] = {"expert": one.label, "terminated": one.terminated}
    for key, values in one.arrays.items():
        if key == "observations":
            values = _lagged(values, lags)
        elif key == "actions":
            values = values - np.asarray(space.starts) if space.discrete else values
        elif key != "positions":
            values = values[:, 0]
        kind = space.dtype if key == "actions" else bool if key == "disturbed" else np.float32
        found[key] = values.astype(kind)
    return Episode(**found)


def _choices_of(actions: list[np.ndarray]) -> ActionSpace:
    low = np.min([part.min(axis=0) for part in actions], axis=0).astype(np.int64)
    high = np.max([part.max(axis=0) for part in actions], axis=0).astype(np.int64)
    # What counts from 0 on may happen not to show its first choices; what counts from 1 or -1 starts there.
    starts = np.where((low > 0) & (low != 1), 0, low)
    return ActionSpace(len(low), tuple((high - starts + 1).tolist()), tuple(starts.tolist()))


def _lost_precision(observations: list[np.ndarray]) -> list[str]:
    """A line that names the columns that float32 flattens; none where there are none."""
    if all(part.dtype.itemsize <= 4 for part in observations):
        return []
    some = np.concatenate([part[:: max(1, len(part) // 200)] for part in observations[:100]])
    lost = []
    for column in range(some.shape[1]):
        exact = len(np.unique(some[:, column]))
        if len(np.unique(some[:, column].astype(np.float32))) < KEPT * exact:
            lost.append(column)
    if not lost:
        return []
    listed = ", ".join(map(str, lost[:NAMED])) + (" and more" if len(lost) > NAMED else "")
    return [
        f"column{'s' * (len(lost) != 1)} {listed} of the observations lose most of their different values in "
        "float32; subtract an offset first (a time stamp's, say)"
    ]


def _lagged(observations: np.ndarray, lags: int) -> np.ndarray:
    """(T + 1, D) -> (T + 1, (1 + lags) D), the newest first."""
    rows = np.arange(len(observations))
    return np.concatenate([observations[np.maximum(rows - lag, 0)] for lag in range(lags + 1)], axis=1)


def _lagged_sensors(sensors: dict[str, Sensor], lags: int, size: int) -> dict[str, Sensor]:
    shown = dict(sensors)
    for key, sensor in sensors.items():
        if sensor.stop > size:
            raise UserError(
                f"sensor {key} has the columns {sensor.start}:{sensor.stop} of {size}; expected at most {size}"
            )
    for lag in range(1, lags + 1):
        for key, sensor in sensors.items():
            shown[f"{key} {lag} before"] = Sensor(sensor.start + lag * size, sensor.stop + lag * size, sensor.kind)
    return shown


def _label(value: Any) -> str:
    label = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if "\0" in label:
        raise UserError(f"the label {label!r} holds a NUL character, which HDF5 cannot keep; rename it")
    return label


def _counted(episodes: int) -> str:
    return f"{episodes:,} episode{'s' * (episodes != 1)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
