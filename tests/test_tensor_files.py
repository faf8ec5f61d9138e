"""A file of tensors vouches for itself: what is read is what was written, to the bit, or one clear line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mode_imitation.errors import UserError
from mode_imitation.training.tensor_files import read_tensors, write_tensors

TENSORS = {
    "weights": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "codes": torch.arange(5),
    "moved": torch.tensor([True, False]),
    "generator": torch.arange(7, dtype=torch.uint8),
    "step": torch.tensor(2.5),
    "none": torch.zeros(0, 2),
}
RECORD = {"stage": "refinement", "iteration": 40, "restarts": [{"score": 1.5}], "name": "é"}


def test_what_is_written_is_what_is_read_and_equal_contents_are_equal_files(tmp_path: Path) -> None:
    digests = {write_tensors(tmp_path / name, TENSORS, RECORD) for name in ("one", "two")}
    assert len(digests) == 1
    tensors, record = read_tensors(tmp_path / "one")
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    assert all(tensors[name].dtype == TENSORS[name].dtype for name in TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_flipped_bit_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, TENSORS, RECORD)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="train again") as caught:
            read_tensors(path)
        assert str(caught.value).startswith(str(path)), place
        assert "\n" not in str(caught.value), place


def test_tensors_or_a_record_of_another_file_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS, RECORD)
    header_size = int.from_bytes((tmp_path / "file").read_bytes()[:8], "little")
    entry = json.loads((tmp_path / "file").read_bytes()[8 : 8 + header_size])["__metadata__"]
    others = {"codes": TENSORS["codes"].flip(0), "step": TENSORS["step"].reshape(1), "moved": torch.ones(2).byte()}
    for name, tensor in others.items():
        tensors = {key: value.contiguous() for key, value in (TENSORS | {name: tensor}).items()}
        save_file(tensors, tmp_path / "file", entry)
        with pytest.raises(UserError, match=r"is damaged: its checksum is \w{12}, expected \w{12} as it was written"):
            read_tensors(tmp_path / "file")


@pytest.mark.parametrize("metadata", [None, {}, {"record": "{}"}, {"record": ""}])
def test_a_file_without_a_checksum_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "file", metadata)
    with pytest.raises(UserError, match="has no checksum: it is damaged, or an earlier release wrote it; train again"):
        read_tensors(tmp_path / "file")
