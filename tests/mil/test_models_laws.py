"""Laws that every bag classifier keeps, and the formulas of those that are not AB-MIL."""

import numpy as np
import pytest
import torch

from hage_transfer.errors import DataError
from hage_transfer.mil.models import MODELS, build_model
from hage_transfer.mil.models.clam import ClamMB, ClamSB

SIZES = {"hidden_dim": 5, "attention_dim": 4, "dropout": 0.25}
TILEWISE = list(MODELS)


def model(kind, seed=0, n_classes=3, **changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(kind, 6, n_classes=n_classes, **{**SIZES, **changes}).eval()


def bag(n_bags=2, n_tiles=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_bags, n_tiles, 6, generator=generator), torch.ones(n_bags, n_tiles, dtype=torch.bool)


@pytest.mark.parametrize("kind", TILEWISE)
@pytest.mark.parametrize("hidden_dim", [0, 5])
def test_models_ignore_the_order_of_tiles(kind, hidden_dim):
    tiles, mask = bag()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    network = model(kind, hidden_dim=hidden_dim)
    plain, permuted = network(tiles, mask), network(tiles[:, order], mask)
    torch.testing.assert_close(plain.logits, permuted.logits)
    torch.testing.assert_close(plain.attention[:, order], permuted.attention)


@pytest.mark.parametrize("kind", TILEWISE)
def test_models_ignore_padding_and_attend_to_nothing_there(kind):
    tiles, mask = bag()
    network = model(kind)
    plain = network(tiles, mask)
    padded = network(torch.cat([tiles, torch.full((2, 3, 6), 1e3)], 1), torch.cat([mask, torch.zeros(2, 3).bool()], 1))
    torch.testing.assert_close(plain.logits, padded.logits)
    assert (padded.attention[:, 9:] == 0).all()
    torch.testing.assert_close(padded.attention.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("kind", TILEWISE)
def test_models_classify_bags_of_a_batch_as_each_alone(kind):
    tiles, mask = bag()
    mask[0, 4:] = False
    network = model(kind)
    both, alone = network(tiles, mask), network(tiles[:1, :4], mask[:1, :4])
    torch.testing.assert_close(both.logits[:1], alone.logits)


@pytest.mark.parametrize("kind", TILEWISE)
def test_models_refuse_a_bag_without_a_tile(kind):
    tiles, mask = bag()
    mask[1] = False
    with pytest.raises(DataError, match="bag 1 of the batch has no tile"):
        model(kind)(tiles, mask)


@pytest.mark.parametrize("kind", TILEWISE)
def test_models_drop_units_in_training_alone(kind):
    tiles, mask = bag()
    network = model(kind, dropout=0.5, hidden_dim=64)  # of few units, two draws may pick one tile alike
    torch.testing.assert_close(network(tiles, mask).logits, network(tiles, mask).logits)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(network(tiles, mask).logits, network(tiles, mask).logits)


def test_mean_model_is_a_linear_classifier_of_the_mean_tile():
    tiles, mask = bag()
    network = model("mean", hidden_dim=0)
    torch.testing.assert_close(network(tiles, mask).logits, network.classifier(tiles.mean(dim=1)))


@pytest.mark.parametrize("positive", [0, 1])
def test_max_model_is_its_most_positive_tile(positive):
    tiles, mask = bag()
    network = model("max", n_classes=2, positive=positive)
    of_tiles = network.classifier(network.embed(tiles).relu())
    highest = of_tiles.softmax(dim=2)[:, :, positive].argmax(dim=1)
    output = network(tiles, mask)
    assert output.attention.argmax(dim=1).tolist() == highest.tolist()
    torch.testing.assert_close(output.logits, of_tiles[torch.arange(2), highest])


def test_clam_mb_pools_by_class_and_shows_the_predicted_one():
    tiles, mask = bag()
    network = model("clam_mb")
    h = network.embed(tiles).relu()
    scored = network.tanh(h).tanh() * network.gate(h).sigmoid()
    attention = network.score(scored).softmax(dim=1)  # bag, tile, class
    pooled = torch.einsum("btc,bth->bch", attention, h)
    logits = (pooled * network.classifier.weight).sum(dim=2) + network.classifier.bias
    output = network(tiles, mask)
    torch.testing.assert_close(output.logits, logits)
    shown = attention[torch.arange(2), :, logits.argmax(dim=1)]
    torch.testing.assert_close(output.attention, shown)


@pytest.mark.parametrize("subtyping", [False, True])
@pytest.mark.parametrize("make", [ClamSB, ClamMB])
def test_clam_instance_loss_equals_the_papers_by_hand(make, subtyping):
    options = {"instance_tiles": 2, "subtyping": subtyping, "instance_loss": "cross_entropy"}
    network = make(6, n_classes=3, **SIZES, **options)
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(1, network.n_branches, 9, generator=rng)
    hidden = torch.randn(9, 5, generator=rng)
    weights = {name: value[None] for name, value in network.named_parameters()}
    places = network.instance_tiles(scores, 1)
    found = network.instance_loss(weights, hidden[places[0]][None], 1)

    def by_class(c):
        return network.instances(hidden)[:, 2 * c : 2 * c + 2].log_softmax(dim=1)

    def ranked(c):
        return scores[0, c if make is ClamMB else 0].argsort(descending=True)

    own = -torch.cat([by_class(1)[ranked(1)[:2], 1], by_class(1)[ranked(1)[-2:], 0]]).mean()
    others = [-by_class(c)[ranked(c)[:2], 0].mean() for c in (0, 2)]
    wanted = torch.stack([own, *others]).mean() if subtyping else own
    torch.testing.assert_close(found[0], wanted)


def test_clam_smooth_svm_wants_a_margin():
    network = ClamSB(6, n_classes=2, **SIZES, instance_tiles=1, instance_loss="smooth_svm")
    logits = torch.tensor([[[0.0, 3.0], [2.0, 0.0]]])
    found = network._loss(logits, torch.tensor([1, 0]))
    wanted = np.mean([np.log(np.exp(1.0) + np.exp(3.0)) - 3.0, np.log(np.exp(2.0) + np.exp(1.0)) - 2.0])
    assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_clam_takes_half_of_a_bag_of_few_tiles():
    network = ClamSB(6, n_classes=2, **SIZES, instance_tiles=8)
    places = network.instance_tiles(torch.randn(1, 1, 5), 0)
    assert places.shape == (1, 4)
    assert len(set(places[0].tolist())) == 4
    assert network.instance_tiles(torch.randn(1, 1, 1), 0).tolist() == [[0, 0]]
