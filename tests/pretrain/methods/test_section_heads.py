from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from hage_transfer.models.blocks import Standardise
from hage_transfer.models.section_encoders import GraphAttentionEncoder, HisToGeneEncoder, SageEncoder
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods import section_heads
from hage_transfer.pretrain.methods.base import Task
from hage_transfer.pretrain.methods.batches import SpotBatch, lay_sections, section_loader
from hage_transfer.pretrain.methods.neighbourhood_heads import DeepSpotStyle, STPathStyle, TriplexStyle
from hage_transfer.pretrain.methods.regression import ExpressionNetwork
from hage_transfer.pretrain.methods.section_heads import (
    Hist2STStyle,
    HisToGene,
    THItoGeneStyle,
    fit_thitogene_style,
    size_factors,
)

IMAGES = Standardise(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)))
SIZES = {"n_positions": 8, "width": 16, "depth": 1, "n_heads": 2, "dropout": 0.0}
HEADS: dict[str, Callable[[], ExpressionNetwork]] = {
    "histogene": lambda: HisToGene(HisToGeneEncoder(IMAGES, 8, **SIZES), 20),
    "hist2st_graph": lambda: Hist2STStyle(SageEncoder(IMAGES, 8, **SIZES, graph_depth=2), 20),
    "thitogene_graph": lambda: THItoGeneStyle(
        GraphAttentionEncoder(IMAGES, 8, **SIZES, beside=4, graph_heads=2, graph_width=8), 20
    ),
    "triplex_style": lambda: TriplexStyle(HisToGeneEncoder(IMAGES, 8, **SIZES), 20),
    "deepspot_style": lambda: DeepSpotStyle(HisToGeneEncoder(IMAGES, 8, **SIZES), 20),
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


def test_hist2st_style_weights_its_zinb_term(batch: SpotBatch):
    network = HEADS["hist2st_graph"]()
    half = network.losses(batch)["zinb"].item()
    network.zinb = 0.5
    assert network.losses(batch)["zinb"].item() == pytest.approx(2 * half)


def test_size_factors_are_totals_over_their_median():
    counts = torch.tensor([[1.0, 1.0], [4.0, 0.0], [6.0, 2.0], [0.0, 0.0]])
    torch.testing.assert_close(size_factors(counts[:3]), torch.tensor([[0.5], [1.0], [2.0]]))
    assert size_factors(counts)[3] > 0


@pytest.mark.parametrize(("n_genes", "depth"), [(171, 8), (785, 4)])
def test_thitogene_style_is_as_deep_as_published_for_the_panel(
    n_genes: int, depth: int, make_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
):
    given: dict[str, int] = {}
    monkeypatch.setattr(section_heads, "fit_sections", lambda task, **settings: given.update(settings))
    task = make_task()
    fit_thitogene_style(replace(task, data=replace(task.data, genes=("G",) * n_genes)))
    assert given["depth"] == depth


@pytest.fixture
def stpath():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield STPathStyle(HisToGeneEncoder(IMAGES, 8, **SIZES), 20)


def test_stpath_style_hides_every_spot_that_does_not_train_and_shows_only_others(stpath: STPathStyle, batch: SpotBatch):
    hidden = torch.stack([stpath._drawn(batch.scored) for _ in range(50)])
    assert hidden[:, ~batch.scored].all()
    assert 0.6 < hidden[:, batch.scored].double().mean() < 0.95
    assert (hidden & batch.scored).any(1).all()


def test_stpath_style_reads_no_expression_of_hidden_spots(stpath, batch, monkeypatch):
    monkeypatch.setattr(stpath, "_drawn", lambda scored: ~scored | (torch.arange(len(scored)) < 12))
    context = ~batch.scored
    target = batch.target.clone()
    target[context] = 1e3  # of validation and test spots
    assert stpath.losses(batch)["mse"] == stpath.losses(batch._replace(target=target))["mse"]
    shown = batch.scored & (torch.arange(24) >= 12)
    target = batch.target.clone()
    target[shown] += 5
    assert stpath.losses(batch)["mse"] != stpath.losses(batch._replace(target=target))["mse"]


def test_triplex_style_views_learn_towards_the_target_and_the_fused(batch: SpotBatch):
    network = HEADS["triplex_style"]().eval()
    network.towards_fused = 0.0
    plain = network.losses(batch)["views"].item()
    parts, target = network.tokens(batch.inputs), batch.target[batch.scored]
    errors = [
        (view(part.mean(1))[batch.scored] - target).square().mean().item()
        for view, part in zip(network.views, parts, strict=True)
    ]
    assert plain == pytest.approx(sum(errors), rel=1e-5)
    network.towards_fused = 1.0
    fused = network(batch.inputs)[batch.scored]
    towards = [
        (view(part.mean(1))[batch.scored] - fused).square().mean().item()
        for view, part in zip(network.views, parts, strict=True)
    ]
    assert network.losses(batch)["views"].item() == pytest.approx(sum(towards), rel=1e-5)
