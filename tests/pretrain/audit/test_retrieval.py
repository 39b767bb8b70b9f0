import h5py
import numpy as np
import pytest
import torch

from hage_transfer.pretrain.audit import retrieval
from hage_transfer.pretrain.audit.retrieval import chance_at_k, retrieval_at_k, retrieval_records


def rows(n: int, *, seed: int, width: int = 16) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_the_own_embedding_is_always_found_whatever_its_length():
    image = rows(60, seed=0)
    assert retrieval_at_k(image, image * torch.arange(1.0, 61)[:, None]).tolist() == [1, 1, 1, 1]


def test_ranks_equal_a_full_sort():
    image, expression = rows(80, seed=0), rows(80, seed=1)
    cosines = torch.nn.functional.cosine_similarity(image[:, None], expression[None], dim=2)
    rank = (cosines.argsort(dim=1, descending=True) == torch.arange(80)[:, None]).nonzero()[:, 1]
    expected = [(rank < k).double().mean().item() for k in (1, 5, 10, 50)]
    np.testing.assert_allclose(retrieval_at_k(image, expression), expected)


def test_unrelated_embeddings_score_chance():
    share = retrieval_at_k(rows(2000, seed=0), rows(2000, seed=1))
    chance = chance_at_k(2000)
    assert (np.abs(share - chance) < 4 * np.sqrt(chance / 2000)).all()


def test_collapsed_embeddings_score_exactly_chance():
    image, expression = rows(1, seed=0).expand(40, -1), rows(1, seed=1).expand(40, -1)
    np.testing.assert_allclose(retrieval_at_k(image, expression), chance_at_k(40))


def test_the_next_ones_embedding_is_never_first():
    image = torch.eye(8)
    assert retrieval_at_k(image, image.roll(1, 0), ks=(1, 8)).tolist() == [0, 1]


def test_blocks_change_nothing(monkeypatch):
    image, expression = rows(50, seed=0), rows(50, seed=0) + rows(50, seed=1)
    whole = retrieval_at_k(image, expression)
    monkeypatch.setattr(retrieval, "_ENTRIES_AT_A_TIME", 50 * 7)
    np.testing.assert_array_equal(retrieval_at_k(image, expression), whole)
    assert 0 < whole[0] < 1


def test_chance_is_k_of_n_and_never_above_one():
    assert chance_at_k(20, ks=(1, 5, 50)).tolist() == [0.05, 0.25, 1.0]


def test_unequal_and_empty_embeddings_are_refused(wrong_shapes):
    for image, expression in ((rows(3, seed=0), rows(4, seed=0)), (rows(0, seed=0), rows(0, seed=0))):
        with pytest.raises(ValueError, match="differ in shape or are empty"):
            retrieval_at_k(image, expression)


def test_records_are_by_section_and_their_mean_never_pooled(tmp_path):
    shares = {0: {"A1": 0.2, "A2": 0.4}, 1: {"A1": 0.3, "A2": 0.5}}
    for trial, sections in shares.items():
        with h5py.File(tmp_path / f"{trial}.h5", "w") as file:
            for name, share in sections.items():
                file[f"retrieval/{name}"] = np.array([[1, share, 0.01], [5, 2 * share, 0.05]])
    records = retrieval_records([tmp_path / "0.h5", tmp_path / "1.h5"], fold="A")
    found = {(r.metric, r.trial, r.section): r.value for r in records}
    assert found["retrieval_at_1", 0, "A2"] == 0.4
    assert found["retrieval_at_1", 1, None] == pytest.approx(0.4)
    assert found["retrieval_at_1", None, None] == pytest.approx(0.35)
    assert found["retrieval_at_5_chance", None, "A1"] == pytest.approx(0.05)
    assert {r.source for r in records} == {"hage"}
