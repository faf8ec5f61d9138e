"""Drives of experts on held-out layouts, kept on disk so that every run is compared with the same ones at once.

.expert-cache/goal_seeking-3f2a91c07b5d/1000000004.npz    one layout: positions and figures, no observations
"""

import errno
import hashlib
import importlib.util
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from mode_imitation.atomic import as_json, write_atomic
from mode_imitation.data.episodes import Episode, Scene
from mode_imitation.data.storage import UNREADABLE
from mode_imitation.reports.motion import Motion
from mode_imitation.versions import platform_name, versions

FOLDER = ".expert-cache"
FORMAT = 3
"""Raised whenever the figures or the files change their meaning."""
DECIDING = ("numpy", "mujoco", "gymnasium", "safety-gymnasium")
"""Packages whose version decides where an expert drives."""
ARRAYS = ("actions", "rewards", "costs", "goals_met", "successes", "positions", "headings")


class ExpertCache:
    """The drives of one expert in one environment under one setting.

    Args:
        folder: holds the caches of all experts.
        spec: the expert, as `experts.registry.make_expert` takes it; its source code is part of the key, and nothing is
            kept of an expert whose source cannot be read.
        env_id, n_steps, action_noise, seed: what the drives depend on.
    """

    def __init__(self, folder: Path, spec: str, env_id: str, n_steps: int, action_noise: float, seed: int) -> None:
        from experts.registry import expert_label

        installed, source = versions(), source_digest(spec)
        decided_by = [installed.get(name) for name in DECIDING], platform_name()
        key = json.dumps([FORMAT, source, env_id, n_steps, action_noise, seed, decided_by])
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.folder = folder / f"{expert_label(spec)}-{digest[:12]}" if source else None

    def path(self, layout: int) -> Path:
        """Where the drive on a layout lies."""
        assert self.folder is not None
        return self.folder / f"{layout}.npz"

    def read(self, layout: int) -> tuple[Episode, Motion] | None:
        """The drive on a layout, its observations of size 0; None where there is none or it cannot be read."""
        if self.folder is None:
            return None
        try:
            # Opened here: NumPy leaves a file open that turns out to be no archive.
            with self.path(layout).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                stored = dict(file)
            rest = json.loads(str(stored.pop("rest")))
            parts = {name.removeprefix("scene_"): stored[name] for name in stored if name.startswith("scene_")}
            kept = rest["scene"]
            scene = kept and Scene(**parts, **kept | {"arena": tuple(kept["arena"])})
            episode = Episode(
                **{name: stored[name] for name in ARRAYS if name in stored},
                observations=np.zeros((len(stored["actions"]) + 1, 0), dtype=np.float32),
                layout_seed=layout,
                expert=rest["expert"],
                terminated=rest["terminated"],
                scene=scene,
            )
            return episode, Motion.from_dict(rest["motion"])
        except (*UNREADABLE, KeyError, TypeError, MemoryError):
            # A file of a killed process or of another version is no mistake of the user's: the drive is made again.
            return None

    def write(self, layout: int, episode: Episode, motion: Motion) -> None:
        """Keep a drive; the file appears as a whole or not at all."""
        if self.folder is None or episode.positions is None:
            return  # without observations there would be nothing left to draw
        arrays = {name: values for name in ARRAYS if (values := getattr(episode, name)) is not None}
        scene = {item.name: getattr(episode.scene, item.name) for item in fields(Scene)} if episode.scene else {}
        arrays |= {f"scene_{name}": value for name, value in scene.items() if isinstance(value, np.ndarray)}
        rest = {
            "expert": episode.expert,
            "terminated": episode.terminated,
            "motion": motion.as_dict(),
            "scene": {name: value for name, value in scene.items() if not isinstance(value, np.ndarray)} or None,
        }
        arrays["rest"] = np.array(json.dumps(rest, default=as_json))

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)

        try:
            write_atomic(self.path(layout), save)
        except OSError as error:
            # Runs may lie where nothing can be written; the drive is then made again next time. A full disk is told.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise


def source_digest(spec: str) -> str | None:
    """sha256 of the spec and of the code that an expert is made of: our own experts' package, and each user's file.

    What a user's file imports is not followed; a change there needs another class name, or an emptied cache.

    Returns:
        None where some source cannot be read: that of a module in an archive, say.
    """
    from experts.switching import members

    digest = hashlib.sha256(f"{spec}\n".encode())
    try:
        for place in ["experts", *(member.rpartition(":")[0] for member in members(spec) if ":" in member)]:
            for path in _sources(place):
                digest.update(path.name.encode() + b"\n" + path.read_bytes())
    except (OSError, ImportError, ValueError):
        return None
    return digest.hexdigest()


def _sources(place: str) -> list[Path]:
    """The files of our own experts, or of a user's file or module; an error where there is no such module or file."""
    if place.endswith(".py"):
        return [Path(place).expanduser()]
    module = importlib.util.find_spec(place)
    if module is None or module.origin is None:
        raise ModuleNotFoundError(place)
    origin = Path(module.origin)
    return sorted(origin.parent.glob("*.py")) if place == "experts" else [origin]
