"""Tensors and a JSON record in one safetensors file, written atomically. Nothing is ever unpickled."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mode_imitation.atomic import as_json, write_atomic
from mode_imitation.errors import UserError

RECORD = "record"
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""First bytes of a pickle, and of the zip archive of pickles that torch.save writes."""


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, Any] | None = None) -> str:
    """Write tensors and a record that JSON can hold, as one file that is there whole or not at all.

    Returns:
        sha256 of the file.
    """
    metadata = {RECORD: json.dumps(record or {}, default=as_json)}
    # Copies: safetensors refuses tensors that share memory.
    content = save({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, metadata)
    write_atomic(path, lambda temporary: temporary.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """
    Returns:
        The tensors, on the CPU, and the record.

    Raises:
        UserError: the file is missing, damaged, or something else than safetensors, a pickle say.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; expected a safetensors file; train again") from None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = json.loads((file.metadata() or {}).get(RECORD, "{}"))
    except (SafetensorError, ValueError, OSError) as error:
        # Asked only now: a sound file may begin with the same bytes, which tell the length of its header.
        if start.startswith(PICKLE_STARTS):
            raise UserError(
                f"{path} is a pickle (or an archive of them), which can run code when it is read; it was left unread; "
                "only safetensors files are accepted"
            ) from None
        raise UserError(f"{path} is damaged or no safetensors file ({error}); train again") from None
    return tensors, record


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
