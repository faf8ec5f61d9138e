"""Finished episodes of a dataset that is being generated: a few at a time in one file each, never half a file."""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import write_atomic
from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.errors import UserError

PATTERN = "episodes_*.part"
DIGEST_SIZE = hashlib.sha256().digest_size


@dataclass(frozen=True)
class ChunkFolder:
    """The files of one unfinished dataset. An episode goes by its index in the whole dataset."""

    folder: Path

    def write(self, indices: Sequence[int], episodes: Sequence[Episode]) -> Path:
        """Keep finished episodes; the file (sha256, then an .npz) appears complete or not at all."""
        arrays = {}
        for index, episode in zip(indices, episodes, strict=True):
            arrays |= {f"{index}/{name}": value for name, value in _to_arrays(episode).items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
        path = self.folder / f"episodes_{indices[0]:06d}_{indices[-1]:06d}_{len(indices)}.part"
        write_atomic(path, lambda temporary: temporary.write_bytes(hashlib.sha256(content).digest() + content))
        return path

    def finished(self) -> dict[int, Path]:
        """The file of every episode that is there. Damaged files are removed."""
        found: dict[int, Path] = {}
        for path in sorted(self.folder.glob(PATTERN)):
            content = _undamaged(path)
            if content is None:
                path.unlink()
                continue
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                found |= dict.fromkeys((int(name.partition("/")[0]) for name in file.namelist()), path)
        return found

    def first_observations(self) -> Iterator[np.ndarray]:
        """(obs_dim,) float32, of every episode that is there."""
        for path in sorted(set(self.finished().values())):
            with np.load(io.BytesIO(path.read_bytes()[DIGEST_SIZE:]), allow_pickle=False) as file:
                yield from (file[name][0] for name in file.files if name.endswith("/observations"))

    def read(self, n_episodes: int) -> Iterator[Episode]:
        """Episodes 0 .. n_episodes - 1 in order, with one file in memory at a time.

        Raises:
            UserError: one of them is not there any more: running again makes it anew.
        """
        finished = self.finished()
        opened, arrays = None, {}
        for index in range(n_episodes):
            path = finished.get(index)
            if path is None or path != opened:
                content = path and _undamaged(path)
                if not content:
                    raise UserError(f"finished episode {index} is damaged; run the same command again to make it anew")
                with np.load(io.BytesIO(content), allow_pickle=False) as file:
                    opened, arrays = path, {name: file[name] for name in file.files}
            prefix = f"{index}/"
            yield _from_arrays({key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)})


def _undamaged(path: Path) -> bytes | None:
    """The .npz part of a file, if it is still what was written."""
    content = path.read_bytes()
    digest, rest = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    return rest if rest and hashlib.sha256(rest).digest() == digest else None


def _to_arrays(episode: Episode) -> dict[str, Any]:
    values = vars(episode) | {"scene": None}
    if episode.scene is not None:
        values |= {f"scene/{name}": value for name, value in vars(episode.scene).items()}
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Episode:
    plain: dict[str, Any] = {name: array if array.ndim else array.item() for name, array in arrays.items()}
    scene = {name.removeprefix("scene/"): plain.pop(name) for name in list(plain) if name.startswith("scene/")}
    if scene:
        scene["arena"] = tuple(scene["arena"].tolist())
    return Episode(**plain, scene=Scene(**scene) if scene else None)
