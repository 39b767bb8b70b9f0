import shutil

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections, section_names
from hage_transfer.errors import DataError

HEADER = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\n"
POSITIONS = "AAA-1,1,0,0,10,40\nCCC-1,1,0,2,10,240\nGGG-1,0,0,4,10,440\n"


def write_outs(folder, *, symbols=("EPCAM", "CD8A"), header=True):
    """A Space Ranger folder of spots AAA-1, CCC-1 with counts [[1, 2], [0, 4]]."""
    (folder / "spatial").mkdir(parents=True)
    counts = sp.csc_matrix(np.array([[1, 2], [0, 4]]).T)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        matrix = file.create_group("matrix")
        matrix["data"], matrix["indices"], matrix["indptr"] = counts.data, counts.indices, counts.indptr
        matrix["shape"] = counts.shape
        matrix["barcodes"] = np.array([b"AAA-1", b"CCC-1"])
        features = matrix.create_group("features")
        features["id"] = np.array([b"ENSG1", b"ENSG2"])
        features["name"] = np.array([symbol.encode() for symbol in symbols])
        features["feature_type"] = np.array([b"Gene Expression"] * 2)
        features["genome"] = np.array([b"GRCh38"] * 2)
    if header:
        (folder / "spatial" / "tissue_positions.csv").write_text(HEADER + POSITIONS)
    else:
        (folder / "spatial" / "tissue_positions_list.csv").write_text(POSITIONS)
    (folder / "spatial" / "scalefactors_json.json").write_text('{"spot_diameter_fullres": 130.0}')
    return folder


def settings(root, **more):
    return SectionsSettings(layout="space_ranger", root=root, **more)


@pytest.mark.parametrize("header", [True, False])
def test_space_ranger_section_is_in_the_one_form(tmp_path, header):
    root = write_outs(tmp_path / "brain", header=header)
    (section,) = read_sections(settings(root))
    assert section.X.toarray().tolist() == [[1, 2], [0, 4]]
    assert section.obsm["spatial"].tolist() == [[40, 10], [240, 10]]  # (x, y) are column, row
    assert section.uns["section"]["patient"] == "brain"
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5)
    assert section.uns["section"]["mismatches"]["unselected_spots"] == 1


@pytest.mark.parametrize("below", ["", "outs"])
def test_space_ranger_finds_sections_in_folders(tmp_path, below):
    for name in ("s2", "s1"):
        write_outs(tmp_path / name / below)
    assert section_names(settings(tmp_path)) == ["s1", "s2"]


def test_space_ranger_takes_patients_from_the_table(tmp_path):
    write_outs(tmp_path / "s1")
    (tmp_path / "patients.csv").write_text("section,patient\ns1 , anna \n")
    (section,) = read_sections(settings(tmp_path))
    assert section.uns["section"]["patient"] == "anna"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("section,patient\ns9,anna\n", "section s1 has 0 patients"),
        ("slide,who\ns1,anna\n", "columns section,patient"),
        ("section,patient,patient\ns1,anna,bea\n", "column patient is there twice"),
        ("section,patient\ns1,Doe, Ann\n", "line 2 has 3 cells, its header 2"),
        ("section,patient\ns1,[Not Available]\n", "wanted one"),
    ],
)
def test_space_ranger_refuses_a_patient_table_without_the_section(tmp_path, text, message):
    write_outs(tmp_path / "s1")
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_sections(settings(tmp_path))


def test_space_ranger_sums_features_of_one_symbol(tmp_path):
    (section,) = read_sections(settings(write_outs(tmp_path / "s1", symbols=("TBCE", "TBCE"))))
    assert list(section.var_names) == ["TBCE"]
    assert section.X.toarray().tolist() == [[3], [4]]
    assert section.uns["section"]["mismatches"]["symbols_merged"] == 1


def test_space_ranger_takes_the_image_beside_the_matrix(tmp_path):
    root = write_outs(tmp_path / "s1")
    Image.new("RGB", (300, 100)).save(root / "slide.tif")
    (section,) = read_sections(settings(root))
    assert section.uns["section"]["image_path"] == str(root / "slide.tif")


def test_space_ranger_asks_which_of_two_images(tmp_path):
    root = write_outs(tmp_path / "s1")
    for name in ("a.tif", "b.jpg"):
        Image.new("RGB", (100, 100)).save(root / name)
    with pytest.raises(
        DataError, match=r"2 images \(a\.tif, b\.jpg\) for one section; name the full-resolution one image"
    ):
        read_sections(settings(root))


def test_space_ranger_without_scale_factors_takes_the_pitch_of_its_spots(tmp_path, caplog):
    root = write_outs(tmp_path / "s1")
    (root / "spatial" / "scalefactors_json.json").unlink()
    (section,) = read_sections(settings(root))
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5)
    assert "no scalefactors_json.json" in caplog.text


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("filtered_feature_bc_matrix.h5", "junk", "cannot be read as a 10x matrix"),
        ("spatial/tissue_positions.csv", "barcode,in_tissue\nAAA-1,1\n", "column array_row"),
        ("spatial/tissue_positions.csv", HEADER + "AAA-1,1,0,0,far,40\n", "AAA-1, column pxl_row_in_fullres: 'far'"),
        ("spatial/tissue_positions.csv", HEADER + "TTT-1,1,0,0,1,4\n", "no common spots"),
        ("spatial/scalefactors_json.json", "[1]", "wanted names and values"),
        (
            "spatial/scalefactors_json.json",
            '{"spot_diameter_fullres": "wide"}',
            "no usable spot_diameter_fullres: 'wide'",
        ),
        ("spatial/scalefactors_json.json", "{", "not JSON"),
    ],
)
def test_space_ranger_names_what_is_wrong(tmp_path, file, text, message):
    root = write_outs(tmp_path / "s1")
    (root / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read_sections(settings(root))


def test_space_ranger_names_missing_positions(tmp_path):
    root = write_outs(tmp_path / "s1")
    shutil.rmtree(root / "spatial")
    with pytest.raises(DataError, match=r"no tissue_positions\.csv or tissue_positions_list\.csv"):
        read_sections(settings(root))


def test_space_ranger_reads_the_real_output(real_data):
    (section,) = read_sections(settings(real_data / "visium"))
    assert section.shape == (100, 100)
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(0.7252, abs=1e-3)
    assert section.uns["section"]["mismatches"]["unselected_spots"] == 757


def test_a_matrix_that_is_a_pattern_is_refused(tmp_path, made):
    folder = tmp_path / "S1" / "filtered_feature_bc_matrix"
    made().mtx(folder, packed=False)
    scipy.io.mmwrite(folder / "matrix.mtx", made().counts.T, field="pattern")
    made().spatial(tmp_path / "S1")
    with pytest.raises(DataError, match=r"matrix\.mtx: a pattern, which tells where there are counts and not how many"):
        read_sections(settings(tmp_path))


@pytest.mark.parametrize("other", ["tissue_positions_list.csv", "tissue_positions.parquet"])
@pytest.mark.parametrize("moved", [0.0, 5.0])
def test_a_second_file_of_positions_has_to_say_the_same(tmp_path, made, other, moved):
    made().h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    made().spatial(tmp_path / "S1" / "spatial")
    second = made()
    second.table["pxl_row_in_fullres"] += moved
    second.spatial(tmp_path / "S1" / "spatial", form=other)
    if not moved:
        assert read_sections(settings(tmp_path))[0].n_obs == 20
        return
    with pytest.raises(DataError, match=rf"tissue_positions\.csv and {other} beside it say other positions, of spot"):
        read_sections(settings(tmp_path))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("image.tif.gz", True),
        ("GSM1_HE.jpg.gz", True),
        ("GSM1_tissue_hires_image.png.gz", False),
        ("GSM1_hires.png.gz", False),
        ("GSM1_QC_plot.png.gz", False),
        ("x.csv.gz", False),
    ],
)
def test_a_gzipped_image_is_refused_and_a_gzipped_copy_is_none(tmp_path, made, name, refused):
    made().h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    made().spatial(tmp_path / "S1" / "spatial")
    (tmp_path / "S1" / name).write_bytes(b"\x1f\x8b")
    if not refused:
        assert read_sections(settings(tmp_path))[0].uns["section"]["image_path"] == ""
        return
    with pytest.raises(DataError, match=rf"{name}: a gzipped image cannot be read in parts; unpack it"):
        read_sections(settings(tmp_path))


@pytest.mark.parametrize(("ending", "fault"), [(".7", r"matrix\.mtx: \d+ counts are .* fractional"), (".0", "")])
def test_fractions_in_a_matrix_that_says_integer_are_not_cut_off(tmp_path, made, ending, fault):
    folder = tmp_path / "S1" / "filtered_feature_bc_matrix"
    made().mtx(folder, packed=False)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    assert "integer" in lines[0]
    start = next(place for place, line in enumerate(lines) if not line.startswith("%")) + 1
    lines = [*lines[:1], "% by R 4.3.1", *lines[1:start], *(line + ending for line in lines[start:])]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    made().spatial(tmp_path / "S1" / "spatial")
    if not fault:
        assert read_sections(settings(tmp_path))[0].X.sum() == made().counts.sum()
        return
    with pytest.raises(DataError, match=fault):
        read_sections(settings(tmp_path))


@pytest.mark.parametrize("kind", ["f2", "S"])
def test_counts_of_a_type_that_scipy_has_not_are_refused(tmp_path, made, kind):
    path = made().h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    made().spatial(tmp_path / "S1" / "spatial")
    with h5py.File(path, "a") as file:
        data = file["matrix/data"][:]
        del file["matrix/data"]
        file["matrix/data"] = data.astype(kind)
    with pytest.raises(DataError, match=r"filtered_feature_bc_matrix\.h5: cannot be read as a 10x matrix"):
        read_sections(settings(tmp_path))
