from collections.abc import Callable

import pytest
import torch

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.batches import SpotBatch, lay_sections, section_loader
from hage_transfer.pretrain.methods.hist2st import Hist2ST, size_factors
from hage_transfer.pretrain.methods.histogene import HisToGene
from hage_transfer.pretrain.methods.regression import ExpressionNetwork
from hage_transfer.pretrain.methods.thitogene import THItoGene

FEATURES = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
SIZES = {"n_genes": 20, "n_positions": 8, "width": 16, "depth": 1, "n_heads": 2, "dropout": 0.0}
HEADS: dict[str, Callable[[], ExpressionNetwork]] = {
    "histogene": lambda: HisToGene(FEATURES, **SIZES),
    "hist2st": lambda: Hist2ST(FEATURES, **SIZES, graph_depth=2, zinb=0.25),
    "thitogene": lambda: THItoGene(FEATURES, **SIZES, position_width=4, graph_heads=2, graph_width=8),
}


@pytest.fixture
def batch(sections: Callable[..., Spots]) -> SpotBatch:
    spots = sections([24], seed=0, names=["A1"])
    rows = torch.arange(0, 24, 3).numpy()
    return next(iter(section_loader(spots, lay_sections(spots), rows, seed=None)))


@pytest.mark.parametrize("name", HEADS)
def test_expression_of_context_spots_is_not_in_the_loss(name: str, batch: SpotBatch):
    network, context = HEADS[name](), ~batch.scored
    target, counts = batch.target.clone(), batch.counts.clone()
    target[context], counts[context] = 1e3, 1e3
    before, after = network.losses(batch), network.losses(batch._replace(target=target, counts=counts))
    assert {key: value.item() for key, value in before.items()} == {key: value.item() for key, value in after.items()}


@pytest.mark.parametrize("name", HEADS)
def test_a_spot_is_predicted_from_the_others_of_its_section(name: str, batch: SpotBatch):
    network, features = HEADS[name]().eval(), batch.inputs.features.clone()
    features[0] += 3
    moved = network(batch.inputs._replace(features=features)) - network(batch.inputs)
    assert moved[-1].abs().max() > 0


def test_hist2st_weights_its_zinb_term(batch: SpotBatch):
    network = HEADS["hist2st"]()
    half = network.losses(batch)["zinb"].item()
    network.zinb = 0.5
    assert network.losses(batch)["zinb"].item() == pytest.approx(2 * half)


def test_size_factors_are_totals_over_their_median():
    counts = torch.tensor([[1.0, 1.0], [4.0, 0.0], [6.0, 2.0], [0.0, 0.0]])
    torch.testing.assert_close(size_factors(counts[:3]), torch.tensor([[0.5], [1.0], [2.0]]))
    assert size_factors(counts)[3] > 0
