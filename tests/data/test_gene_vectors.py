"""Gene vectors from sets, files and several of them."""

import gzip
import json
import sqlite3

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from hage_transfer.data.gene2vec import card_path, read_gene2vec
from hage_transfer.data.gene_sets import read_gene_sets
from hage_transfer.data.gene_vectors import (
    read_vectors,
    restricted,
    set_vectors,
    side_by_side,
    whitened,
    write_vectors,
)
from hage_transfer.errors import DataError

SETS = {"a": {f"A{i}" for i in range(6)}, "b": {f"B{i}" for i in range(6)}, "few": {"A0", "B0"}}
PAIRS = sorted((gene, name) for name, genes in SETS.items() for gene in genes)
GAF = "UniProtKB\tP{n}\t{gene}\t{qualifier}\t{term}\tPMID:1\tIDA\t\tP\t\t\tprotein\ttaxon:9606\t20200101\tUniProt\n"


def gmt(folder):
    (folder / "sets.gmt").write_text("".join(f"{s}\tabout\t" + "\t".join(sorted(g)) + "\n\n" for s, g in SETS.items()))
    return folder / "sets.gmt"


def zipped_gmt(folder):
    (folder / "sets.gmt.gz").write_bytes(gzip.compress(gmt(folder).read_bytes()))
    return folder / "sets.gmt.gz"


def table(folder):
    genes = sorted({gene for gene, _ in PAIRS})
    rows = {name: [int((gene, name) in PAIRS) for gene in genes] for name in SETS}
    pd.DataFrame(rows, index=pd.Index(genes, name="gene")).to_csv(folder / "sets.csv")
    return folder / "sets.csv"


def sqlite_of_go(folder):
    path = folder / "org.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE gene_info (_id INTEGER, symbol TEXT)")
        genes = sorted({gene for gene, _ in PAIRS})
        base.executemany("INSERT INTO gene_info VALUES (?, ?)", enumerate(genes))
        for name in ("go_bp_all", "go_cc_all", "go_mf_all"):
            base.execute(f"CREATE TABLE {name} (_id INTEGER, go_id TEXT, evidence TEXT)")
        rows = [(genes.index(gene), name, evidence) for gene, name in PAIRS for evidence in ("IDA", "IEA")]
        base.executemany("INSERT INTO go_bp_all VALUES (?, ?, ?)", rows)
    base.close()
    return path


@pytest.mark.parametrize("written", [gmt, zipped_gmt, table, sqlite_of_go])
def test_every_form_of_gene_sets_reads_the_same(written, tmp_path):
    assert read_gene_sets(written(tmp_path)) == PAIRS


def test_annotation_reaches_the_terms_above_and_leaves_not_out(tmp_path):
    lines = [("TP53", "enables", "GO:0000003"), ("EGFR", "NOT|enables", "GO:0000003"), ("MYC", "enables", "GO:0000002")]
    text = "!gaf-version: 2.2\n" + "".join(
        GAF.format(n=n, gene=gene, qualifier=how, term=term) for n, (gene, how, term) in enumerate(lines)
    )
    (tmp_path / "human.gaf").write_text(text)
    assert read_gene_sets(tmp_path / "human.gaf") == [("MYC", "GO:0000002"), ("TP53", "GO:0000003")]
    (tmp_path / "go.obo").write_text(
        "[Term]\nid: GO:0000003\nis_a: GO:0000002 ! middle\n\n[Term]\nid: GO:0000002\n"
        "relationship: part_of GO:0000001 ! root\nrelationship: regulates GO:0000009 ! no\n[Typedef]\nid: part_of\n"
    )
    above = [("MYC", "GO:0000001"), ("MYC", "GO:0000002")]
    assert read_gene_sets(tmp_path / "human.gaf") == above + [("TP53", f"GO:000000{n}") for n in (1, 2, 3)]


def test_genes_of_one_set_point_the_same_way_and_a_set_of_all_says_nothing():
    everywhere = [(gene, "all") for gene in sorted({gene for gene, _ in PAIRS})]
    found = set_vectors(PAIRS + everywhere, dim=50, source="made")
    cosine = found.vectors @ found.vectors.T
    is_a = np.array([gene.startswith("A") for gene in found.symbols])
    assert cosine[np.ix_(is_a, is_a)].min() > 0.99
    assert abs(cosine[np.ix_(is_a, ~is_a)]).max() < 1e-5
    assert "2 sets" in found.source
    assert found.counts_read == ()


def npy(folder, symbols, vectors):
    np.save(folder / "v.npy", vectors)
    (folder / "v.txt").write_text("\n".join(symbols))
    return str(folder / "v.npy")


def text(folder, symbols, vectors):
    rows = (" ".join([one, *map(str, row)]) for one, row in zip(symbols, vectors, strict=True))
    (folder / "v2.txt").write_text("\n".join(rows))
    return str(folder / "v2.txt")


def varm(folder, symbols, vectors):
    table = ad.AnnData(np.zeros((1, len(symbols)), dtype=np.float32), var=pd.DataFrame(index=list(symbols)))
    table.varm["PCs"], table.varm["other"] = vectors, vectors + 1
    table.write_h5ad(folder / "v.h5ad")
    return str(folder / "v.h5ad") + ":PCs"


@pytest.mark.parametrize("written", [npy, text, varm])
def test_vectors_of_every_form_read_the_same(written, tmp_path):
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = read_vectors(written(tmp_path, ("A", "B", "C"), vectors), dim=9)
    assert found.symbols == ("A", "B", "C")
    np.testing.assert_array_equal(found.vectors, vectors)


def test_parts_stand_side_by_side_at_one_scale_and_a_lacking_gene_at_the_mean(tmp_path):
    one = read_vectors(npy(tmp_path, ("A", "B"), np.array([[1.0, 0.0], [3.0, 0.0]])), dim=1)
    two = read_vectors(text(tmp_path, ("B", "C"), [[100.0], [300.0]]), dim=1)
    both = side_by_side([one, two])
    assert both.symbols == ("A", "B", "C")
    np.testing.assert_allclose(both.vectors, [[-1, 0, 0], [1, 0, -1], [0, 0, 1]])
    assert restricted(both, ["C", "A"]).symbols == ("A", "C")


def test_card_goes_with_the_file_and_says_what_was_read(tmp_path):
    made = set_vectors(PAIRS, dim=2, source="made")
    write_vectors(tmp_path / "g.txt", made)
    read = read_gene2vec(tmp_path / "g.txt")
    np.testing.assert_array_equal(read.vectors, made.vectors)
    assert "has read no counts" in read.source
    card = json.loads(card_path(tmp_path / "g.txt").read_text())
    card_path(tmp_path / "g.txt").write_text(json.dumps({**card, "counts_read": ["B4"]}))
    assert read_gene2vec(tmp_path / "g.txt").counts_read == ("B4",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sets.gmt", "one\tabout\n", "line 1 has no set or no gene"),
        ("sets.gmt", "", "no gene is in any set"),
        ("sets.gmt.gz", "not zipped", "cannot be read as gene sets"),
        ("human.gaf", "UniProtKB\tP1\n", "line 1 has 2 columns"),
        ("org.sqlite", "text", "no AnnotationDbi package"),
        ("sets.csv", "gene,a\nA,0.5\n", "columns a hold other values than 0 and 1"),
        ("sets.tsv", "", "cannot be read as a table"),
        ("v.npy", "text", "cannot be read as an array"),
        ("v.h5ad", "text", "cannot be read as AnnData"),
    ],
)
def test_a_wrong_file_is_one_message_that_names_it(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=rf"{name}.*{message}"):
        read_vectors(str(tmp_path / name), dim=2)
    with pytest.raises(DataError, match="none"):
        read_vectors(str(tmp_path / f"none.{name.split('.', 1)[1]}"), dim=2)


def test_varm_of_several_matrices_asks_for_one(tmp_path):
    path = varm(tmp_path, ("A", "B"), np.eye(2, dtype=np.float32)).removesuffix(":PCs")
    with pytest.raises(DataError, match=r"varm has PCs, other; name one as v.h5ad:KEY"):
        read_vectors(path, dim=2)


@pytest.mark.parametrize("n_genes", [40, 5])
def test_whitened_vectors_are_centred_and_alike_along_every_axis(n_genes):
    rng = np.random.default_rng(0)
    found = whitened((rng.standard_normal((n_genes, 8)) * np.geomspace(1, 50, 8) + 7).astype(np.float32)).astype(float)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    widths = np.linalg.svd(found, compute_uv=False)[: min(8, n_genes - 1)]
    np.testing.assert_allclose(widths, widths[0], rtol=1e-4)
    assert (found**2).mean() == pytest.approx(1, rel=1e-4)


def test_whitened_equal_vectors_are_zero():
    assert not whitened(np.ones((4, 3), dtype=np.float32)).any()
