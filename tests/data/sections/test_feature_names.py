import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from hage_transfer.data.sections.feature_names import are_genes, is_missing_name
from hage_transfer.data.sections.gene_columns import gene_names_of, genes_of
from hage_transfer.errors import DataError

IDS = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]


def genes(var, **settings):
    return genes_of("a.h5ad", sp.csr_matrix(np.arange(1, len(var) + 1)[None]), var, **settings)


OF_10X = "NegControlProbe_00042 NegControlCodeword_0500 BLANK_0001 UnassignedCodeword_0001 antisense_PROKR2"
OF_OTHERS = "DEPRECATED_ENSG00000000001 Blank-12 NegPrb3 Negative7 SystemControl2 ERCC-00002"
OF_HTSEQ = "__no_feature __ambiguous ambiguous[A+B] __ambiguous[A+B]"


@pytest.mark.parametrize("name", f"{OF_10X} {OF_OTHERS} {OF_HTSEQ}".split())
def test_control_probes_spike_ins_and_sums_are_no_genes(name):
    assert not are_genes([name]).any()


def test_genes_whose_names_are_like_controls_are_genes():
    assert are_genes(["ERCC1", "ERCC6L2", "BLNK", "NEGR1", "ANTXR1", "HLA-A", "ENSG00000000001"]).all()


@pytest.mark.parametrize(("column", "other"), [("feature_types", "Antibody Capture"), ("feature_biotype", "spike-in")])
def test_features_of_other_types_are_left_out_and_counted(column, other):
    var = pd.DataFrame({column: ["Gene Expression", other, "Gene Expression"]}, index=["TP53", "CD3", "ERBB2"])
    found = genes(var)
    assert (found.symbols, found.counts.toarray().tolist(), found.n_no_genes) == (["TP53", "ERBB2"], [[1, 3]], 1)
    assert found.mismatches["features_that_are_no_genes"] == 1


def test_a_table_of_no_gene_is_refused():
    var = pd.DataFrame({"feature_types": ["Antibody Capture"]}, index=["CD3"])
    with pytest.raises(DataError, match=r"a\.h5ad: no feature of type Gene Expression; it has Antibody Capture"):
        genes(var)
    with pytest.raises(DataError, match=r"a\.h5ad: none of its 1 features is a gene \(BLANK_1\)"):
        genes(pd.DataFrame(index=["BLANK_1"]))


@pytest.mark.parametrize("date", ["1-Mar", "Sep-02", "2021-03-01", "2021-12-01 00:00:00", "01/03/2021", "1-MAR"])
def test_genes_that_a_spreadsheet_made_dates_go_by_their_ids_and_are_said(date, caplog):
    var = pd.DataFrame({"gene_ids": IDS}, index=[date, date, "TP53"])
    assert gene_names_of(var, "a.h5ad") == ([*IDS[:2], "TP53"], IDS)
    assert f"a.h5ad: 2 genes are called as dates ({date})" in caplog.text


def test_dates_without_ids_stay_and_are_said(caplog):
    assert gene_names_of(pd.DataFrame(index=["1-Mar", "TP53"])) == (["1-Mar", "TP53"], None)
    assert "take the table from before it was opened in one" in caplog.text


@pytest.mark.parametrize("genome", ["GRCh38_", "hg19_", "mm10___"])
def test_one_genome_before_all_names_is_taken_off(genome, caplog):
    caplog.set_level("INFO")
    var = pd.DataFrame({"gene_ids": [genome + gene_id for gene_id in IDS]}, index=[f"{genome}G{k}" for k in range(3)])
    assert gene_names_of(var, "a.h5ad") == (["G0", "G1", "G2"], IDS)
    assert caplog.text.count("without the genome before their names") == 1


def test_genes_of_two_genomes_keep_them_and_are_said(caplog):
    names = ["GRCh38_TP53", "mm10___Trp53"]
    assert gene_names_of(pd.DataFrame(index=names), "a.h5ad")[0] == names
    assert "a.h5ad: genes of 2 genomes (GRCh38, mm10)" in caplog.text


@pytest.mark.parametrize("nothing", ["nan", "NA", "", " ", "<NA>", None])
def test_a_gene_that_is_called_nothing_has_its_id_for_a_name(nothing):
    names = gene_names_of(pd.DataFrame({"gene_ids": IDS}, index=[nothing, "TP53", "ERBB2"]))[0]
    assert names == [IDS[0], "TP53", "ERBB2"]
    assert not is_missing_name("NAT1")


def test_names_lose_the_spaces_around_them():
    assert gene_names_of(pd.DataFrame(index=[" TP53", "ERBB2 "]))[0] == ["TP53", "ERBB2"]
