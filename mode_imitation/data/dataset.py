"""A dataset in memory, and reading it from disk: ours, or any Minari dataset whose observations are rows of numbers."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mode_imitation.data.episodes import ARRAY_FIELDS, Episode, Scene
from mode_imitation.data.flattening import Part, action_space_of, flatten, parts_of, sensors_of
from mode_imitation.data.patient_file import WaitingSignals
from mode_imitation.data.spaces import ActionSpace, Mirror, Sensor, slices_of
from mode_imitation.data.storage import MAIN_FILE, METADATA_FILE, damaged_files, data_folder
from mode_imitation.errors import UserError, brief

SHOWN = 6
"""Sensors that a dataset's short description names."""


@dataclass(frozen=True)
class TrajectoryDataset:
    """Episodes of equal observation and action size, and what is known about them."""

    name: str
    """namespace/name-vN, where it lies on disk."""
    episodes: tuple[Episode, ...]
    """In the order of the data; all figures that count episodes count them from 0."""
    sensors: dict[str, Sensor] | None = None
    """Which columns of an observation each sensor is, and of what kind; None where the data does not say."""
    env_id: str | None = None
    """The world that the episodes come from; None where the data does not say."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """The whole of metadata.json."""
    action_space: ActionSpace = None  # type: ignore[assignment]
    """What an action is; left out, so many numbers as the episodes have."""
    mirror: Mirror | None = None
    """What it looks like with left for right; None where the data does not say, or the world is not the same then."""
    folder: Path | None = field(default=None, compare=False)
    """Where it was read from; None of what was made in memory."""

    def __post_init__(self) -> None:
        if not self.episodes:
            raise UserError(f"dataset {self.name} is empty; expected at least one episode")
        if self.action_space is None:
            object.__setattr__(self, "action_space", ActionSpace(self.act_dim))
        if self.action_space.size != self.act_dim:
            raise UserError(
                f"dataset {self.name} has actions of size {self.act_dim}, its action space says "
                f"{self.action_space.size}; expected the same"
            )
        mirror = self.mirror
        if mirror and (len(mirror.obs_order), len(mirror.act_order)) != (self.obs_dim, self.act_dim):
            raise UserError(f"dataset {self.name} has a mirror of other sizes; expected {self.obs_dim}, {self.act_dim}")
        for index, episode in enumerate(self.episodes):
            if len(episode) == 0:
                raise UserError(f"dataset {self.name}: episode {index} has no steps; remove that episode")
            sizes = episode.observations.shape[1], episode.actions.shape[1]
            if sizes != (self.obs_dim, self.act_dim):
                raise UserError(
                    f"dataset {self.name}: episode {index} has observations and actions of size {sizes}, "
                    f"episode 0 of {self.obs_dim, self.act_dim}; expected one size throughout"
                )

    def __len__(self) -> int:
        return len(self.episodes)

    def __repr__(self) -> str:
        steps, space = self.lengths, self.action_space
        acts = f"{space.size} choices of {space.choices}" if space.discrete else f"{space.size} numbers"
        kinds = [f"{name} ({sensor.kind})" for name, sensor in (self.sensors or {}).items()]
        listed = ", ".join(kinds[:SHOWN]) + (f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else "")
        return (
            f"Dataset {self.name}: {len(self)} episodes, {steps.sum():,} steps ({steps.min()} to {steps.max()} each)\n"
            f"  observations of {self.obs_dim} numbers, actions of {acts}, world {self.env_id or 'unknown'}\n"
            f"  sensors: {listed or 'none named'}"
        )

    @property
    def obs_dim(self) -> int:
        """Numbers of an observation."""
        return self.episodes[0].observations.shape[1]

    @property
    def act_dim(self) -> int:
        """Numbers, or choices, of an action."""
        return self.episodes[0].actions.shape[1]

    @property
    def observation_slices(self) -> dict[str, slice] | None:
        """The columns of each sensor by name."""
        return slices_of(self.sensors)

    @property
    def lengths(self) -> np.ndarray:
        """(E,) int64, actions per episode."""
        return np.array([len(episode) for episode in self.episodes], dtype=np.int64)

    @property
    def labels(self) -> list[str] | None:
        """(E,) expert names, for evaluation only; None unless every episode has one."""
        names = [episode.expert for episode in self.episodes if episode.expert is not None]
        return names if len(names) == len(self) else None

    @property
    def layout_seeds(self) -> list[int] | None:
        """(E,) seeds of the episodes' layouts; None unless every episode has one."""
        seeds = [episode.layout_seed for episode in self.episodes if episode.layout_seed is not None]
        return seeds if len(seeds) == len(self) else None

    def has(self, name: str) -> bool:
        """Whether every episode has the optional field `name` of Episode: "positions", "costs", "scene", ..."""
        return all(getattr(episode, name) is not None for episode in self.episodes)

    @property
    def root(self) -> Path | None:
        """The folder below which it was found by its name; None where it was found elsewhere."""
        parts = Path(self.name).parts
        if self.folder is None or self.folder.parts[-len(parts) :] != parts:
            return None
        return self.folder.parents[len(parts) - 1]

    @cached_property
    def checksum(self) -> str:
        """sha256 over every array of every episode, in order; the same data has the same one wherever it lies."""
        return combined_checksum(episode_digest(episode) for episode in self.episodes)

    def subset(self, indices: Iterable[int] | np.ndarray) -> "TrajectoryDataset":
        """The dataset with only these episodes, in this order."""
        return replace(self, episodes=tuple(self.episodes[int(index)] for index in indices))


def load_dataset(name_or_path: str | os.PathLike, root: str | os.PathLike | None = None) -> TrajectoryDataset:
    """Read a dataset into memory; observations and actions become float32, actions that are choices int64 from 0.

    Args:
        name_or_path: "pointgoal1/two-experts-v0", below the root, or a path.
        root: folder of the datasets; None takes MINARI_DATASETS_PATH, else ./data.

    Raises:
        UserError: the dataset is missing, unfinished, empty or damaged (its arrays are not those that its metadata has
            a checksum of, which other people's may lack); its observations are images or the like; or it holds NaN,
            infinity, or choices that its action space does not have.
    """
    folder = data_folder(name_or_path, root)
    damage = damaged_files(folder.parent, strays=False)
    if damage:
        raise UserError(f"dataset {name_or_path} is damaged: {damage[0]}; make it again or fetch a fresh copy")
    metadata = read_metadata(folder)
    name = str(metadata.get("dataset_id", name_or_path))
    declared = Declared.of(name, metadata)
    if metadata.get("data_format", "hdf5") == "hdf5":
        episodes = list(read_hdf5(name, folder / MAIN_FILE, declared, metadata.get("total_episodes")))
    else:
        episodes = read_through_minari(name, folder, declared)
    dataset = TrajectoryDataset(
        name=name,
        episodes=tuple(episodes),
        sensors=declared.sensors,
        action_space=declared.actions or ActionSpace(episodes[0].actions.shape[1] if episodes else 1),
        env_id=declared.env_id,
        metadata=metadata,
        mirror=declared.mirror,
        folder=folder.parent.resolve(),
    )
    for index, episode in enumerate(dataset.episodes):
        check_finite(f"dataset {name}: episode {index}", episode)
    recorded = metadata.get("checksum")
    if recorded is not None and recorded != dataset.checksum:
        raise UserError(
            f"dataset {name} is damaged: its arrays have the checksum {dataset.checksum[:12]}, expected "
            f"{str(recorded)[:12]}; make it again or fetch a fresh copy; if they were changed on purpose, remove "
            f'"checksum" from {METADATA_FILE}'
        )
    return dataset


def load_episode(spec: str, root: str | os.PathLike | None = None) -> Episode:
    """One episode, written as "DATASET#17"; counted from 0.

    Raises:
        UserError: the text is not of that form, or there is no such dataset or episode.
    """
    name, mark, number = spec.rpartition("#")
    if not mark or not number.isdecimal():
        raise UserError(f"{spec!r} names no episode; expected DATASET#NUMBER, such as pointgoal1/two-experts-v0#17")
    dataset = load_dataset(name, root)
    if int(number) >= len(dataset):
        raise UserError(f"dataset {name} has no episode {number}; it has {len(dataset)}, counted from 0")
    return dataset.episodes[int(number)]


def check_finite(where: str, episode: Episode) -> None:
    """Raise a UserError that names the first step at which an array of the episode holds NaN or infinity."""
    for key in ARRAY_FIELDS:
        values = getattr(episode, key)
        if values is not None and not np.isfinite(values).all():
            step = int(np.argwhere(~np.isfinite(values))[0][0])
            what = "NaN" if np.isnan(values[step]).any() else "infinity"
            raise UserError(
                f"{where}, step {step}: {key} holds {what}; expected finite numbers; repair or remove that episode"
            )


def check_actions(where: str, actions: np.ndarray, space: ActionSpace | None) -> None:
    """Raise a UserError that names the first step at which an action is none of the choices."""
    if space is None:
        return
    if actions.shape[1:] != (space.size,):
        raise UserError(f"{where} has actions of shape {actions.shape}; expected (T, {space.size})")
    if not space.discrete:
        return
    wrong = np.argwhere((actions < 0) | (actions >= np.asarray(space.choices)) | (actions != np.floor(actions)))
    if len(wrong):
        step, column = wrong[0].tolist()
        start = space.starts[column] if space.starts else 0
        raise UserError(
            f"{where}, step {step}: the action is {actions[step, column] + start}; expected {start} to "
            f"{start + space.choices[column] - 1}; repair or remove that episode"
        )


def episode_digest(episode: Episode) -> bytes:
    """sha256 of the episode's arrays with their names, types and shapes."""
    digest = hashlib.sha256()
    for key in ARRAY_FIELDS:
        values = getattr(episode, key)
        if values is not None:
            digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.digest()


def combined_checksum(digests: Iterable[bytes]) -> str:
    """One checksum of many episodes."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a dataset's data folder.

    Raises:
        UserError: it cannot be read.
    """
    try:
        metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / METADATA_FILE} cannot be read ({error}); fetch a fresh copy") from None
    if not isinstance(metadata, dict):
        raise UserError(f"{folder / METADATA_FILE} holds no JSON object; fetch a fresh copy of the dataset")
    return metadata


@dataclass(frozen=True)
class Declared:
    """What metadata.json says of the arrays; None where it says nothing."""

    parts: list[Part] | None = None
    """Of an observation."""
    actions: ActionSpace | None = None
    sensors: dict[str, Sensor] | None = None
    env_id: str | None = None
    mirror: Mirror | None = None

    @classmethod
    def of(cls, name: str, metadata: dict[str, Any]) -> "Declared":
        """
        Raises:
            UserError: it is damaged, or of what cannot be trained on.
        """
        try:
            keys = ("observation_space", "action_space", "env_spec")
            texts = {key: metadata[key] for key in keys if isinstance(metadata.get(key), str)}
            said = {key: json.loads(text) for key, text in texts.items()}
            parts = parts_of(said[keys[0]], f"dataset {name}") if keys[0] in said else None
            actions = action_space_of(said[keys[1]], f"dataset {name}") if keys[1] in said else None
            slices, kinds = metadata.get("observation_slices") or {}, metadata.get("sensor_kinds")
            if kinds is None:  # written by 0.1, whose only rings were safety-gymnasium's lidars
                kinds = {key: "ring" for key in slices if str(key).endswith("_lidar")}
            sensors = {str(key): Sensor(*ends, kind=kinds.get(key, "plain")) for key, ends in slices.items()}
            env_id = metadata.get("env_id") or (said.get("env_spec") or {}).get("id")
            mirror = Mirror.from_dict(metadata["mirror"]) if metadata.get("mirror") else None
            return cls(parts, actions, sensors or sensors_of(parts or []), env_id, mirror)
        except UserError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"dataset {name}: what {METADATA_FILE} says of its arrays cannot be read ({brief(error)}); fetch a "
                "fresh copy"
            ) from None


def read_through_minari(name: str, folder: Path, declared: Declared | None = None) -> list[Episode]:
    """Read through Minari's own reader, which knows other formats than HDF5 where their packages are installed."""
    from minari import MinariDataset

    declared = declared or Declared.of(name, read_metadata(folder))
    try:
        source = MinariDataset(folder)
        attributes = source.storage.get_episode_metadata(range(source.total_episodes))
        return [
            _as_episode(f"dataset {name}: episode {data.id}", vars(data), data.infos or {}, about, declared)
            for data, about in zip(source.iterate_episodes(), attributes, strict=True)
        ]
    except UserError:
        raise
    except Exception as error:  # another package's reader on a file that may be damaged: anything can come
        raise UserError(
            f"dataset {name} is not stored as HDF5 and Minari cannot read it ({brief(error)}); "
            "fetch a fresh copy, or convert it to HDF5"
        ) from error


def read_hdf5(name: str, path: Path, declared: Declared, n_episodes: int | None = None) -> Iterator[Episode]:
    """The episodes of a dataset's HDF5 file, one at a time.

    Args:
        name: of the dataset, for complaints.
        path: the file.
        declared: what its metadata say.
        n_episodes: how many to read; None for all.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"dataset {name} is not complete: {path.name} is missing; fetch a fresh copy")
    if path.stat().st_size == 0:
        raise UserError(f"dataset {name} is empty; expected at least one episode")
    try:
        with h5py.File(path, "r") as file:
            for index in range(len(file) if n_episodes is None else int(n_episodes)):
                # The library lists names through calls to us, too.
                with WaitingSignals():
                    group: Any = file[f"episode_{index}"]
                    arrays = _read(group, ("observations", "actions", "rewards", "terminations"))
                    infos = _read(group["infos"]) if "infos" in group else {}
                    about = dict(group.attrs)
                    episode = _as_episode(f"dataset {name}: episode {index}", arrays, infos, about, declared)
                yield episode
    except UserError:
        raise
    except BlockingIOError:
        raise UserError(f"dataset {name}: {path.name} is open for writing in another program; close it there") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"dataset {name} is truncated or damaged: {path.name} cannot be read ({brief(error)}); fetch a fresh copy"
        ) from None


def _read(group: Any, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """Arrays of an HDF5 group, groups within it as dicts."""
    items = {str(key): group[key] for key in (group if keys is None else keys)}
    return {key: _read(item) if isinstance(item, h5py.Group) else item[()] for key, item in items.items()}


def _as_episode(
    where: str, arrays: dict[str, Any], infos: dict[str, Any], about: dict[str, Any], declared: Declared
) -> Episode:
    observations = _as_rows(where, "observations", _flat(where, arrays["observations"], declared.parts))
    if declared.actions is not None and declared.actions.discrete:
        actions = _as_choices(where, arrays["actions"], declared.actions)
    else:
        actions = _as_rows(where, "actions", arrays["actions"])
    steps, terminations = len(actions), arrays.get("terminations")

    def per_step(key: str, dtype: type) -> np.ndarray | None:
        values = np.asarray(infos.get(key))
        if values.shape not in ((steps,), (steps + 1,)):
            return None
        # Minari keeps the infos of the reset in row 0; what belongs to transition t stands in row t + 1.
        return values[len(values) - steps :].astype(dtype)

    def per_state(key: str, *shape: int) -> np.ndarray | None:
        values = np.asarray(infos.get(key))
        return values.astype(np.float32) if values.shape == (steps + 1, *shape) else None

    acting, names = per_step("acting", np.int64), about.get("acting_experts")
    if acting is not None and names is not None and acting.min() >= 0 and acting.max() < len(names):
        acting = np.array([str(name) for name in names])[acting]
    else:
        acting = None
    expert, seed, rewards = about.get("expert"), about.get("seed"), arrays["rewards"]
    try:
        return Episode(
            observations=observations,
            actions=actions,
            rewards=None if about.get("rewards_unknown", False) else np.asarray(rewards, dtype=np.float32),
            costs=per_step("cost", np.float32),
            goals_met=per_step("goal_met", np.bool_),
            successes=per_step("success", np.bool_),
            positions=per_state("position", 2),
            headings=per_state("heading"),
            disturbed=per_step("disturbed", np.bool_),
            terminated=terminations is not None and len(terminations) > 0 and bool(terminations[-1]),
            layout_seed=None if seed is None else int(seed),
            expert=None if expert is None else str(expert),
            acting=acting,
            scene=_scene(about),
        )
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _scene(about: dict[str, Any]) -> Scene | None:
    # h5py gives "scene/goals", Minari's reader {"scene": {"goals": ...}}.
    flat = {key.removeprefix("scene/"): value for key, value in about.items() if key.startswith("scene/")}
    values = about.get("scene") or flat
    known = {item.name: values[item.name] for item in fields(Scene) if item.name in values}
    scene: dict[str, Any] = {
        name: np.asarray(value) if np.ndim(value) else float(value) for name, value in known.items()
    }
    if "arena" in scene:
        scene["arena"] = tuple(float(edge) for edge in scene["arena"])
    return Scene(**scene) if scene else None


def _flat(where: str, values: Any, parts: list[Part] | None) -> Any:
    if parts is None or (len(parts) == 1 and not isinstance(values, dict)):
        return values if parts is None or not parts[0].first else np.asarray(values) - parts[0].first
    try:
        return flatten(parts, values)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: the observations are not what their space says ({brief(error)}); fetch a fresh copy"
        ) from None


def _as_rows(where: str, key: str, values: Any) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.ndim:
        raise UserError(f"{where}: the {key} are no plain array of numbers; expected rows of them")
    return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def _as_choices(where: str, values: Any, space: ActionSpace) -> np.ndarray:
    """(T, size) int64 from 0 on, of what is stored as the environment counts: (T,) or (T, size)."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iub" or values.size != len(values) * space.size:
        raise UserError(
            f"{where}: the actions are no whole numbers, {space.size} a step, as their space says; fetch a fresh copy"
        )
    actions = values.reshape(len(values), space.size).astype(np.int64) - np.asarray(space.starts or 0)
    check_actions(where, actions, space)
    return actions
