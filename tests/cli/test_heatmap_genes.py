"""Genes of a slide's tiles, and what the encoders' runs say of their worth."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from hage_transfer import ExpressionModel, GeneInformedEncoder
from hage_transfer.compare.genes import gene_pcc
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.explain.genes import gene_quality, tile_genes
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import GeneLines
from hage_transfer.models.region_attention import region_attention

GENES = ("ERBB2", "KRT8", "CD3E")


def save(folder, seed, *, genes=GENES, informed=True):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vectors = 3 * torch.randn(len(genes), 6)
        encoder = GeneInformedEncoder(vectors if informed else None, feature_dim=5, embed_dim=8, n_heads=2)
        predictor = build_predictor("mlp", embed_dim=8, n_genes=len(genes))
    lines = GeneLines(np.ones(len(genes)), np.zeros(len(genes)), np.linspace(0.1, 0.3, len(genes)))
    card = {"preset": "spot_log10", "frozen_encoder": "embedded", "frozen_encoder_sha256": "abc", "fold": "A2"}
    ExpressionModel(encoder, predictor, genes=genes, lines=lines).save_pretrained(folder, card=card)
    return folder


@pytest.fixture
def run(tmp_path):
    return tmp_path / "pretrain"


@pytest.fixture
def ensemble(run):
    folders = [save(run / "encoders" / "A2" / f"trial_{seed}", seed) for seed in range(2)]
    return ExpressionEnsemble.from_folders(folders)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)


@pytest.mark.parametrize("limit", [None, 0], ids=["in memory", "in a file"])
def test_tile_genes_are_those_of_the_ensemble(ensemble, rows, limit):
    genes = tile_genes(ensemble, rows, sizes=limit)
    assert isinstance(genes.expression, np.memmap) == (limit == 0)
    np.testing.assert_allclose(genes.expression.T, ensemble.predict(rows).calibrated, rtol=1e-5, atol=1e-6)
    attention = region_attention(ensemble, rows, np.zeros(700, dtype=np.int64), n_regions=1)
    np.testing.assert_allclose(genes.attention.T, 3 * attention.by_spot, rtol=1e-5)
    share = attention.by_spot / attention.by_spot.sum(1, keepdims=True)
    assert genes.entropy == pytest.approx(-(share * np.log(share)).sum(1).mean() / np.log(3), rel=1e-4)


def test_an_encoder_without_genes_has_expression_and_no_attention(run, rows):
    folder = save(run / "encoders" / "A2" / "trial_0", 0, informed=False)
    genes = tile_genes(ExpressionEnsemble.from_folders([folder]), rows)
    assert genes.attention is None
    assert np.isnan(genes.entropy)
    assert genes.expression.shape == (3, 700)


def write_predictions(run, genes=("CD3E", "ERBB2")):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(40, len(genes))).astype(np.float32)
    predicted = target + rng.normal(size=target.shape).astype(np.float32)
    obs = pd.DataFrame({"section": ["A2"] * 20 + ["A3"] * 20}, index=[str(spot) for spot in range(40)])
    table = ad.AnnData(predicted, obs=obs, var=pd.DataFrame(index=list(genes)), layers={"target": target})
    (run / "predictions").mkdir()
    table.write_h5ad(run / "predictions" / "A2.h5ad")
    return np.mean([gene_pcc(predicted[part], target[part]) for part in (slice(20), slice(20, 40))], axis=0)


def test_quality_takes_heldout_scores_from_the_run_beside_the_encoders(run, ensemble):
    cd3e, erbb2 = write_predictions(run)
    quality = gene_quality(ensemble)
    np.testing.assert_allclose(quality.heldout_pcc, [erbb2, np.nan, cd3e], rtol=1e-6)
    np.testing.assert_allclose(quality.validation_pcc, [0.1, 0.2, 0.3])


def test_quality_says_where_heldout_scores_are_not_known(ensemble):
    quality = gene_quality(ensemble)
    assert np.isnan(quality.heldout_pcc).all()
    assert "not known" in quality.notes[0]


@pytest.mark.parametrize(
    ("baseline", "name"), [("ridge", "ridge"), ("bagged_reduced_rank_ridge_averaged", "reduced-rank ridge")]
)
@pytest.mark.parametrize(("hage", "below"), [(0.30, False), (0.18, True)])
def test_quality_says_whether_the_model_beats_ridge(run, ensemble, hage, below, baseline, name):
    write_predictions(run)
    values = {"hage_averaged": hage, "ridge": 0.1, baseline: 0.2}
    records = [
        Record(task="pretrain", source=name, split="test", fold="A2", trial=None, metric="pcc_all", value=value)
        for name, value in values.items()
    ]
    Results(records).save(run / "results.json")
    (note,) = gene_quality(ensemble).notes
    assert f"{hage:.3f}, {name} 0.200" in note
    assert ("no measurement" in note) == below
