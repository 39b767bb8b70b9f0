"""Where h5ad files of other tools have their counts, names and patients."""

import json
import logging

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError


def logged(section):
    return sp.csr_matrix(np.log1p(section.X.toarray() / section.X.toarray().sum(1, keepdims=True) * 1e4))


def to_layer(name):
    def change(section):
        section.layers[name] = section.X.copy()
        section.X = None

    return change


def to_raw(section):
    section.raw = section.copy()
    section.X = logged(section)


def to_raw_of_more_genes(section):
    section.raw = section.copy()
    del section.varm
    section._inplace_subset_var(np.arange(3))
    section.X = logged(section)


def as_(kind):
    def change(section):
        section.X = kind(section.X)

    return change


PLACES = {
    "csr": lambda section: None,
    "csc": as_(sp.csc_matrix),
    "dense": as_(lambda x: x.toarray()),
    "doubles": as_(lambda x: x.toarray().astype("f8")),
    "halves": as_(lambda x: x.toarray().astype("f2")),
    "layer counts": to_layer("counts"),
    "layer raw_counts": to_layer("raw_counts"),
    "layer umi": to_layer("umi"),
    ".raw": to_raw,
    ".raw of more genes": to_raw_of_more_genes,
}


@pytest.mark.parametrize("place", PLACES)
def test_counts_are_found_wherever_a_tool_puts_them(read, made, place):
    section = made().anndata()
    PLACES[place](section)
    (found,) = read(section)
    np.testing.assert_array_equal(found.X.toarray(), made().counts.toarray())


@pytest.mark.parametrize("column", ["feature_name", "gene_symbols", "SYMBOL", "Gene_Name", "hgnc_symbol"])
@pytest.mark.parametrize("counts", ["X", ".raw without the column"])
def test_symbols_are_found_beside_ensembl_ids(read, made, column, counts):
    section = made().anndata()
    section.var[column], section.var_names = section.var_names.to_numpy(), section.var.pop("gene_ids").to_numpy()
    if counts != "X":
        bare = section.copy()
        bare.var = bare.var[[]]
        section.raw = bare
        section.X = logged(section)
    (found,) = read(section)
    assert list(found.var_names) == made().genes[0]


@pytest.mark.parametrize("index", ["ids", "symbols"])
def test_raw_of_more_genes_and_ids_alone_takes_the_symbols_that_var_knows(read, made, index):
    section, (symbols, ids) = made().anndata(), made().genes
    bare = section.copy()
    bare.var = pd.DataFrame(index=ids)
    if index == "ids":
        section.var = pd.DataFrame({"feature_name": symbols}, index=ids)
    section.raw = bare
    section._inplace_subset_var(np.arange(2))
    section.X = logged(section)
    (found,) = read(section)
    assert list(found.var_names) == [*symbols[:2], *ids[2:]]


@pytest.mark.parametrize("scale", [0.5, -1.0, np.nan])
def test_normalised_counts_alone_are_refused_naming_the_other_places(read, made, scale):
    section = made().anndata()
    section.layers["smoothed"] = section.X.copy() * 0.1
    section.X = section.X.astype("f4") * scale
    section.raw = section.copy()
    with pytest.raises(DataError, match=r"S1\.h5ad.*raw counts.*layers holds smoothed, and there is \.raw"):
        read(section)


def test_a_file_without_any_counts_names_its_layers(read, made):
    section = made().anndata()
    to_layer("spliced")(section)
    with pytest.raises(DataError, match=r'no X and no layers\["counts"\]; layers holds spliced'):
        read(section)


@pytest.mark.parametrize("flags", [[0, 1], [False, True], ["0", "1"], ["False", "True"], [0.0, 1.0]])
def test_spots_off_the_tissue_are_left_out_and_told(read, made, flags, caplog):
    section = made().anndata()
    section.obs["in_tissue"] = [flags[i >= 7] for i in range(20)]
    with caplog.at_level(logging.INFO):
        (found,) = read(section)
    assert found.n_obs == 13
    assert "spots not in tissue: S1 7" in caplog.text


@pytest.mark.parametrize("name", ["InTissue", "in.tissue", "tissue"])
def test_flags_of_tissue_are_read_however_they_are_spelt(read, made, name):
    section = made().anndata()
    flags = {"imagerow": 0, name: [0] * 5 + [1] * 15}
    section.obs = section.obs.drop(columns="in_tissue", errors="ignore").assign(**flags)
    (found,) = read(section)
    assert (found.n_obs, found.uns["section"]["mismatches"]["spots_not_in_tissue"]) == (15, 5)


@pytest.mark.parametrize("tissue", [["breast"] * 20, ["0", "1"] * 10, [0, 1] * 10])
def test_the_organ_or_the_number_of_a_piece_is_no_flag(read, made, tissue):
    section = made().anndata()
    section.obs["tissue"] = tissue
    assert read(section)[0].n_obs == 20


@pytest.mark.parametrize("flag", [2, "maybe", np.nan])
def test_tissue_flags_that_are_none_are_refused(read, made, flag):
    section = made().anndata()
    section.obs["in_tissue"] = pd.Series([flag] + [1] * 19, dtype=object if isinstance(flag, str) else float).to_numpy()
    if isinstance(flag, str):
        section.obs["in_tissue"] = section.obs["in_tissue"].astype(str)
    with pytest.raises(DataError, match='obs\\["in_tissue"\\] of spot'):
        read(section)


@pytest.mark.parametrize("column", ["section", "patient", "donor_id"])
@pytest.mark.parametrize("nothing", [np.nan, "", "nan", "NA"])
def test_a_name_at_some_spots_alone_is_refused(read, made, column, nothing):
    section = made().anndata()
    section.obs[column] = pd.Categorical([nothing] * 4 + ["P1"] * 16)
    with pytest.raises(DataError, match=rf"S1\.h5ad.*{column}"):
        read(section)


@pytest.mark.parametrize("column", ["section", "patient"])
@pytest.mark.parametrize("nothing", [np.nan, "", "nan"])
def test_a_column_of_nothing_is_as_none(read, made, column, nothing):
    section = made().anndata()
    section.obs[column] = nothing
    (found,) = read(section)
    assert (found.uns["section"]["name"], found.uns["section"]["patient"]) == ("S1", "S1")


def test_two_donors_of_one_section_are_refused(read, made):
    section = made().anndata()
    section.obs["donor_id"] = ["P1"] * 10 + ["P2"] * 10
    with pytest.raises(DataError, match=r"S1\.h5ad: section S1 has spots of 2 donor_ids \(P1, P2\)"):
        read(section)


def test_two_spots_at_one_place_are_refused(read, made):
    section = made().anndata()
    section.obsm["spatial"][3] = section.obsm["spatial"][8]
    with pytest.raises(DataError, match="lie at one position"):
        read(section)


@pytest.mark.parametrize("pitch", ["array", "positions"])
def test_the_pitch_is_measured_on_few_scattered_spots(read, made, pitch):
    """By rows and columns far spots alone are measured right; without them what is not a grid is not guessed."""
    section = made().anndata()[[0, 3, 11, 19]].copy()
    if pitch == "positions":
        del section.obs["array_row"], section.obs["array_col"]
    (found,) = read(section)
    mpp = found.uns["section"]["mpp_um_per_px"]
    assert mpp == pytest.approx(0.5, rel=0.01) if pitch == "array" else np.isnan(mpp)


def test_cells_are_no_grid_so_their_distance_is_no_ruler(read, made, caplog):
    section = made().anndata()
    section.obsm["spatial"] = np.random.default_rng(0).uniform(0, 5000, (20, 2))
    del section.obs["array_row"]
    section.uns["spatial"] = {}
    (found,) = read(section, spot_spacing_um=100)
    assert np.isnan(found.uns["section"]["mpp_um_per_px"])
    assert "lie on no grid" in caplog.text


@pytest.mark.parametrize(
    ("diameter_um", "outcome"),
    [(55, ""), (60, ""), (65, ""), (70, ""), (50, "warned"), (100, "warned"), (30, "refused"), (135, "refused")],
)
def test_the_spot_diameter_checks_the_pitch(read, made, caplog, tmp_path, diameter_um, outcome):
    section = made().anndata()
    section.uns["spatial"]["lib"]["scalefactors"]["spot_diameter_fullres"] = diameter_um / 0.5
    (tmp_path / "d").mkdir()
    made().image(tmp_path / "d" / "S1.png")
    if outcome == "refused":
        with pytest.raises(DataError, match="spot_diameter_fullres"):
            read(section)
        return
    (found,) = read(section)
    assert found.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
    assert ("spot_diameter_fullres" in caplog.text) == (outcome == "warned")


def test_anndata_0_6_is_read_with_its_categories(tmp_path, made):
    section = made().anndata()
    obs = np.zeros(20, dtype=[("index", "S20"), ("patient", "i1")])
    obs["index"] = list(section.obs_names)
    with h5py.File(tmp_path / "S1.h5ad", "w") as file:
        file["X"] = section.X.toarray().astype("f4")
        file["obs"] = obs
        file["uns/patient_categories"] = np.array([b"anna"])
        file["var"] = np.array([(name.encode(),) for name in section.var_names], dtype=[("index", "S20")])
        file["obsm"] = np.array([(place,) for place in section.obsm["spatial"]], dtype=[("spatial", "f8", 2)])
    (found,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
    np.testing.assert_array_equal(found.X.toarray(), section.X.toarray())
    assert found.uns["section"]["patient"] == "anna"


@pytest.mark.parametrize("place", ["obs", "uns", "var", "obsm", "layers"])
def test_an_element_of_a_later_anndata_is_in_nobodys_way(tmp_path, made, place):
    path = tmp_path / "S1.h5ad"
    made().anndata().write_h5ad(path)
    with h5py.File(path, "a") as file:
        file.require_group(place).create_group("x").attrs.update({"encoding-type": "future", "encoding-version": "9"})
    (found,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
    assert found.n_obs == 20


@pytest.mark.parametrize("place", ["X", "obsm/spatial", "obs/barcode"])
def test_an_element_of_a_later_anndata_that_is_wanted_is_named(tmp_path, made, place):
    path = tmp_path / "S1.h5ad"
    made().anndata().write_h5ad(path)
    with h5py.File(path, "a") as file:
        file[place].attrs.update({"encoding-type": "future", "encoding-version": "9"})
    with pytest.raises(DataError, match=r"S1\.h5ad: cannot be read as AnnData"):
        read_sections(SectionsSettings(layout="anndata", root=tmp_path))


@pytest.mark.parametrize(
    ("facts", "patient"),
    [
        ({}, "S1"),
        ({"patient": None}, "S1"),
        ({"patient": "nan"}, "S1"),
        ({"patient": "Patient 2", "dataset_title": "T"}, "Patient 2 of T"),
    ],
)
def test_hest_metadata_names_the_patient_or_nobody(write_format, facts, patient, caplog):
    root = write_format("hest")
    (root / "metadata" / "S1.json").write_text(json.dumps(facts))
    (found,) = read_sections(SectionsSettings(layout="hest", root=root))
    assert found.uns["section"]["patient"] == patient
    assert ("nothing says whose section S1 is" in caplog.text) == (patient == "S1")
