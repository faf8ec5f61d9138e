"""A dataset in memory, and reading it from disk: ours, or any Minari dataset whose observations are rows of numbers."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.data.flattening import Part, action_space_of, flatten, parts_of, sensors_of
from mode_imitation.data.patient_file import WaitingSignals
from mode_imitation.data.spaces import ActionSpace, Sensor, slices_of
from mode_imitation.data.storage import MAIN_FILE, METADATA_FILE, damaged_files, data_folder
from mode_imitation.errors import UserError

SHOWN = 6
"""Sensors that a dataset's short description names."""
ARRAY_FIELDS = (
    "observations",
    "actions",
    "rewards",
    "costs",
    "goals_met",
    "successes",
    "positions",
    "headings",
    "disturbed",
)


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
    def has_positions(self) -> bool:
        return self.has("positions")

    @property
    def has_rewards(self) -> bool:
        return self.has("rewards")

    @property
    def has_costs(self) -> bool:
        return self.has("costs")

    @property
    def has_scenes(self) -> bool:
        return self.has("scene")

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
    damage = damaged_files(folder.parent)
    if damage:
        raise UserError(f"dataset {name_or_path} is damaged: {damage[0]}; make it again or fetch a fresh copy")
    metadata = read_metadata(folder)
    name = str(metadata.get("dataset_id", name_or_path))
    spaces = Spaces.of(name, metadata)
    if metadata.get("data_format", "hdf5") == "hdf5":
        episodes = list(read_hdf5(name, folder / MAIN_FILE, metadata, spaces))
    else:
        episodes = read_through_minari(name, folder, spaces)
    dataset = TrajectoryDataset(
        name=name,
        episodes=tuple(episodes),
        sensors=_sensors(name, metadata) or sensors_of(spaces.parts or []),
        action_space=spaces.actions or ActionSpace(episodes[0].actions.shape[1] if episodes else 1),
        env_id=metadata.get("env_id") or _env_id_of_spec(metadata.get("env_spec")),
        metadata=metadata,
    )
    for index, episode in enumerate(dataset.episodes):
        check_finite(name, index, episode)
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


def check_finite(name: str, index: int, episode: Episode) -> None:
    """Raise a UserError that names the first step at which an array of the episode holds NaN or infinity."""
    for key in ARRAY_FIELDS:
        values = getattr(episode, key)
        if values is None or values.dtype == bool or np.isfinite(values).all():
            continue
        step = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UserError(
            f"dataset {name}: episode {index}, step {step}: {key} holds {_first_bad(values[step])}; "
            "expected finite numbers; repair or remove that episode"
        )


def check_actions(name: str, index: int, actions: np.ndarray, space: ActionSpace | None) -> None:
    """Raise a UserError that names the first step at which an action is none of the choices."""
    if space is None:
        return
    if actions.shape[1:] != (space.size,):
        raise UserError(
            f"dataset {name}: episode {index} has actions of shape {actions.shape}; expected (T, {space.size})"
        )
    if not space.discrete:
        return
    wrong = np.argwhere((actions < 0) | (actions >= np.asarray(space.choices)) | (actions != np.floor(actions)))
    if len(wrong):
        step, column = wrong[0].tolist()
        start = space.starts[column] if space.starts else 0
        raise UserError(
            f"dataset {name}: episode {index}, step {step}: the action is {actions[step, column] + start}; expected "
            f"{start} to {start + space.choices[column] - 1}; repair or remove that episode"
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
class Spaces:
    """What metadata.json says of observations and actions; None where it says nothing."""

    parts: list[Part] | None = None
    actions: ActionSpace | None = None

    @classmethod
    def of(cls, name: str, metadata: dict[str, Any]) -> "Spaces":
        """
        Raises:
            UserError: a space is damaged, or not one that can be trained on.
        """
        found: dict[str, Any] = {}
        for key in ("observation_space", "action_space"):
            text = metadata.get(key)
            try:
                found[key] = json.loads(text) if isinstance(text, str) else None
            except ValueError:
                raise UserError(f"dataset {name}: {key} in {METADATA_FILE} is damaged; fetch a fresh copy") from None
        observations, actions = found.values()
        try:
            return cls(
                observations and parts_of(observations, f"dataset {name}"),
                actions and action_space_of(actions, f"dataset {name}"),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(
                f"dataset {name}: the spaces in {METADATA_FILE} cannot be read ({_one_line(error)}); fetch a fresh copy"
            ) from None


def _sensors(name: str, metadata: dict[str, Any]) -> dict[str, Sensor] | None:
    slices, kinds = metadata.get("observation_slices"), metadata.get("sensor_kinds")
    try:
        if kinds is None:  # written by 0.1, whose only rings were safety-gymnasium's lidars
            kinds = {key: "ring" for key in slices or () if str(key).endswith("_lidar")}
        return slices and {str(key): Sensor(*ends, kind=kinds.get(key, "plain")) for key, ends in slices.items()}
    except (AttributeError, TypeError) as error:
        raise UserError(
            f"dataset {name}: the sensors in {METADATA_FILE} cannot be read ({_one_line(error)}); fetch a fresh copy"
        ) from None


def read_through_minari(name: str, folder: Path, spaces: Spaces | None = None) -> list[Episode]:
    """Read through Minari's own reader, which knows other formats than HDF5 where their packages are installed."""
    from minari import MinariDataset

    spaces = spaces or Spaces.of(name, read_metadata(folder))
    try:
        source = MinariDataset(folder)
        metadatas = source.storage.get_episode_metadata(range(source.total_episodes))
        return [
            _as_episode(
                name,
                data.id,
                {
                    "observations": data.observations,
                    "actions": data.actions,
                    "rewards": data.rewards,
                    "terminations": data.terminations,
                },
                data.infos or {},
                metadata,
                spaces,
            )
            for data, metadata in zip(source.iterate_episodes(), metadatas, strict=True)
        ]
    except UserError:
        raise
    except Exception as error:  # another package's reader on a file that may be damaged: anything can come
        raise UserError(
            f"dataset {name} is not stored as HDF5 and Minari cannot read it ({_one_line(error)}); "
            "fetch a fresh copy, or convert it to HDF5"
        ) from error


def read_hdf5(name: str, path: Path, metadata: dict[str, Any], spaces: Spaces) -> Iterator[Episode]:
    """The episodes of a dataset's HDF5 file, one at a time.

    Args:
        name: of the dataset, for complaints.
        path: the file.
        metadata: of which "total_episodes" counts, where it is there.
        spaces: of observations and actions.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"dataset {name} is not complete: {path.name} is missing; fetch a fresh copy")
    if path.stat().st_size == 0:
        raise UserError(f"dataset {name} is empty; expected at least one episode")
    try:
        with h5py.File(path, "r") as file:
            for index in range(int(metadata.get("total_episodes", len(file)))):
                # The library lists names through calls to us, too.
                with WaitingSignals():
                    episode = _read_episode(name, index, file, spaces)
                yield episode
    except UserError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"dataset {name} is truncated or damaged: {path.name} cannot be read ({_one_line(error)}); "
            "fetch a fresh copy"
        ) from None


def _read_episode(name: str, index: int, file: h5py.File, spaces: Spaces) -> Episode:
    group = file[f"episode_{index}"]
    assert isinstance(group, h5py.Group)
    arrays = {key: _read(group, key) for key in ("observations", "actions", "rewards", "terminations")}
    stored = group.get("infos")
    infos = {str(key): _read(stored, str(key)) for key in stored} if isinstance(stored, h5py.Group) else {}
    return _as_episode(name, index, arrays, infos, dict(group.attrs), spaces)


def _read(group: h5py.Group, key: str) -> Any:
    item = group[key]
    if isinstance(item, h5py.Group):
        return {str(name): _read(item, str(name)) for name in item}
    return item[()] if isinstance(item, h5py.Dataset) else None


def _as_episode(
    name: str, index: int, arrays: dict[str, Any], infos: dict[str, Any], attrs: dict[str, Any], spaces: Spaces
) -> Episode:
    observations = _as_rows(name, index, "observations", _flat(name, index, arrays["observations"], spaces.parts))
    actions = (
        _as_choices(name, index, arrays["actions"], spaces.actions)
        if spaces.actions is not None and spaces.actions.discrete
        else _as_rows(name, index, "actions", arrays["actions"])
    )
    steps = len(actions)
    terminations = arrays.get("terminations")

    def floats(values: Any) -> np.ndarray | None:
        return None if values is None else np.asarray(values, dtype=np.float32)

    def per_step(key: str, dtype: type) -> np.ndarray | None:
        values = infos.get(key)
        if not isinstance(values, np.ndarray) or values.shape not in ((steps,), (steps + 1,)):
            return None
        # Minari keeps the infos of the reset in row 0; what belongs to transition t stands in row t + 1.
        return values[len(values) - steps :].astype(dtype)

    def per_state(key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        values = infos.get(key)
        return floats(values) if isinstance(values, np.ndarray) and values.shape == (steps + 1, *shape) else None

    def acting() -> np.ndarray | None:
        numbers, names = per_step("acting", np.int64), attrs.get("acting_experts")
        if numbers is None or names is None or not len(names):
            return None
        known = np.array([str(label) for label in names])
        return known[numbers] if ((numbers >= 0) & (numbers < len(known))).all() else None

    expert, seed = attrs.get("expert"), attrs.get("seed")
    return Episode(
        observations=observations,
        actions=actions,
        rewards=None if attrs.get("rewards_unknown", False) else floats(arrays["rewards"]),
        costs=per_step("cost", np.float32),
        goals_met=per_step("goal_met", np.bool_),
        successes=per_step("success", np.bool_),
        positions=per_state("position", (2,)),
        headings=per_state("heading", ()),
        disturbed=per_step("disturbed", np.bool_),
        terminated=terminations is not None and len(terminations) > 0 and bool(terminations[-1]),
        layout_seed=None if seed is None else int(seed),
        expert=None if expert is None else str(expert),
        acting=acting(),
        scene=_scene(attrs),
    )


def _scene(attrs: dict[str, Any]) -> Scene | None:
    # h5py gives "scene/goals", Minari's reader {"scene": {"goals": ...}}.
    nested = attrs.get("scene")
    values = nested or {key.removeprefix("scene/"): attrs[key] for key in attrs if key.startswith("scene/")}
    if not values:
        return None
    scene = {}
    for item in fields(Scene):
        if item.name in values:
            value = values[item.name]
            scene[item.name] = np.asarray(value) if np.ndim(value) else float(value)
    if "arena" in scene:
        scene["arena"] = tuple(float(edge) for edge in scene["arena"])
    return Scene(**scene)


def _flat(name: str, index: int, values: Any, parts: list[Part] | None) -> Any:
    if not isinstance(values, dict) and (parts is None or len(parts) == 1):
        return values if parts is None or not parts[0].first else np.asarray(values) - parts[0].first
    try:
        return flatten(parts or [], values)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"dataset {name}: observations of episode {index} are not what its observation space says "
            f"({_one_line(error)}); fetch a fresh copy"
        ) from None


def _as_rows(name: str, index: int, key: str, values: Any) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.ndim:
        raise UserError(
            f"dataset {name}: {key} of episode {index} are no plain array of numbers; expected rows of them"
        )
    return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def _as_choices(name: str, index: int, values: Any, space: ActionSpace) -> np.ndarray:
    """(T, size) int64 from 0 on, of what is stored as the environment counts: (T,) or (T, size)."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iub" or values.size != len(values) * space.size:
        raise UserError(
            f"dataset {name}: actions of episode {index} are no whole numbers, {space.size} a step, as its action "
            "space says; fetch a fresh copy"
        )
    actions = values.reshape(len(values), space.size).astype(np.int64) - np.asarray(space.starts or 0)
    check_actions(name, index, actions, space)
    return actions


def _env_id_of_spec(spec: Any) -> str | None:
    try:
        return json.loads(spec)["id"]
    except (TypeError, ValueError, KeyError):
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _first_bad(values: np.ndarray | Sequence[float]) -> str:
    flat = np.ravel(values)
    bad = flat[~np.isfinite(flat)][0]
    return "NaN" if np.isnan(bad) else "infinity"
