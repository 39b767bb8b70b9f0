"""Laws of every format: one section is read with its counts, centres, patient, image and resolution."""

import logging

import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError


def test_every_format_gives_the_same_section(any_format, made, caplog):
    name, layout, root = any_format
    with caplog.at_level(logging.INFO):
        (section,) = read_sections(SectionsSettings(layout=layout, root=root))
    facts = section.uns["section"]
    assert section.shape == (20, 6)
    assert section.X.toarray().sum() == made().counts.sum()
    assert list(section.var_names) == made().genes[0]
    assert facts["image_path"]
    assert facts["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
    assert facts["mpp_source"]
    assert f"section {facts['name']}: 0.5 um/px by {facts['mpp_source']}" in caplog.text
    assert not any(record.levelno > logging.INFO for record in caplog.records if name != "hest"), caplog.text


def test_every_format_has_the_users_resolution_first(any_format):
    _, layout, root = any_format
    (section,) = read_sections(SectionsSettings(layout=layout, root=root, mpp_um_per_px=0.4))
    assert section.uns["section"]["mpp_um_per_px"] == 0.4
    assert section.uns["section"]["mpp_source"] == "data.mpp_um_per_px"
    assert any(value == pytest.approx(0.5, rel=0.01) for value in section.uns["section"]["mpp_candidates"].values())


@pytest.mark.parametrize("mpp", [0.049, 20.1])
def test_every_format_refuses_a_resolution_of_no_microscope(any_format, mpp):
    _, layout, root = any_format
    with pytest.raises(DataError, match=r"0\.05 to 20 is possible"):
        read_sections(SectionsSettings(layout=layout, root=root, mpp_um_per_px=mpp))


def test_every_format_takes_patients_from_the_users_table(any_format):
    _, layout, root = any_format
    (section,) = read_sections(SectionsSettings(layout=layout, root=root))
    (root / "patients.csv").write_text(f"section,patient\n{section.uns['section']['name']},anna\n")
    (section,) = read_sections(SectionsSettings(layout=layout, root=root))
    assert section.uns["section"]["patient"] == "anna"
    assert set(section.obs["patient"]) == {"anna"}


@pytest.mark.parametrize("word", ["", "nan", "NA", "None"])
def test_every_format_refuses_a_patient_who_is_nobody(any_format, word):
    _, layout, root = any_format
    (section,) = read_sections(SectionsSettings(layout=layout, root=root))
    (root / "patients.csv").write_text(f"section,patient\n{section.uns['section']['name']},{word}\n")
    with pytest.raises(DataError, match=r"patients\.csv"):
        read_sections(SectionsSettings(layout=layout, root=root))


def test_another_layout_is_named_where_the_data_are_of_it(any_format):
    _, layout, root = any_format
    asked = "xenium" if layout != "xenium" else "space_ranger"
    wanted = {"hest": "anndata"}.get(layout, layout)
    with pytest.raises(DataError, match=f"set data.layout={wanted}"):
        read_sections(SectionsSettings(layout=asked, root=root))


@pytest.mark.parametrize(
    ("name", "layout", "image"),
    [
        ("visium", "space_ranger", "S1/image"),
        ("h5ad", "anndata", "S1"),
        ("hest", "hest", "wsis/S1"),
        ("her2st", "her2st", "ST-imgs/A/A1/he"),
    ],
)
@pytest.mark.parametrize(
    ("told", "outcome"),
    [(0.5, ""), (0.52, ""), (0.6, "warned"), (0.9, "warned"), (1.1, "refused"), (0.24, "warned"), (50.0, "")],
)
def test_tags_that_disagree_are_said_and_twice_is_refused(
    write_format, made, caplog, name, layout, image, told, outcome
):
    root = write_format(name)
    for path in root.glob(f"{image}.*"):
        if path.suffix in (".png", ".jpg", ".tif"):
            path.unlink()
    made(pitch_px=400.0 if name == "her2st" else 200.0, square=name == "her2st").image(root / f"{image}.tif", mpp=told)
    settings = SectionsSettings(layout=layout, root=root)
    if outcome == "refused":
        with pytest.raises(DataError, match=rf"disagree: 0\.5 um/px by spots .*{told:g} um/px by the image's tags"):
            read_sections(settings)
        return
    (section,) = read_sections(settings)
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
    assert ("sources of its resolution disagree" in caplog.text) == (outcome == "warned")


def test_tags_of_a_picture_that_cannot_be_as_enlarged_as_they_say_are_said_to_be_wrong(write_format, made, caplog):
    root = write_format("visium")
    (root / "S1" / "image.png").unlink()
    made(pitch_px=200.0).image(root / "S1" / "image.tif", mpp=0.1)  # five times finer, while the spots reach across it
    (section,) = read_sections(SectionsSettings(layout="space_ranger", root=root))
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
    assert "its tags are wrong" in caplog.text


@pytest.mark.parametrize(("scale", "match"), [(0.5, "lie outside the image"), (2.0, "disagree")])
@pytest.mark.parametrize("name", ["visium", "h5ad"])
def test_an_image_of_another_size_is_refused_where_the_reduced_copy_tells_its_size(
    write_format, made, name, scale, match
):
    root = write_format(name)
    if name == "visium":
        made().image(root / "S1" / "spatial" / "tissue_hires_image.png", scale=0.5)
        made().image(root / "S1" / "image.png", scale=scale)
    else:
        section = made().anndata()
        width, height = made().size_px
        section.uns["spatial"]["lib"]["images"] = {"hires": np.zeros((height // 2, width // 2, 3), np.float32)}
        section.uns["spatial"]["lib"]["scalefactors"]["tissue_hires_scalef"] = 0.5
        section.write_h5ad(root / "S1.h5ad")
        made().image(root / "S1.png", scale=scale)
    layout = "space_ranger" if name == "visium" else "anndata"
    with pytest.raises(DataError, match=match):
        read_sections(SectionsSettings(layout=layout, root=root))
    if name == "visium":
        made().image(root / "S1" / "image.png")
    else:
        made().image(root / "S1.png")
    assert len(read_sections(SectionsSettings(layout=layout, root=root))) == 1


def test_spots_off_the_image_are_left_out_and_counted_up_to_a_limit(any_format):
    _, layout, root = any_format
    (whole,) = read_sections(SectionsSettings(layout=layout, root=root))
    path = whole.uns["section"]["image_path"]
    with Image.open(path) as image:
        height_px = image.height
    width_px = int(whole.obsm["spatial"][:, 0].max() - 1)  # so that the last column lies off it
    Image.new("RGB", (width_px, height_px)).save(path)
    n_off = int((whole.obsm["spatial"][:, 0] >= width_px).sum())
    assert 0 < n_off < 10
    with pytest.raises(DataError, match=f"{n_off} of 20 spots of section .* lie outside the image"):
        read_sections(SectionsSettings(layout=layout, root=root, max_off_image=(n_off - 0.5) / 20))
    (section,) = read_sections(SectionsSettings(layout=layout, root=root, max_off_image=0.4, mpp_um_per_px=0.5))
    assert section.n_obs == 20 - n_off
    assert section.uns["section"]["mismatches"]["spots_off_the_image"] == n_off


def test_xenium_bins_lie_where_the_alignment_puts_them(write_format):
    root = write_format("xenium")
    (section,) = read_sections(SectionsSettings(layout="xenium", root=root))
    to_morphology = np.loadtxt(root / "S1" / "S1_he_imagealignment.csv", delimiter=",")
    homogeneous = np.c_[section.obsm["spatial"], np.ones(section.n_obs)]
    um = (homogeneous @ to_morphology.T)[:, :2] * 0.2125
    bins = np.array([[int(part) for part in spot.split("x")] for spot in section.obs_names])
    np.testing.assert_allclose(um, bins * 100.0 + 50)


@pytest.mark.parametrize(("bin_um", "n_spots"), [(100, 20), (200, 6), (1000, 1)])
def test_xenium_bins_have_the_size_that_is_stated(write_format, made, bin_um, n_spots):
    (section,) = read_sections(
        SectionsSettings(layout="xenium", root=write_format("xenium"), bin_um=bin_um, mpp_um_per_px=0.5)
    )
    assert section.n_obs == n_spots
    assert section.X.sum() == made().counts.sum()
    assert section.uns["section"]["spot_diameter_um"] == bin_um


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "0 csv of the H&E's alignment"),
        ("1,0,0\n0,1,0\n", "wanted 3 rows of 3 numbers"),
        ("a,b,c\n", "not a csv of 3 x 3 numbers"),
        ("1,0,0\n1,0,0\n0,0,1\n", "takes the whole image to a line"),
        ("1,0,90000\n0,1,0\n0,0,1\n", "lie outside the image"),
    ],
)
def test_xenium_refuses_an_alignment_that_is_none(write_format, text, message):
    root = write_format("xenium")
    path = root / "S1" / "S1_he_imagealignment.csv"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_sections(SectionsSettings(layout="xenium", root=root))


@pytest.mark.parametrize("bin_um", [2, 8, 16, None])
def test_visium_hd_is_one_section_of_one_bin_size(write_format, bin_um):
    root = write_format("visium hd")
    for place in (root, root / "S1", root / "S1" / "outs", root / "S1" / "outs" / "binned_outputs"):
        (section,) = read_sections(SectionsSettings(layout="space_ranger", root=place, bin_um=bin_um))
        assert section.uns["section"]["name"] == "S1"
        assert section.uns["section"]["spot_diameter_um"] == (bin_um or 8)
        assert section.uns["section"]["mpp_um_per_px"] == 0.5


def test_visium_hd_names_the_bin_sizes_that_are_there(write_format):
    with pytest.raises(DataError, match=r"bins of 2, 8, 16 um, and bins of 4 um are wanted; set data\.bin_um"):
        read_sections(SectionsSettings(layout="space_ranger", root=write_format("visium hd"), bin_um=4))


def test_hest_patients_are_told_apart_by_their_study(write_format):
    (section,) = read_sections(SectionsSettings(layout="hest", root=write_format("hest")))
    assert section.uns["section"]["patient"] == "Patient 1 of A study"


def test_reduced_pictures_beside_a_flat_matrix_are_not_the_image(write_format, made):
    root = write_format("geo, flat")
    for name in (
        "tissue_hires_image.png",
        "tissue_lowres_image.png",
        "detected_tissue_image.jpg",
        "cytassist_image.tiff",
    ):
        made().image(root / f"GSM42_S1_{name}", scale=0.5)
    (section,) = read_sections(SectionsSettings(layout="space_ranger", root=root))
    assert section.uns["section"]["image_path"].endswith("GSM42_S1_he.png")


def test_prefixed_sections_of_one_folder_keep_to_their_own_files(write_format, made):
    root = write_format("geo, flat")
    made().mtx(root, prefix="GSM43_S2_", features="genes.tsv", packed=False)
    settings = SectionsSettings(layout="space_ranger", root=root, sections=("GSM43_S2",))
    with pytest.raises(DataError, match=r"so the spots of GSM43_S2_matrix\.mtx have no positions"):
        read_sections(settings)
    made(pitch_px=50.0).spatial(root, prefix="GSM43_S2_")
    (section,) = read_sections(settings)
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(2.0, rel=0.01)
    assert section.uns["section"]["image_path"] == ""


def test_features_of_other_types_are_left_out(write_format, made):
    root = write_format("visium")
    made().h5(root / "S1" / "filtered_feature_bc_matrix.h5", types=["Gene Expression"] * 4 + ["Antibody Capture"] * 2)
    (section,) = read_sections(SectionsSettings(layout="space_ranger", root=root))
    assert list(section.var_names) == [f"GENE{j}" for j in range(4)]


def test_a_matrix_on_its_side_is_refused(write_format):
    root = write_format("geo, flat")
    spots, genes = (root / f"GSM42_S1_{name}.tsv" for name in ("barcodes", "genes"))
    swapped = genes.read_text(), spots.read_text()
    spots.write_text(swapped[0]), genes.write_text(swapped[1])
    with pytest.raises(DataError, match="it lies on its side"):
        read_sections(SectionsSettings(layout="space_ranger", root=root))


def test_hest_patches_without_their_slide_are_named(write_format, caplog):
    root = write_format("hest")
    (name,) = [path.stem for path in (root / "st").glob("*.h5ad")]
    for path in (root / "wsis").iterdir():
        path.unlink()
    (root / "patches").mkdir(exist_ok=True)
    (root / "patches" / f"{name}.h5").write_bytes(b"")
    (section,) = read_sections(SectionsSettings(layout="hest", root=root))
    assert section.uns["section"]["image_path"] == ""
    assert f"download wsis/{name}.tif" in caplog.text


def test_an_alignment_that_stretches_the_image_is_said(write_format, caplog):
    root = write_format("xenium")
    path = root / "S1" / "S1_he_imagealignment.csv"
    np.savetxt(path, np.loadtxt(path, delimiter=",") @ np.diag([1.0, 1.1, 1.0]), delimiter=",")
    read_sections(SectionsSettings(layout="xenium", root=root, max_off_image=0.9))
    assert "S1_he_imagealignment.csv: stretches the image 1.1 times as much one way as the other" in caplog.text
