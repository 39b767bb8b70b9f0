"""CLAM's, TRIDENT's and tensor files: what is read, what is written, what is refused, and the way there and back."""

from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hage_transfer.atomic import TEMPORARY_MARK
from hage_transfer.data.feature_file import FeatureMeta, Features, read_features, write_features
from hage_transfer.data.feature_layouts import (
    Given,
    TridentGrid,
    find_feature_files,
    open_features,
    opened,
    source_of,
    unknown_facts,
    write_layout,
)
from hage_transfer.errors import ConfigError, DataError

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
COORDS = np.stack([np.arange(7) * 512, np.arange(7) * 1024], axis=1)
META = FeatureMeta("s1", "uni", "a" * 64, "CC-BY-NC-ND", 256, 512, 0.5, "float16", "settings", views=8)
TRIDENT = {
    "patch_size": 256,
    "patch_size_level0": 512,
    "level0_magnification": 40,
    "target_magnification": 20,
    "overlap": 0,
    "name": "s1",
    "savetodir": "elsewhere",
    "level0_width": 9000,
    "level0_height": 8000,
}
CLAM = {"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0), "name": "s1"}
GRID = TridentGrid(target_magnification=20, overlap=0)


def _h5(path, *, features=ROWS, coords=COORDS, features_attributes=None, coords_attributes=None):
    """An h5 as CLAM and TRIDENT write it: a chunk a row, coords int32, attributes on the datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values, named in (
            ("features", features, features_attributes),
            ("coords", None if coords is None else np.asarray(coords, dtype=np.int32), coords_attributes),
        ):
            if values is not None:
                shape = values.shape
                found = file.create_dataset(name, data=values, maxshape=(None, *shape[1:]), chunks=(1, *shape[1:]))
                found.attrs.update(named or {})
    return path


def _clam(folder, **patches):
    _h5(folder / "patches" / "s1.h5", features=None, coords_attributes={**CLAM, **patches})
    return _h5(folder / "h5_files" / "s1.h5")


def _trident(folder, *, encoder="uni_v1", features=ROWS, **changed):
    named = {"name": "s1", "savetodir": "elsewhere", "encoder": encoder}
    path = folder / "20x_256px_0px_overlap" / "features_uni_v1" / "s1.h5"
    return _h5(path, features=features, features_attributes=named, coords_attributes={**TRIDENT, **changed})


def _pt(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own" / "s1.h5"
    write_features(path, ROWS, META, coords=COORDS, keys=[f"k{row}" for row in range(7)])
    return path


def _same(left, right):
    np.testing.assert_array_equal(left.features, right.features)
    np.testing.assert_array_equal(left.coords, right.coords)
    if left.keys is not None:
        np.testing.assert_array_equal(left.keys, right.keys)
    assert left.features.dtype == right.features.dtype
    assert left.meta == right.meta


# Reading


def test_clam_features_take_their_patch_size_from_the_patches_beside_them(tmp_path):
    source = open_features(_clam(tmp_path))
    assert source.layout == "clam"
    assert (source.meta.patch_size_px, source.meta.patch_size_level0_px) == (256, 1024)
    read = source.read()
    np.testing.assert_array_equal(read.features, ROWS)
    np.testing.assert_array_equal(read.coords, COORDS)


@pytest.mark.parametrize(
    ("changed", "level0_px"),
    [
        ({"patch_level": 1, "downsample": (4.0, 4.0001)}, 1024),
        ({"patch_level": 2, "downsample": 16.0}, 4096),
        ({"patch_level": 0, "downsample": (1.0, 1.0), "custom_downsample": 2}, 512),
        ({"patch_level": 1, "downsample": (4.0, 8.0)}, 0),
    ],
)
def test_clam_patch_size_is_at_level_0_only_through_the_recorded_downsample(tmp_path, changed, level0_px):
    meta = open_features(_clam(tmp_path, **changed)).meta
    assert meta.patch_size_level0_px == level0_px
    assert ("patch_size_level0_px" in unknown_facts(meta)) == (level0_px == 0)


@pytest.mark.parametrize(("level", "level0_px"), [(0, 256), (1, 0)])
def test_clam_patch_size_without_a_downsample_is_known_at_level_0_alone(tmp_path, level, level0_px):
    path = _h5(tmp_path / "s1.h5", coords_attributes={"patch_size": 256, "patch_level": level})
    assert open_features(path).meta.patch_size_level0_px == level0_px


def test_trident_features_give_their_encoder_and_sizes_and_no_resolution(tmp_path):
    source = open_features(_trident(tmp_path))
    assert source.layout == "trident"
    assert (source.meta.encoder, source.meta.patch_size_px, source.meta.patch_size_level0_px) == ("uni_v1", 256, 512)
    assert source.meta.mpp_um_per_px is None
    assert set(unknown_facts(source.meta)) == {"encoder_sha256", "encoder_licence", "precision", "mpp_um_per_px"}
    assert source.coord_attributes == TRIDENT


def test_trident_features_may_have_a_leading_axis_of_one(tmp_path):
    source = open_features(_trident(tmp_path, features=ROWS[None]))
    np.testing.assert_array_equal(source.read().features, ROWS)


def test_trident_text_none_is_no_encoder(tmp_path):
    assert open_features(_trident(tmp_path, encoder="None")).meta.encoder == "unknown"


def test_what_a_file_records_decides_its_layout_not_its_folder(tmp_path):
    path = tmp_path / "h5_files" / "s1.h5"
    path.parent.mkdir()
    _trident(tmp_path).rename(path)
    assert open_features(path).layout == "trident"


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
def test_tensor_rows_are_read_bit_for_bit(tmp_path, kind):
    tensor = torch.from_numpy(ROWS).to(kind)
    source = open_features(_pt(tmp_path / "s1.pt", tensor))
    read = source.read()
    np.testing.assert_array_equal(read.features, tensor.float().numpy().astype(source.dtype))
    assert source.dtype == (np.float16 if kind == torch.float16 else np.float32)
    assert read.coords is None


def test_tensor_takes_the_coords_of_its_patches(tmp_path):
    _clam(tmp_path)
    source = open_features(_pt(tmp_path / "pt_files" / "s1.pt", torch.from_numpy(ROWS)))
    np.testing.assert_array_equal(source.coords, COORDS)
    assert source.meta.patch_size_level0_px == 1024


def test_unknown_encoders_of_two_folders_do_not_pass_for_one(tmp_path):
    one, two = (open_features(_h5(tmp_path / name / "s1.h5")).meta for name in "ab")
    assert "encoder" in unknown_facts(one)
    assert one.encoder_sha256 != two.encoder_sha256
    _pt(tmp_path / "c" / "pt_files" / "s1.pt", torch.from_numpy(ROWS))
    tensor, rows = tmp_path / "c" / "pt_files" / "s1.pt", _h5(tmp_path / "c" / "h5_files" / "s1.h5")
    assert open_features(tensor).meta.encoder_sha256 == open_features(rows).meta.encoder_sha256


def test_what_the_user_says_is_recorded(tmp_path):
    said = Given(encoder="uni", encoder_sha256="b" * 64, encoder_licence="MIT", precision="float16", mpp_um_per_px=0.5)
    meta = open_features(_trident(tmp_path), given=said).meta
    assert {name: getattr(meta, name) for name in said.said()} == said.said()
    assert unknown_facts(meta) == []


def test_what_the_user_says_against_the_file_is_refused(tmp_path, own):
    with pytest.raises(DataError, match="records encoder uni, --encoder-name says virchow"):
        open_features(own, given=Given(encoder="virchow"))
    with pytest.raises(DataError, match="records patch_size_px 256, --patch-size says 224"):
        open_features(_trident(tmp_path), given=Given(patch_size_px=224))


def test_stamp_changes_with_what_the_user_says(tmp_path):
    path = _trident(tmp_path)
    assert open_features(path).stamp == open_features(path).stamp
    assert open_features(path).stamp != open_features(path, given=Given(mpp_um_per_px=0.5)).stamp


# Refusals


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"features": None}, "holds coords and no features: a file of patches"),
        ({"features": None, "coords": None}, r"no dataset `features`, only \[\]"),
        ({"features": ROWS[:6]}, "7 coords for 6 rows"),
        ({"features": ROWS[0]}, "one row for the whole slide"),
        ({"features": np.stack([ROWS, ROWS])}, r"features are \(N, D\), these have shape \(2, 7, 5\)"),
        ({"features": ROWS.astype(np.int32)}, "features of type int32"),
        ({"features": ROWS[:0], "coords": COORDS[:0]}, "an empty bag"),
        ({"coords": COORDS[:, :1]}, r"coords are \(N, 2\)"),
        ({"coords_attributes": {"patch_size": -1}}, "attribute patch_size of coords is -1"),
    ],
)
def test_open_features_refuse_an_h5_of_another_form(tmp_path, how, message):
    with pytest.raises(DataError, match=message):
        open_features(_h5(tmp_path / "s1.h5", **how))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"features": torch.from_numpy(ROWS)}, "holds a dict, wanted one tensor"),
        (torch.from_numpy(ROWS[0]), r"shape \(5,\)"),
        (torch.from_numpy(ROWS).long(), "int64, wanted"),
        (ROWS, "a pickled object"),
        (torch.from_numpy(ROWS[:0]), "an empty bag"),
    ],
)
def test_open_features_refuse_a_pt_that_is_no_table_of_numbers(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        open_features(_pt(tmp_path / "s1.pt", value))


@pytest.mark.parametrize("name", ["s1.pt", "s1.h5"])
def test_open_features_refuse_a_damaged_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing that can be read")
    with pytest.raises(DataError, match=rf"{name}: (cannot be read|is no file of torch)"):
        open_features(tmp_path / name)


def test_open_features_refuse_a_truncated_tensor(tmp_path):
    path = _pt(tmp_path / "s1.pt", torch.from_numpy(ROWS))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"s1\.pt: cannot be read by torch"):
        open_features(path)


def test_open_features_refuse_coords_of_another_cut(tmp_path):
    path = _clam(tmp_path)
    _h5(tmp_path / "patches" / "s1.h5", features=None, coords=COORDS + 1, coords_attributes=CLAM)
    with pytest.raises(DataError, match="its coords are not those of"):
        open_features(path)


def test_blocks_name_the_row_that_holds_nan(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "BLOCK_BYTES", 40)  # two rows
    rows = ROWS.copy()
    rows[4, 2] = np.nan
    for path in (_h5(tmp_path / "s1.h5", features=rows), _pt(tmp_path / "p" / "s1.pt", torch.from_numpy(rows))):
        with pytest.raises(DataError, match="row 4 of 7 holds NaN"):
            open_features(path).read()


# Folders


def test_find_feature_files_know_every_folder(tmp_path, own):
    clam = _clam(tmp_path / "clam")
    only = _pt(tmp_path / "clam" / "pt_files" / "s2.pt", torch.from_numpy(ROWS))
    _pt(tmp_path / "clam" / "pt_files" / "s1.pt", torch.from_numpy(ROWS))
    trident = _trident(tmp_path / "trident")
    assert find_feature_files(own.parent) == {"s1": own}
    assert find_feature_files(tmp_path / "clam") == {"s1": clam, "s2": only}
    assert find_feature_files(only.parent)["s2"] == only
    for folder in (trident.parent, trident.parent.parent, tmp_path / "trident"):
        assert find_feature_files(folder) == {"s1": trident}


def test_find_feature_files_refuse_what_is_not_one_set(tmp_path, own):
    with pytest.raises(DataError, match="no such folder"):
        find_feature_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no feature file"):
        find_feature_files(tmp_path / "empty")
    _pt(own.with_suffix(".pt"), torch.from_numpy(ROWS))
    with pytest.raises(DataError, match=r"s1\.h5 and s1\.pt are of one slide"):
        find_feature_files(own.parent)
    trident = _trident(tmp_path / "trident")
    _h5(trident.parent.parent / "features_conch" / "s1.h5")
    with pytest.raises(DataError, match=r"several sets of features .*features_conch.*features_uni_v1"):
        find_feature_files(tmp_path / "trident")


# Writing


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


def test_trident_attributes_live_through_this_projects_form(tmp_path):
    (hage,) = write_layout(open_features(_trident(tmp_path)), "hage", tmp_path / "hage")
    patches, rows = write_layout(open_features(hage), "trident", tmp_path / "back")
    assert patches == tmp_path / "back" / "20x_256px_0px_overlap" / "patches" / "s1_patches.h5"
    assert rows.parent.name == "features_uni_v1"
    for path in (patches, rows):
        with h5py.File(path) as file:
            assert dict(file["coords"].attrs) == TRIDENT


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


def test_clam_patches_are_left_out_where_no_patch_size_is_known(tmp_path):
    written = write_layout(open_features(_h5(tmp_path / "s1.h5")), "clam", tmp_path / "clam")
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


def test_tensor_without_coords_becomes_a_feature_file_of_numbered_rows(tmp_path):
    (path,) = write_layout(open_features(_pt(tmp_path / "s1.pt", torch.from_numpy(ROWS))), "hage", tmp_path / "out")
    features = read_features(path)
    assert features.keys.tolist() == [f"s1#row{row}" for row in range(7)]
    assert features.coords is None


@pytest.mark.parametrize("layout", ["clam", "trident"])
def test_layouts_with_coords_ask_for_them(tmp_path, layout):
    source = open_features(_pt(tmp_path / "s1.pt", torch.from_numpy(ROWS)))
    with pytest.raises(DataError, match=f"has no coords, which {layout} needs; .* --coords"):
        write_layout(source, layout, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_trident_layout_asks_for_what_is_not_recorded(tmp_path, own):
    with pytest.raises(DataError, match="give --magnification, --overlap"):
        write_layout(open_features(own), "trident", tmp_path / "out")
    with pytest.raises(DataError, match="records target_magnification 20, --magnification says 40"):
        write_layout(
            open_features(_trident(tmp_path)), "trident", tmp_path / "out", grid=TridentGrid(target_magnification=40)
        )


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
    with pytest.raises(ConfigError, match=r"is there already .* --overwrite"):
        write_layout(open_features(own), layout, tmp_path / "out", grid=GRID)
    written = write_layout(open_features(own), layout, tmp_path / "out", grid=GRID, overwrite=True)
    np.testing.assert_array_equal(open_features(written[-1]).read().features, ROWS + 1)


def test_a_tensor_of_someone_else_is_not_written_over(tmp_path, own):
    theirs = _pt(tmp_path / "clam" / "pt_files" / "s1.pt", torch.from_numpy(ROWS * 2))
    before = theirs.read_bytes()
    with pytest.raises(ConfigError, match=r"pt_files/s1\.pt: is there already"):
        write_layout(open_features(own), "clam", tmp_path / "clam")
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("layout", ["hage", "clam", "trident", "pt"])
def test_a_write_that_breaks_off_leaves_nothing_half_written(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(opened, "BLOCK_BYTES", 40)
    rows = ROWS.copy()
    rows[6, 0] = np.inf
    source = open_features(_trident(tmp_path, features=rows))
    with pytest.raises(DataError, match="row 6"):
        write_layout(source, layout, tmp_path / "out", grid=GRID)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == ["patches"] * (layout in ("clam", "trident"))


def test_leftovers_of_a_killed_run_are_removed(tmp_path, own):
    leftover = tmp_path / "out" / f"{TEMPORARY_MARK}0123456789ab-s1.h5"
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


def test_own_attributes_are_whole_after_conversion(tmp_path):
    (path,) = write_layout(open_features(_clam(tmp_path)), "hage", tmp_path / "out")
    with h5py.File(path) as file:
        assert set(asdict(META)) <= set(file.attrs)
    assert read_features(path).meta.source == "s1"
