import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.gene_columns import gene_names_of, merge_symbols

IDS = ["ENSG00000141510", "ENSG00000112773.4", "ENSMUSG00000059552"]


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
