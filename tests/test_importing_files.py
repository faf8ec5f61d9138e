"""Files of arrays are read without running anything in them; damaged and missing ones are one clear line."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.importing import import_arrays
from mode_imitation.errors import UserError
from tests.foreign_arrays import LENGTHS, do_import, make_arrays


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.zeros(2), np.zeros(3), np.zeros(4)]
    with pytest.raises(UserError, match="Python objects, which are never unpickled"):
        do_import(tmp_path, arrays | {"observations": ragged})


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, suffix: str) -> None:
    do_import(tmp_path, make_arrays(LENGTHS, final=True), suffix)
    source = tmp_path / f"arrays{suffix}"
    for content in (b"", b"nonsense", source.read_bytes()[:700]):
        source.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read") as caught:
            import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))
        assert "\n" not in str(caught.value)


def test_an_npz_with_any_byte_changed_is_read_or_one_clear_line(tmp_path: Path) -> None:
    source = tmp_path / "arrays.npz"
    arrays: dict = make_arrays(LENGTHS, final=True)
    np.savez_compressed(source, **arrays)
    content = source.read_bytes()
    refused = []
    for where in np.random.default_rng(0).choice(len(content), 300, replace=False):
        source.write_bytes(content[:where] + bytes([content[where] ^ 0x5A]) + content[where + 1 :])
        try:
            import_arrays(ImportConfig(sources=(source,), out="other/any-v0", root=tmp_path, overwrite=True))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert not any("\n" in message for message in refused)


def test_what_is_no_archive_of_arrays_is_one_clear_line(tmp_path: Path) -> None:
    source = tmp_path / "arrays.npz"
    with source.open("wb") as file:
        np.save(file, np.zeros((3, 2)))
    with pytest.raises(UserError, match="is one array without a name; expected several, saved with"):
        import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("observations", "actions"):
            archive.writestr(f"{name}.npy", "not an array")
    with pytest.raises(UserError, match="observations is a file, not an array"):
        import_arrays(ImportConfig(sources=(source,), out="other/more-v0", root=tmp_path))


def test_a_missing_or_unknown_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        import_arrays(ImportConfig(sources=(tmp_path / "none.npz",), out="a-v0", root=tmp_path))
    (tmp_path / "x.mat").touch()
    with pytest.raises(UserError, match=r"no .npz, .h5, .hdf5, .csv, .parquet file"):
        import_arrays(ImportConfig(sources=(tmp_path / "x.mat",), out="a-v0", root=tmp_path))


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("external link", "observations is a link to .*other.h5/observations, and links are not followed"),
        ("soft link", "observations is a link to /elsewhere, and links are not followed"),
        ("external storage", "the numbers of observations lie in another file"),
        ("virtual", "the numbers of observations lie in another file"),
    ],
)
def test_what_hdf5_keeps_in_other_files_is_refused(tmp_path: Path, pointer: str, message: str) -> None:
    arrays = make_arrays(LENGTHS, final=True)
    observations = arrays.pop("observations")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["observations"] = observations
    (tmp_path / "secret").write_bytes(observations.tobytes())
    source = tmp_path / "arrays.h5"
    with h5py.File(source, "w") as file:
        for key, values in arrays.items():
            file[key] = values.astype("S") if values.dtype.kind == "U" else values
        if pointer == "external link":
            file["observations"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/observations")
        elif pointer == "soft link":
            file["elsewhere"] = observations
            file["observations"] = h5py.SoftLink("/elsewhere")
        elif pointer == "external storage":
            file.create_dataset(
                "observations",
                observations.shape,
                observations.dtype,
                external=[(str(tmp_path / "secret"), 0, observations.nbytes)],
            )
        else:
            layout = h5py.VirtualLayout(observations.shape, observations.dtype)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "observations", observations.shape)
            file.create_virtual_dataset("observations", layout)
    with pytest.raises(UserError, match=message):
        import_arrays(ImportConfig(sources=(source,), out="other/arrays-v0", root=tmp_path))


def test_arrays_of_groups_are_taken_by_their_path(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        for key, values in make_arrays(LENGTHS, final=True).items():
            file[f"train/{key}"] = values.astype("S") if values.dtype.kind == "U" else values
    config = ImportConfig(sources=(tmp_path / "arrays.h5",), out="other/arrays-v0", root=tmp_path)
    names: dict = {key: f"train/{key}" for key in ("observations", "actions", "episode_lengths", "labels")}
    import_arrays(replace(config, **names))
    assert load_dataset("other/arrays-v0", tmp_path).lengths.tolist() == LENGTHS


def test_what_is_larger_than_the_memory_is_told_before_it_is_read(tmp_path: Path) -> None:
    shape = (10**12, 2)
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        file.create_dataset("observations", shape, "f4", chunks=(1000, 2))  # nothing is written of it
        file["actions"] = np.zeros((3, 1))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        for name in ("observations", "actions"):
            archive.writestr(f"{name}.npy", header.getvalue())
    for name in ("arrays.h5", "arrays.npz"):
        with pytest.raises(UserError, match=rf"{name} needs (16|32),000.0 GB of memory, there are [\d.]+ GB; cut it"):
            import_arrays(ImportConfig(sources=(tmp_path / name,), out="other/arrays-v0", root=tmp_path))
