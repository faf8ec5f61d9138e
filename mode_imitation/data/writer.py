"""Writing a dataset that Minari opens: into a staging folder, checksummed, then moved into place as a whole."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mode_imitation.atomic import as_json, flush
from mode_imitation.data.dataset import (
    Declared,
    check_actions,
    check_finite,
    combined_checksum,
    episode_digest,
    read_hdf5,
)
from mode_imitation.data.episodes import ARRAY_FIELDS, Episode
from mode_imitation.data.flattening import Bounds, action_space_text, box_text
from mode_imitation.data.patient_file import PatientFile, WaitingSignals
from mode_imitation.data.spaces import ActionSpace, Sensors
from mode_imitation.data.staging import COMPLETE, REPLACED, check_new_dataset, move_into_place, sole_writer
from mode_imitation.data.storage import MAIN_FILE, METADATA_FILE, SUMS_FILE, checksum_text, resolve_root
from mode_imitation.errors import UserError
from mode_imitation.versions import platform_name, versions

UNBOUNDED: Bounds = (-np.inf, np.inf)


def write_dataset(
    name: str,
    episodes: Iterable[Episode],
    *,
    root: str | os.PathLike | None = None,
    overwrite: bool = False,
    env_id: str | None = None,
    sensors: Sensors | None = None,
    action_space: ActionSpace | None = None,
    observation_bounds: Bounds = UNBOUNDED,
    command: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write episodes as a new Minari dataset, all or nothing.

    Args:
        name: the dataset's id, namespace/name-vN.
        episodes: taken one at a time, so they need not fit into memory together.
        root: see `storage.resolve_root`.
        overwrite: replace a dataset of that name; otherwise its presence is an error.
        env_id: the environment that the episodes come from.
        sensors: the columns of the observations by name.
        action_space: what an action is; None for numbers without bounds.
        observation_bounds: (low, high) of the observation space, numbers or (obs_dim,) arrays.
        command: what a user types to make this dataset again.
        metadata: more to record, JSON values.

    Returns:
        The dataset's folder.

    Raises:
        UserError: the name cannot be used, the dataset exists or is being made by somebody else, a file in its folder
            is none of a dataset, an episode holds NaN, infinity or an action that there is not, or what was written
            does not read back.
        OSError: the disk is full or the folder cannot be written; no dataset is left behind.
    """
    with sole_writer(name, root, overwrite=overwrite) as staging:
        complete = staging / COMPLETE
        main = complete / "data" / MAIN_FILE
        main.parent.mkdir(parents=True)
        written = _write_hdf5(main, name, episodes, action_space)
        _check_what_was_written(main, name, written.checksum, action_space)
        content = {
            "dataset_id": name,
            "minari_version": version("minari"),
            "data_format": "hdf5",
            "jpeg_encoding": False,
            "total_episodes": len(written.lengths),
            "total_steps": sum(written.lengths),
            "dataset_size": round(main.stat().st_size / 1e6, 1),
            "observation_space": box_text(observation_bounds, written.obs_dim),
            "action_space": action_space_text(action_space or ActionSpace(written.act_dim)),
            "env_id": env_id,
            "env_spec": _env_spec(env_id),
            "observation_slices": sensors and {key: [part.start, part.stop] for key, part in sensors.items()},
            "sensor_kinds": sensors and {key: part.kind for key, part in sensors.items()},
            "experts": written.experts,
            "versions": versions(),
            "platform": platform_name(),
            "command": command,
            "checksum": written.checksum,
            **(metadata or {}),
        }
        text = json.dumps(content, indent=2, default=as_json) + "\n"
        (complete / "data" / METADATA_FILE).write_text(text, encoding="utf-8")
        (complete / SUMS_FILE).write_text(checksum_text(complete), encoding="utf-8")
        for path in (complete, *complete.rglob("*")):
            flush(path)
        # Again: something else may have come into the folder meanwhile.
        check_new_dataset(name, root, overwrite=overwrite)
        return move_into_place(complete, resolve_root(root) / name, staging / REPLACED)


def _env_spec(env_id: str | None) -> str | None:
    """What Minari makes the environment from again; None of one that gymnasium does not know."""
    import gymnasium

    known = gymnasium.registry.get(env_id or "") or gymnasium.registry.get(f"mode_imitation/{env_id}")
    try:
        return known and known.to_json()
    except ValueError:  # it is made by a function, which no text can name
        return None


def as_stored(episode: Episode, action_space: ActionSpace | None = None) -> Episode:
    """The episode with the types in which it is kept: float32, bool, and int64 for actions that are choices."""
    kinds: dict[str, Any] = dict.fromkeys(ARRAY_FIELDS, np.float32) | dict.fromkeys(
        ("goals_met", "successes", "disturbed"), np.bool_
    )
    kinds["actions"] = np.float32 if action_space is None else action_space.dtype
    given = {name: getattr(episode, name) for name in ARRAY_FIELDS if getattr(episode, name) is not None}
    return replace(episode, **{name: np.ascontiguousarray(given[name], dtype=kinds[name]) for name in given})


@dataclass(frozen=True)
class Written:
    """What went into a file."""

    lengths: list[int]
    experts: dict[str, int]
    """Episodes of each that is named."""
    obs_dim: int
    act_dim: int
    checksum: str


def _write_hdf5(path: Path, name: str, episodes: Iterable[Episode], action_space: ActionSpace | None) -> Written:
    lengths: list[int] = []
    digests: list[bytes] = []
    experts: Counter[str] = Counter()
    sizes: tuple[int, int] | None = None
    # The version of the file format is named so that attributes may pass 64 kB (an episode with many goals).
    with (
        WaitingSignals() as signals,
        PatientFile(path) as handle,
        h5py.File(handle, "w", track_order=True, libver=("v110", "v110")) as file,
    ):
        for index, given in enumerate(signals.between(episodes)):
            where = f"dataset {name}: episode {index}"
            check_actions(where, given.actions, action_space)
            episode = as_stored(given, action_space)
            check_finite(where, episode)
            found = episode.observations.shape[1], episode.actions.shape[1]
            sizes = sizes or found
            if found != sizes:
                raise UserError(f"{where} has sizes {found}, the first has {sizes}")
            if not len(episode):
                raise UserError(f"{where} has no steps; expected at least one")
            _write_episode(file.create_group(f"episode_{index}"), index, episode, action_space)
            handle.check()
            lengths.append(len(episode))
            digests.append(episode_digest(episode))
            experts.update([episode.expert] if episode.expert is not None else [])
    if sizes is None:
        raise UserError(f"dataset {name} would be empty; expected at least one episode")
    return Written(lengths, dict(experts), *sizes, combined_checksum(digests))


def _check_what_was_written(path: Path, name: str, checksum: str, action_space: ActionSpace | None) -> None:
    """Read the file back, and refuse it where its arrays are other ones."""
    try:
        read = read_hdf5(name, path, Declared(actions=action_space))
        found = combined_checksum(episode_digest(episode) for episode in read)
    except UserError as error:
        raise UserError(f"what was written of dataset {name} cannot be read back ({error}); nothing was kept") from None
    if found != checksum:
        raise UserError(
            f"what was written of dataset {name} reads back with the checksum {found[:12]}, expected "
            f"{checksum[:12]}; disk or memory may be failing; nothing was kept, run the same command again"
        )


def _write_episode(group: h5py.Group, index: int, episode: Episode, action_space: ActionSpace | None = None) -> None:
    steps = len(episode)
    last = np.arange(steps) == steps - 1
    arrays = {
        "observations": episode.observations,
        # Numbers are kept as they were executed, choices as the environment counts them.
        "actions": action_space.to_env(episode.actions) if action_space and action_space.discrete else episode.actions,
        "rewards": np.zeros(steps, np.float32) if episode.rewards is None else episode.rewards,
        "terminations": last & episode.terminated,
        "truncations": last & (not episode.terminated),
        "infos/cost": _after_reset(episode.costs),
        "infos/goal_met": _after_reset(episode.goals_met),
        "infos/success": _after_reset(episode.successes),
        "infos/position": episode.positions,
        "infos/heading": episode.headings,
        "infos/disturbed": _after_reset(episode.disturbed),
    }
    if episode.acting is not None:
        # HDF5 has no arrays of NumPy's strings: numbers, and what they stand for.
        names, numbers = np.unique(episode.acting, return_inverse=True)
        arrays["infos/acting"] = _after_reset(numbers.astype(np.int16))
        group.attrs["acting_experts"] = names.tolist()
    for key, values in arrays.items():
        if values is not None:
            # One chunk an array, lightest compression: half the size (lidar bins are mostly 0), still quick to read.
            group.create_dataset(key, data=values, chunks=values.shape, compression="gzip", compression_opts=1)
    group.attrs["id"] = index
    group.attrs["total_steps"] = steps
    if episode.layout_seed is not None:
        group.attrs["seed"] = episode.layout_seed
    if episode.expert is not None:
        group.attrs["expert"] = episode.expert
    if episode.rewards is None:
        # Minari wants rewards; these zeros are none.
        group.attrs["rewards_unknown"] = True
    if episode.scene is not None:
        for item in fields(episode.scene):
            group.attrs[f"scene/{item.name}"] = getattr(episode.scene, item.name)


def _after_reset(values: np.ndarray | None) -> np.ndarray | None:
    """(T,) of transitions -> (T + 1,) of Minari's infos, whose first row is the reset's."""
    return None if values is None else np.concatenate([np.zeros(1, values.dtype), values])
