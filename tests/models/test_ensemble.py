import numpy as np
import pytest
from feature_meta import feature_meta

from hage_transfer.data.spot_context import spot_context
from hage_transfer.errors import DataError
from hage_transfer.models.ensemble import ExpressionEnsemble

META = feature_meta("C4", encoder_sha256="abc", config_sha256="hash")


def test_an_ensemble_is_the_mean_of_its_models(save, rows):
    ensemble = ExpressionEnsemble.from_folders([save(0), save(1), save(2)])
    expression = ensemble.predict(rows)
    np.testing.assert_allclose(expression.calibrated, np.mean([m.predict(rows) for m in ensemble.models], 0), rtol=1e-4)
    raw = [model.predict(rows, calibrated=False) for model in ensemble.models]
    np.testing.assert_allclose(expression.raw, np.mean(raw, 0), rtol=1e-4, atol=1e-6)


def test_genes_of_different_panels_are_matched_by_symbol(save, rows):
    first, second = save(0), save(1, genes=("FASN", "TP53", "ERBB2"))
    ensemble = ExpressionEnsemble.from_folders([first, second])
    one, other = (model.predict(rows) for model in ensemble.models)
    assert ensemble.genes == ("ERBB2", "FASN")
    np.testing.assert_allclose(
        ensemble.predict(rows).calibrated, (one[:, [0, 3]] + other[:, [2, 0]]) / 2, rtol=1e-4, atol=1e-6
    )


def test_validation_pcc_is_the_mean_where_defined(save):
    ensemble = ExpressionEnsemble.from_folders([save(0), save(1)])
    first, second = (model.lines.validation_pcc for model in ensemble.models)
    first[0], first[1], second[1] = np.nan, np.nan, np.nan
    found = ensemble.validation_pcc
    assert found[0] == second[0]
    assert np.isnan(found[1])
    assert found[2] == pytest.approx((first[2] + second[2]) / 2)


@pytest.mark.parametrize(
    "card", [{"preset": "spot_ln"}, {"frozen_encoder_sha256": "xyz"}, {"context": {"neighbours": 8}}]
)
def test_models_that_differ_in_their_unit_or_input_are_not_averaged(save, card):
    with pytest.raises(DataError, match=r"trial_0 and .*trial_1 differ in"):
        ExpressionEnsemble.from_folders([save(0), save(1, card=card)])


def test_panels_without_a_common_gene_are_refused(save):
    with pytest.raises(DataError, match="share no gene"):
        ExpressionEnsemble.from_folders([save(0), save(1, genes=("TP53",))])


def test_context_is_the_one_of_training(save, rows):
    card = {"context": {"neighbours": 2, "standardise": True}}
    ensemble = ExpressionEnsemble.from_folders([save(0, card=card, width=10)])
    centres = np.random.default_rng(0).uniform(size=(len(rows), 2))
    widened = ensemble.in_context(rows, centres)
    np.testing.assert_array_equal(widened, spot_context(rows, centres, neighbours=2, standardise=True))
    ensemble.check_fits(META, 5)
    assert ensemble.predict(widened).raw.shape == (len(rows), 4)
    with pytest.raises(DataError, match="width"):
        ensemble.check_fits(META, 10)
