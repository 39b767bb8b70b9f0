"""Laws over every model of torchmil that `model.kind` takes."""

import sys

import numpy as np
import pytest
import torch

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.checkpoint import FoldModel, model_path, read_fold_model, save_fold_model
from hage_transfer.mil.kinds import TORCHMIL
from hage_transfer.mil.models import build_model
from hage_transfer.mil.models.torchmil_models import MOST_TILES, grid_places, neighbours

needs_torchmil = pytest.mark.skipif("not __import__('importlib').util.find_spec('torchmil')", reason="no torchmil")
SMALL = {
    "CAMIL": {"nystrom_att_dim": 16, "n_landmarks": 4},
    "GTP": {"att_dim": 16, "n_heads": 2, "n_clusters": 3},
    "IIBMIL": {"att_dim": 16},
    "ProbSmoothABMIL": {"n_samples_train": 20, "n_samples_test": 400},
    "SETMIL": {"att_dim": 24, "pmf_n_heads": 2, "set_n_heads": 2},
    "SmTransformerABMIL": {"transf_att_dim": 16},
    "TransformerABMIL": {"transf_att_dim": 16},
    "TransformerProbSmoothABMIL": {"transf_att_dim": 16, "n_samples_train": 20, "n_samples_test": 400},
}
PLACES = 100 + 224 * torch.stack(torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij"), -1).view(-1, 2)


def model(name, seed=0, n_classes=2, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = {"hidden_dim": 8, "dropout": 0.25, "options": SMALL.get(name, {}) | options}
        return build_model(f"torchmil:{name}", 6, n_classes=n_classes, **sizes).eval()


def bag(n_tiles=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, n_tiles, 6, generator=generator), torch.ones(1, n_tiles, dtype=torch.bool), PLACES[None]


def padded(tiles, mask, places):
    return (
        torch.cat([tiles, torch.full((1, 3, 6), 1e3)], 1),
        torch.cat([mask, torch.zeros(1, 3).bool()], 1),
        torch.cat([places, torch.zeros(1, 3, 2).long()], 1),
    )


def test_torchmil_table_names_every_model_there_is():
    models = pytest.importorskip("torchmil.models")
    here = {n for n, one in vars(models).items() if isinstance(one, type) and issubclass(one, torch.nn.Module)}
    assert here - {"MILModel", "MILModelWrapper"} == set(TORCHMIL)


@needs_torchmil
@pytest.mark.parametrize("name", TORCHMIL)
def test_torchmil_model_has_a_logit_a_class_and_attention_over_its_tiles(name):
    n_classes = 2 if TORCHMIL[name].head is None else 3
    output = model(name, n_classes=n_classes)(*bag())
    assert output.logits.shape == (1, n_classes)
    assert output.attention.shape == (1, 12)
    assert (output.attention >= 0).all()
    torch.testing.assert_close(output.attention.sum(dim=1), torch.ones(1))
    torch.testing.assert_close(output.logits[0], model(name, n_classes=n_classes).judged(bag()[0][0], PLACES))


@needs_torchmil
@pytest.mark.parametrize("name", TORCHMIL)
def test_torchmil_model_ignores_padding(name):
    network = model(name)
    plain, more = network(*bag()), network(*padded(*bag()))
    torch.testing.assert_close(plain.logits, more.logits)
    assert (more.attention[:, 12:] == 0).all()
    torch.testing.assert_close(plain.attention, more.attention[:, :12])


@needs_torchmil
@pytest.mark.parametrize("name", TORCHMIL)
def test_torchmil_model_ignores_the_order_of_tiles_where_it_says_so(name):
    tiles, mask, places = bag()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    network = model(name)
    plain, permuted = network(tiles, mask, places), network(tiles[:, order], mask, places[:, order])
    same = torch.allclose(plain.logits, permuted.logits, atol=1e-4)
    assert same != TORCHMIL[name].is_ordered
    if same:
        torch.testing.assert_close(plain.attention[:, order], permuted.attention, rtol=1e-3, atol=1e-4)


@needs_torchmil
@pytest.mark.parametrize("name", TORCHMIL)
def test_torchmil_model_learns_the_class_of_a_bag(name):
    network = model(name).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    tiles = bag()[0][0]
    targets = (0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(200 if name == "VAEABMIL" else 30):
            optimiser.zero_grad()
            sum(network.train().loss(tiles + 3 * target, PLACES, target) for target in targets).backward()
            optimiser.step()
    called = [int(network.judged(tiles + 3 * target, PLACES).argmax()) for target in targets]
    assert called == [0, 1]


@needs_torchmil
@pytest.mark.parametrize("name", [name for name, facts in TORCHMIL.items() if facts.head is None])
def test_torchmil_model_of_one_logit_refuses_three_classes(name):
    with pytest.raises(ConfigError, match=rf"torchmil:{name}: is for two classes, and there are 3; for more: ABMIL"):
        model(name, n_classes=3)


@needs_torchmil
@pytest.mark.parametrize("name", ["SETMIL", "PatchGCN"])
def test_torchmil_model_says_that_coordinates_are_missing_or_too_many(name):
    tiles, mask, _ = bag()
    with pytest.raises(DataError, match=rf"torchmil:{name}: wants the tiles' coordinates"):
        model(name)(tiles, mask)
    many = torch.zeros(1, MOST_TILES + 1, 6)
    with pytest.raises(DataError, match=f"a bag of {MOST_TILES + 1} tiles"):
        model(name)(many, torch.ones(many.shape[:2], dtype=torch.bool), torch.zeros(1, MOST_TILES + 1, 2).long())


@needs_torchmil
def test_torchmil_model_names_the_nearest_option_and_what_it_refuses():
    with pytest.raises(
        ConfigError, match=r"model\.options\.att_din: torchmil:DSMIL has no such option; nearest: att_dim"
    ):
        model("DSMIL", att_din=4)
    with pytest.raises(ConfigError, match="torchmil:DTFDMIL: refuses its sizes"):
        model("DTFDMIL", distill_mode="none")
    with pytest.raises(ConfigError, match=r"model\.hidden_dim = 0: torchmil:TransMIL"):
        build_model("transmil", 6, n_classes=2, hidden_dim=0)


@pytest.mark.parametrize("kind", ["transmil", "torchmil:DSMIL"])
def test_torchmil_model_says_what_to_install(monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "torchmil", None)
    with pytest.raises(ConfigError, match=r"pip install 'hage-transfer\[torchmil\]'"):
        build_model(kind, 6, n_classes=2, hidden_dim=8)


def test_neighbours_are_those_beside_and_at_the_corners():
    graph = neighbours(PLACES)
    corner, middle = (graph[0] > 0).sum(), (graph[4] > 0).sum()
    assert (corner, middle) == (3, 8)
    assert float(graph[0, 4]) == pytest.approx(1 / np.sqrt(3 * 8))
    assert (graph.diagonal() == 0).all()
    torch.testing.assert_close(graph, graph.T)


def test_grid_places_begin_at_zero_and_refuse_two_tiles_at_one():
    assert grid_places(PLACES).tolist() == [[i, j] for i in range(4) for j in range(3)]
    with pytest.raises(DataError, match="two of these fall on one place"):
        grid_places(torch.cat([PLACES, PLACES[:1] + 5]))


@needs_torchmil
def test_clams_instance_loss_is_the_papers_and_takes_large_scores():
    scores = 20 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 1, 0, 1, 0])
    own = scores.gather(1, targets[:, None])[:, 0]
    other = scores.gather(1, 1 - targets[:, None])[:, 0]
    found = model("CLAM_SB").network.inst_loss_fn(scores, targets[:, None].float())
    torch.testing.assert_close(found, torch.log1p((other + 1 - own).exp()).mean())


@needs_torchmil
@pytest.mark.parametrize("name", TORCHMIL)
def test_torchmil_model_comes_back_from_its_file(name, tmp_path):
    kept = FoldModel(
        model=model(name),
        mean=torch.zeros(6),
        std=torch.ones(6),
        classes=("a", "b"),
        source="frozen",
        trial=0,
        fold="0",
        meta={"model": settings(name)},
    )
    save_fold_model(model_path(tmp_path, source="frozen", trial=0, fold="0"), kept)
    read = read_fold_model(tmp_path, source="frozen", trial=0, fold="0")
    tiles, _, places = bag()
    torch.testing.assert_close(read(tiles[0], places[0]).logits, kept(tiles[0], places[0]).logits)


def settings(name):
    return {"kind": f"torchmil:{name}", "hidden_dim": 8, "dropout": 0.25, "options": SMALL.get(name, {})}
