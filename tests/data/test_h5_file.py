"""H5 files of strangers: what a file does not hold itself is never read, and what it declares is held to its bytes."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from feature_meta import feature_meta

import hage_transfer
from hage_transfer.data.feature_file import read_features, read_header, write_features
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
COORDS = np.arange(12).reshape(6, 2) * 256
META = feature_meta("s", encoder="uni", encoder_licence="MIT", config_sha256="c" * 64)


def replaced(name, make):
    def spoil(file, folder):
        if name in file:
            del file[name]
        make(file, folder)

    return spoil


def external(file, folder):
    (folder / "secret.bin").write_bytes(bytes(96))
    file.create_dataset("features", (6, 4), "f4", external=[(folder / "secret.bin", 0, 96)])


def linked(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["features"] = ROWS
    file["features"] = h5py.ExternalLink("other.h5", "/features")


def put_together(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["features"] = ROWS
    layout = h5py.VirtualLayout((6, 4), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "features", (6, 4))
    file.create_virtual_dataset("features", layout)


def soft(file, folder):
    file["elsewhere"] = ROWS
    file["features"] = h5py.SoftLink("/elsewhere")


def half_written(file, folder):
    rows = file.create_dataset("features", (6, 4), "f4", chunks=(2, 4))
    rows[:2] = ROWS[:2]


def feature(**how):
    return replaced("features", lambda file, folder: file.create_dataset("features", **how))


SPOILED = {
    "external storage": (replaced("features", external), "lies in other files"),
    "an external link": (replaced("features", linked), r"features is a link to /features"),
    "a soft link": (replaced("features", soft), "features is a link to /elsewhere"),
    "a dangling link": (
        replaced("features", lambda file, _: file.__setitem__("features", h5py.SoftLink("/nowhere"))),
        "is a link to /nowhere",
    ),
    "a virtual dataset": (replaced("features", put_together), "lies in other files"),
    "a null dataspace": (
        replaced("features", lambda file, _: file.__setitem__("features", h5py.Empty("f4"))),
        "holds no values",
    ),
    "a group": (replaced("features", lambda file, _: file.create_group("features")), "is a group"),
    "references": (feature(shape=(6, 4), dtype=h5py.ref_dtype), "of type object"),
    "compounds": (feature(data=np.zeros(6, [("x", "f4"), ("y", "f4")])), r"of type \[\('x'"),
    "rows of any length": (feature(shape=(6,), dtype=h5py.vlen_dtype(np.float32)), "of type object"),
    "text": (feature(data=np.array([b"a"] * 6)), "of type text"),
    "complex numbers": (feature(data=ROWS.astype("c8")), "of type complex64"),
    "rows of which none was written": (feature(shape=(6, 4), dtype="f4"), "the file holds 0 of them"),
    "7 GB in 7 kB": (feature(shape=(1_000_000, 1_792), dtype="f4", chunks=(1000, 1792)), "is it whole"),
    "1e9 rows": (feature(shape=(10**9, 4), dtype="f4", chunks=(10, 4)), "is it whole"),
    "half of the rows": (replaced("features", half_written), "1 of 3 pieces of features were written"),
    "one coordinate too few": (
        replaced("coords", lambda file, _: file.__setitem__("coords", COORDS[:5])),
        r"coords .*for 6 rows|5 coords for 6 rows",
    ),
    "negative coords": (replaced("coords", lambda file, _: file.__setitem__("coords", COORDS - 1)), "go from -1"),
    "absurd coords": (replaced("coords", lambda file, _: file.__setitem__("coords", COORDS * 10**12)), "go from 0"),
    "coords of text": (
        replaced("coords", lambda file, _: file.__setitem__("coords", [["a", "b"]] * 6)),
        "coords of type",
    ),
    "coords that are a link": (
        replaced("coords", lambda file, _: file.__setitem__("coords", h5py.SoftLink("/x"))),
        "coords is a link",
    ),
}


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "s.h5"
    write_features(path, ROWS, META, coords=COORDS)
    return path


@pytest.fixture
def foreign(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["features"], file["coords"] = ROWS, COORDS
    return path


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("whose", ["own", "foreign"])
def test_what_is_not_in_the_file_or_of_another_kind_is_refused_in_one_message(request, tmp_path, kind, whose):
    path, (spoil, said) = request.getfixturevalue(whose), SPOILED[kind]
    with h5py.File(path, "r+") as file:
        spoil(file, tmp_path)
    for read in (open_features, read_features, read_header) if whose == "own" else (open_features,):
        with pytest.raises(DataError, match=said) as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder", np.arange(3)),
        ("encoder", h5py.Empty("f4")),
        ("source", 3.5),
        ("patch_size_px", "large"),
        ("patch_size_px", -4),
        ("patch_size_level0_px", 2.5),
        ("views", [1, 2]),
        ("mpp_um_per_px", "0.5"),
        ("mpp_um_per_px", np.inf),
        ("schema_version", "one"),
    ],
)
def test_attributes_of_another_type_are_named(own, name, value):
    with h5py.File(own, "r+") as file:
        file.attrs[name] = value
    for read in (open_features, read_features, read_header):
        with pytest.raises(DataError, match=f"s.h5: attribute {name} is"):
            read(own)


def test_keys_that_are_no_text_are_named(own):
    with h5py.File(own, "r+") as file:
        file["keys"] = np.array([b"\xff\xfe"] * 6, dtype=h5py.string_dtype())
    for read in (open_features, read_features):
        with pytest.raises(DataError, match="keys hold bytes that are no UTF-8"):
            read(own)


def test_rows_that_do_not_fit_into_memory_are_refused(own, monkeypatch):
    monkeypatch.setattr("hage_transfer.data.h5_file.available_bytes", lambda: 10)
    for read in (read_features, lambda path: open_features(path).read()):
        with pytest.raises(DataError, match="of memory are free"):
            read(own)


def test_text_whose_lengths_are_past_the_file_takes_no_memory(own):
    with h5py.File(own, "r+") as file:
        file.create_dataset("keys", data=[f"k{row}" for row in range(6)], dtype=h5py.string_dtype())
        offset = file["keys"].id.get_offset()
    with own.open("r+b") as file:
        file.seek(offset)
        file.write((2_000_000_000).to_bytes(4, "little"))
    for read in (open_features, read_features):
        with pytest.raises(DataError, match="keys declares more text than the file holds"):
            read(own)


def test_text_that_hdf5_would_walk_through_without_end_is_refused(own):
    data = bytearray(own.read_bytes())
    place = data.index(b"GCOL") + 16
    while int.from_bytes(data[place : place + 2], "little"):  # to the free part behind the texts
        place += 16 + (int.from_bytes(data[place + 8 : place + 16], "little") + 7) // 8 * 8
    data[place + 8 : place + 16] = bytes(8)
    own.write_bytes(data)
    for read in (open_features, read_features, read_header):
        with pytest.raises(DataError, match="damaged where that lies"):
            read(own)


def test_h5_files_are_opened_with_care_everywhere():
    opened = re.compile(r"h5py\.File\(|h5py\.h5f\.open|\b(ad|anndata|sc|scanpy)\.read_\w*h5ad|import .*\bread_h5ad\b")
    folder = Path(hage_transfer.__file__).parent
    sources = {path for part in (folder, *folder.iterdir()) if part.is_dir() for path in part.rglob("*.py")}
    found = {
        str(path.relative_to(folder)): line
        for path in sources
        for line in path.read_text().splitlines()
        if opened.search(line) and "hage_transfer.data.h5_file import" not in line
    }
    assert set(found) == {"data/h5_file.py"}, found  # h5_writing's `_NewFile` is a class of its own
