import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mode_imitation.atomic import locked
from mode_imitation.errors import UserError
from mode_imitation.training import session
from mode_imitation.training.run_folder import (
    CHECKPOINT,
    INFO,
    MODEL,
    WEIGHTS,
    held_folder,
    load_run,
    read_info,
    write_info,
)
from mode_imitation.training.tensor_files import read_tensors, write_tensors
from mode_imitation.training.trainer import train
from tests.synthetic import two_laws
from tests.test_training import same_weights, small, weights_of

CONFIG = small(
    restarts=2, checkpoint_every=7, iterations=40, discovery_iterations=20, scoring_iterations=10, merge_gap=0.0
)
DATA = two_laws(n_each=4)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    train(DATA, CONFIG, path)
    return path


@pytest.mark.parametrize("writes", [1, 2, 3, 6, 9, 11, 14, 15])
def test_a_run_that_dies_around_any_checkpoint_ends_with_the_same_weights(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    original, count = session.save_checkpoint, 0

    def dying(*arguments) -> None:
        nonlocal count
        count += 1
        if count == writes:
            # Half the kills come just before the checkpoint is there, half just after.
            if writes % 2:
                original(*arguments)
            raise Killed
        original(*arguments)

    out = tmp_path / "run"
    monkeypatch.setattr(session, "save_checkpoint", dying)
    with pytest.raises(Killed):
        train(DATA, CONFIG, out)
    assert read_info(out)["status"] == "running"
    with pytest.raises(UserError, match=r"not finished; go on with: mode-imitation train --resume"):
        load_run(out)
    monkeypatch.setattr(session, "save_checkpoint", original)
    train(DATA, None, out, resume=True)
    assert same_weights(uninterrupted, out)
    whole, resumed = load_run(uninterrupted).info, load_run(out).info
    for info in (whole, resumed):
        info["summary"].pop("seconds")
    assert resumed == whole


def test_the_log_of_a_resumed_run_has_every_entry_once(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    for saved in (1, 3):  # the process dies after its first checkpoint, and again after two more
        original, count = session.save_checkpoint, 0

        def dying(*arguments, original=original, saved=saved) -> None:
            nonlocal count
            count += 1
            if count > saved:
                raise Killed
            original(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(session, "save_checkpoint", dying)
            with pytest.raises(Killed):
                train(DATA, None if out.exists() else CONFIG, out, resume=out.exists())
    train(DATA, None, out, resume=True)
    assert logged_steps(out) == logged_steps(uninterrupted)


def logged_steps(run: Path) -> dict[str, list[int]]:
    """Steps at which each loss of both phases is in the log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if "/loss/" in tag]
    return {tag: [entry.step for entry in events.Scalars(tag)] for tag in tags}


CHILD = """
import sys
from pathlib import Path
from mode_imitation.training.trainer import train
from tests.test_checkpoint import CONFIG, DATA
train(DATA, CONFIG, Path(sys.argv[1]), resume=True)
"""


def test_a_killed_process_is_resumed_to_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)], cwd=root, env=environment, stderr=subprocess.PIPE)
    while child.poll() is None and not (out / CHECKPOINT).exists():
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    train(DATA, CONFIG, out, resume=True)
    assert same_weights(uninterrupted, out)
    assert not list(out.glob(".*.tmp"))


def test_resuming_a_finished_run_leaves_it_as_it_is(uninterrupted: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in uninterrupted.iterdir() if path.is_file()}
    summary = train(DATA, CONFIG, uninterrupted, resume=True)
    assert summary.n_modes == load_run(uninterrupted).model.n_modes
    assert before == {path.name: path.stat().st_mtime_ns for path in uninterrupted.iterdir() if path.is_file()}


def test_resuming_a_finished_run_tells_that_its_weights_were_damaged(uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    weights = bytearray((tmp_path / "run" / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (tmp_path / "run" / WEIGHTS).write_bytes(weights)
    with pytest.raises(UserError, match="damaged: its checksum"):
        train(DATA, CONFIG, tmp_path / "run", resume=True)


def test_an_existing_run_is_kept_unless_it_is_to_be_overwritten(uninterrupted: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a run already"):
        train(DATA, CONFIG, uninterrupted)
    other = tmp_path / "notes"
    other.mkdir()
    (other / "diary.txt").write_text("mine")
    for overwrite, resume in ((False, False), (True, False), (False, True)):
        with pytest.raises(UserError, match="exists and is no run"):
            train(DATA, CONFIG, other, overwrite=overwrite, resume=resume)
    assert (other / "diary.txt").read_text() == "mine"
    for seed in (0, 5):
        quick = small(iterations=2, discovery_iterations=2, scoring_iterations=2, seed=seed)
        train(DATA, quick, tmp_path / "run", overwrite=True)
    assert read_info(tmp_path / "run")["config"]["seed"] == 5
    # A mistake costs nothing.
    with pytest.raises(UserError, match="codes is 99"):
        train(DATA, small(codes=99), tmp_path / "run", overwrite=True)
    assert load_run(tmp_path / "run").model.n_modes >= 1


def test_a_run_that_another_process_is_training_is_left_alone(uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    info = read_info(tmp_path / "run")
    write_info(tmp_path / "run", info | {"status": "running"})
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with locked(tmp_path / "run", "held"):
        for resume in (True, False):
            with pytest.raises(UserError, match="another process is training into"):
                train(DATA, CONFIG, tmp_path / "run", resume=resume, overwrite=not resume)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    train(DATA, CONFIG, tmp_path / "run", resume=True)
    assert same_weights(uninterrupted, tmp_path / "run")


def test_a_run_that_came_into_being_meanwhile_is_not_lost(uninterrupted: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="holds a run already"),
        held_folder(uninterrupted, resume=False, overwrite=False),
    ):
        raise AssertionError("the folder was given away")
    with held_folder(tmp_path / "new", resume=False, overwrite=False):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()


def test_resuming_with_other_settings_or_other_data_is_refused(uninterrupted: Path) -> None:
    with pytest.raises(UserError, match=r"started with seed = 0, not 3"):
        train(DATA, small(**{**vars(CONFIG), "seed": 3}), uninterrupted, resume=True)
    with pytest.raises(UserError, match="started on other data"):
        train(two_laws(n_each=4, seed=9), CONFIG, uninterrupted, resume=True)


def test_resuming_where_there_is_no_run_needs_settings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        train(DATA, None, tmp_path / "run", resume=True)


@pytest.fixture
def damaged(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    out = tmp_path / "copy"
    out.mkdir()
    for name in (INFO, MODEL, WEIGHTS, CHECKPOINT):
        (out / name).write_bytes((uninterrupted / name).read_bytes())
    return out


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harmed",))


@pytest.mark.parametrize("kind", ["pickle", "torch archive"])
@pytest.mark.parametrize("name", [WEIGHTS, CHECKPOINT])
def test_a_pickle_in_place_of_tensors_is_never_read(damaged: Path, name: str, kind: str) -> None:
    if kind == "pickle":
        (damaged / name).write_bytes(pickle.dumps(Harmful()))
    else:
        torch.save({"weights": torch.zeros(1)}, damaged / name)
    info = json.loads((damaged / INFO).read_text())
    if name == CHECKPOINT:
        (damaged / INFO).write_text(json.dumps(info | {"status": "running"}))
    with pytest.raises(UserError, match="is a pickle"):
        train(DATA, CONFIG, damaged, resume=True) if name == CHECKPOINT else load_run(damaged)
    assert not Path("harmed").exists()


@pytest.mark.parametrize("name", [INFO, MODEL, WEIGHTS])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "flipped"])
def test_a_damaged_run_is_named_in_one_line(damaged: Path, name: str, harm: str) -> None:
    path = damaged / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "flipped":
        # In a JSON file, the first brace; among the weights, a bit of a number.
        where = len(content) - 5 if name == WEIGHTS else 0
        path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2 if harm == "cut" else 0])
    with pytest.raises(UserError) as caught:
        load_run(damaged)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["status", "config", "dataset", "summary"])
def test_a_run_that_lacks_what_training_wrote_is_named_in_one_line(damaged: Path, name: str) -> None:
    info = json.loads((damaged / INFO).read_text())
    del info[name]
    (damaged / INFO).write_text(json.dumps(info))
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        train(DATA, None, damaged, resume=True)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        load_run(damaged)


@pytest.mark.parametrize("name", [INFO, MODEL])
def test_a_newer_format_asks_for_an_upgrade(damaged: Path, name: str) -> None:
    values = json.loads((damaged / name).read_text())
    (damaged / name).write_text(json.dumps(values | {"format_version": 99}))
    with pytest.raises(UserError, match=r"format 99.*upgrade"):
        load_run(damaged)


def test_a_checkpoint_of_a_newer_format_or_without_its_parts_is_refused(damaged: Path) -> None:
    info = json.loads((damaged / INFO).read_text())
    (damaged / INFO).write_text(json.dumps(info | {"status": "running"}))
    tensors, record = read_tensors(damaged / CHECKPOINT)
    write_tensors(damaged / CHECKPOINT, tensors, record | {"format_version": 99})
    with pytest.raises(UserError, match="format 99"):
        train(DATA, CONFIG, damaged, resume=True)
    tensors.pop("generator")
    write_tensors(damaged / CHECKPOINT, tensors, record)
    with pytest.raises(UserError, match="'generator' is missing"):
        train(DATA, CONFIG, damaged, resume=True)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_run_is_not_resumed_from_a_checkpoint_with_a_flipped_bit(damaged: Path, share: float) -> None:
    info = json.loads((damaged / INFO).read_text())
    (damaged / INFO).write_text(json.dumps(info | {"status": "running"}))
    content = bytearray((damaged / CHECKPOINT).read_bytes())
    content[int(share * len(content))] ^= 1
    (damaged / CHECKPOINT).write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint\.safetensors .*damaged"):
        train(DATA, CONFIG, damaged, resume=True)


@pytest.mark.parametrize("name", ["encoder_hidden", "code_dim", "obs_dim", "history"])
def test_a_model_that_is_larger_than_its_weights_is_refused_before_it_is_made(damaged: Path, name: str) -> None:
    described = json.loads((damaged / MODEL).read_text())
    described["config"][name] = 10**12
    (damaged / MODEL).write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"model\.json describes layers of up to .*; they do not belong together"):
        load_run(damaged)


def test_a_sound_file_that_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    # The first byte of a safetensors file is its header's length modulo 256.
    starts = set()
    for padding in range(256):
        write_tensors(tmp_path / "file", {"x": torch.zeros(1)}, {"padding": "p" * padding})
        starts.add((tmp_path / "file").read_bytes()[0])
        assert read_tensors(tmp_path / "file")[1] == {"padding": "p" * padding}
    assert 0x80 in starts


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is no run"):
        load_run(tmp_path)


def test_weights_that_are_not_finite_are_refused(damaged: Path) -> None:
    tensors = weights_of(damaged)
    tensors["actor.mean.bias"] = torch.full_like(tensors["actor.mean.bias"], float("nan"))
    digest = write_tensors(damaged / WEIGHTS, tensors)
    described = json.loads((damaged / MODEL).read_text())
    (damaged / MODEL).write_text(json.dumps(described | {"weights_sha256": digest}))
    with pytest.raises(UserError, match=r"actor.mean.bias holds values that are not finite"):
        load_run(damaged)
