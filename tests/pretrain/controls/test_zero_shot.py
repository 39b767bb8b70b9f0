from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.config import LossSettings, PretrainConfig, TrainSettings
from hage_transfer.pretrain.controls.gene_controls import control_genes
from hage_transfer.pretrain.controls.unseen import UnseenGenes
from hage_transfer.pretrain.controls.zero_shot import (
    nearest_genes,
    write_zero_shot,
    zero_shot_meta,
    zero_shot_predictions,
    zero_shot_records,
)
from hage_transfer.pretrain.dataset import FoldData, Spots
from hage_transfer.pretrain.folds import LeftOut
from hage_transfer.pretrain.genes import FoldGenes
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.train import train_trial
from hage_transfer.pretrain.trial_files import TrialPaths

N_SEEN, N_UNSEEN, WIDTH = 40, 10, 3
META = feature_meta(
    "A1", encoder_sha256="abc", patch_size_px=16, patch_size_level0_px=16, mpp_um_per_px=None, config_sha256="hash"
)
SOURCES = {"zero_shot", "zero_shot_permuted", "zero_shot_random", "zero_shot_nearest", "zero_shot_panel_mean"}


def spots(n: int, names: tuple[str, ...], loadings: np.ndarray, *, seed: int) -> tuple[Spots, np.ndarray]:
    """Spots whose features show three programs, and the expression that the programs give under ``loadings``."""
    rng = np.random.default_rng(seed)
    programs = rng.normal(size=(n, WIDTH))
    target = (programs @ loadings.T + 0.3 * rng.normal(size=(n, len(loadings)))).astype(np.float32)
    seen = target[:, :N_SEEN]
    section = np.repeat(np.arange(len(names)), n // len(names))
    spot_names = tuple(map(str, range(n)))
    features = programs.astype(np.float32)
    return Spots(
        features=features,
        counts=np.abs(seen),
        target=seen,
        coords_px=np.zeros((n, 2)),
        section=section,
        section_names=names,
        patient=("P",) * len(names),
        spot_names=spot_names,
    ), target


@pytest.fixture
def data() -> FoldData:
    loadings = np.random.default_rng(9).normal(size=(N_SEEN + N_UNSEEN, WIDTH))
    train, _ = spots(240, ("B1", "B2"), loadings, seed=0)
    test, target = spots(120, ("A1", "A2"), loadings, seed=1)
    vectors = (loadings + 5).astype(np.float32)  # embeddings that know each gene, around a mean that all share
    symbols = tuple(f"G{i}" for i in range(N_SEEN + N_UNSEEN))
    unseen = UnseenGenes(symbols[N_SEEN:], vectors[N_SEEN:], target[:, N_SEEN:])
    fold = LeftOut("A", ("B1", "B2"), ("A1", "A2"))
    return FoldData(
        fold=fold,
        train=train,
        test=test,
        genes=symbols[:N_SEEN],
        gene_vectors=vectors[:N_SEEN],
        gene_source="loadings",
        feature_meta=META,
        unseen=unseen,
    )


@pytest.fixture
def module(data) -> HageModule:
    vectors = torch.from_numpy(data.gene_vectors)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = GeneInformedEncoder(vectors, feature_dim=WIDTH, embed_dim=16, n_heads=4)
        return HageModule(
            encoder,
            n_genes=N_SEEN,
            loss=LossSettings(),
            train=TrainSettings(),
            predictor="gene_conditioned",
            gene_vectors=vectors,
        ).eval()


def trained(data: FoldData, config: PretrainConfig, folder, *, control: str = "none") -> dict[str, float]:
    """PCC over unseen genes by source, of one trial."""
    settings = config.model_copy(
        update={
            "model": config.model.model_copy(update={"predictor": "gene_conditioned"}),
            "genes": config.genes.model_copy(update={"control": control}),
            "train": config.train.model_copy(update={"epochs": 15, "batch_size": 60}),
        }
    )
    paths = TrialPaths.of(folder, "A", 0, sha256="0" * 64)
    inputs = SimpleNamespace(data=lambda preset: data)  # stands for FoldInputs, of which a trial asks its arrays alone
    train_trial(inputs, settings, 0, paths, "cpu")
    records = zero_shot_records([paths.predictions], data)
    return {r.source: r.value for r in records if r.metric == "pcc_unseen" and r.section is None and r.trial is None}


def test_unseen_genes_are_predicted_through_their_embeddings_alone(data, config, tmp_path):
    scores = trained(data, config, tmp_path)
    assert set(scores) == SOURCES
    assert scores["zero_shot"] > 0.8
    assert all(abs(scores[f"zero_shot_{control}"]) < 0.5 for control in ("permuted", "random", "panel_mean"))


def test_embeddings_that_know_nothing_predict_nothing(data, config, tmp_path):
    assert abs(trained(data, config, tmp_path, control="permuted")["zero_shot"]) < 0.4


def test_predictions_do_not_depend_on_what_unseen_genes_measure(data, module):
    other = UnseenGenes(data.unseen.symbols, data.unseen.vectors, -data.unseen.test_target)
    changed = FoldData(**{**vars(data), "unseen": other})
    before, after = (zero_shot_predictions(module, one, seed=0) for one in (data, changed))
    for name in SOURCES:
        np.testing.assert_array_equal(before[name], after[name])


def test_permuted_predictions_are_those_of_another_unseen_gene(data, module):
    predictions = zero_shot_predictions(module, data, seed=0)
    own, permuted = predictions["zero_shot"], predictions["zero_shot_permuted"]
    for gene in range(N_UNSEEN):
        matches = [other for other in range(N_UNSEEN) if np.allclose(permuted[:, gene], own[:, other], atol=1e-6)]
        assert len(matches) == 1
        assert matches != [gene]


def test_random_embeddings_lie_as_far_from_the_panels_mean_as_the_genes(data, module, monkeypatch):
    given = []
    monkeypatch.setattr(
        module.predictor, "for_genes", lambda z, g: given.append(g.numpy()) or torch.zeros(len(z), len(g))
    )
    monkeypatch.setattr(module.predictor, "forward", lambda z: torch.zeros(len(z), N_SEEN))
    zero_shot_predictions(module, data, seed=0)
    own, _, random = (np.linalg.norm(table - data.gene_vectors.mean(0), axis=1) for table in given)
    np.testing.assert_allclose(random, own, rtol=1e-5)
    assert not np.allclose(given[2], given[0], atol=0.1)


def test_nearest_averages_the_predictions_of_the_nearest_at_unit_scale(data, module):
    predictions = zero_shot_predictions(module, data, seed=0, k=2)
    with torch.no_grad():
        seen = module(torch.from_numpy(data.test.features)).numpy()
    nearest = nearest_genes(data.unseen.vectors, data.gene_vectors, k=2)
    expected = (seen / seen.std(0))[:, nearest[4]].mean(1)
    np.testing.assert_allclose(predictions["zero_shot_nearest"][:, 4], expected, rtol=1e-4, atol=1e-6)
    whole = (seen / seen.std(0)).mean(1, keepdims=True)
    np.testing.assert_allclose(predictions["zero_shot_panel_mean"], np.repeat(whole, N_UNSEEN, 1), rtol=1e-4, atol=1e-6)


def test_nearest_genes_are_by_angle_around_the_panels_mean():
    panel = np.array([[3, 1], [1, 3], [-1, 1], [1, -1]], dtype=np.float32)  # mean (1, 1)
    vectors = np.array([[1.1, 9], [9, 1.2]], dtype=np.float32)
    assert nearest_genes(vectors, panel, k=1).tolist() == [[1], [0]]
    assert nearest_genes(vectors, panel, k=9).shape == (2, 4)


def test_a_control_of_all_genes_reaches_the_unseen_ones_from_one_draw(data):
    mean = control_genes(data, "mean", seed=0)
    together = np.concatenate([mean.gene_vectors, mean.unseen.vectors])
    np.testing.assert_allclose(
        together, np.concatenate([data.gene_vectors, data.unseen.vectors]).mean(0)[None] * np.ones((50, 1)), rtol=1e-5
    )
    assert "control: mean" in mean.gene_source
    assert control_genes(data, "none", seed=0) is data


def test_records_score_each_section_alone(data, module, tmp_path):
    with h5py.File(tmp_path / "trial.h5", "w") as file:
        write_zero_shot(file, module, data, seed=0)
        prediction = file["unseen/zero_shot"][...]
    records = zero_shot_records([tmp_path / "trial.h5"], data, prefix="v_")
    by_section = {
        r.section: r.value for r in records if r.source == "v_zero_shot" and r.metric == "pcc_unseen" and r.trial == 0
    }
    for name in ("A1", "A2"):
        rows = data.test.rows_of(name)
        pairs = zip(prediction[rows].T, data.unseen.test_target[rows].T, strict=True)
        expected = np.mean([np.corrcoef(x, y)[0, 1] for x, y in pairs])
        assert by_section[name] == pytest.approx(expected, abs=1e-5)
    assert by_section[None] == pytest.approx((by_section["A1"] + by_section["A2"]) / 2)


def test_nothing_is_written_where_all_genes_are_seen(data, module, tmp_path):
    seen = FoldData(**{**vars(data), "unseen": None})
    with h5py.File(tmp_path / "trial.h5", "w") as file:
        write_zero_shot(file, module, seen, seed=0)
        assert "unseen" not in file
    assert zero_shot_records([tmp_path / "trial.h5"], seen) == []


def test_an_mlp_variant_is_logged_and_has_no_rows(data, module, tmp_path, caplog):
    module.predictor = torch.nn.Linear(16, N_SEEN)
    with h5py.File(tmp_path / "trial.h5", "w") as file, caplog.at_level("WARNING"):
        write_zero_shot(file, module, data, seed=0)
    assert "no output for unseen genes" in caplog.text
    assert zero_shot_records([tmp_path / "trial.h5"], data) == []


def test_meta_says_what_the_embeddings_have_read(config, tmp_path):
    genes = FoldGenes(("A", "B"), np.zeros((2, 3), np.float32), "co-expression of sections B1")
    meta = zero_shot_meta(genes, config)
    assert meta["unseen"] == ["A", "B"]
    assert "have read the unseen genes' counts in the training sections" in meta["embeddings"]
    external = config.model_copy(update={"genes": config.genes.model_copy(update={"embeddings": tmp_path / "g2v.txt"})})
    assert "from a file, whose counts its card or its maker knows" in zero_shot_meta(genes, external)["embeddings"]
    assert zero_shot_meta(None, config) is None
