import math

import pytest
import torch

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.centroid_bank import CentroidBank
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.losses import centroids, clip_loss, cyclip_loss, pcc_loss, pcc_loss_within
from hage_transfer.pretrain.module import Embedded, HageModule
from hage_transfer.pretrain.spot_batches import Batch

N_SPOTS, N_GENES = 12, 6


def module(*, bank: CentroidBank | None = None, **loss: object) -> HageModule:
    torch.manual_seed(0)
    encoder = GeneInformedEncoder(torch.randn(N_GENES, 5), feature_dim=4, embed_dim=8, n_heads=2)
    return HageModule(encoder, n_genes=N_GENES, loss=LossSettings(**loss), train=TrainSettings(), bank=bank)


def batch() -> Batch:
    torch.manual_seed(1)
    spot = torch.arange(N_SPOTS)
    return Batch(torch.randn(N_SPOTS, 4), torch.rand(N_SPOTS, N_GENES), spot % 5, spot % 2, spot)


def terms(made: HageModule) -> tuple[Embedded, dict[str, torch.Tensor]]:
    embedded = made.embed(batch())
    return embedded, made.terms(embedded)


def test_terms_are_the_losses_of_the_embedded_batch():
    embedded, found = terms(module())
    image, expression, predicted, spots = embedded
    pairs = centroids(image, spots.cluster), centroids(expression, spots.cluster)
    torch.testing.assert_close(found["cyclip"], cyclip_loss(image, expression))
    torch.testing.assert_close(found["clip_local"], clip_loss(image, expression, temperature=0.07))
    torch.testing.assert_close(found["clip_global"], clip_loss(*pairs, temperature=0.07))
    torch.testing.assert_close(found["pcc"], pcc_loss(predicted, spots.target))


def test_pcc_within_sections_takes_the_section_of_each_spot():
    embedded, found = terms(module(pcc_scope="section"))
    wanted = pcc_loss_within(embedded.predicted, embedded.batch.target, embedded.batch.section)
    torch.testing.assert_close(found["pcc"], wanted)
    assert not torch.isclose(found["pcc"], pcc_loss(embedded.predicted, embedded.batch.target))


def test_total_is_eq_3():
    made = module(cyclip=2, clip_local=3, clip_global=5, pcc=7)
    _, found = terms(made)
    wanted = 2 * found["cyclip"] + 3 * found["clip_local"] + 5 * found["clip_global"] + 7 * found["pcc"]
    torch.testing.assert_close(made.total(found), wanted)


def test_chance_is_the_log_of_the_candidates():
    _, found = terms(module())
    assert found["clip_local_chance"].item() == pytest.approx(math.log(N_SPOTS))
    assert found["clip_global_chance"].item() == pytest.approx(math.log(5))


def test_centroids_over_the_dataset_come_from_the_bank_which_then_knows_the_batch():
    clusters = torch.arange(20) % 5 + torch.arange(20) // 12 * 5  # the batch's twelve spots are in 0 to 4
    bank = CentroidBank(clusters, embed_dim=8)
    bank.store(torch.arange(12, 20), torch.randn(8, 8), torch.randn(8, 8))
    _, found = terms(module(bank=bank))
    assert found["clip_global_chance"].item() == pytest.approx(math.log(10))
    assert bank.seen.all()


def test_a_bank_is_no_part_of_the_weights():
    assert module(bank=CentroidBank(torch.arange(20), embed_dim=8)).state_dict().keys() == module().state_dict().keys()
