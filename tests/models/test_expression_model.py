import dataclasses

import numpy as np
import pytest
import torch

from hage_transfer import ExpressionModel, GeneInformedEncoder
from hage_transfer.errors import DataError
from hage_transfer.models import checkpoint, expression_model


@pytest.mark.parametrize("kind", ["mlp", "gene_conditioned"])
def test_a_round_trip_keeps_predictions(save, rows, kind):
    folder = save(kind=kind)
    model = ExpressionModel.from_pretrained(folder)
    again = folder.with_name("again")
    model.save_pretrained(again, card=model.card)
    np.testing.assert_array_equal(ExpressionModel.from_pretrained(again).predict(rows), model.predict(rows))
    assert model.genes == ("ERBB2", "KRT8", "CD3E", "FASN")
    assert model.card["predictor"] == {"kind": kind}


def test_a_gene_without_a_validation_pcc_is_read_again_as_it_is(save):
    model = ExpressionModel.from_pretrained(save())
    lines = dataclasses.replace(model.lines, validation_pcc=np.array([np.nan, 0.1, 0.2, 0.3]))
    constant = ExpressionModel(model.encoder, model.predictor, genes=model.genes, lines=lines)
    constant.save_pretrained(again := save().with_name("constant"), card=model.card)
    found = ExpressionModel.from_pretrained(again).lines.validation_pcc
    np.testing.assert_array_equal(found, lines.validation_pcc)


def test_calibrated_is_a_line_of_raw(save, rows):
    model = ExpressionModel.from_pretrained(save())
    raw, calibrated = model.predict(rows, calibrated=False), model.predict(rows)
    np.testing.assert_allclose(calibrated, model.lines.intercept + model.lines.slope * raw, rtol=1e-5)
    with torch.inference_mode():
        np.testing.assert_allclose(raw, model(torch.from_numpy(rows)).numpy())


def test_predictions_do_not_depend_on_the_batch(save, rows, monkeypatch):
    model = ExpressionModel.from_pretrained(save())
    whole = model.predict(rows)
    monkeypatch.setattr(expression_model, "_ROWS_AT_A_TIME", 4)
    np.testing.assert_allclose(model.predict(torch.from_numpy(rows)), whole, rtol=1e-5, atol=1e-6)


def test_dropout_of_training_does_not_reach_predictions(save, rows):
    model = ExpressionModel.from_pretrained(save())
    model.encoder.dropout.p = 0.9
    still = model.predict(rows)
    model.train()
    np.testing.assert_array_equal(model.predict(rows), still)
    assert model.training


def test_features_of_another_width_are_refused(save):
    with pytest.raises(DataError, match=r"\(spot, 5\), these have shape \(3, 6\)"):
        ExpressionModel.from_pretrained(save()).predict(np.zeros((3, 6), np.float32))


def test_a_directory_without_predictor_embeds_and_says_what_is_missing(save):
    folder = save()
    (folder / checkpoint.PREDICTOR_FILE).unlink()
    assert GeneInformedEncoder.from_pretrained(folder).feature_dim == 5
    with pytest.raises(DataError, match=r"predictor\.safetensors.*`pretrain`"):
        ExpressionModel.from_pretrained(folder)


def test_a_predictor_of_another_panel_is_refused(save):
    folder = save()
    other = save(1, genes=("ERBB2", "KRT8"))
    (folder / checkpoint.PREDICTOR_FILE).write_bytes((other / checkpoint.PREDICTOR_FILE).read_bytes())
    with pytest.raises(DataError, match=r"do not fit|is not the file that config\.json records"):
        ExpressionModel.from_pretrained(folder)


def test_an_unknown_kind_of_predictor_is_refused(save):
    folder = save()
    config = folder / checkpoint.CONFIG_FILE
    config.write_text(config.read_text().replace('"mlp"', '"tree"'))
    with pytest.raises(DataError, match="'tree'"):
        ExpressionModel.from_pretrained(folder)


def test_a_damaged_predictor_is_named(save):
    folder = save()
    (folder / checkpoint.PREDICTOR_FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"predictor\.safetensors: cannot be read"):
        ExpressionModel.from_pretrained(folder)


def test_the_hub_is_asked_for_the_predictor_too(save, monkeypatch):
    folder, asked = save(), []

    def download(name, *, allow_patterns, revision, token):
        asked.append((name, tuple(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(checkpoint.huggingface_hub, "snapshot_download", download)
    assert ExpressionModel.from_pretrained("someone/model").genes[0] == "ERBB2"
    assert {name for name, _ in asked} == {"someone/model"}
    assert all("predictor.safetensors" in patterns for _, patterns in asked)
