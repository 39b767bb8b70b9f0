import pytest

from hage_transfer.data.gene_sets import read_gene_sets
from hage_transfer.errors import DataError


def test_gmt_without_descriptions_is_refused_since_a_gene_of_each_set_would_be_lost(write):
    path = write("s.gmt", "S1\tTP53\tMYC\nS2\tMYC\tTP53\nS3\tTP53\tERBB2\n")
    with pytest.raises(DataError, match=r"s\.gmt: its second column holds genes \(TP53, MYC, TP53\), wanted a descr"):
        read_gene_sets(path)


@pytest.mark.parametrize("described", ["na", "", "http://x", "TP53"])
def test_gmt_with_descriptions_is_read_even_if_one_is_a_gene(write, described):
    path = write("s.gmt", f"S1\t{described}\tTP53\tMYC\nS2\tna\tMYC\nS3\tna\tMYC\n")
    assert read_gene_sets(path) == [("MYC", "S1"), ("MYC", "S2"), ("MYC", "S3"), ("TP53", "S1")]


def test_gmt_whose_descriptions_are_the_genes_that_sets_are_called_by_is_read(write):
    path = write("s.gmt", "SPI1(+)\tSPI1\tMYC\tGATA1\nMYC(+)\tMYC\tSPI1\nGATA1(+)\tGATA1\tSPI1\tMYC\n")
    assert {name for _, name in read_gene_sets(path)} == {"SPI1(+)", "MYC(+)", "GATA1(+)"}


def test_gmt_of_enrichr_with_weights_is_refused(write):
    with pytest.raises(DataError, match=r"s\.gmt: line 1: 'TP53,1\.0' has a weight \(Enrichr\); wanted genes alone"):
        read_gene_sets(write("s.gmt", "S1\t\tTP53,1.0\tMYC,1.0\n"))


@pytest.mark.parametrize("corner", ["", "gene", "Symbol", "gene_id"])
def test_a_table_whose_rows_are_longer_than_its_header_is_refused(write, corner):
    path = write("s.csv", f"{corner},S1,S2\nTP53,1,0,1\nMYC,0,1,1\n")
    with pytest.raises(DataError, match=r"s\.csv: its rows have a cell more than its header"):
        read_gene_sets(path)


@pytest.mark.parametrize("header", [",S1,S2", "gene,S1,S2", "S1,S2"])
def test_a_table_is_read_with_and_without_a_name_above_its_first_column(write, header):
    assert read_gene_sets(write("s.csv", f"{header}\nTP53,1,0\nMYC,0,1\n")) == [("MYC", "S2"), ("TP53", "S1")]
