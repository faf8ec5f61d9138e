"""Other people's arrays, .npz or HDF5, as a dataset."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from mode_imitation.data.config import ImportConfig
from mode_imitation.data.episodes import Episode
from mode_imitation.data.patient_file import WaitingSignals
from mode_imitation.data.staging import check_new_dataset
from mode_imitation.data.storage import UNREADABLE
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError

OTHER_NAMES = {"terminals": "terminations", "timeouts": "truncations"}


@dataclass(frozen=True)
class ImportResult:
    """What an import made."""

    folder: Path
    episodes: int
    steps: int
    notes: tuple[str, ...]
    """What was not there or had to be dropped, a line each."""


def import_arrays(config: ImportConfig) -> ImportResult:
    """Turn a file of arrays into a dataset.

    Observations may have one row an action, or one row more an episode (the observation after the last action). In
    the first case the last action of every episode is dropped, since nobody knows what it led to.

    Raises:
        UserError: the file cannot be read, an array is missing, has a wrong shape, holds Python objects, NaN or
            infinity, or the dataset exists.
    """
    check_new_dataset(config.out, config.root, overwrite=config.overwrite)
    arrays = _read_arrays(config)
    observations = _matrix(config.observations, arrays["observations"])
    actions = _matrix(config.actions, arrays["actions"])
    ends, terminated = _episode_ends(config, arrays, len(actions))
    lengths = np.diff(ends, prepend=0)
    has_final = _has_final_observations(config, len(observations), len(actions), len(lengths))
    notes = [f"no {key}" for key in ("rewards", "costs", "positions", "headings", "labels") if key not in arrays]
    if not has_final:
        if (lengths < 2).any():
            raise UserError(
                f"{config.source.name}: episode {int(np.argmax(lengths < 2))} has 1 action and no final observation, "
                "so no transition; remove it or add final observations"
            )
        notes.append(
            f"the last action of each of {len(lengths)} episodes was dropped: no observation follows it "
            f"({config.observations} has one row an action)"
        )
    for key in ("rewards", "costs"):
        _check_rows(config, key, arrays, len(actions))
    for key in ("positions", "headings"):
        _check_rows(config, key, arrays, len(observations))
    _check_rows(config, "labels", arrays, len(lengths))
    episodes = list(_cut(arrays | {"observations": observations, "actions": actions}, ends, terminated, has_final))
    folder = write_dataset(
        config.out,
        episodes,
        root=config.root,
        overwrite=config.overwrite,
        env_id=config.env,
        command=_command(config),
        metadata={"imported_from": config.source.name},
    )
    return ImportResult(folder, len(episodes), sum(map(len, episodes)), tuple(notes))


def _command(config: ImportConfig) -> str:
    """What to type to make the dataset again; leaves out what only says where things lie."""
    words = ["mode-imitation", "import", shlex.quote(config.source.name)]
    for item in fields(ImportConfig):
        value = getattr(config, item.name)
        if item.name not in ("source", "root", "overwrite") and value != item.default:
            words += [f"--{item.name.replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(words)


def _cut(arrays: dict[str, np.ndarray], ends: np.ndarray, terminated: np.ndarray, has_final: bool) -> Iterator[Episode]:
    start = 0
    for index, end in enumerate(ends):
        # With final observations, episode i's rows are shifted by the i final rows before it.
        shift, last = (index, end) if has_final else (0, end - 1)
        of_steps = slice(start, last)
        of_states = slice(start + shift, last + shift + 1)
        yield Episode(
            observations=arrays["observations"][of_states],
            actions=arrays["actions"][of_steps],
            rewards=_part(arrays, "rewards", of_steps),
            costs=_part(arrays, "costs", of_steps),
            positions=_part(arrays, "positions", of_states),
            headings=_part(arrays, "headings", of_states),
            # Where the last action is dropped, so is the termination that it led to.
            terminated=bool(terminated[index]) and has_final,
            expert=_label(arrays["labels"][index]) if "labels" in arrays else None,
        )
        start = end


def _part(arrays: dict[str, np.ndarray], key: str, rows: slice) -> np.ndarray | None:
    return arrays[key][rows] if key in arrays else None


def _label(value: Any) -> str:
    label = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if "\0" in label:
        raise UserError(f"the label {label!r} holds a NUL character, which HDF5 cannot keep; rename it")
    return label


def _episode_ends(config: ImportConfig, arrays: dict[str, np.ndarray], n_actions: int) -> tuple[np.ndarray, np.ndarray]:
    """First action after each episode, (E,), and whether each episode ended by itself, (E,) bool."""
    source = config.source.name
    marks = np.zeros(n_actions, dtype=bool)
    for key in ("terminations", "timeouts"):
        _check_rows(config, key, arrays, n_actions)
        if key in arrays:
            marks |= arrays[key].reshape(-1).astype(bool)
    if "episode_lengths" in arrays:
        lengths = arrays["episode_lengths"]
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
            raise UserError(f"{source}: {config.episode_lengths} must be whole numbers of at least 1, one an episode")
        ends = np.cumsum(lengths, dtype=np.int64)
        if lengths.sum() != n_actions:
            raise UserError(
                f"{source}: {config.episode_lengths} add up to {lengths.sum():,}, "
                f"but {config.actions} has {n_actions:,} rows; expected the same number"
            )
    elif "terminations" in arrays or "timeouts" in arrays:
        ends = np.flatnonzero(marks) + 1
        # What follows the last mark is an episode that was never finished; D4RL files end so.
        ends = ends if len(ends) and ends[-1] == n_actions else np.append(ends, n_actions)
    else:
        raise UserError(
            f"{source} does not say where episodes end; expected {config.episode_lengths} (E,), or "
            f"{config.terminations} and {config.timeouts} (one mark an action)"
        )
    terminations = arrays.get("terminations", np.zeros(n_actions, dtype=bool)).reshape(-1).astype(bool)
    return ends, terminations[ends - 1]


def _has_final_observations(config: ImportConfig, rows: int, n_actions: int, n_episodes: int) -> bool:
    if rows in (n_actions, n_actions + n_episodes):
        return rows != n_actions
    raise UserError(
        f"{config.source.name}: {config.observations} has {rows:,} rows for {n_actions:,} actions in {n_episodes:,} "
        f"episodes; expected {n_actions:,}, or {n_actions + n_episodes:,} with the final observation of each episode"
    )


def _check_rows(config: ImportConfig, key: str, arrays: dict[str, np.ndarray], rows: int) -> None:
    if key not in arrays:
        return
    values, name = arrays[key], getattr(config, key)
    if values.ndim and len(values) != rows:
        raise UserError(f"{config.source.name}: {name} has {len(values):,} rows; expected {rows:,}")
    columns = 2 if key == "positions" else 1
    if values.size != rows * columns:
        raise UserError(f"{config.source.name}: {name} has shape {values.shape}; expected ({rows:,}, {columns})")
    if key != "labels" and values.dtype.kind not in "fiub":
        raise UserError(f"{config.source.name}: {name} is of type {values.dtype}; expected numbers")
    arrays[key] = values.reshape(rows, 2) if columns == 2 else values.reshape(rows)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim == 0 or values.dtype.kind not in "fiu":
        raise UserError(f"{name} has shape {values.shape} and type {values.dtype}; expected numbers, one row a step")
    if not len(values):
        raise UserError(f"{name} is empty; expected one row a step")
    if not values.size:
        raise UserError(f"{name} has shape {values.shape}; expected at least one number a step")
    return values.reshape(len(values), -1)


def _read_arrays(config: ImportConfig) -> dict[str, np.ndarray]:
    """The arrays that are there, by our names."""
    keys = [
        *("observations", "actions", "episode_lengths", "terminations", "timeouts"),
        *("rewards", "costs", "positions", "headings", "labels"),
    ]
    wanted = {key: getattr(config, key) for key in keys}
    defaults = {item: ImportConfig.__dataclass_fields__[item].default for item in keys}
    source = config.source
    if not source.is_file():
        raise UserError(f"there is no file {source}; expected a .npz, .h5 or .hdf5 file with arrays")
    if source.suffix not in (".npz", ".h5", ".hdf5"):
        raise UserError(f"{source.name} is no .npz, .h5 or .hdf5 file; save the arrays with numpy.savez, say")
    try:
        found, present = (_read_npz if source.suffix == ".npz" else _read_hdf5)(source, list(wanted.values()))
    except UserError:
        raise
    except (*UNREADABLE, KeyError, MemoryError) as error:
        # numpy takes what is no archive for a pickle, and advises to unpickle it.
        reason = "it is no archive of arrays" if "pickle" in str(error) else " ".join(str(error).split())[:120]
        raise UserError(f"{source.name} cannot be read: {reason}; it may be cut off or damaged, save it anew") from None
    arrays = {key: found[name] for key, name in wanted.items() if name in found}
    for key, name in wanted.items():
        required = key in ("observations", "actions") or name != defaults[key]
        if required and key not in arrays:
            raise UserError(f"{source.name} has no array {name!r} for the {key}; it has {', '.join(present) or 'none'}")
    return arrays


def _read_npz(source: Path, names: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    found = {}
    with source.open("rb") as handle:
        if handle.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise UserError(f"{source.name} is one array without a name; expected several, saved with numpy.savez")
    # Opened here: np.load leaves its own handle open where the file is no zip archive.
    with source.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
        for name in names:
            alias = name if name in file else OTHER_NAMES.get(name, name)
            if alias not in file:
                continue
            try:
                found[name] = file[alias]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                raise UserError(
                    f"{source.name}: {alias} holds Python objects, which are never unpickled; expected numbers "
                    "(arrays of unequal length: concatenate them and add episode_lengths)"
                ) from None
            if not isinstance(found[name], np.ndarray):
                raise UserError(f"{source.name}: {alias} is a file, not an array; save the arrays with numpy.savez")
        return found, list(file.files)


def _read_hdf5(source: Path, names: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    found = {}
    with h5py.File(source, "r") as file:
        for name in names:
            with WaitingSignals():
                item = file.get(name, file.get(OTHER_NAMES.get(name, name)))
                if isinstance(item, h5py.Dataset):
                    found[name] = np.asarray(item[()])
        with WaitingSignals():
            return found, list(file)
