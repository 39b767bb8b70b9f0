"""Encoder directories of every form open by one call, embed, and are refused where they are damaged."""

import json

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from safetensors.torch import load_file, save_file

from hage_transfer import GeneInformedEncoder, open_encoder
from hage_transfer.data.feature_file import Features
from hage_transfer.errors import DataError
from hage_transfer.models.blocks import Standardise
from hage_transfer.models.checkpoint import HASHES, read_card
from hage_transfer.models.derived import DerivedEncoder
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.forms import FORMS
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.models.section_encoders import GraphAttentionEncoder

CARD = {"frozen_encoder": "uni", "frozen_encoder_sha256": "abc", "frozen_encoder_licence": "CC-BY-NC-ND-4.0"}
CONTROL = {**CARD, "made_by": "pca", "role": "control", "about": "Whitened frozen features.", "train_patients": ["P1"]}
META = feature_meta(
    "set", encoder="uni", encoder_sha256="abc", encoder_licence="CC-BY-NC-ND-4.0", config_sha256="hash", synthetic=True
)
ROWS = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)


def make(form: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if form == "linear":
            return LinearEncoder(torch.randn(6, 4), mean=torch.randn(6), bias=torch.randn(4))
        if form == "derived":
            plain = GeneInformedEncoder(torch.randn(3, 5), feature_dim=6, embed_dim=4, n_heads=2)
            return DerivedEncoder(plain, LinearEncoder(torch.randn(4, 2)), LinearEncoder(torch.randn(6, 2))).eval()
        images = Standardise(torch.randn(9, 6) * torch.tensor([1.0, 2, 3, 4, 5, 0]))
        sizes = {"n_positions": 3, "depth": 1, "n_heads": 2}
        if form == "projection":
            return ProjectionEncoder(images, 6, embed_dim=4).eval()
        if form in ("histogene", "hist2st_graph"):
            return FORMS[form](images, 6, width=4, **sizes).eval()
        if form == "thitogene_graph":
            return GraphAttentionEncoder(images, 6, width=4, beside=1, graph_heads=2, graph_width=8, **sizes).eval()
        return GeneInformedEncoder(torch.randn(3, 5), feature_dim=6, embed_dim=4, n_heads=2).eval()


@pytest.fixture(params=sorted(FORMS))
def folder(request, tmp_path):
    make(request.param).save_pretrained(tmp_path / "trial_0", card=CONTROL)
    return tmp_path / "trial_0"


def test_a_directory_of_any_form_opens_as_it_was_saved(folder):
    found = open_encoder(folder)
    assert read_card(folder)["form"] == found.form
    wanted = make(found.form)
    torch.testing.assert_close(found(torch.from_numpy(ROWS)), wanted(torch.from_numpy(ROWS)))
    assert not found.training


def test_embeddings_of_any_form_carry_what_they_are(folder):
    embedded = embed_features(Features(ROWS, np.arange(7).astype(str), None, META), open_encoder(folder), folder=folder)
    assert embedded.features.shape == (7, 4)
    meta = embedded.meta
    assert (meta.encoder, meta.frozen_encoder, meta.control, meta.synthetic) == ("pca:trial_0", "uni", "pca", True)
    assert meta.encoder_licence == "CC-BY-NC-ND-4.0"
    assert meta.trained_on == "P1"


def test_a_control_s_card_says_that_it_is_one(folder):
    text = (folder / "README.md").read_text()
    assert "# Control encoder `pca` on uni" in text
    assert "Whitened frozen features." in text
    assert "trained as HAGE" not in text
    assert "needs their permission" in text


def test_a_directory_that_names_no_form_is_a_hage_encoder_as_ever(tmp_path):
    make("hage").save_pretrained(tmp_path / "old", card=CARD)
    card = json.loads((tmp_path / "old/config.json").read_text())
    del card["form"]
    (tmp_path / "old/config.json").write_text(json.dumps(card))
    assert isinstance(open_encoder(tmp_path / "old"), GeneInformedEncoder)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"form": "quadratic"}, "form 'quadratic', which this program does not know"),
        ({"form": 3}, "which this program does not know"),
        ({"embed_dim": 8}, "do not fit"),
        ({"feature_dim": 10**15}, "do not fit|no model can be made"),
        ({"embed_dim": 0}, "sizes above 0"),
        ({"feature_dim": None}, "feature_dim missing"),
    ],
)
def test_cards_that_no_form_has_are_refused(folder, changed, told):
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(card | changed))
    with pytest.raises(DataError, match=told):
        open_encoder(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: next(iter(t.values())).fill_(torch.nan), "NaN or infinity"),
        (lambda t: t.popitem(), "missing"),
        (lambda t: t.update(more=torch.zeros(1)), "left over: more"),
    ],
)
def test_weights_that_are_damaged_are_refused(folder, change, told):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DataError, match="its hash is another"):
        open_encoder(folder)
    card = json.loads((folder / "config.json").read_text())
    del card[HASHES]
    (folder / "config.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=told):
        open_encoder(folder)


def test_one_form_s_class_refuses_another_s_directory(tmp_path):
    make("linear").save_pretrained(tmp_path / "linear", card=CARD)
    with pytest.raises(DataError, match=r"form linear, wanted hage; open_encoder\(\)"):
        GeneInformedEncoder.from_pretrained(tmp_path / "linear")


def test_sizes_that_would_take_forever_are_refused(tmp_path):
    make("histogene").save_pretrained(tmp_path / "deep", card=CARD)
    card = json.loads((tmp_path / "deep/config.json").read_text())
    (tmp_path / "deep/config.json").write_text(json.dumps(card | {"depth": 10**9}))
    with pytest.raises(DataError, match="no model can be made of its config"):
        open_encoder(tmp_path / "deep")
