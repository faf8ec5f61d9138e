"""Ctrl-C while a dataset is written: there is none, or a whole and right one, and the process ends as it should."""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import numpy as np
import pytest

from mode_imitation.cli import main
from mode_imitation.data import writer
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.patient_file import PatientFile, WaitingSignals
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.data.verify import verify_dataset
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from tests.foreign_arrays import make_arrays
from tests.small_datasets import make_episode
from tests.test_generate import NAME, FakeDriver, fake

__all__ = ["fake"]

INSTANTS = 50
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def interrupt_at(call: int, among: Callable[[str], bool], start: str = "_write_hdf5") -> list[int]:
    """Have this process send itself SIGINT at the so-manieth call of a Python function.

    Args:
        call: counted from 1; 0 for never.
        among: whether a function of this name counts.
        start: the function that is the first to count.

    Returns:
        What will hold one number, the calls so far.
    """
    count = [0]

    def watch(frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_code.co_name
        if event == "call" and (count[0] or name == start) and (not count[0] or among(name)):
            count[0] += 1
            if count[0] == call:
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGINT)

    sys.setprofile(watch)
    return count


@pytest.fixture(params=["import", "generate"])
def command(request: pytest.FixtureRequest, tmp_path: Path, fake: type[FakeDriver]) -> list[str]:
    """A command line that writes a small dataset under tmp_path / "data"."""
    if request.param == "import":
        arrays: dict = make_arrays([4, 2, 5], final=True)
        np.savez(tmp_path / "arrays.npz", **arrays)
        words = ["import", str(tmp_path / "arrays.npz")]
    else:
        words = ["generate", "--expert", "goal_seeking=3", "--steps", "3", "--workers", "1"]
    return [*words, "--out", NAME, "--root", str(tmp_path / "data")]


@needs_fork
@pytest.mark.parametrize("among", ["writes", "all calls"])
def test_ctrl_c_at_any_instant_of_writing_leaves_no_dataset_or_a_right_one(
    tmp_path: Path, command: list[str], among: str
) -> None:
    def counts(name: str) -> bool:
        return among == "all calls" or name in ("write", "truncate", "seek", "flush")

    calls = interrupt_at(0, counts)
    try:
        assert main(command) == 0
    finally:
        sys.setprofile(None)
    expected = load_dataset(NAME, tmp_path / "data").checksum
    outcomes = []
    for instant in np.unique(np.linspace(1, calls[0], INSTANTS, dtype=int)):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                interrupt_at(instant, counts)
                code = main(command)
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        there = (tmp_path / "data" / NAME).exists()
        outcomes.append((code, there))
        assert not there or load_dataset(NAME, tmp_path / "data").checksum == expected, f"call {instant} of {calls[0]}"
        # Where Python itself drops an exception, as in a weak reference's callback, all goes on as if nothing had been.
        assert outcomes[-1] in ((130, False), (130, True), (0, True)), f"call {instant} of {calls[0]}"
    assert outcomes.count((130, False)) > INSTANTS / 2


@needs_fork
def test_ctrl_c_while_a_dataset_is_read_is_ctrl_c(folder: Path) -> None:
    def read() -> int:
        try:
            load_dataset(folder)
            return 0
        except KeyboardInterrupt:
            return 130

    calls = interrupt_at(0, str.isprintable, "load_dataset")
    try:
        assert read() == 0
    finally:
        sys.setprofile(None)
    codes = []
    for instant in np.unique(np.linspace(1, calls[0], INSTANTS, dtype=int)):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                interrupt_at(instant, str.isprintable, "load_dataset")
                code = read()
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert set(codes) <= {0, 130}
    assert codes.count(130) > INSTANTS / 2


@pytest.mark.parametrize("method", ["write", "truncate", "readinto"])
@pytest.mark.parametrize("call", [1, 2, 5, 20])
def test_an_exception_in_one_of_the_librarys_calls_is_raised_when_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, call: int
) -> None:
    count, original = itertools.count(1), PatientFile._kept

    def kept(self: PatientFile, do: Callable[[], Any]) -> None:
        def failing() -> Any:
            if sys._getframe(3).f_code.co_name == method and next(count) == call:
                raise KeyboardInterrupt
            return do()

        original(self, failing)

    monkeypatch.setattr(PatientFile, "_kept", kept)
    try:
        write_dataset(NAME, [make_episode(seed) for seed in range(3)], root=tmp_path)
        assert next(count) <= call, "it was lost"
    except KeyboardInterrupt:
        assert list(tmp_path.iterdir()) == []


def test_what_does_not_read_back_as_it_was_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = writer._write_episode

    def write(group: h5py.Group, index: int, episode: Episode, space: ActionSpace | None) -> None:
        actions = episode.actions.copy()
        actions[3, 1] += index == 1
        original(group, index, replace(episode, actions=actions), space)

    monkeypatch.setattr(writer, "_write_episode", write)
    with pytest.raises(UserError, match=r"reads back with the checksum \w{12}, expected \w{12}; disk or memory"):
        write_dataset(NAME, [make_episode(seed) for seed in range(3)], root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_are_not_those_of_the_recorded_checksum_are_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        actions = file["episode_1/actions"]
        assert isinstance(actions, h5py.Dataset)
        actions[3, 1] += 1
    with pytest.raises(
        UserError, match=r"is damaged: its arrays have the checksum \w{12}, expected \w{12}; make it again"
    ):
        load_dataset(folder)
    assert not verify_dataset(folder).ok


def test_signals_wait_until_an_item_is_done_but_not_while_the_next_one_is_made() -> None:
    def interrupting(name: str) -> Iterator[str]:
        yield "first"
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            seen.append(f"while {name} was made")
            raise
        yield name

    def consume(items: Iterator[str], interrupted: bool) -> None:
        with WaitingSignals() as signals:
            for item in signals.between(items):
                if interrupted:
                    os.kill(os.getpid(), signal.SIGINT)
                seen.append(item)
            seen.append("end")

    seen: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        consume(interrupting("second"), interrupted=False)
    with pytest.raises(KeyboardInterrupt):
        consume(iter("abc"), interrupted=True)
    assert seen == ["first", "while second was made", "a"]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_dataset_can_be_written_and_read_in_another_thread(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        folder = pool.submit(write_dataset, NAME, [make_episode(0)], root=tmp_path).result()
        assert len(pool.submit(load_dataset, folder).result()) == 1
