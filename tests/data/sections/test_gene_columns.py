import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.gene_columns import gene_names_of, merge_symbols
from hage_transfer.errors import DataError

IDS = ["ENSG00000141510", "ENSG00000112773.4", "ENSMUSG00000059552"]
SYMBOLS = ["TP53", "TENT5A", "Trp53"]


@pytest.mark.parametrize("column", ["feature_name", "gene_name", "gene_symbol"])
def test_gene_names_of_an_index_of_ids_are_its_column_of_symbols(column):
    var = pd.DataFrame({column: pd.Categorical(["TP53", "TENT5A", None])}, index=IDS)
    assert gene_names_of(var) == (["TP53", "TENT5A", IDS[2]], IDS)


@pytest.mark.parametrize("column", ["gene_ids", "gene_id", "feature_id"])
def test_gene_names_of_an_index_of_symbols_stay_and_take_ids_along(column):
    var = pd.DataFrame({column: IDS, "feature_name": "x"}, index=["TP53", "TENT5A", "Trp53"])
    assert gene_names_of(var) == (["TP53", "TENT5A", "Trp53"], IDS)


def test_gene_names_of_ids_without_symbols_stay_ids():
    assert gene_names_of(pd.DataFrame(index=IDS)) == (IDS, None)


FORMS_OF_IDS = {
    "small letters": "ensg{:011d}",
    "a genome before": "GRCh38_ENSG{:011d}",
    "two genomes": "mm10___ENSMUSG{:011d}",
    "of Y": "ENSG{:011d}.7_PAR_Y",
}


@pytest.mark.parametrize("form", FORMS_OF_IDS)
def test_gene_names_of_ids_of_every_form_are_the_column_beside(form):
    ids = [FORMS_OF_IDS[form].format(place) for place in range(3)]
    assert gene_names_of(pd.DataFrame({"feature_name": SYMBOLS}, index=ids)) == (SYMBOLS, ids)


@pytest.mark.parametrize("numbers", [["0", "1", "2"], ["7157", "112773", "59552"], ["7157.0", "12.0", "3.0"]])
def test_gene_names_of_numbers_are_the_column_beside(numbers, caplog):
    assert gene_names_of(pd.DataFrame({"gene_name": SYMBOLS}, index=numbers)) == (SYMBOLS, None)
    assert gene_names_of(pd.DataFrame({"gene_name": SYMBOLS, "gene_id": IDS}, index=numbers)) == (SYMBOLS, IDS)
    assert gene_names_of(pd.DataFrame({"gene_id": IDS}, index=numbers)) == (IDS, IDS)
    assert not caplog.records


@pytest.mark.parametrize("columns", [{}, {"gene_id": ["7157", "1", "2"]}])
def test_numbers_with_no_symbols_beside_them_are_said(columns, caplog):
    names, _ = gene_names_of(pd.DataFrame(columns, index=["0", "1", "2"]), "a.h5ad")
    assert names == list(columns.get("gene_id", ["0", "1", "2"]))
    assert "a.h5ad: its genes are called 0, 1, 2, which are numbers" in caplog.text


def test_columns_of_ids_and_symbols_that_are_swapped_are_told_apart():
    assert gene_names_of(pd.DataFrame({"gene_ids": SYMBOLS}, index=IDS)) == (SYMBOLS, IDS)


@pytest.mark.parametrize("others", [["7157", "2", "3"], ["HGNC:5", "HGNC:6", "HGNC:7"], ["NM_000546.6"] * 3, [""] * 3])
def test_ids_of_another_kind_are_no_symbols(others):
    assert gene_names_of(pd.DataFrame({"gene_ids": others}, index=IDS)) == (IDS, others)


@pytest.mark.parametrize("column", ["gene_ids", "Gene_ID"])
def test_a_gene_without_a_symbol_has_its_id_for_a_name(column):
    var = pd.DataFrame({column: IDS}, index=["TP53", "", ""])
    assert gene_names_of(var) == (["TP53", *IDS[1:]], IDS)


def test_genes_of_a_10x_matrix_without_symbols_are_not_summed(tmp_path, made):
    with h5py.File(made().h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5"), "a") as file:
        names = file["matrix/features/name"][:]
        names[:2] = b""
        file["matrix/features/name"][...] = names
    made().spatial(tmp_path / "S1" / "spatial")
    (read,) = read_sections(SectionsSettings(layout="space_ranger", root=tmp_path))
    symbols, ids = made().genes
    assert list(read.var_names) == [*ids[:2], *symbols[2:]]


def test_a_gene_without_any_name_is_refused_naming_its_place(tmp_path, make_section):
    section = make_section([[1, 2]], name="C1", genes=["TP53", ""])
    section.write_h5ad(tmp_path / "C1.h5ad")
    with pytest.raises(DataError, match=r"C1\.h5ad: 1 of 2 genes have no name, the first in place 2"):
        read_sections(SectionsSettings(layout="anndata", root=tmp_path, mpp_um_per_px=0.5))


def test_a_gene_called_nan_that_has_no_id_is_left_out(tmp_path, make_section):
    section = make_section([[1, 2]], name="C1", genes=["TP53", "nan"])
    section.write_h5ad(tmp_path / "C1.h5ad")
    (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path, mpp_um_per_px=0.5))
    assert list(read.var_names) == ["TP53"]
    assert read.uns["section"]["mismatches"]["features_that_are_no_genes"] == 1


def test_merge_symbols_sums_counts_and_joins_ids():
    counts = sp.csr_matrix(np.array([[1, 2, 4], [8, 0, 16]]))
    merged = merge_symbols(counts, ["B", "A", "B"], ["1", "2", "3"])
    assert (merged.symbols, merged.ids, merged.n_merged) == (["B", "A"], ["1|3", "2"], 1)
    assert merged.counts.toarray().tolist() == [[5, 2], [24, 0]]


def test_read_sections_takes_symbols_of_a_file_indexed_by_ids(tmp_path, make_section):
    section = make_section([[1, 2, 3], [4, 5, 6]], name="C1", genes=IDS)
    section.var["feature_name"] = pd.Categorical(["TP53", "TENT5A", "TP53"])
    section.write_h5ad(tmp_path / "C1.h5ad")
    (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path, mpp_um_per_px=0.5))
    assert list(read.var_names) == ["TP53", "TENT5A"]
    assert read.var["gene_id"].tolist() == [f"{IDS[0]}|{IDS[2]}", IDS[1]]
    assert read.X.toarray().tolist() == [[4, 2], [10, 5]]
    assert read.uns["section"]["mismatches"] == {"symbols_merged": 1}


def test_read_sections_gives_the_ids_of_a_round_trip_back(tmp_path, make_section):
    section = make_section([[1, 2]], name="C1", genes=["TP53", "TENT5A"])
    section.var["gene_id"] = [f"{IDS[0]}|{IDS[2]}", ""]
    section.write_h5ad(tmp_path / "C1.h5ad")
    (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path, mpp_um_per_px=0.5))
    assert read.var["gene_id"].tolist() == [f"{IDS[0]}|{IDS[2]}", ""]


def test_read_sections_carries_the_ids_of_space_ranger(real_data):
    (section,) = read_sections(SectionsSettings(layout="space_ranger", root=real_data / "visium"))
    assert section.var["gene_id"].str.fullmatch(r"ENSG\d{11}").all()
