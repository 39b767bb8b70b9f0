"""Training that begins at a ridge, attends to programmes or asks by region, and what it leaves on disk."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hage_transfer import ExpressionModel, open_encoder
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.checkpoint import PREDICTOR_FILE
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.linear_start import LinearStart
from hage_transfer.pretrain import train
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.programmes import programmes
from hage_transfer.pretrain.ridges import BAR, PLAIN, RIDGES, Fits
from hage_transfer.pretrain.starts import new_start
from hage_transfer.pretrain.trial_files import TrialPaths, TrialPredictions
from hage_transfer.tensor_files import read_tensors, save_tensors


def with_model(config: PretrainConfig, **changes: object) -> PretrainConfig:
    short = config.train.model_copy(update={"epochs": 2})
    return config.model_copy(update={"model": config.model.model_copy(update=changes), "train": short})


@pytest.fixture(scope="module")
def fold(shared_config, tmp_path_factory):
    inputs = read_inputs(shared_config)
    return fold_inputs(inputs, inputs.folds[0], shared_config, run=tmp_path_factory.mktemp("fold"))


@pytest.mark.parametrize("kind", ["ridge", "reduced_rank_ridge", "low_rank"])
def test_a_trial_begins_at_the_ridge_of_its_own_training_spots(config, fold, kind):
    data = fold.data(config.preset)
    rows, _ = validation_split(data.train.section, config.split, seed=3)
    family = PLAIN if kind == "ridge" else RIDGES[BAR]
    only = replace(
        data.train,
        **{name: getattr(data.train, name)[rows] for name in ("features", "counts", "target", "coords_px", "section")},
        spot_names=tuple(data.train.spot_names[row] for row in rows),
    )
    wanted = family.predict(Fits(only, data.test, unit=config.split.unit)).test
    start = new_start(data, with_model(config, start=kind), rows)
    features = torch.from_numpy(data.test.features)
    found = start(features, torch.full((len(features), len(data.genes)), 1e3)).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    trains = {name for name, one in start.named_parameters() if one.requires_grad}
    assert trains == ({"gate", "down", "up", "by_gene"} if kind == "low_rank" else {"gate"})


@pytest.mark.parametrize(
    "changes",
    [{"start": "reduced_rank_ridge"}, {"start": "low_rank"}, {"programmes": 3}, {"regions": 2, "attention": "sparse"}],
)
def test_what_a_trial_writes_predicts_from_disk_what_it_predicted(config, fold, tmp_path, changes):
    settings = with_model(config, **changes)
    paths = TrialPaths.of(tmp_path / "run", "A", 0, sha256=fold.sha256)
    train.train_trial(fold, settings, 0, paths, "cpu")
    written = TrialPredictions.load(paths.predictions).test
    model = ExpressionModel.from_pretrained(paths.encoder)
    features = fold.data(config.preset).test.features
    np.testing.assert_allclose(model.predict(features, calibrated=False), written, atol=1e-5)
    attention = open_encoder(paths.encoder).gene_attention(torch.from_numpy(features[:5]))
    assert attention.shape[2] == len(model.genes)
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:2]))
    if "start" in changes:
        assert model.start.gate.abs().max() > 0, "the network never came in"


def test_training_moves_the_factors_of_a_low_rank_start_and_leaves_a_ridge_as_it_is(config, fold):
    data = fold.data(config.preset)
    rows, _ = validation_split(data.train.section, config.split, seed=train.trial_seed(config.seed, "A", 0))
    for kind, moving in (("ridge", set()), ("low_rank", {"down", "up", "by_gene"})):
        begun = new_start(data, with_model(config, start=kind), rows).state_dict()
        torch.manual_seed(0)
        start = LinearStart.build(begun)
        start.load_state_dict(begun)
        optimiser = torch.optim.SGD(start.parameters(), lr=0.1)
        added = torch.randn(len(data.train.features), len(data.genes))
        (start(torch.from_numpy(data.train.features), added) - 1).square().mean().backward()
        optimiser.step()
        moved = {name for name, one in start.state_dict().items() if not torch.equal(one, begun[name])}
        assert moved == moving | {"gate"}


def test_a_start_of_other_features_is_refused(config, fold, tmp_path):
    paths = TrialPaths.of(tmp_path / "run", "A", 0, sha256=fold.sha256)
    train.train_trial(fold, with_model(config, start="ridge"), 0, paths, "cpu")
    file = paths.encoder / PREDICTOR_FILE
    tensors = read_tensors(file, remedy="")[1]
    genes = tensors["start.bias"].shape[0]
    other = LinearStart(LinearEncoder(torch.zeros(5, genes))).state_dict()
    save_tensors(file, tensors | {f"start.{name}": one for name, one in other.items()})
    card = paths.encoder / "config.json"
    card.write_text(card.read_text().replace("files_sha256", "once_sha256"))
    with pytest.raises(DataError, match="starts from other features"):
        ExpressionModel.from_pretrained(paths.encoder)


def test_programmes_are_shares_and_find_genes_that_vary_together(config, fold):
    data = fold.data(config.preset)
    rng = np.random.default_rng(0)
    loads = rng.gamma(1.0, size=(len(data.train.target), 2)).astype(np.float32)
    target = np.zeros_like(data.train.target)
    half = target.shape[1] // 2
    target[:, :half], target[:, half:] = loads[:, :1], loads[:, 1:]
    found = programmes(replace(data.train, target=target), np.arange(len(target)), n=2)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    by_half = torch.stack([found[:, :half].sum(1), found[:, half:].sum(1)], dim=1).sort(descending=True).values
    assert by_half[:, 0].min() > 0.95
    with pytest.raises(ConfigError, match=r"model\.programmes 99999"):
        programmes(data.train, np.arange(10), n=99999)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"gene_informed": False, "regions": 2}}, "gene_informed is false"),
        ({"model": {"start": "ridge", "predictor": "gene_conditioned"}, "genes": {"unseen": 0.2}}, "genes.unseen 0"),
        ({"model": {"start": "ridge"}, "image_encoder": {"adapt": "lora"}, "controls": "none"}, "adapt none"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config, changes, message):
    tree = config.model_dump()
    for key, value in changes.items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=message):
        PretrainConfig.model_validate(tree)


def test_regions_that_do_not_divide_the_features_are_refused(config, fold):
    data = fold.data(config.preset)
    with pytest.raises(ConfigError, match=r"model\.regions 7: 12 features"):
        train.new_encoder(data, with_model(config, regions=7), np.arange(10))


@pytest.mark.parametrize("given", [{"rank": 1}, {"gene_vectors": torch.zeros(3, 2)}])
def test_a_rank_without_gene_vectors_or_vectors_without_a_rank_are_refused(given):
    with pytest.raises(ValueError, match="go together"):
        LinearStart(LinearEncoder(torch.zeros(4, 3)), **given)
