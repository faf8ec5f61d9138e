"""Other people's arrays and tables as a dataset: names become fields, `arrays` does the rest."""

import csv
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mode_imitation.config_file import as_arguments
from mode_imitation.data.array_files import open_hdf5, open_npz
from mode_imitation.data.arrays import NAMED, Given, as_dataset, by_episode
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import Sensor
from mode_imitation.data.staging import check_new_dataset
from mode_imitation.data.storage import UNREADABLE
from mode_imitation.data.tables import open_csv, open_parquet
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError, brief, near_matches

TABLES = (".csv", ".parquet")
SUFFIXES = (".npz", ".h5", ".hdf5", *TABLES)
TEXTS = (".txt", ".md")
MORE = ("rewards", "costs", "positions", "headings")
MARKS = ("terminations", "timeouts")
OTHER_NAMES = {
    "terminations": ("terminations",),
    "timeouts": ("truncations",),
    "rewards": ("reward",),
    "costs": ("cost",),
    "headings": ("heading",),
    "labels": ("label",),
    "episode": ("episode_index", "episode_id"),
}
"""What is taken, too, where a name was left alone."""
TAKEN = {item.default for item in fields(ImportConfig)}
"""Names that are right as they are, and no misspelling of another."""
NOT_TOLD = ("sources", "out", "root", "overwrite")
"""Options that stand at the front of the recorded command, or only say where things lie."""
PREFIXES = {"observations": "obs", "actions": "action"}
SENSOR = re.compile(r"([^=]+)=(.+?)(:|\.\.)(.+?)(?::([^\W\d]\w*))?")
"""--sensor: name, first column, what is between, last one (of ":" the one behind it), kind."""
SHOWN = 12
"""Names of a file that a message lists."""


@dataclass(frozen=True)
class ImportResult:
    """What an import made."""

    folder: Path
    dataset: TrajectoryDataset
    notes: tuple[str, ...]
    """What was not there or had to be dropped, a line each."""


def import_arrays(config: ImportConfig) -> ImportResult:
    """Turn files of arrays, or tables, into a dataset.

    Observations may have one row an action, or one row more an episode (the observation after the last action). In
    the first case the last action of every episode is dropped, since nobody knows what it led to.

    Raises:
        UserError: a file cannot be read or is larger than the memory, an array is missing, has a wrong shape, is a
            link, holds Python objects, NaN or infinity, or the dataset exists.
    """
    check_new_dataset(config.out, config.root, overwrite=config.overwrite)
    plans: list[dict[str, list[str]]] = []
    given: list[Given] = []
    notes: list[str] = []
    for source in config.sources:
        plan, episodes, found = _read(source, config)
        if plans and plan != plans[0]:
            key = next(key for key in [*plans[0], *plan] if plan.get(key) != plans[0].get(key))
            raise UserError(
                f"{source.name} has {_listed(plan.get(key, []))} for the {key}, {config.sources[0].name} has "
                f"{_listed(plans[0].get(key, []))}; files that are appended agree in their names"
            )
        plans.append(plan)
        given += episodes
        notes += found
    named = plans[0]["observations"]
    columns = named if len(named) == given[0].arrays["observations"].shape[1] else []
    sensors = dict(_sensor(text, columns) for text in config.sensor)
    if len(sensors) < len(config.sensor):
        raise UserError(f"--sensor names {', '.join(sensors)} in {len(config.sensor)} options; expected each once")
    # Reports call the columns of a table by their names.
    within = {index for sensor in sensors.values() for index in range(sensor.start, sensor.stop)}
    own = {name: Sensor(index, index + 1) for index, name in enumerate(columns) if index not in within}
    dataset, changed = as_dataset(given, config, sensors=own | sensors, name=config.out, env_id=config.env)
    folder = write_dataset(
        config.out,
        dataset.episodes,
        root=config.root,
        overwrite=config.overwrite,
        env_id=config.env,
        sensors=dataset.sensors,
        action_space=dataset.action_space if dataset.action_space.discrete else None,
        command=command_of(config),
        metadata={"imported_from": ", ".join(source.name for source in config.sources)},
    )
    missing = [key for key in (*MORE, "labels") if key not in plans[0]]
    if missing:
        notes.insert(0, f"no {', '.join(missing)}")
    return ImportResult(folder, dataset, tuple(dict.fromkeys(notes + changed)))


def command_of(config: ImportConfig) -> str:
    """What to type to make the dataset again; leaves out what only says where things lie."""
    values = {item.name: getattr(config, item.name) for item in fields(config) if item.name not in NOT_TOLD}
    changed = {name: value for name, value in values.items() if value != getattr(ImportConfig, name)}
    words = ["mode-imitation", "import", *(source.name for source in config.sources), "--out", config.out]
    return shlex.join([*words, *as_arguments(changed, repeated=("sensor",))])


def _read(source: Path, config: ImportConfig) -> tuple[dict[str, list[str]], list[Given], list[str]]:
    """What of the file is what, its episodes, and what was left out."""
    if not source.is_file():
        raise UserError(f"there is no file {source}; expected a {', '.join(SUFFIXES)} file")
    suffix = source.suffix.lower()
    if suffix not in SUFFIXES:
        hint = "of text, say --tokens bytes or words" if suffix in TEXTS else "save the arrays with numpy.savez, say"
        raise UserError(f"{source.name} is no {', '.join(SUFFIXES)} file; {hint}")
    table = suffix in TABLES
    words = [name for key in ("episode", "labels") for name in (getattr(config, key), *OTHER_NAMES[key])]
    opened = {".npz": open_npz, ".csv": lambda path: open_csv(path, words), ".parquet": open_parquet}
    try:
        with opened.get(suffix, open_hdf5)(source) as file:
            plan = _plan(source, config, file.names, table)
            names = list(dict.fromkeys(name for listed in plan.values() for name in listed))
            read = file.read(names)
            unused = [name for name in file.names if name not in names]
    except UserError:
        raise
    except (*UNREADABLE, csv.Error, KeyError, MemoryError, NotImplementedError, UnicodeError, SyntaxError) as error:
        raise UserError(
            f"{source.name} cannot be read: {brief(error)}; it may be cut off or damaged, save it anew"
        ) from None
    try:
        episodes, notes = _episodes(
            config, unused, {key: _joined(read, listed) for key, listed in plan.items() if listed}
        )
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from None
    if table:
        actions = _listed(plan["actions"]) if plan["actions"] else "what they change by"
        notes.append(f"observations are {_listed(plan['observations'])}; actions {actions}")
    if unused:
        notes.append(f"not used: {_listed(unused)}")
    return plan, episodes, notes


def _joined(read: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray:
    return read[names[0]] if len(names) == 1 else np.column_stack([read[name] for name in names])


def _plan(source: Path, config: ImportConfig, present: Sequence[str], table: bool) -> dict[str, list[str]]:
    """Our names -> those of the arrays or columns that are there.

    Raises:
        UserError: one that is needed, or was named by the user, is not there.
    """
    plan = {}
    ends = "episode" if table else "episode_lengths"
    for key in ("observations", "actions", *MORE, *MARKS, "labels", ends):
        name, default = getattr(config, key), ImportConfig.__dataclass_fields__[key].default
        if key == "actions" and name == "difference":
            plan[key] = []
            continue
        others = OTHER_NAMES.get(key, ()) if name == default else ()
        names = next(([one] for one in (name, *others) if one in present), [])
        if table and not names and (key in PREFIXES or key == "positions"):
            wanted = PREFIXES[key] if name == default and key in PREFIXES else name
            names, missing = _columns(wanted, present, prefixes=key in PREFIXES)
            name = missing or name
        marked = any(mark in plan for mark in MARKS)
        if not names and (key in PREFIXES or getattr(config, key) != default or (key == "episode" and not marked)):
            what = f"{'column' if table else 'array'} {name!r}"
            what += ", and none that begins so," if table and key in PREFIXES else ""
            raise UserError(
                f"{source.name} has no {what} for the {key}{_near(name, present)}; it has {_listed(present, SHOWN)}; "
                f"name it with --{key.replace('_', '-')}"
            )
        if names:
            plan[key] = names
    return plan


def _columns(wanted: str, present: Sequence[str], *, prefixes: bool) -> tuple[list[str], str | None]:
    """Columns of "x,y,vx" or of what they begin with, and None; or none, and the first that is not there."""
    found = []
    for part in (part.strip() for part in wanted.split(",")):
        names = [part] if part in present else [one for one in present if prefixes and part and one.startswith(part)]
        if not names:
            return [], part
        found += names
    return found, None


def _near(name: str, present: Sequence[str]) -> str:
    free = [one for one in present if one not in TAKEN]
    alike = [one for one in free if one[:3].lower() == name[:3].lower()]
    return f", did you mean {alike[0]!r}?" if alike else near_matches(name, free)


def _listed(names: Sequence[str], shown: int = NAMED) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more if names else "none"


def _episodes(config: ImportConfig, unused: list[str], arrays: dict[str, np.ndarray]) -> tuple[list[Given], list[str]]:
    """Cut what was read where episodes end; `unused` is what else the file has."""
    states = arrays["observations"]
    for key in ("observations", "actions"):
        if key in arrays and not arrays[key].shape[:1] > (0,):
            raise UserError(f"{key} has shape {arrays[key].shape}; expected rows, one a step")
    stacked = states.ndim == 3 and all(arrays[mark].ndim > 1 for mark in MARKS if mark in arrays)
    actions = arrays.get("actions", "difference")
    rows = (states if isinstance(actions, str) else actions).shape[: 2 if stacked else 1]
    marks = {mark: _marks(getattr(config, mark), arrays[mark], rows) for mark in MARKS if mark in arrays}
    lengths = arrays.get("episode_lengths")
    if "episode" in arrays:
        lengths = _runs(arrays["episode"])
    elif lengths is None and marks:
        ended = np.any(list(marks.values()), axis=0)
        lengths = _until_marks(ended)
    elif lengths is None and not stacked:
        raise UserError(
            f"it does not say where episodes end; expected {config.episode_lengths} (E,), or {config.terminations} or "
            f"{config.timeouts} (one mark an action), or arrays (E, T, ..); beside what was named it has "
            f"{_listed(unused)}; name it with --episode-lengths, --terminations or --timeouts"
        )
    terminated = None
    if "terminations" in marks and lengths is not None and lengths.dtype.kind in "iu" and lengths.ndim == 1:
        last = np.cumsum(lengths, dtype=np.int64) - 1 if not stacked else np.asarray(lengths, dtype=np.int64) - 1
        if len(last) and last.max() < rows[-1] and (not stacked or len(last) == rows[0]):
            terminated = marks["terminations"][(np.arange(len(last)), last) if stacked else last]
    labels = arrays.get("labels")
    if labels is not None and lengths is not None and not stacked and len(lengths) < labels.size == np.sum(lengths):
        labels = _of_episodes(labels.reshape(-1), np.asarray(lengths))
    extra = {key: arrays.get(key) for key in MORE}
    return by_episode(states, actions, lengths, extra, labels=labels, terminated=terminated)


def _marks(key: str, values: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise UserError(f"{key} is of type {values.dtype}; expected numbers")
    if values.size != np.prod(rows):
        raise UserError(f"{key} has shape {values.shape}; expected one mark an action, {rows}")
    return values.reshape(rows).astype(bool)


def _until_marks(ended: np.ndarray) -> np.ndarray:
    """Marks (S,) or (E, T) -> lengths (E,)."""
    if ended.ndim == 2:
        return np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, ended.shape[1])
    ends = np.flatnonzero(ended) + 1
    # What follows the last mark is an episode that was never finished; D4RL files end so.
    return np.diff(ends if len(ends) and ends[-1] == len(ended) else np.append(ends, len(ended)), prepend=0)


def _runs(episode: np.ndarray) -> np.ndarray:
    """Lengths of the runs of one value.

    Raises:
        UserError: a value comes again after another one.
    """
    starts = np.flatnonzero(np.append(True, episode[1:] != episode[:-1]))
    names, counts = np.unique(episode[starts], return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"the rows of episode {names[counts > 1][0]} are not together; sort them by episode and time, first to last"
        )
    return np.diff(np.append(starts, len(episode)))


def _of_episodes(labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One label a step -> one an episode."""
    firsts = np.cumsum(lengths) - lengths
    same = labels == np.repeat(labels[firsts], lengths)
    if not same.all():
        index = int(np.searchsorted(firsts, np.argmin(same), side="right")) - 1
        raise UserError(f"the labels of episode {index} change on the way; expected one an episode")
    return labels[firsts]


def _sensor(text: str, columns: Sequence[str]) -> tuple[str, Sensor]:
    """Name and sensor of "lidar=3:19:ring" or, of a table, "lidar=bin_0..bin_15:ring"."""
    match = SENSOR.fullmatch(text)
    if match is None:
        raise UserError(f"--sensor {text} cannot be read; expected NAME=START:STOP or NAME=START:STOP:ring")
    name, first, between, last, kind = match.groups()
    if between == ":":
        if not (first.isdigit() and last.isdigit()):
            raise UserError(
                f"--sensor {text}: {first}:{last} are no columns; expected NAME=START:STOP or NAME=START:STOP:KIND, "
                "with the kind ring or token, say"
            )
        return name, Sensor(int(first), int(last), kind or "plain")
    for column in (first, last):
        if column not in columns:
            raise UserError(f"--sensor {text}: the observations have no column {column!r}{_near(column, columns)}")
    return name, Sensor(columns.index(first), columns.index(last) + 1, kind or "plain")
