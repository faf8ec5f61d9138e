"""Tensors and a JSON record in one safetensors file that vouches for itself, written atomically.

The file's one entry of metadata, "record", is a sha256 over all that the file says, two spaces, and the record as JSON.
Nothing is ever unpickled.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mode_imitation.atomic import as_json, write_atomic
from mode_imitation.errors import UserError

RECORD = "record"
DIGEST = re.compile(r"[0-9a-f]{64}")
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)
"""What reading a damaged file may raise beside safetensors' own error: its types and torch's are not the same ones."""
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""First bytes of a pickle, and of the zip archive of pickles that torch.save writes."""


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, Any] | None = None) -> str:
    """Write tensors and a record that JSON can hold, as one file that is there whole or not at all.

    Returns:
        sha256 of the file.
    """
    # Copies: safetensors refuses tensors that share memory.
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    text = json.dumps(record or {}, default=as_json)
    # One entry for both: safetensors writes several in any order, and equal runs shall have equal files.
    content = save(own, {RECORD: f"{content_digest(own, text)}  {text}"})
    write_atomic(path, lambda temporary: temporary.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """
    Returns:
        The tensors, on the CPU, and the record.

    Raises:
        UserError: the file is missing, not to the bit what was written, or something else than safetensors, a pickle
            say.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; expected a safetensors file; train again") from None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected, _, text = (file.metadata() or {}).get(RECORD, "").partition("  ")
    except (*UNREADABLE, SafetensorError) as error:
        # Asked only now: a sound file may begin with the same bytes, which tell the length of its header.
        if start.startswith(PICKLE_STARTS):
            raise UserError(
                f"{path} is a pickle (or an archive of them), which can run code when it is read; it was left unread; "
                "only safetensors files are accepted"
            ) from None
        raise UserError(f"{path} is damaged or no safetensors file ({error}); train again") from None
    if not DIGEST.fullmatch(expected):
        raise UserError(f"{path} has no checksum: it is damaged, or an earlier release wrote it; train again")
    found = content_digest(tensors, text)
    if found != expected:
        raise UserError(
            f"{path} is damaged: its checksum is {found[:12]}, expected {expected[:12]} as it was written; train again"
        )
    return tensors, json.loads(text)


def content_digest(tensors: dict[str, Tensor], text: str) -> str:
    """sha256 over a text and each tensor's name, type, shape and bytes; contiguous ones on the CPU."""
    digest = hashlib.sha256(json.dumps(text).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
