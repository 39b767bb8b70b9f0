import numpy as np
import pytest
import torch

from hage_transfer.errors import DataError
from hage_transfer.models import region_attention as module
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.region_attention import embedding_regions, region_attention

REGIONS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2])


@pytest.fixture
def ensemble(save):
    return ExpressionEnsemble.from_folders([save(0), save(1)])


def weights(ensemble, rows) -> np.ndarray:
    """(model, spot, head, gene), all at once."""
    return np.stack([model.encoder.gene_attention(torch.from_numpy(rows)).numpy() for model in ensemble.models])


def test_attention_by_spot_is_the_mean_over_models_and_heads(ensemble, rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 3)
    found = region_attention(ensemble, rows, REGIONS, n_regions=3)
    np.testing.assert_allclose(found.by_spot, weights(ensemble, rows).mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(found.by_spot.sum(1), 1, rtol=1e-5)


def test_region_means_and_effects_equal_their_definition_whatever_the_batch(ensemble, rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 4)
    found = region_attention(ensemble, rows, REGIONS, n_regions=3)
    expected = weights(ensemble, rows).astype(np.float64)
    cases = {(None, None): expected.mean((0, 2))}
    cases |= {(m, h): expected[m, :, h] for m in range(2) for h in range(2)}
    assert [(head.encoder, head.head) for head in found.heads] == list(cases)
    for head in found.heads:
        values = cases[head.encoder, head.head]
        for region in range(3):
            inside, outside = values[region == REGIONS], values[region != REGIONS]
            spread = ((len(inside) - 1) * inside.var(0, ddof=1) + (len(outside) - 1) * outside.var(0, ddof=1)) / 9
            np.testing.assert_allclose(head.mean[region], inside.mean(0), rtol=1e-5)
            np.testing.assert_allclose(head.rest[region], outside.mean(0), rtol=1e-5)
            effect = (inside.mean(0) - outside.mean(0)) / np.sqrt(spread)
            np.testing.assert_allclose(head.effect[region], effect, rtol=1e-3, atol=1e-4)
        assert head.uniform == 1 / 4


def test_a_single_region_has_no_contrast(ensemble, rows):
    head = region_attention(ensemble, rows, np.zeros(len(rows), int), n_regions=1).heads[0]
    assert np.isnan(head.effect).all()
    assert np.isfinite(head.mean).all()


def test_an_encoder_without_genes_has_no_attention(save, rows):
    ensemble = ExpressionEnsemble.from_folders([save(informed=False)])
    with pytest.raises(DataError, match="without gene embeddings"):
        region_attention(ensemble, rows, REGIONS, n_regions=3)


def test_regions_are_reproducible_and_numbered_from_the_largest(ensemble, monkeypatch):
    groups = np.repeat([0, 1, 2], [5, 30, 15])
    rows = (10.0 * np.eye(5, dtype=np.float32)[groups] + np.random.default_rng(0).normal(0, 0.01, (50, 5))).astype("f4")
    found = embedding_regions(ensemble.models[0], rows, n_regions=3, seed=0)
    assert np.bincount(found).tolist() == [30, 15, 5]
    assert [np.unique(found[groups == group]).tolist() for group in range(3)] == [[2], [0], [1]]
    monkeypatch.setattr(module, "_CLUSTERED_ROWS", 40)  # centres of a sample, every row assigned
    np.testing.assert_array_equal(embedding_regions(ensemble.models[0], rows, n_regions=3, seed=0), found)


def test_more_regions_than_spots_are_refused(ensemble, rows):
    with pytest.raises(DataError, match="12 regions are wanted of 11 spots"):
        embedding_regions(ensemble.models[0], rows, n_regions=12, seed=0)
