import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import FoldSettings, GeneSettings
from hage_transfer.pretrain.genes import (
    choose_panel,
    fold_genes,
    gene_folds,
    gene_sections,
    judge_embeddings,
    read_named_sections,
    read_names,
)

# GENE0 to GENE39 are the genes of the tiny data set (conftest.py).


@pytest.fixture
def sections(config):
    return read_sections(config.data)


def test_fold_genes_tells_every_resolution_in_the_report(sections, write, tmp_path):
    settings = GeneSettings(
        panel=write("panel.txt", "GENE3\nOLD5\nGENE7\nGENE8\n"),
        embeddings=write("g2v.txt", "GENE3\t1 2\nGENE5\t3 4\nELDER7\t5 6\n"),
        names=write("names.csv", "alias,symbol\nOLD5,GENE5\nELDER7,GENE7\n"),
    )
    genes = fold_genes(sections, settings, seed=0, folder=tmp_path / "fold", sha256="x")
    assert genes.symbols == ("GENE3", "GENE5", "GENE7")
    assert genes.vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
    report = pd.read_csv(tmp_path / "fold" / "panel.csv", keep_default_na=False).set_index("gene")
    assert report["resolved_from"].to_dict() == {"GENE3": "", "GENE5": "OLD5", "GENE7": "", "GENE8": ""}
    assert report["kept"].tolist() == [True, True, True, False]
    assert report.loc["GENE7", "reason"].endswith("; embedding of ELDER7")
    assert report.loc["GENE8", ["rule", "reason"]].tolist() == [
        "no_embedding",
        "no embedding in g2v.txt: not listed",
    ]


def test_judge_embeddings_drops_what_training_would_leave_out(sections, write, tmp_path):
    for section in sections:
        counts = section.X.toarray()
        counts[:, 8] = 0
        section.X = sp.csr_matrix(counts)
    settings = GeneSettings(panel=write("panel.txt", "GENE3\nGENE8\nGENE7\nGENE5\n"), embedding_dim=4)
    panel = judge_embeddings(choose_panel(sections, settings, None), sections, settings, None)
    assert panel.report.set_index("gene").loc["GENE8", "reason"] == "constant in every training section"
    assert panel.symbols == fold_genes(sections, settings, seed=0, folder=tmp_path / "f", sha256="x").symbols


def test_judge_embeddings_of_a_panel_without_any_is_an_error(sections, write):
    settings = GeneSettings(panel=write("panel.txt", "GENE3\n"), embeddings=write("g2v.txt", "TP53\t1 2\n"))
    panel = choose_panel(sections, settings, None)
    with pytest.raises(DataError, match="none of the panel's 1 genes"):
        judge_embeddings(panel, sections, settings, None)


def test_fold_genes_are_read_back_where_the_inputs_are_the_same(sections, config, tmp_path):
    first = fold_genes(sections, config.genes, seed=0, folder=tmp_path, sha256="x")
    with h5py.File(tmp_path / "genes.h5", "r+") as file:
        file["vectors"][...] = 7
    again = fold_genes(sections, config.genes, seed=0, folder=tmp_path, sha256="x")
    assert (again.vectors == 7).all()
    anew = fold_genes(sections, config.genes, seed=0, folder=tmp_path, sha256="y")
    np.testing.assert_array_equal(anew.vectors, first.vectors)


def test_read_named_sections_call_genes_by_current_symbols(config, write):
    settings = config.genes.model_copy(update={"names": write("names.csv", "alias,symbol\nGENE3,TP53\n")})
    sections = read_named_sections(config.data, read_names(settings))
    assert all(section.var_names[3] == "TP53" for section in sections)


def test_gene_sections_hold_no_section_of_the_held_out_patient(sections):
    for section in sections[1:]:
        section.uns["section"]["image_path"] = ""
    named = {section.uns["section"]["name"]: section for section in sections}
    sections[2].uns["section"]["image_path"] = "b1.jpg"
    split = FoldSettings()
    assert {fold.name: gene_sections(named, fold, split) for fold in gene_folds(sections, split)} == {
        "A": ["B1", "B2"],
        "B": ["A2", "A3"],
    }


def test_gene_sections_of_sections_without_any_image_are_the_training_ones(sections):
    for section in sections:
        section.uns["section"]["image_path"] = ""
    named = {section.uns["section"]["name"]: section for section in sections}
    split = FoldSettings(unit="section", held_out=("A3",))
    (fold,) = gene_folds(sections, split)
    assert gene_sections(named, fold, split) == ["A2", "B1", "B2"]
