"""Videos by the simulator's own camera, on machines without a screen."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.errors import UserError
from mode_imitation.progress import Progress, no_progress
from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.tasks import parse_env_id
from mode_imitation.worlds.video import FPS, frames, write_film

BACKENDS = ("egl", "osmesa")
"""OpenGL without a screen: on a graphics card or in Mesa, and in Mesa's older software renderer."""

CAMERA, SIZE = "fixedfar", (640, 480)
"""The library's view of the whole arena; width and height in pixels, which video codecs want as multiples of 16."""
FIELD_OF_VIEW = 30.0
"""Degrees; the library's 45 show more floor than arena."""


def record_video(
    env_id: str, layout_seed: int, actions: np.ndarray, path: Path, *, progress: Progress = no_progress
) -> None:
    """Replay actions in the textured library environment, and film it in about real time.

    Args:
        env_id: a navigation task.
        layout_seed: of the episode.
        actions: (T, act_dim) as they were executed; the film ends early where the episode does.
        path: an .mp4 or .gif, replaced where it exists.
        progress: is told of every step.

    Raises:
        UserError: there is no such task, or no way to render without a screen.
    """
    name = parse_env_id(env_id)
    with _rendering_with(headless_backend()):
        looks = {"render_mode": "rgb_array", "camera_name": CAMERA, "width": SIZE[0], "height": SIZE[1]}
        builder: Any = build_task(env_id, light=False, **looks)
        builder.task.num_steps = max(len(actions), name.max_episode_steps)
        simulation = builder.task.sim_conf.frameskip_binom_n * builder.task.agent.engine.model.opt.timestep
        every = max(1, round(1 / (FPS * simulation)))
        try:
            builder.reset(seed=layout_seed)
            builder.task.model.cam(CAMERA).fovy = FIELD_OF_VIEW
            sent = np.asarray(actions, dtype=np.float64)
            write_film(frames(builder.render, lambda a: any(builder.step(a)[3:5]), sent, every, progress), path)
        finally:
            if builder.task.viewer is not None:
                builder.task.viewer.close()


@functools.cache
def headless_backend() -> str:
    """The OpenGL platform that works here, "egl" or "osmesa"; tried in another process, for a failed try can crash.

    Raises:
        UserError: none does.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    for backend in sorted(BACKENDS, key=lambda name: name != wanted):  # what the user asks for comes first
        code = f"from mujoco.{backend} import GLContext; context = GLContext(64, 64); context.make_current()"
        environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
        with contextlib.suppress(subprocess.TimeoutExpired):
            tried = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
            if tried.returncode == 0:
                return backend
    raise UserError(
        "no way to render without a screen was found; expected EGL or OSMesa; "
        "install one of them, on Debian or Ubuntu: apt-get install libegl1, or apt-get install libosmesa6"
    )


@contextlib.contextmanager
def _rendering_with(backend: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    os.environ.update(MUJOCO_GL=backend, PYOPENGL_PLATFORM=backend)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
