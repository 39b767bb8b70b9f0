from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from hage_transfer.models.blocks import Standardise
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.batches import spot_grid
from hage_transfer.pretrain.methods.bleep import Bleep, smoothed_clip_loss
from hage_transfer.pretrain.methods.contrastive import Library
from hage_transfer.pretrain.methods.mclstexp import MclSTExp, n_matches


def mclstexp(*, library_run: int = 4) -> MclSTExp:
    return MclSTExp(
        Standardise(torch.randn(10, 8)),
        8,
        n_genes=20,
        n_positions=8,
        embed_dim=16,
        depth=1,
        n_heads=2,
        head_dim=4,
        temperature=1.0,
        library_run=library_run,
    )


def test_smoothed_clip_loss_equals_its_formula():
    rng = np.random.default_rng(0)
    images, spots = rng.normal(size=(2, 6, 4))
    logits = spots @ images.T / 0.5
    targets = softmax((images @ images.T + spots @ spots.T) / 2 * 0.5, axis=1)
    by_spot = -(targets * log_softmax(logits, axis=1)).sum(1)
    by_image = -(targets * log_softmax(logits, axis=0)).sum(0)
    expected = ((by_spot + by_image) / 2).mean()
    loss = smoothed_clip_loss(torch.tensor(images), torch.tensor(spots), temperature=0.5)
    assert loss.item() == pytest.approx(expected)


def test_mclstexp_loss_is_ln_batch_where_embeddings_say_nothing():
    ones = torch.ones(12, 16)
    assert mclstexp().loss(ones, ones).item() == pytest.approx(np.log(12))


def test_mclstexp_spots_of_a_run_see_each_other_and_no_others():
    torch.manual_seed(0)
    towers = mclstexp(library_run=4)
    target, grid = torch.rand(8, 20), torch.randint(0, 8, (8, 2))
    changed = target.clone()
    changed[0] += 5 * torch.rand(20)
    moved = (towers.embed_library(changed, grid) - towers.embed_library(target, grid)).abs().amax(1) > 1e-6
    assert moved.tolist() == [True] * 4 + [False] * 4


def test_mclstexp_matches_follow_the_size_of_the_panel():
    assert (n_matches(785), n_matches(171)) == (200, 600)


def test_library_holds_training_rows_alone(sections: Callable[..., Spots]):
    spots = sections([30], seed=0, names=["A1"])
    rows = np.arange(0, 30, 2)
    images = Standardise(torch.from_numpy(spots.features[rows]))
    towers = Bleep(images, spots.features.shape[1], n_genes=20, embed_dim=8, dropout=0.0, temperature=1.0)
    library = Library(spots, rows, spot_grid(spots), k=len(rows), weighted=False)
    expected = np.broadcast_to(spots.target[rows].mean(0), (30, 20))
    np.testing.assert_allclose(library.predict(towers, spots.features), expected, rtol=1e-5)
    own = library.predict(towers, spots.features, own_rows=np.arange(30))
    np.testing.assert_allclose(own[4], spots.target[np.delete(rows, 2)].mean(0), rtol=1e-5)
