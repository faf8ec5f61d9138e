"""Settings of all tests, and what several of them start from."""

import signal
import threading
from pathlib import Path

import pytest
from hypothesis import settings

from mode_imitation.data.episodes import Episode
from mode_imitation.data.writer import write_dataset
from tests.small_datasets import NAME, SENSORS, make_episode

# The same examples in every run: what CI finds, the developer finds. No deadline: a busy machine is no bug.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")

if threading.current_thread() is threading.main_thread():
    # A shell that starts the tests in the background has Ctrl-C ignored, and tests send themselves just that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def episodes() -> list[Episode]:
    """Three of different lengths and experts."""
    return [
        make_episode(0),
        make_episode(1, steps=5, expert="driver", terminated=True),
        make_episode(2, expert="driver"),
    ]


@pytest.fixture
def folder(tmp_path: Path, episodes: list[Episode]) -> Path:
    """A dataset of these on disk."""
    return write_dataset(NAME, episodes, root=tmp_path, env_id="Some-v0", sensors=SENSORS)
