"""Text of any length in h5 files: right files pass, and no damaged length makes HDF5 take memory or hang."""

import contextlib
import re
import struct
import zlib

import anndata as ad
import h5py
import imagecodecs
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from feature_meta import feature_meta

from hage_transfer.data.feature_file import read_features, read_header, write_features
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.data.h5_file import check_below, open_h5, read_h5ad
from hage_transfer.data.sections.h5ad import open_h5ad
from hage_transfer.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
WORDS = ["one", "", "θ two", "three " * 300, "four", "five"]
LENGTHS = (4_000_000_000, 2_000_000_000, 70_000, 4)
STORED = {
    "in one piece": {},
    "in pieces": {"chunks": (4,)},
    "packed": {"chunks": (4,), "compression": "gzip", "shuffle": True},
    "packed by lzf": {"chunks": (4,), "compression": "lzf"},
}


def table():
    """AnnData with text in every place that anndata writes it to."""
    obs = pd.DataFrame(
        {
            "word": WORDS,
            "kind": pd.Categorical(["a", "b", None, "a", "b", "a"]),
            "ordered": pd.Categorical(list("xyzxyz"), categories=list("zyx"), ordered=True),
            "count": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "flag": pd.array([True, None, False, True, True, False], dtype="boolean"),
            **{f"column {number}": range(6) for number in range(9)},
        },
        index=[f"spot {row}" for row in range(6)],
    )
    uns = {
        "text": "θ" * 5000,
        "empty": "",
        "none": None,
        "words": np.array(WORDS, dtype=object),
        "deep": {"er": {"name": "x", "n": 3, "table": obs[["word", "kind"]]}},
    }
    found = ad.AnnData(sp.csr_matrix(ROWS), obs, pd.DataFrame(index=list("ABCD")), uns=uns)
    found.layers["zeros"], found.obsm["spatial"], found.raw = np.zeros((6, 4)), ROWS[:, :2], found
    return found


def rewritten(path, **how):
    """The same content in a file that is made in another way."""
    with h5py.File(path, "r") as old, h5py.File(path.with_name("new.h5ad"), "w", **how) as new:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    return path.with_name("new.h5ad")


@pytest.mark.parametrize(
    ("packed", "how"),
    [
        (None, None),
        ("gzip", None),
        ("lzf", {"libver": "latest"}),
        (None, {"userblock_size": 512}),
        ("gzip", {"track_order": True}),
    ],
)
def test_right_anndata_of_every_form_is_read(tmp_path, packed, how):
    path, wanted = tmp_path / "s.h5ad", table()
    wanted.write_h5ad(path, compression=packed)
    path = path if how is None else rewritten(path, **how)
    found = read_h5ad(path)
    assert found.uns["text"] == wanted.uns["text"] and found.uns["words"].tolist() == WORDS
    with open_h5ad(path) as file:
        assert list(file.index("obs")) == list(wanted.obs_names)
        for name in wanted.obs:
            assert file.column("obs", name).astype(str).tolist() == wanted.obs[name].astype(str).tolist()


def references(data, *, past=0):
    """Places of references to texts: length, collection, number."""
    collections = [match.start() - past for match in re.finditer(b"GCOL\x01", data)]
    return [
        match.start() - 4
        for address in collections
        for match in re.finditer(re.escape(struct.pack("<Q", address)), data)
        if 0 < struct.unpack_from("<I", data, match.start() - 4)[0] < 5000
        and struct.unpack_from("<I", data, match.start() + 8)[0] < 1000
    ]


def reads(path):
    with open_h5(path) as file:
        check_below(path, file)
        for one in (file, file["t"]):
            dict(one.attrs)
        return file["t"][...]


@pytest.mark.parametrize("how", STORED.values(), ids=list(STORED))
@pytest.mark.parametrize("userblock", [0, 512])
def test_a_damaged_length_of_a_text_is_refused_before_it_takes_memory(tmp_path, how, userblock):
    path = tmp_path / "t.h5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        values = file.create_dataset("t", data=WORDS, dtype=h5py.string_dtype(), **how)
        file.attrs["name"] = values.attrs["θ"] = "some text"
        values.attrs["words"] = WORDS
        values.attrs.create("numbers", np.arange(3.0), dtype="f8")
    assert reads(path).shape == (6,)
    data = path.read_bytes()
    places = references(data, past=userblock)
    assert len(places) >= (7 if "compression" in how else 12)
    for place in places:
        for length in LENGTHS if place == places[0] else LENGTHS[:1]:
            path.write_bytes(data[:place] + struct.pack("<I", length + 5000) + data[place + 4 :])
            with pytest.raises(DataError, match="declares more text than the file holds"):
                reads(path)


@pytest.mark.parametrize(
    ("filters", "packed", "mask"),
    [("gzip", zlib.compress, 0), ("lzf", imagecodecs.lzf_encode, 0), ("gzip", bytes, 1)],
    ids=["zlib", "lzf", "a piece left unpacked"],
)
def test_a_damaged_length_in_a_packed_piece_is_refused(tmp_path, filters, packed, mask):
    path, how = tmp_path / "t.h5", {"dtype": h5py.string_dtype(), "chunks": (64,)}
    words = [f"word {number % 7}" for number in range(64)]
    with h5py.File(path, "w") as file:
        plain = file.create_dataset("plain", data=words, **how)
        raw = bytearray(plain.id.read_direct_chunk((0,))[1])
        file.create_dataset("t", data=words, compression=filters, **how)
    assert reads(path).tolist() == [word.encode() for word in words]
    for length, said in ((6, None), (LENGTHS[0], "t declares more text than the file holds")):
        raw[:4] = struct.pack("<I", length)
        with h5py.File(path, "r+") as file:
            file["t"].id.write_direct_chunk((0,), packed(bytes(raw)), filter_mask=mask)
        with pytest.raises(DataError, match=said) if said else contextlib.nullcontext():
            assert len(reads(path)) == 64


def test_lists_of_any_length_are_held_to_their_bytes(tmp_path):
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        lists = file.create_dataset("t", 3, h5py.vlen_dtype(np.float64))
        for row in range(3):
            lists[row] = np.arange(row + 1.0)
        lists.attrs.create("a", np.array([0.0, 1.0]))
    assert [len(row) for row in reads(path)] == [1, 2, 3]
    data = path.read_bytes()
    for place in references(data):
        path.write_bytes(data[:place] + struct.pack("<I", 4) + data[place + 4 :])
        with pytest.raises(DataError, match="declares more text"):
            reads(path)


@pytest.mark.parametrize("name", ["source", "encoder", "config_sha256"])
def test_an_attribute_of_a_feature_file_whose_length_is_past_the_file_takes_no_memory(tmp_path, name):
    path, meta = tmp_path / "s.h5", feature_meta("s", encoder="uni", encoder_licence="MIT", config_sha256="c" * 64)
    write_features(path, ROWS, meta, coords=np.arange(12).reshape(6, 2))
    data = bytearray(path.read_bytes())
    reference = struct.pack("<IQ", len(getattr(meta, name)), data.index(b"GCOL"))
    places = [match.start() for match in re.finditer(re.escape(reference), data)]
    assert places
    for place in places:
        spoiled = bytearray(data)
        spoiled[place : place + 4] = (2_000_000_000).to_bytes(4, "little")
        path.write_bytes(spoiled)
        for read in (open_features, read_features, read_header):
            with pytest.raises(DataError, match=r"attribute \w+ declares more text"):
                read(path)


def test_a_fixed_length_that_the_file_does_not_hold_is_refused(tmp_path):
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        file["t"] = np.array([b"a" * 77] * 6)
        file["t"].attrs["a"] = np.bytes_(b"b" * 78)
    data = path.read_bytes()
    for size in (77, 78):
        place = data.index(struct.pack("<I", size))
        path.write_bytes(data[:place] + struct.pack("<I", 2_000_000_000) + data[place + 4 :])
        with pytest.raises(DataError, match=r"t\.h5"):
            reads(path)


def test_an_h5ad_that_reaches_out_or_declares_more_than_it_holds_is_refused(tmp_path):
    def spoiled(number, spoil):
        path = tmp_path / f"{number}.h5ad"
        table().write_h5ad(path)
        with h5py.File(path, "r+") as file:
            for name in ("zeros", "X"):
                del file["layers/zeros" if name == "zeros" else name]
            spoil(file)
        return path

    (tmp_path / "secret").write_bytes(bytes(96))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = ROWS
    cases = {
        "is a link to": lambda file: file.__setitem__("layers/zeros", h5py.ExternalLink("other.h5", "/x")),
        "lies in other files": lambda file: file.create_dataset(
            "layers/zeros", (6, 4), "f4", external=[(tmp_path / "secret", 0, 96)]
        ),
        "is it whole": lambda file: file.create_dataset("layers/zeros", (10**9, 4), "f4", chunks=(10, 4)),
    }
    for number, (said, spoil) in enumerate(cases.items()):
        path = spoiled(number, spoil)
        with pytest.raises(DataError, match=said):
            read_h5ad(path)
        with open_h5ad(path) as file, pytest.raises(DataError, match=said):
            file.matrix("layers/zeros", (6, 4))
