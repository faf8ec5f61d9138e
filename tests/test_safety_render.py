"""Videos without a screen. Skipped only where neither EGL nor OSMesa is installed."""

import gc
import subprocess
import warnings
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest

from mode_imitation.errors import UserError
from mode_imitation.worlds.safety import render
from mode_imitation.worlds.safety.render import headless_backend, record_video

ENV = "SafetyPointGoal1-v0"
ACTIONS = np.tile([1.0, 0.5], (12, 1)).astype(np.float32)


@pytest.fixture
def screenless() -> None:
    try:
        headless_backend()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("screenless")
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_video_shows_the_arena_and_that_something_moves(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"film{suffix}"
    monkeypatch.setattr(render, "SIZE", (160, 128))
    record_video(ENV, 3, ACTIONS, path)
    frames = pictures(path)
    assert len(frames) == 1 + len(ACTIONS) // 2  # a step takes .02 s, a picture a 30th
    assert frames[0].shape == (128, 160, 3)
    assert frames[0].std() > 10  # not one colour
    assert np.abs(frames[0].astype(int) - frames[-1].astype(int)).max() > 30
    assert list(tmp_path.iterdir()) == [path]


def pictures(path: Path) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # imageio's reader leaves pipes to the collector
        reader: Any
        with imageio.get_reader(path) as reader:
            frames = [np.asarray(frame)[..., :3] for frame in reader]
        del reader
        gc.collect()
    return frames


def test_what_is_no_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown environment"):
        record_video("SafetyPointGoal9-v0", 0, ACTIONS, tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_render_the_packages_are_named(monkeypatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        return subprocess.CompletedProcess(arguments, returncode=1)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(UserError, match=r"libegl1.*libosmesa6"):
        headless_backend.__wrapped__()
