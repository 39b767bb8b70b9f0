import h5py
import numpy as np
import pytest
import torch

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.audit.attention_use import attention_records, attention_use

N_GENES = 6


@pytest.fixture
def encoder() -> GeneInformedEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GeneInformedEncoder(torch.randn(N_GENES, 4), feature_dim=5, embed_dim=8, n_heads=2).eval()


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def test_one_embedding_for_all_genes_is_even_and_adds_one_vector(encoder, features):
    encoder.gene_embeddings = encoder.gene_embeddings.mean(0).repeat(N_GENES, 1)
    use = attention_use(encoder, features)
    assert use.entropy == pytest.approx(1, abs=1e-6)
    assert use.spread == pytest.approx(0, abs=1e-6)


def test_a_patch_that_sees_one_gene_has_no_entropy_and_genes_that_differ_by_patch_spread(encoder, features):
    with torch.no_grad():
        encoder.attention.query.weight.mul_(1e4)
    use = attention_use(encoder, features)
    assert use.entropy < 0.05
    assert use.spread > 0.05


def test_both_numbers_equal_their_definitions(encoder, features):
    with torch.no_grad():
        rows = torch.from_numpy(features)
        weights = encoder.gene_attention(rows).double()
        patches = encoder.project_features(rows)
        added = encoder.attention(patches, encoder.gene_embeddings)
    use = attention_use(encoder, features)
    assert use.entropy == pytest.approx((-(weights * weights.log()).sum(-1).mean() / np.log(N_GENES)).item(), rel=1e-5)
    ratio = added.var(0, correction=0).sum().sqrt() / patches.var(0, correction=0).sum().sqrt()
    assert use.spread == pytest.approx(ratio.item(), rel=1e-4)


def test_an_encoder_without_genes_is_refused(features):
    with pytest.raises(ValueError, match="two genes or more"):
        attention_use(GeneInformedEncoder(None, feature_dim=5, embed_dim=8, n_heads=2), features)


def test_records_are_by_section_and_none_without_genes(tmp_path):
    with h5py.File(tmp_path / "0.h5", "w") as file:
        file["attention/A1"], file["attention/A2"] = np.array([0.9, 0.1]), np.array([0.7, 0.3])
    with h5py.File(tmp_path / "1.h5", "w"):
        pass
    found = {(r.metric, r.trial, r.section): r.value for r in attention_records([tmp_path / "0.h5"], fold="A")}
    assert found["attention_entropy", 0, "A2"] == 0.7
    assert found["attention_spread", 0, None] == pytest.approx(0.2)
    assert attention_records([tmp_path / "1.h5"], fold="A") == []
