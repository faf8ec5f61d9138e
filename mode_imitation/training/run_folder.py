"""A run on disk.

run.json           what was trained, on what, with which settings, and what came out
model.safetensors  the weights
model.json         sizes and kinds (ModelConfig), and the weights' checksum
tensorboard/       the log
work/              until the run is finished: everything that is needed to go on after a kill
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mode_imitation.atomic import locked, write_json
from mode_imitation.data.spaces import Sensor, slices_of
from mode_imitation.errors import UserError
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.own_files import foreign_entry, remove_own
from mode_imitation.training.tensor_files import file_digest, read_tensors, write_tensors

FORMAT_VERSION = 2

INFO = "run.json"
WEIGHTS = "model.safetensors"
MODEL = "model.json"
WORK = "work"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    model: ModeModel
    """On the asked device, in evaluation mode, without gradients."""
    info: dict[str, Any]
    """run.json: config, dataset, source, env_id, sensors ({name: [start, stop, kind]}), versions, summary,
    training_episodes and held_out_episodes (indices into the dataset), layout_seeds, assignment (code per training
    episode) and, where codes were given by segment, segments (codes per training episode), or, where switches were
    looked for, switches (first step and code of every stretch, per training episode); given_codes (their sha256)."""

    @property
    def sensors(self) -> dict[str, Sensor] | None:
        """Which part of an observation each sensor is; None where the data did not say."""
        found = self.info.get("sensors")
        return {name: Sensor(*entry) for name, entry in found.items()} if found else None

    @property
    def observation_slices(self) -> dict[str, slice] | None:
        """The same as slices."""
        return slices_of(self.sensors)

    def held_out(self, n_episodes: int) -> list[int]:
        """Which of so many episodes training did not see; empty where it saw all."""
        found = self.info.get("held_out_episodes")
        return [index for index in found or [] if 0 <= index < n_episodes]


def save_model(folder: Path, model: ModeModel) -> None:
    """Write model.safetensors and then model.json, which vouches for it."""
    digest = write_tensors(folder / WEIGHTS, model.state_dict())
    write_json(
        folder / MODEL, {"format_version": FORMAT_VERSION, "config": model.config.to_dict(), "weights_sha256": digest}
    )


def load_run(path: str | Path, device: str | torch.device = "cpu") -> Run:
    """Read a finished run.

    Raises:
        UserError: the folder is missing, unfinished, damaged, of a newer format, or holds a pickle.
    """
    path = Path(path)
    info = read_info(path)
    if info.get("status") != "complete":
        raise UserError(f"{path}: training was not finished; go on with: mode-imitation train --resume {path}")
    described = _read_json(path / MODEL)
    check_format(path / MODEL, described)
    tensors, _ = read_tensors(path / WEIGHTS)
    if file_digest(path / WEIGHTS) != described.get("weights_sha256"):
        raise UserError(f"{path / WEIGHTS} is damaged: its checksum is not the one in {MODEL}; train again")
    config = ModelConfig.from_dict(_mapping(path / MODEL, described.get("config")))
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    if config.widest > widest:  # before a model is made that does not fit into memory
        raise UserError(
            f"{path / MODEL} describes layers of up to {config.widest:,} numbers, the weights have {widest:,} at most; "
            "they do not belong together; train again"
        )
    model = ModeModel(config)
    load_weights(model, tensors, path / WEIGHTS)
    model.eval().requires_grad_(False)
    return Run(path, model.to(device), info)


def load_weights(model: ModeModel, tensors: dict[str, Tensor], source: Path) -> None:
    """Fill a model with tensors by name.

    Raises:
        UserError: a tensor is missing, surplus, of another shape, or not finite.
    """
    expected = model.state_dict()
    for name in sorted(set(expected) ^ set(tensors)):
        problem = "lacks" if name in expected else "has the unknown tensor"
        raise UserError(f"{source} {problem} {name}; it does not belong to this model; train again")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            raise UserError(f"{source}: {name} has shape {shapes}; train again")
        if not torch.isfinite(tensor).all():
            raise UserError(f"{source}: {name} holds values that are not finite; train again")
    model.load_state_dict(tensors)


def read_info(path: str | Path) -> dict[str, Any]:
    """run.json of a run, finished or not.

    Raises:
        UserError: the folder is missing, no run, damaged, or of a newer format.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"there is no run at {path}; expected a folder made by `mode-imitation train --out {path}`")
    if not (path / INFO).exists():
        raise UserError(f"{path} is no run: it has no {INFO}; expected a folder made by `mode-imitation train`")
    info = _read_json(path / INFO)
    check_format(path / INFO, info)
    if "status" not in info:
        raise UserError(f"{path / INFO} is damaged: it has no status; train again")
    # What training put there from the start, and what it adds at the end.
    for name in ("config", "dataset", *(["summary"] if info["status"] == "complete" else [])):
        _mapping(path / INFO, info.get(name))
    if "checksum" not in info["dataset"]:
        raise UserError(f"{path / INFO} is damaged: its dataset has no checksum; train again")
    return info


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write run.json, atomically."""
    write_json(folder / INFO, {"format_version": FORMAT_VERSION, **info})


REPORT = (
    *("report.json", "report.md", "panels.png", "modes-and-experts.png", "where.png", "sensors.png", "exemplars.png"),
    *("latent-map.png", "blend.png", "confusion.png", "shares.png", "attribution-*.json", "attribution-*.png"),
)
"""What `modes` and `attribute` write into a run's folder."""
FORMER = "checkpoint.safetensors"
"""Of runs that release 0.1 made."""
JOBS = tuple(f"{WORK}/{name}.safetensors" for name in ("codes", "policy"))
FILES = (INFO, MODEL, WEIGHTS, FORMER, *REPORT)
TEMPORARY = tuple(f".{name}.????????.tmp" for name in FILES)
"""What an atomic write leaves of them when it is killed."""
OWN = (
    *(*FILES, *TEMPORARY, *JOBS, f"{WORK}/.*.????????.tmp"),
    *(f"{TENSORBOARD}/{part}events.out.tfevents.*" for part in ("", "codes/", "policy/")),
)
"""All that --overwrite may delete."""


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> bool:
    """See whether a run may go into a folder; nothing is written yet.

    Returns:
        Whether there is a run to go on with.

    Raises:
        UserError: the folder exists and neither resume nor overwrite was asked for, it is no run, or it is to be
            overwritten and holds something that the project did not write.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; expected a folder for the run; choose another --out")
    # A kill during the very first write leaves only an atomic write's temporary file.
    found = [entry for entry in out.iterdir() if not _is_temporary(entry)] if out.exists() else []
    if found and not (out / INFO).exists():
        raise UserError(f"{out} exists and is no run: it has no {INFO}; choose another --out")
    if found and not resume and not _is_run(out / INFO):
        raise UserError(f"{out} exists and is no run: its {INFO} is damaged or another program's; choose another --out")
    if found and not (resume or overwrite):
        raise UserError(f"{out} holds a run already; choose another --out, or give --resume {out} or --overwrite")
    if found and not resume:
        _check_own(out)
    return bool(found) and resume


@contextlib.contextmanager
def held_folder(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Keep other processes from training into a folder; it is made, and removed again where nothing came into it.

    Raises:
        UserError: another process has it, or has put a run there since it was looked at.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out, f"another process is training into {out}; wait for it to end, or choose another --out"):
            check_folder(out, resume=resume, overwrite=overwrite)
            yield
    finally:
        with contextlib.suppress(OSError):  # it holds a run
            out.rmdir()


def start_folder(out: Path, info: dict[str, Any]) -> None:
    """Begin a run with its run.json; a run that is there is replaced.

    Raises:
        UserError: see `clear_folder`.
    """
    clear_folder(out)
    write_info(out, info)


def clear_folder(out: Path, also: tuple[str, ...] = ()) -> None:
    """Remove a run's files.

    What tells that the folder is a run goes last: it is one, or empty, at whatever instant the process dies.

    Args:
        out: the run's folder, which stays.
        also: files that the caller keeps there.

    Raises:
        UserError: something lies in the folder that the project did not write; nothing was deleted.
    """
    _check_own(out, also)
    remove_own(out, (*OWN, *also), last=INFO)


def tidy_folder(out: Path) -> None:
    """Remove the temporary files that a kill left."""
    for leftover in [*filter(_is_temporary, out.glob(".*.tmp")), *(out / WORK).glob(".*.tmp")]:
        leftover.unlink()


def _check_own(out: Path, also: tuple[str, ...] = ()) -> None:
    foreign = foreign_entry(out, (*OWN, *also))
    if foreign is not None:
        raise UserError(
            f"{foreign} is none of a run's files; nothing was overwritten, move it away or choose another --out"
        )


def _is_temporary(path: Path) -> bool:
    return path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in TEMPORARY)


def _is_run(path: Path) -> bool:
    """Whether a run.json, of any format, is one of ours."""
    try:
        return {"format_version", "status"} <= _read_json(path).keys()
    except UserError:
        return False


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return _mapping(path, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; the run is damaged; train again") from None
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged: it is not valid JSON; train again") from None


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: it holds a {type(value).__name__} where a table was expected; train again")
    return value


def check_format(path: Path, values: dict[str, Any], newest: int = FORMAT_VERSION) -> None:
    """
    Raises:
        UserError: a file's record has no format, or one of another version.
    """
    version = values.get("format_version")
    if not isinstance(version, int):
        raise UserError(f"{path} is damaged: it has no format_version; train again")
    if version > newest:
        raise UserError(f"{path} is of format {version}, this version reads {newest}; upgrade mode-imitation")
    if version < newest:
        raise UserError(f"{path} is of format {version}, of release 0.1; this version reads {newest}; train again")


class RunFolder:
    """The folder that a run is made in.

    Attributes:
        path: of the folder.
        complete: whether the run in it is finished already.
        record: run.json.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.complete, self.record = path, False, {}

    @contextlib.contextmanager
    def held(self, record: dict[str, Any], *, resume: bool, overwrite: bool) -> Iterator["RunFolder"]:
        """Keep other processes out, and begin the run, or go on with it.

        Args:
            record: what run.json says from the start.
            resume: go on with the run that is there.
            overwrite: replace it.

        Raises:
            UserError: the folder does not allow it, or holds a run of other settings or data.
        """
        going_on = check_folder(self.path, resume=resume, overwrite=overwrite)
        if resume and not going_on:
            raise UserError(f"there is no run at {self.path} to resume; start one with --out {self.path}")
        if going_on:
            same_run(read_info(self.path), record, self.path)
        with held_folder(self.path, resume=resume, overwrite=overwrite):
            if going_on:
                self.record = read_info(self.path)
                self.complete = self.record.get("status") == "complete"
            else:
                self.record = record | {"status": "running"}
                start_folder(self.path, self.record)
            tidy_folder(self.path)
            yield self

    def finish(self, model: ModeModel, found: dict[str, Any], device: torch.device) -> Run:
        """Write the model, mark the run complete, and remove what only served to go on."""
        save_model(self.path, model)
        write_info(self.path, self.record | {"status": "complete"} | found)
        remove_own(self.path, (*JOBS, f"{WORK}/.*.????????.tmp"))
        return load_run(self.path, device)


def same_run(info: dict[str, Any], record: dict[str, Any], out: Path) -> None:
    """
    Raises:
        UserError: a run, of which `info` is the record, was started with other settings or codes, or on other data.
    """
    before, now = info["config"], json.loads(json.dumps(record["config"]))
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise UserError(
            f"{out} was started with {name} = {before.get(name)}, not {now[name]}; "
            "resume with the same settings, or start anew with --overwrite"
        )
    if info["dataset"]["checksum"] != record["dataset"]["checksum"]:
        raise UserError(
            f"{out} was started on other data than {record['dataset']['name']} holds now; "
            f"resume with dataset {info['dataset']['name']} as it was, or start anew with --overwrite"
        )
    if info.get("given_codes") != record.get("given_codes"):
        raise UserError(
            f"{out} was started from other codes than those given now; "
            "resume with the same ones, or start anew with --overwrite"
        )
