"""CLAM's, TRIDENT's and tensor files: what is written, what is kept, and the way there and back."""

from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hage_transfer.data.feature_file import Features, read_features, write_features
from hage_transfer.data.feature_layouts import (
    TridentGrid,
    open_features,
    opened,
    source_of,
    write_layout,
)
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.running.atomic import TEMPORARY_MARK

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
COORDS = np.stack([np.arange(7) * 512, np.arange(7) * 1024], axis=1)
META = feature_meta(
    "s1",
    encoder="uni",
    encoder_licence="CC-BY-NC-ND",
    patch_size_px=256,
    patch_size_level0_px=512,
    precision="float16",
    views=8,
)
GRID = TridentGrid(target_magnification=20, overlap=0)


def _same(left, right):
    np.testing.assert_array_equal(left.features, right.features)
    np.testing.assert_array_equal(left.coords, right.coords)
    if left.keys is not None:
        np.testing.assert_array_equal(left.keys, right.keys)
    assert left.features.dtype == right.features.dtype
    assert left.meta == right.meta


@pytest.mark.parametrize("layout", ["hage", "clam", "trident"])
def test_the_way_to_a_layout_and_back_loses_nothing(tmp_path, own, layout):
    written = write_layout(open_features(own), layout, tmp_path / "there", grid=GRID)
    write_layout(open_features(written[-1]), "hage", tmp_path / "back")
    _same(read_features(tmp_path / "back" / "s1.h5"), read_features(own))


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from([np.float16, np.float32]),
    n_rows=st.integers(1, 9),
    width=st.integers(1, 4),
    chain=st.lists(st.sampled_from(["hage", "clam", "trident"]), min_size=1, max_size=3),
)
def test_any_rows_keep_every_bit_over_any_chain_of_layouts(tmp_path_factory, data, dtype, n_rows, width, chain):
    floats = st.floats(allow_nan=False, allow_infinity=False, width=16 if dtype == np.float16 else 32)
    rows = data.draw(arrays(dtype, (n_rows, width), elements=floats))
    coords = data.draw(arrays(np.int64, (n_rows, 2), elements=st.integers(0, 10**6)))
    first = Features(rows, None, coords, META)
    folder, source = tmp_path_factory.mktemp("chain"), source_of(first)
    for step, layout in enumerate([*chain, "hage"]):
        source = open_features(write_layout(source, layout, folder / str(step), grid=GRID)[-1])
    last = read_features(source.path)
    assert last.features.dtype == rows.dtype
    assert last.features.tobytes() == rows.tobytes()
    assert last.meta == META
    np.testing.assert_array_equal(last.coords, coords)


def test_trident_attributes_live_through_this_projects_form(tmp_path, write_trident, trident_attributes):
    (hage,) = write_layout(open_features(write_trident(tmp_path)), "hage", tmp_path / "hage")
    patches, rows = write_layout(open_features(hage), "trident", tmp_path / "back")
    assert patches == tmp_path / "back" / "20x_256px_0px_overlap" / "patches" / "s1_patches.h5"
    assert rows.parent.name == "features_uni_v1"
    for path in (patches, rows):
        with h5py.File(path) as file:
            assert dict(file["coords"].attrs) == trident_attributes


def test_clam_layout_is_what_clam_reads(tmp_path, own):
    half = replace(read_features(own), features=ROWS.astype(np.float16))
    patches, tensor, rows = write_layout(half, "clam", tmp_path / "clam")
    assert [path.relative_to(tmp_path / "clam").as_posix() for path in (patches, tensor, rows)] == [
        "patches/s1.h5",
        "pt_files/s1.pt",
        "h5_files/s1.h5",
    ]
    loaded = torch.load(tensor, weights_only=True)
    with h5py.File(rows) as file, h5py.File(patches) as places:
        assert file["features"].dtype == np.float32
        np.testing.assert_array_equal(file["features"][:], loaded.numpy())
        np.testing.assert_array_equal(places["coords"][:], file["coords"][:])
        assert (places["coords"].attrs["patch_size"], places["coords"].attrs["patch_level"]) == (512, 0)
    np.testing.assert_array_equal(loaded.numpy(), half.features.astype(np.float32))


def test_clam_patches_are_left_out_where_no_patch_size_is_known(tmp_path, write_h5):
    written = write_layout(open_features(write_h5(tmp_path / "s1.h5")), "clam", tmp_path / "clam")
    assert [path.parent.name for path in written] == ["pt_files", "h5_files"]


def test_trident_layout_follows_tridents_rule_of_sizes(tmp_path, own):
    attributes = {"level0_width": 9000}
    patches, rows = write_layout(open_features(own), "trident", tmp_path, grid=GRID, coord_attributes=attributes)
    with h5py.File(rows) as file:
        met = dict(file["coords"].attrs)
        assert file["features"].attrs["encoder"] == "uni"
    assert met["patch_size"] * met["level0_magnification"] / met["target_magnification"] == met["patch_size_level0"]
    assert met["level0_width"] == 9000
    assert patches.parent.parent.name == "20x_256px_0px_overlap"


def test_pt_layout_keeps_the_type_of_the_rows(tmp_path, own):
    half = replace(read_features(own), features=ROWS.astype(np.float16))
    (path,) = write_layout(half, "pt", tmp_path)
    loaded = torch.load(path, weights_only=True)
    assert loaded.dtype == torch.float16
    np.testing.assert_array_equal(loaded.numpy(), half.features)


def test_tensor_without_coords_becomes_a_feature_file_of_numbered_rows(tmp_path, write_pt):
    source = open_features(write_pt(tmp_path / "s1.pt", torch.from_numpy(ROWS)))
    (path,) = write_layout(source, "hage", tmp_path / "out")
    features = read_features(path)
    assert features.keys.tolist() == [f"s1#row{row}" for row in range(7)]
    assert features.coords is None


@pytest.mark.parametrize("layout", ["clam", "trident"])
def test_layouts_with_coords_ask_for_them(tmp_path, layout, write_pt):
    source = open_features(write_pt(tmp_path / "s1.pt", torch.from_numpy(ROWS)))
    with pytest.raises(DataError, match=f"has no coords, which {layout} needs; .* coords="):
        write_layout(source, layout, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_trident_layout_asks_for_what_is_not_recorded(tmp_path, own, write_trident):
    with pytest.raises(DataError, match="give magnification=, overlap_px="):
        write_layout(open_features(own), "trident", tmp_path / "out")
    with pytest.raises(DataError, match="records target_magnification 20, magnification= says 40"):
        grid = TridentGrid(target_magnification=40)
        write_layout(open_features(write_trident(tmp_path)), "trident", tmp_path / "out", grid=grid)


def test_write_layout_names_the_layouts_there_are(tmp_path, own):
    with pytest.raises(ConfigError, match="unknown layout zarr: wanted hage, clam, trident, pt"):
        write_layout(open_features(own), "zarr", tmp_path)


# Again, and interrupted


@pytest.mark.parametrize("layout", ["hage", "clam", "trident", "pt"])
def test_files_that_hold_the_same_are_kept(tmp_path, own, layout):
    written = write_layout(open_features(own), layout, tmp_path / "out", grid=GRID)
    times = [path.stat().st_mtime_ns for path in written]
    assert write_layout(open_features(own), layout, tmp_path / "out", grid=GRID) == []
    assert [path.stat().st_mtime_ns for path in written] == times


@pytest.mark.parametrize("layout", ["clam", "trident"])
def test_only_files_that_are_missing_are_made_again(tmp_path, own, layout):
    written = write_layout(open_features(own), layout, tmp_path / "out", grid=GRID)
    for path in written:
        before = {other: other.read_bytes() for other in written if other != path}
        path.unlink()
        assert write_layout(open_features(own), layout, tmp_path / "out", grid=GRID) == [path]
        assert {other: other.read_bytes() for other in before} == before


@pytest.mark.parametrize("layout", ["hage", "clam", "trident", "pt"])
def test_files_that_hold_something_else_are_replaced_only_on_demand(tmp_path, own, layout):
    write_layout(open_features(own), layout, tmp_path / "out", grid=GRID)
    write_features(own, ROWS + 1, META, coords=COORDS)
    with pytest.raises(ConfigError, match=r"is there already .* overwrite=True"):
        write_layout(open_features(own), layout, tmp_path / "out", grid=GRID)
    written = write_layout(open_features(own), layout, tmp_path / "out", grid=GRID, overwrite=True)
    np.testing.assert_array_equal(open_features(written[-1]).read().features, ROWS + 1)


def test_a_tensor_of_someone_else_is_not_written_over(tmp_path, own, write_pt):
    theirs = write_pt(tmp_path / "clam" / "pt_files" / "s1.pt", torch.from_numpy(ROWS * 2))
    before = theirs.read_bytes()
    with pytest.raises(ConfigError, match=r"pt_files/s1\.pt: is there already"):
        write_layout(open_features(own), "clam", tmp_path / "clam")
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("layout", ["hage", "clam", "trident", "pt"])
def test_a_write_that_breaks_off_leaves_nothing_half_written(tmp_path, monkeypatch, layout, write_trident):
    monkeypatch.setattr(opened, "BLOCK_BYTES", 40)
    rows = ROWS.copy()
    rows[6, 0] = np.inf
    source = open_features(write_trident(tmp_path, features=rows))
    with pytest.raises(DataError, match="row 6"):
        write_layout(source, layout, tmp_path / "out", grid=GRID)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == ["patches"] * (layout in ("clam", "trident"))


def test_leftovers_of_a_killed_run_are_removed(tmp_path, own):
    leftover = tmp_path / "out" / f"{TEMPORARY_MARK}left-s1.h5"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    write_layout(open_features(own), "hage", leftover.parent)
    assert not leftover.exists()


def test_rows_pass_in_blocks(tmp_path, own, monkeypatch):
    monkeypatch.setattr(opened, "BLOCK_BYTES", 40)
    for layout in ("hage", "clam", "trident", "pt"):
        source = open_features(write_layout(open_features(own), layout, tmp_path / layout, grid=GRID)[-1])
        assert [len(block) for block in source.blocks()] == [2, 2, 2, 1]
        np.testing.assert_array_equal(source.read().features, ROWS)


def test_own_attributes_are_whole_after_conversion(tmp_path, write_clam):
    (path,) = write_layout(open_features(write_clam(tmp_path)), "hage", tmp_path / "out")
    with h5py.File(path) as file:
        assert set(asdict(META)) <= set(file.attrs)
    assert read_features(path).meta.source == "s1"
