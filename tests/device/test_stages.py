"""What follows training, on a device that mixes with no other: encode, embed, predict, explain."""

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from pretend_device import DEVICE, PretendDevice
from torch.nn.attention import SDPBackend, sdpa_kernel

from hage_transfer.data.feature_file import Features
from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.explain.genes import tile_genes
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import ExpressionModel, GeneLines
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.region_attention import region_attention

CARD = {"preset": "spot_log10", "frozen_encoder": "embedded", "frozen_encoder_sha256": "abc", "train_sections": ["A2"]}
ROWS = np.random.default_rng(1).normal(size=(11, 5)).astype(np.float32)


@pytest.fixture
def on_both():
    """What a function of a device gives there and on the CPU, both by the attention kernel that the device has."""

    def both(function):
        with sdpa_kernel(SDPBackend.MATH):
            with PretendDevice():
                there = function(DEVICE)
            return there, function("cpu")

    return both


@pytest.fixture(params=["mlp", "gene_conditioned"])
def folders(request, tmp_path):
    genes, found = ("ERBB2", "KRT8", "CD3E"), []
    for seed in range(2):
        torch.manual_seed(seed)
        vectors = torch.randn(3, 6)
        encoder = GeneInformedEncoder(vectors, feature_dim=5, embed_dim=8, n_heads=2)
        predictor = build_predictor(request.param, embed_dim=8, n_genes=3, gene_vectors=vectors)
        lines = GeneLines(np.ones(3), np.zeros(3), np.ones(3))
        folder = tmp_path / f"trial_{seed}"
        model = ExpressionModel(encoder, predictor, genes=genes, lines=lines, kind=request.param)
        model.eval().save_pretrained(folder, card=CARD)
        found.append(folder)
    return found


@pytest.mark.parametrize("channels_last", [False, True])
def test_an_encoder_encodes_on_the_device_as_on_the_cpu(on_both, channels_last):
    images = np.random.default_rng(0).integers(
        0, 255, (6, 32, 32, 3), dtype=np.uint8
    )  # a resize is of floats there, another grey level at most

    def encode(device):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        )
        made = TorchEncoder(
            network,
            name="tiny",
            width=4,
            licence="none",
            sha256="0",
            preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), input_px=32, resize_px=32),
            forward=lambda module, pixels: module(pixels).flatten(1),
            device=device,
            precision="float32",
            channels_last=channels_last,
        )
        return made(images)

    np.testing.assert_allclose(*on_both(encode), atol=1e-5)


def test_features_are_embedded_on_the_device_as_on_the_cpu(on_both, folders):
    features = Features(ROWS, tuple(map(str, range(11))), None, feature_meta("s", encoder_sha256="abc"))

    def embed(device):
        encoder = GeneInformedEncoder.from_pretrained(folders[0])
        return embed_features(features, encoder, folder=folders[0], device=device).features

    np.testing.assert_allclose(*on_both(embed), atol=1e-5)


def test_expression_is_predicted_and_explained_on_the_device_as_on_the_cpu(on_both, folders):
    regions = np.arange(11) % 2

    def explain(device):
        ensemble = ExpressionEnsemble.from_folders(folders, device=device)
        genes = tile_genes(ensemble, ROWS)
        by_region = region_attention(ensemble, ROWS, regions, n_regions=2)
        return np.concatenate([ensemble.predict(ROWS).raw, genes.expression.T, genes.attention.T, by_region.by_spot])

    np.testing.assert_allclose(*on_both(explain), atol=1e-5)
