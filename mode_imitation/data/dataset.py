"""A dataset in memory, and reading it from disk: ours, or any Minari dataset with Box observations and actions."""

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
from mode_imitation.data.patient_file import WaitingSignals
from mode_imitation.data.storage import MAIN_FILE, METADATA_FILE, damaged_files, data_folder
from mode_imitation.errors import UserError

ARRAY_FIELDS = (
    "observations",
    "actions",
    "rewards",
    "costs",
    "goals_met",
    "positions",
    "headings",
    "disturbed",
)


@dataclass(frozen=True)
class TrajectoryDataset:
    """Episodes of equal observation and action size, and what is known about them."""

    name: str
    episodes: tuple[Episode, ...]
    observation_slices: dict[str, slice] | None = None
    """Which part of an observation each sensor is; None where the data does not say."""
    env_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """The whole of metadata.json."""

    def __post_init__(self) -> None:
        if not self.episodes:
            raise UserError(f"dataset {self.name} is empty; expected at least one episode")
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

    @property
    def obs_dim(self) -> int:
        return self.episodes[0].observations.shape[1]

    @property
    def act_dim(self) -> int:
        return self.episodes[0].actions.shape[1]

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


def in_arena(observations: np.ndarray, slices: dict[str, slice] | None) -> np.ndarray:
    """Whether anything is within reach of the lidar: the world has no walls, and an agent may leave it for good.

    Args:
        observations: (..., obs_dim).
        slices: sensors by name; those that end in "_lidar" count.

    Returns:
        (...) bool; all True where no lidar is known.
    """
    seen = np.zeros(observations.shape[:-1], dtype=bool)
    lidars = [part for name, part in (slices or {}).items() if name.endswith("_lidar")]
    if not lidars:
        return ~seen
    for part in lidars:
        seen |= (observations[..., part] > 0).any(axis=-1)
    return seen


def load_dataset(name_or_path: str | os.PathLike, root: str | os.PathLike | None = None) -> TrajectoryDataset:
    """Read a dataset into memory; observations and actions become float32.

    Args:
        name_or_path: "pointgoal1/two-experts-v0", below the root, or a path.
        root: folder of the datasets; None takes MINARI_DATASETS_PATH, else ./data.

    Raises:
        UserError: the dataset is missing, unfinished, damaged (its arrays are not those that its metadata has a
            checksum of, which other people's may lack), empty, not of Box spaces, or holds NaN or infinity.
    """
    folder = data_folder(name_or_path, root)
    damage = damaged_files(folder.parent)
    if damage:
        raise UserError(f"dataset {name_or_path} is damaged: {damage[0]}; make it again or fetch a fresh copy")
    metadata = read_metadata(folder)
    name = str(metadata.get("dataset_id", name_or_path))
    _check_spaces(name, metadata)
    if metadata.get("data_format", "hdf5") == "hdf5":
        episodes = read_hdf5(name, folder / MAIN_FILE, metadata)
    else:
        episodes = read_through_minari(name, folder)
    slices = metadata.get("observation_slices")
    dataset = TrajectoryDataset(
        name=name,
        episodes=tuple(episodes),
        observation_slices=None if slices is None else {key: slice(*ends) for key, ends in slices.items()},
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


def read_through_minari(name: str, folder: Path) -> list[Episode]:
    """Read through Minari's own reader, which knows other formats than HDF5 where their packages are installed."""
    from minari import MinariDataset

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


def read_hdf5(name: str, path: Path, metadata: dict[str, Any]) -> Iterator[Episode]:
    """The episodes of a dataset's HDF5 file, one at a time.

    Args:
        name: of the dataset, for complaints.
        path: the file.
        metadata: of which "total_episodes" counts, where it is there.

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
                    episode = _read_episode(name, index, file)
                yield episode
    except UserError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"dataset {name} is truncated or damaged: {path.name} cannot be read ({_one_line(error)}); "
            "fetch a fresh copy"
        ) from None


def _read_episode(name: str, index: int, file: h5py.File) -> Episode:
    group = file[f"episode_{index}"]
    assert isinstance(group, h5py.Group)
    arrays = {key: _read(group, key) for key in ("observations", "actions", "rewards", "terminations")}
    stored = group.get("infos")
    infos = {str(key): _read(stored, str(key)) for key in stored} if isinstance(stored, h5py.Group) else {}
    return _as_episode(name, index, arrays, infos, dict(group.attrs))


def _read(group: h5py.Group, key: str) -> Any:
    item = group[key]
    return item[()] if isinstance(item, h5py.Dataset) else None


def _as_episode(name: str, index: int, arrays: dict[str, Any], infos: dict[str, Any], attrs: dict[str, Any]) -> Episode:
    observations = _as_rows(name, index, "observations", arrays["observations"])
    actions = _as_rows(name, index, "actions", arrays["actions"])
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


def _as_rows(name: str, index: int, key: str, values: Any) -> np.ndarray:
    whole_numbers = isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim == 1
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or whole_numbers:
        kind = "choices by number" if whole_numbers else "no plain array of numbers"
        raise UserError(f"dataset {name}: {key} of episode {index} are {kind}; expected a Box space")
    return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def _check_spaces(name: str, metadata: dict[str, Any]) -> None:
    for key in ("observation_space", "action_space"):
        text = metadata.get(key)
        if not isinstance(text, str):
            continue
        try:
            space = json.loads(text)
        except ValueError:
            raise UserError(f"dataset {name}: {key} in {METADATA_FILE} is damaged; fetch a fresh copy") from None
        if space.get("type") != "Box":
            raise UserError(
                f"dataset {name} has {space.get('type')} {key.removesuffix('_space')}s; "
                "expected Box observations and Box actions; flatten them first"
            )
        if space.get("dtype") == "uint8" and len(space.get("shape", ())) > 1:
            raise UserError(f"dataset {name} has images as {key.removesuffix('_space')}s; expected vectors of numbers")


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
