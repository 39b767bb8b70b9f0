import dataclasses

import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer import GeneInformedEncoder
from hage_transfer.data.feature_file import Features
from hage_transfer.errors import DataError
from hage_transfer.models.embedding import embed_features

META = feature_meta("section", encoder_sha256="abc", mpp_um_per_px=0.7, config_sha256="hash")


@pytest.fixture
def folder(tmp_path):
    encoder = GeneInformedEncoder(torch.randn(3, 6), feature_dim=5, embed_dim=8, n_heads=2).eval()
    encoder.save_pretrained(tmp_path / "trial_0", card={"frozen_encoder": "embedded", "frozen_encoder_sha256": "abc"})
    return tmp_path / "trial_0"


def features(width: int = 5, **changes: str) -> Features:
    rows = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    return Features(rows, np.array(["a", "b", "c"]), None, dataclasses.replace(META, **changes))


def test_embedding_keeps_keys_and_records_both_encoders(folder):
    encoder = GeneInformedEncoder.from_pretrained(folder)
    embedded = embed_features(features(), encoder, folder=folder)
    assert embedded.features.shape == (3, 8)
    assert embedded.keys.tolist() == ["a", "b", "c"]
    assert embedded.meta.encoder == "hage:trial_0"
    assert embedded.meta.frozen_encoder == "embedded"
    assert embedded.meta.encoder_licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (features(width=6), "takes features of width 5"),
        (features(encoder="uni"), "trained on features of embedded"),
        (features(encoder_sha256="other"), "weights abc"),
        (features(frozen_encoder="embedded"), "are embeddings of"),
        (features(encoder_sha256="unknown:abc"), "convert"),
    ],
)
def test_features_of_another_encoder_are_refused(folder, given, message):
    with pytest.raises(DataError, match=message):
        embed_features(given, GeneInformedEncoder.from_pretrained(folder), folder=folder)


@pytest.fixture
def folder_with_context(tmp_path):
    encoder = GeneInformedEncoder(torch.randn(3, 6), feature_dim=10, embed_dim=8, n_heads=2).eval()
    card = {"frozen_encoder": "embedded", "frozen_encoder_sha256": "abc"}
    encoder.save_pretrained(tmp_path / "trial_0", card={**card, "context": {"neighbours": 2, "standardise": False}})
    return tmp_path / "trial_0"


def test_tiles_of_a_slide_get_the_context_of_the_encoder(folder_with_context):
    encoder = GeneInformedEncoder.from_pretrained(folder_with_context)
    tiles = dataclasses.replace(features(), keys=None, coords=np.array([[0, 0], [224, 0], [448, 0]]))
    embedded = embed_features(tiles, encoder, folder=folder_with_context)
    rows = tiles.features
    around = np.stack([rows[1], (rows[0] + rows[2]) / 2, rows[1]])
    with torch.inference_mode():
        wanted = encoder(torch.from_numpy(np.concatenate([rows, around], axis=1)))
    np.testing.assert_allclose(embedded.features, wanted, atol=1e-5)
    assert embedded.coords.tolist() == tiles.coords.tolist()


def test_single_patches_have_no_context_and_are_refused(folder_with_context):
    encoder = GeneInformedEncoder.from_pretrained(folder_with_context)
    with pytest.raises(DataError, match=r"context \(neighbours 2\).*single patches"):
        embed_features(features(), encoder, folder=folder_with_context)
