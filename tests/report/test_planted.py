"""The sentence on planted data, by the benchmark's own code: genes where they help, and not where they are shuffled."""

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "planted.py"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed", "genes"), [("planted", 0, True), ("shuffled", 1, False)])
def test_the_sentence_says_genes_only_where_they_were_planted(tmp_path, kind, seed, genes):
    answer = runpy.run_path(str(BENCHMARK))["run_seed"](tmp_path, seed=seed, kind=kind)
    assert ("the genes" in answer.sentence) is genes, answer.sentence
    assert "synthetic data" in answer.sentence
