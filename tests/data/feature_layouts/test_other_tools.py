"""Feature files of STAMP, GigaPath, torchmil and others: read as they are, or refused by what they lack."""

import h5py
import numpy as np
import pytest
import torch

from hage_transfer.data.feature_layouts import Given, TridentGrid, find_feature_files, open_features
from hage_transfer.data.feature_layouts.coords_file import find_coords_file, read_coords
from hage_transfer.encode.convert import convert_path
from hage_transfer.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
COORDS = np.stack([np.arange(7) * 512, np.arange(7) * 1024], axis=1)
STAMP = {"extractor": "uni", "unit": "um", "tile_size_um": 256.0, "tile_size_px": 224, "feat_type": "tile"}


@pytest.fixture
def write(tmp_path):
    def writer(attributes=None, **datasets):
        path = tmp_path / "s1.h5"
        with h5py.File(path, "w") as file:
            for name, values in datasets.items():
                file[name] = values
            file.attrs.update(attributes or {})
        return path

    return writer


def test_stamp_coords_in_um_become_level0_px_by_the_slides_resolution(write):
    path = write(STAMP, feats=ROWS.astype("f2"), coords=COORDS * 0.25)
    source = open_features(path, given=Given(slide_mpp_um_per_px=0.25))
    np.testing.assert_array_equal(source.coords, COORDS)
    np.testing.assert_array_equal(source.read().features, ROWS.astype("f2"))
    meta = source.meta
    assert (source.layout, meta.encoder, meta.patch_size_px, meta.patch_size_level0_px) == ("stamp", "uni", 224, 1024)
    assert meta.mpp_um_per_px == pytest.approx(256 / 224)


def test_stamp_coords_in_um_are_refused_where_the_slides_resolution_is_not_said(write):
    with pytest.raises(DataError, match=r"feats with coords in um.*slide_mpp_um_per_px="):
        open_features(write(STAMP, feats=ROWS, coords=COORDS * 0.25))


def test_coords_of_stamp_1_become_level0_px_and_are_never_taken_for_them(write):
    grid = np.stack([np.arange(7) * 224, np.arange(7) % 2 * 224], axis=1)
    path = write({"extractor": "ctranspath"}, feats=ROWS, coords=grid)
    with pytest.raises(DataError, match=r"s1\.h5: feats .* step by 224 .* slide_mpp_um_per_px=.* unit = px"):
        open_features(path)
    source = open_features(path, given=Given(slide_mpp_um_per_px=0.25))
    np.testing.assert_array_equal(source.coords, grid // 224 * 1024)
    assert (source.meta.patch_size_px, source.meta.patch_size_level0_px) == (224, 1024)
    path = write({"unit": "px"}, feats=ROWS, coords=grid)
    np.testing.assert_array_equal(open_features(path).coords, grid)


def test_tiles_that_are_there_twice_and_rows_of_zeros_are_told_once(write, caplog):
    rows = np.vstack([ROWS, ROWS, np.zeros((2, 5))]).astype(np.float32)
    path = write(features=rows, coords=np.vstack([COORDS, COORDS, COORDS[:2] + 1]))
    for _ in range(2):
        open_features(path).read()
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 2
    assert "s1.h5: 7 of 16 tiles lie where another one does" in told[0]
    assert "s1.h5: 2 of 16 rows are all 0" in told[1]


@pytest.mark.parametrize(
    ("name", "value", "said"), [("unit", "inch", "coords are in 'inch'"), ("feat_type", "slide", "one row")]
)
def test_stamp_files_of_another_unit_or_of_whole_slides_are_refused(write, name, value, said):
    with pytest.raises(DataError, match=said):
        open_features(write({**STAMP, name: value}, feats=ROWS, coords=COORDS), given=Given(slide_mpp_um_per_px=0.25))


@pytest.mark.parametrize(
    ("name", "layout", "shape"), [("AD-6964", "stamp", (777, 512)), ("3X-AAVA", "clam", (180, 512))]
)
def test_published_files_are_read_as_they_are(real_data, name, layout, shape):
    path = real_data / "features_stamp" / f"TCGA-{name}-01Z-00-DX1.h5"
    source = open_features(path)
    assert (source.layout, source.n_rows, source.width) == (layout, *shape)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(source.read().features, file["feats" if layout == "stamp" else "features"][:])
        if layout == "stamp":
            np.testing.assert_array_equal(source.coords, file["coords"][:])


@pytest.mark.parametrize("name", ["tile_embeds", "patch_features", "embeddings"])
def test_rows_of_another_name_are_read_where_the_user_says_so(write, name):
    path = write(**{name: ROWS}, coords=COORDS)
    with pytest.raises(DataError, match=f"only .*{name}.*dataset={name}"):
        open_features(path)
    source = open_features(path, given=Given(dataset=name))
    np.testing.assert_array_equal(source.read().features, ROWS)
    np.testing.assert_array_equal(source.coords, COORDS)
    with pytest.raises(DataError, match=r"no dataset other \(dataset=\)"):
        open_features(path, given=Given(dataset="other"))


def test_a_folder_of_arrays_is_read_with_its_coords(tmp_path):
    for folder, values in (("features", ROWS), ("coords", COORDS)):
        (tmp_path / folder).mkdir()
        for slide in ("s1", "s2"):
            np.save(tmp_path / folder / f"{slide}.npy", values)
    found = find_feature_files(tmp_path)
    assert list(found) == ["s1", "s2"]
    source = open_features(found["s1"], coords=tmp_path / "coords")
    np.testing.assert_array_equal(source.read().features, ROWS)
    np.testing.assert_array_equal(source.coords, COORDS)
    assert (source.layout, source.slide, open_features(found["s2"]).coords) == ("npy", "s1", None)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([{"x": 1}], dtype=object), "pickled"),
        (ROWS[0], r"shape \(5,\)"),
        (ROWS.astype("i4"), "int32"),
        (ROWS[:0], "npy|empty"),
    ],
)
def test_arrays_that_are_no_table_of_floats_are_refused(tmp_path, value, said):
    np.save(tmp_path / "s.npy", value)
    with pytest.raises(DataError, match=rf"s\.npy: .*{said}"):
        open_features(tmp_path / "s.npy")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00\xff\xff{", b"no npy", b"\x93NUMPY\x01\x00\x08\x00{'desc}\n"]
)
def test_damaged_arrays_are_refused(tmp_path, content):
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.npy: "):
        open_features(tmp_path / "s.npy")


def test_an_array_alone_is_not_converted(tmp_path):
    np.save(tmp_path / "s.npy", ROWS)
    with pytest.raises(DataError, match="can be any array"):
        convert_path(tmp_path / "s.npy", to="hage", out=tmp_path / "o", given=Given(), grid=TridentGrid())


@pytest.mark.parametrize("shape", [(len(ROWS), 3), (len(ROWS), 1)])
def test_arrays_of_coords_are_pairs(tmp_path, shape):
    np.save(tmp_path / "c.npy", np.zeros(shape, np.int64))
    with pytest.raises(DataError, match=r"c\.npy: coords are \(N, 2\) level-0 px, these have shape"):
        read_coords(tmp_path / "c.npy")


@pytest.mark.parametrize("features", ["s1.svs.h5", "s1.h5"])
def test_coords_are_found_whatever_the_features_name_ends_in(tmp_path, features, write_h5):
    write_h5(tmp_path / "patches" / "s1_patches.h5", features=None)
    assert find_coords_file(tmp_path / "h5" / features, None) == tmp_path / "patches" / "s1_patches.h5"


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16])
def test_types_that_numpy_has_not_are_read_without_loss(tmp_path, kind):
    tensor = torch.from_numpy(ROWS).to(kind)
    torch.save(tensor, tmp_path / "s.pt")
    source = open_features(tmp_path / "s.pt")
    np.testing.assert_array_equal(source.read().features, tensor.float().numpy())


def test_a_tensor_that_repeats_one_row_is_refused(tmp_path):
    torch.save(torch.zeros(1, 16).expand(10**9, 16), tmp_path / "s.pt")
    with pytest.raises(DataError, match="a view that repeats its rows"):
        open_features(tmp_path / "s.pt")


@pytest.mark.parametrize("name", ["x.h5", "x.svs.h5", "x.H5", "x.hdf5", "x.ndpi.h5"])
def test_files_of_a_slide_are_found_whatever_their_endings(tmp_path, write, name):
    write(features=ROWS).rename(tmp_path / name)
    assert list(find_feature_files(tmp_path)) == ["x"]
