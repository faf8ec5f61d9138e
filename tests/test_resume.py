"""A run that dies at any instant goes on to the weights and the log it would have had; what is damaged is named."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mode_imitation.atomic import locked
from mode_imitation.errors import UserError
from mode_imitation.training import run_folder
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import fit
from mode_imitation.training.run_folder import INFO, MODEL, WEIGHTS, WORK, held_folder, load_run, read_info, write_info
from mode_imitation.training.state import State
from mode_imitation.training.tensor_files import read_tensors, write_tensors
from tests.synthetic import two_laws
from tests.test_fit import Killed, same_weights, small, weights_of

CONFIG = small(checkpoint_every=5, iterations=40, joint_iterations=20, workers=1)
SWITCHING = small(
    checkpoint_every=7,
    iterations=20,
    joint_iterations=14,
    judge_iterations=5,
    segment=20,
    find_switches=True,
    workers=1,
)
DATA = two_laws(n_each=4, switch=True)
CONFIGS = {"whole episodes": CONFIG, "switches": SWITCHING}
POLICY = f"{WORK}/policy.safetensors"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("runs")

    def path(name: str = "whole episodes") -> Path:
        if not (folder / name).exists():
            fit(DATA, CONFIGS[name], folder / name)
        return folder / name

    return path


def described(path: Path) -> dict[str, Any]:
    """run.json, but for how long things took."""
    info = load_run(path).info
    info["summary"].pop("seconds")
    return info


def logged(run: Path) -> dict[str, Counter]:
    """How often each figure stands in the log of each job, by tag and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted((run / "tensorboard").iterdir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        tags = events.Tags()["scalars"]
        found[folder.name] = Counter((tag, entry.step) for tag in tags for entry in events.Scalars(tag))
    return found


@pytest.mark.parametrize("moment", ["after each save", "before each save"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_that_dies_around_every_save_ends_with_the_same_weights_and_log(
    uninterrupted: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, moment: str
) -> None:
    original, out = State.save, tmp_path / "run"
    deaths, saves = 0, 0

    def dying(state: State, path: Path) -> None:
        nonlocal saves
        saves += 1
        if moment == "before each save" and saves > min(deaths, 1):  # the first process saves nothing, the others once
            raise Killed
        original(state, path)
        if moment == "after each save":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(State, "save", dying)
        while True:
            try:
                saves = 0
                fit(DATA, CONFIGS[name], out, resume=out.exists())
                break
            except Killed:
                deaths += 1
                assert read_info(out)["status"] == "running"
                with pytest.raises(UserError, match=r"not finished; go on with: mode-imitation train --resume"):
                    load_run(out)
    assert deaths > 12
    whole = uninterrupted(name)
    assert same_weights(load_run(whole), load_run(out))
    assert described(out) == described(whole)
    entries = logged(out)
    assert entries == logged(whole)
    assert {*entries} == {"codes", "policy"}
    assert ("start/loss/action_nll", 10) in entries["codes"]
    assert ("policy/train/actor/nll", CONFIGS[name].iterations) in entries["policy"]
    assert all(set(counts.values()) == {1} for counts in entries.values())


@pytest.mark.parametrize("name", ["save_model", "write_info", "remove_own"])
def test_a_run_that_dies_while_it_is_finished_is_finished_when_it_goes_on(
    uninterrupted: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original, out = getattr(run_folder, name), tmp_path / "run"

    def dying(*arguments: Any, **more: Any) -> None:
        if (out / WORK).exists():
            raise Killed
        original(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, name, dying)
        with pytest.raises(Killed):
            fit(DATA, CONFIG, out)
    fit(DATA, CONFIG, out, resume=True)
    assert described(out) == described(uninterrupted())
    assert same_weights(load_run(out), load_run(uninterrupted()))


CHILD = """
import sys
from pathlib import Path
from mode_imitation.training.fit import fit
from tests.test_resume import CONFIG, DATA
fit(DATA, CONFIG, Path(sys.argv[1]))
"""


def test_a_killed_process_is_resumed_to_the_same_weights(uninterrupted: Callable[[], Path], tmp_path: Path) -> None:
    out, root = tmp_path / "run", Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)], cwd=root, env=environment, stderr=subprocess.PIPE)
    while child.poll() is None and not list((out / WORK).glob("codes*")):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert read_info(out)["status"] == "running"
    fit(DATA, CONFIG, out, resume=True)
    assert same_weights(load_run(out), load_run(uninterrupted()))
    assert described(out) == described(uninterrupted())
    assert not list(out.rglob(".*.tmp"))


def files_of(run: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.is_file()}


def test_resuming_a_finished_run_leaves_it_as_it_is(uninterrupted: Callable[[], Path], tmp_path: Path) -> None:
    before = files_of(uninterrupted())
    assert same_weights(fit(DATA, CONFIG, uninterrupted(), resume=True), load_run(uninterrupted()))
    assert files_of(uninterrupted()) == before
    assert not (uninterrupted() / WORK).exists()


def test_an_existing_run_is_kept_unless_it_is_to_be_overwritten(
    uninterrupted: Callable[[], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="holds a run already"):
        fit(DATA, CONFIG, uninterrupted())
    other = tmp_path / "notes"
    other.mkdir()
    (other / "diary.txt").write_text("mine")
    for overwrite, resume in ((False, False), (True, False), (False, True)):
        with pytest.raises(UserError, match="exists and is no run"):
            fit(DATA, CONFIG, other, overwrite=overwrite, resume=resume)
    assert (other / "diary.txt").read_text() == "mine"
    for seed in (0, 5):
        quick = small(iterations=2, joint_iterations=2, judge_iterations=2, seed=seed)
        fit(DATA, quick, tmp_path / "run", overwrite=True)
    assert read_info(tmp_path / "run")["config"]["seed"] == 5
    # A mistake costs nothing.
    with pytest.raises(UserError, match="codes is 99"):
        fit(DATA, small(codes=99), tmp_path / "run", overwrite=True)
    assert load_run(tmp_path / "run").model.n_modes >= 1


def test_a_run_that_another_process_is_training_is_left_alone(
    uninterrupted: Callable[[], Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted(), out)
    write_info(out, read_info(out) | {"status": "running"})
    before = files_of(out)
    with locked(out, "held"):
        for resume in (True, False):
            with pytest.raises(UserError, match="another process is training into"):
                fit(DATA, CONFIG, out, resume=resume, overwrite=not resume)
    assert files_of(out) == before


def test_a_run_that_came_into_being_meanwhile_is_not_lost(uninterrupted: Callable[[], Path], tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="holds a run already"),
        held_folder(uninterrupted(), resume=False, overwrite=False),
    ):
        raise AssertionError("the folder was given away")
    with held_folder(tmp_path / "new", resume=False, overwrite=False):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()


def test_resuming_with_other_settings_or_other_data_or_nothing_is_refused(
    uninterrupted: Callable[[], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"started with seed = 0, not 3"):
        fit(DATA, small(**{**vars(CONFIG), "seed": 3}), uninterrupted(), resume=True)
    with pytest.raises(UserError, match="started on other data"):
        fit(two_laws(n_each=4, seed=9), CONFIG, uninterrupted(), resume=True)
    with pytest.raises(UserError, match=r"there is no run at .* to resume; start one with --out"):
        fit(DATA, CONFIG, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_kill_while_an_old_run_is_removed_leaves_a_run_or_an_empty_folder(
    uninterrupted: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(uninterrupted(), tmp_path / "run")
    seen: list[list[str]] = []

    def unlink(path: Path) -> None:
        path.rename(tmp_path / path.name)
        seen.append(sorted(entry.name for entry in out.iterdir()))

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(run_folder, "write_info", lambda out, info: None)
    run_folder.start_folder(out, {})
    assert len(seen) > 5
    assert all(INFO in left or not left for left in seen)
    assert seen[-1] == []


@pytest.mark.parametrize("by_step", [False, True])
def test_resuming_with_other_given_codes_is_refused(tmp_path: Path, by_step: bool) -> None:
    def codes(first: int) -> np.ndarray | list[np.ndarray]:
        of_episodes = np.array([first, 1, 0, 1, 0, 1, 0, 1])
        return [np.full(60, code) for code in of_episodes] if by_step else of_episodes

    quick = small(start="given", rounds=0, iterations=2)
    whole = fit(DATA, quick, tmp_path / "run", codes=codes(0))
    assert same_weights(whole, fit(DATA, quick, tmp_path / "run", codes=codes(0), resume=True))
    with pytest.raises(UserError, match="started from other codes than those given now"):
        fit(DATA, quick, tmp_path / "run", codes=codes(1), resume=True)


@pytest.fixture
def damaged(uninterrupted: Callable[[], Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    return shutil.copytree(uninterrupted(), tmp_path / "copy")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that died in the middle of the policy's training."""
    out, original = tmp_path_factory.mktemp("runs") / "killed", State.save

    def dying(state: State, path: Path) -> None:
        original(state, path)
        if (state.stage, state.iteration) == ("policy", 15):
            raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(State, "save", dying)
        with pytest.raises(Killed):
            fit(DATA, CONFIG, out)
    return out


@pytest.fixture
def interrupted(killed: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(killed, tmp_path / "interrupted")


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harmed",))


@pytest.mark.parametrize("kind", ["pickle", "torch archive"])
@pytest.mark.parametrize("name", [WEIGHTS, POLICY])
def test_a_pickle_in_place_of_tensors_is_never_read(damaged: Path, interrupted: Path, name: str, kind: str) -> None:
    out = damaged if name == WEIGHTS else interrupted
    if kind == "pickle":
        (out / name).write_bytes(pickle.dumps(Harmful()))
    else:
        torch.save({"weights": torch.zeros(1)}, out / name)
    with pytest.raises(UserError, match="is a pickle"):
        fit(DATA, CONFIG, out, resume=True)
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
    for attempt in (lambda: load_run(damaged), lambda: fit(DATA, CONFIG, damaged, resume=True)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["status", "config", "dataset", "summary"])
def test_a_run_that_lacks_what_training_wrote_is_named_in_one_line(damaged: Path, name: str) -> None:
    info = json.loads((damaged / INFO).read_text())
    del info[name]
    (damaged / INFO).write_text(json.dumps(info))
    for attempt in (lambda: load_run(damaged), lambda: fit(DATA, CONFIG, damaged, resume=True)):
        with pytest.raises(UserError, match=r"run\.json is damaged"):
            attempt()


@pytest.mark.parametrize("name", [INFO, MODEL])
@pytest.mark.parametrize(("version", "complaint"), [(99, r"format 99.*upgrade"), (1, r"format 1, of release 0\.1")])
def test_another_format_asks_for_an_upgrade_or_for_training_again(
    damaged: Path, name: str, version: int, complaint: str
) -> None:
    values = json.loads((damaged / name).read_text())
    (damaged / name).write_text(json.dumps(values | {"format_version": version}))
    with pytest.raises(UserError, match=complaint):
        load_run(damaged)


@pytest.mark.parametrize(
    ("changes", "lost", "complaint"),
    [
        ({"format_version": 99}, None, "format 99"),
        ({"format_version": None}, None, "no format_version"),
        ({}, "rounds", "rounds is missing"),
        ({}, "model.alive", "lacks alive"),
        ({}, "codes", "codes is missing"),
    ],
)
def test_a_state_of_another_format_or_without_its_parts_is_refused(
    interrupted: Path, changes: dict, lost: str | None, complaint: str
) -> None:
    tensors, record = read_tensors(interrupted / POLICY)
    tensors.pop(str(lost), None)
    record.pop(str(lost), None)
    write_tensors(interrupted / POLICY, tensors, record | changes)
    with pytest.raises(UserError, match=rf"policy\.safetensors.*{complaint}"):
        fit(DATA, CONFIG, interrupted, resume=True)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", [POLICY, f"{WORK}/codes.safetensors"])
def test_a_run_is_not_resumed_from_a_state_with_a_flipped_bit(interrupted: Path, name: str, share: float) -> None:
    content = bytearray((interrupted / name).read_bytes())
    content[int(share * len(content))] ^= 1
    (interrupted / name).write_bytes(content)
    with pytest.raises(UserError, match=r"(policy|codes)\.safetensors .*damaged"):
        fit(DATA, CONFIG, interrupted, resume=True)


@pytest.mark.parametrize("name", ["encoder_hidden", "code_dim", "obs_dim", "n_codes", "memory", "chunk"])
def test_a_model_that_is_larger_than_its_weights_is_refused_before_it_is_made(damaged: Path, name: str) -> None:
    values = json.loads((damaged / MODEL).read_text())
    values["config"][name] = 10**12
    (damaged / MODEL).write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"model\.json describes layers of up to .*; they do not belong together"):
        load_run(damaged)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is no run"):
        load_run(tmp_path)


def test_weights_that_are_not_finite_are_refused(damaged: Path) -> None:
    tensors = weights_of(load_run(damaged))
    tensors["actor.of_inputs.bias"] = torch.full_like(tensors["actor.of_inputs.bias"], float("nan"))
    digest = write_tensors(damaged / WEIGHTS, tensors)
    values = json.loads((damaged / MODEL).read_text())
    (damaged / MODEL).write_text(json.dumps(values | {"weights_sha256": digest}))
    with pytest.raises(UserError, match=r"actor\.of_inputs\.bias holds values that are not finite"):
        load_run(damaged)


def test_the_settings_of_a_run_are_kept(uninterrupted: Callable[[], Path]) -> None:
    kept = TrainConfig.from_dict(read_info(uninterrupted())["config"])
    assert kept == small(**{**vars(CONFIG), "workers": None})
