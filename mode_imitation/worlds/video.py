"""Films of any world that renders, from an episode's seed and its actions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from mode_imitation.atomic import write_atomic
from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress
from mode_imitation.worlds.protocol import as_action_space, make_env
from mode_imitation.worlds.safety.tasks import NAMESPACE, is_safety

FPS = 30
"""Pictures per second of film."""
LONGEST_S = 60.0
"""Seconds of film, about: of longer episodes not every step is shown."""


def check_video(env_id: str) -> None:
    """Refuse a film that cannot be made here, before any work.

    Raises:
        UserError: the world gives no pictures, or what draws them is missing.
    """
    if is_safety(env_id):
        from mode_imitation.worlds.safety.render import headless_backend

        headless_backend()
        return
    env = _rendered(env_id)
    try:
        env.reset(seed=0)
        _picture(env, env_id)
    finally:
        env.close()


def record_video(env_id: str, seed: int, actions: np.ndarray, path: Path, *, progress: Progress = no_progress) -> None:
    """Repeat an episode and film it.

    Args:
        env_id: as `open_worlds` takes it.
        seed: of the episode.
        actions: (T, size) as they were executed; the film ends early where the episode does.
        path: an .mp4 or .gif, replaced where it exists.
        progress: is told of every step.

    Raises:
        UserError: the world gives no pictures, or what draws them is missing.
    """
    if is_safety(env_id):
        from mode_imitation.worlds.safety.render import record_video as film

        film(env_id.removeprefix(NAMESPACE), seed, actions, path, progress=progress)
        return
    env = _rendered(env_id)
    space: Any = env.action_space
    sent = as_action_space(space, env_id).to_env(actions).astype(space.dtype).reshape(len(actions), *space.shape)
    every = max(1, round(len(actions) / (LONGEST_S * FPS)))
    try:
        env.reset(seed=seed)
        pictures = frames(lambda: _picture(env, env_id), lambda a: any(env.step(a)[2:4]), sent, every, progress)
        write_film(pictures, path)
    finally:
        env.close()


def _rendered(env_id: str) -> gymnasium.Env:
    env = make_env(env_id, render_mode="rgb_array")
    if env.render_mode != "rgb_array":
        raise UserError(f"{env_id} renders no pictures (rgb_array); leave --video out, --plot draws the states")
    return env


def _picture(env: gymnasium.Env, env_id: str) -> np.ndarray:
    try:
        picture: Any = env.render()
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        missing = "pygame" if "pygame" in str(error) else " ".join(str(error).split())
        raise UserError(
            f"{env_id} cannot be filmed: {missing} is not installed; install it, or leave --video out"
        ) from None
    except Exception as error:  # OpenGL, or an environment's own code: anything can come
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{env_id} cannot be filmed: {type(error).__name__}: {text}; leave --video out") from error
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise UserError(f"{env_id} renders {type(picture).__name__}; expected (height, width, 3) pictures")
    height, width = (length - length % 2 for length in picture.shape[:2])  # as video codecs want
    return picture[:height, :width]


def frames(
    picture: Callable[[], Any], step: Callable[[Any], bool], actions: np.ndarray, every: int, progress: Progress
) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 pictures of an episode, the first before the first action.

    Args:
        picture: draws what is there.
        step: takes one action, and tells whether the episode has ended.
        actions: (T, ...).
        every: steps from one picture to the next.
        progress: is told of every step.
    """
    yield picture()
    for number, action in enumerate(actions, start=1):
        ended = step(action)
        if number % every == 0 or ended or number == len(actions):
            yield picture()
        progress.advance(1)
        if ended:
            return


def write_film(pictures: Iterator[np.ndarray], path: Path) -> None:
    """Write pictures as .gif or .mp4, whole or not at all."""
    import imageio.v2 as imageio

    options: dict[str, Any] = {"duration": 1000 / FPS, "loop": 0}
    if path.suffix != ".gif":
        options = {"fps": FPS, "codec": "libx264", "macro_block_size": 2}

    def write(temporary: Path) -> None:
        film = temporary.with_name(temporary.name + path.suffix)  # imageio chooses the format by the name
        try:
            with imageio.get_writer(film, mode="I", **options) as opened:
                writer: Any = opened
                for picture in pictures:
                    writer.append_data(picture)
            film.replace(temporary)
        finally:
            film.unlink(missing_ok=True)

    write_atomic(path, write)
