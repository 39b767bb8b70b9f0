import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from hage_transfer.cli.main import run
from hage_transfer.data.co_expression import train_coexpression
from hage_transfer.data.gene2vec import read_gene2vec
from hage_transfer.data.genes import read_symbols
from hage_transfer.data.sections import read_sections
from hage_transfer.pretrain.config import PretrainConfig

HVG = [
    "--set",
    "genes.panel=hvg",
    "--set",
    "genes.n_top=10",
    "--set",
    "genes.min_sections=1",
    "--set",
    "genes.min_spots=5",
]


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as handle:
        return {row["gene"]: row for row in csv.DictReader(handle)}


def config_of(bench) -> PretrainConfig:
    return PretrainConfig.model_validate(yaml.safe_load((bench.root / "pretrain.yaml").read_text()))


def test_genes_panel_writes_a_panel_that_its_report_agrees_with(bench, capsys):
    assert run(["genes", "panel", "pretrain.yaml", *HVG, "--out", "out/mine.csv"]) == 0
    symbols = read_symbols(bench.root / "out" / "mine.txt")
    rows = rows_of(bench.root / "out" / "mine.csv")
    assert symbols == [gene for gene, row in rows.items() if row["kept"] == "True"]
    printed = capsys.readouterr().out
    assert "kept" in printed
    assert f" {len(symbols)} " in printed
    assert "seen every held-out one" in printed


def test_genes_panel_is_usable_as_the_configs_panel(bench):
    assert run(["genes", "panel", "pretrain.yaml", *HVG, "--out", "chosen.txt"]) == 0
    before = read_symbols(bench.root / "chosen.txt")
    assert run(["genes", "panel", "pretrain.yaml", "--set", "genes.panel=chosen.txt", "--out", "again"]) == 0
    assert read_symbols(bench.root / "again" / "panel.txt") == before


def test_genes_panel_of_a_fold_does_not_depend_on_its_held_out_sections(bench, capsys):
    command = ["genes", "panel", "pretrain.yaml", *HVG, "--fold", "A", "--overwrite", "--out", "fold.txt"]
    assert run(command) == 0
    assert "made on the 1 sections that may train where patient A is held out" in capsys.readouterr().out
    before = (bench.root / "fold.csv").read_text()
    counts = bench.read_counts("A2")
    bench.write_counts("A2", counts.assign(**{gene: counts[gene] * 9 + 1 for gene in counts.columns[::3]}))
    assert run(command) == 0
    assert (bench.root / "fold.csv").read_text() == before


def test_genes_panel_training_only_takes_the_only_fold(bench, capsys):
    assert run(["genes", "panel", "pretrain.yaml", *HVG, "--training-only"]) == 2
    assert "the split has 2 folds (A, B); name one with --fold" in capsys.readouterr().err
    assert run(["genes", "panel", "pretrain.yaml", *HVG, "--training-only", "--set", "split.held_out=[B]"]) == 0
    assert "where patient B is held out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["panel", "pretrain.yaml", "--fold", "Z"], "--fold Z: no such fold; leaving one patient out gives A, B"),
        (["panel", "pretrain.yaml", *HVG, "--set", "genes.min_spots=999"], "genes.min_spots = 999 keeps 0 of the"),
        (["panel", "pretrain.yaml", "--out", "panel.txt"], "panel.txt there already"),
        (["embed", "pretrain.yaml", "--out", "panel.txt"], "panel.txt there already"),
        (["coverage", "pretrain.yaml"], "genes.embeddings names no file"),
        (["coverage", "--panel", "panel.txt"], "give a config, or both --panel and --embeddings files"),
        (["coverage", "--panel", "panel.txt", "--embeddings", "none.txt"], "none.txt: no such file"),
        (["panel", "pretrain.yaml", "--set", "genes.names=none.csv"], "none.csv: no such table of gene names"),
    ],
)
def test_genes_with_wrong_input_ends_with_2_and_names_it(bench, capsys, arguments, message):
    panel = (bench.root / "panel.txt").read_text()
    assert run(["genes", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert (bench.root / "panel.txt").read_text() == panel


def test_genes_embed_writes_what_training_gives(bench, capsys):
    assert run(["genes", "embed", "pretrain.yaml", "--out", "g2v.txt", "--fold", "A", "--seed", "5"]) == 0
    held_out, training = read_sections(config_of(bench).data)
    assert held_out.uns["section"]["patient"] == "A"
    wanted = train_coexpression([training], read_symbols(bench.root / "panel.txt"), dim=4, seed=5)
    read = read_gene2vec(bench.root / "g2v.txt")
    assert read.symbols == wanted.symbols
    np.testing.assert_array_equal(read.vectors, wanted.vectors)
    assert "use it for that fold alone" in capsys.readouterr().out


def test_genes_embed_covers_the_panel_it_was_trained_for(bench, capsys):
    assert run(["genes", "embed", "pretrain.yaml", "--out", "g2v.txt"]) == 0
    assert run(["genes", "coverage", "pretrain.yaml", "--embeddings", "g2v.txt"]) == 0
    assert "30 of 30 panel genes (100.0%) have an embedding in g2v.txt" in capsys.readouterr().out


def test_genes_coverage_tells_resolved_missing_and_near_names(bench, capsys):
    (bench.root / "few.txt").write_text("GENE1\nGENE2\nOLD3\nGene4\n")
    (bench.root / "g2v.txt").write_text("GENE1\t1 2\nGENE3\t3 4\nGENE4\t5 6\n")
    (bench.root / "names.csv").write_text("alias,symbol\nOLD3,GENE3\n")
    files = ["--panel", "few.txt", "--embeddings", "g2v.txt", "--names", "names.csv"]
    assert run(["genes", "coverage", *files, "--out", "coverage.csv"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 panel genes (50.0%) have an embedding in g2v.txt (3 genes, 2 numbers each)" in printed
    assert "1 under another name: OLD3 as GENE3" in printed
    rows = rows_of(bench.root / "coverage.csv")
    assert rows["OLD3"]["embedding"] == "GENE3"
    assert rows["Gene4"]["near"] == "GENE4"
    assert rows["GENE2"]["covered"] == "False"
    assert rows["GENE2"]["reason"] == "no embedding in g2v.txt: not listed"


@pytest.mark.slow
def test_genes_panel_of_the_real_sections_tells_that_no_gene_is_in_the_top_of_all(real_data, tmp_path, capsys):
    (tmp_path / "her2st.yaml").write_text(f"data: {{root: {real_data / 'her2st' / 'data'}}}\n")
    strict = ["--set", "genes.min_sections=32", "--set", "genes.min_spots=0"]
    assert run(["genes", "panel", str(tmp_path / "her2st.yaml"), *strict]) == 2
    assert "min_sections = 32 keeps 0 of 12,678 genes" in " ".join(capsys.readouterr().err.split())


def test_genes_embed_of_gene_sets_reads_no_counts_and_of_sections_says_which(bench, capsys):
    (bench.root / "sets.gmt").write_text(
        "".join(f"s{k}\t\t" + "\t".join(f"GENE{g}" for g in range(k, 30, 3)) + "\n" for k in range(3))
    )
    assert run(["genes", "embed", "--from", "sets.gmt", "--out", "sets.txt"]) == 0
    assert read_gene2vec(bench.root / "sets.txt").counts_read == ()
    both = ["genes", "embed", "pretrain.yaml", "--from", "sets.gmt", "--from", "co-expression", "--out", "both.txt"]
    assert run(both) == 0
    assert set(read_gene2vec(bench.root / "both.txt").counts_read) == {"A2", "B1"}
    assert "seen every held-out one" in capsys.readouterr().out
    pairs = "".join(f"GENE{a} GENE{b} {int(a % 3 == b % 3)}\n" for a in range(1, 12) for b in range(a + 1, 12))
    (bench.root / "pairs.txt").write_text(pairs)
    judged = ["genes", "judge", "sets.txt", "--pairs", "pairs.txt", "--config", "pretrain.yaml", "--near", "GENE4"]
    assert run(judged) == 0
    printed = capsys.readouterr().out
    assert "AUC 1.000" in printed
    assert "above chance" in printed
    assert "near GENE4: GENE" in printed
    assert "panel mean" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "--out", "x.txt"], "co-expression, --set, --fold, --training-only are of a config's sections"),
        (["embed", "--from", "none.gmt", "--out", "x.txt"], "none.gmt: no such file of gene sets"),
        (["judge", "panel.txt"], "panel.txt: line 1"),
        (["judge", "none.npy", "--near", "A"], "none.npy: no such file of gene vectors"),
    ],
)
def test_genes_embed_and_judge_name_what_is_wrong(bench, capsys, arguments, message):
    assert run(["genes", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
