import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from hage_transfer.compare.genes import gene_pcc, gene_table, highly_expressed, mae, mse, pcc_mean
from hage_transfer.errors import DataError

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, *, spots: int = 12, genes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(spots, genes)), rng.normal(size=(spots, genes))


@given(seed=SEEDS)
def test_gene_pcc_agrees_with_scipy(seed):
    predicted, target = draw(seed)
    wanted = [pearsonr(predicted[:, g], target[:, g]).statistic for g in range(4)]
    np.testing.assert_allclose(gene_pcc(predicted, target), wanted, atol=1e-12)


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_gene_pcc_ignores_positive_scale_and_shift_of_predictions(seed, scale, shift):
    predicted, target = draw(seed)
    np.testing.assert_allclose(gene_pcc(predicted * scale + shift, target), gene_pcc(predicted, target), atol=1e-8)


@given(seed=SEEDS)
def test_gene_pcc_changes_sign_with_the_prediction(seed):
    predicted, target = draw(seed)
    np.testing.assert_allclose(gene_pcc(-predicted, target), -gene_pcc(predicted, target), atol=1e-12)


@given(seed=SEEDS)
def test_gene_pcc_ignores_the_order_of_spots(seed):
    predicted, target = draw(seed)
    order = np.random.default_rng(seed).permutation(len(predicted))
    np.testing.assert_allclose(gene_pcc(predicted[order], target[order]), gene_pcc(predicted, target), atol=1e-12)


@settings(max_examples=50)
@given(values=arrays(np.float32, (6, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_gene_pcc_stays_within_one_for_any_finite_numbers(values):
    pcc = gene_pcc(values, values[::-1])
    assert (np.isnan(pcc) | (np.abs(pcc) <= 1)).all()


def test_gene_pcc_of_a_constant_target_is_nan():
    predicted, target = draw(0)
    target[:, 1] = 0.1
    assert np.flatnonzero(np.isnan(gene_pcc(predicted, target))).tolist() == [1]


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3e5])
def test_gene_pcc_of_a_constant_prediction_is_zero(constant):
    predicted, target = draw(0)
    predicted[:, 2] = constant
    assert gene_pcc(predicted, target)[2] == 0.0


def test_gene_pcc_of_a_constant_target_and_prediction_is_nan():
    assert np.isnan(gene_pcc(np.ones((5, 1)), np.zeros((5, 1)))).all()


def test_gene_pcc_is_float64_for_float32_input():
    predicted, target = draw(0)
    assert gene_pcc(predicted.astype(np.float32), target.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("side", ["predicted", "measured"])
def test_gene_pcc_refuses_nan(side):
    predicted, target = draw(0)
    (predicted if side == "predicted" else target)[3, 2] = np.nan
    with pytest.raises(DataError, match=rf"{side} expression holds NaN or infinity in 1 genes \(first index 2\)"):
        gene_pcc(predicted, target)


def test_gene_pcc_refuses_shapes_that_differ(wrong_shapes):
    with pytest.raises(DataError, match=r"\(5, 2\) and \(5, 3\)"):
        gene_pcc(np.zeros((5, 2)), np.zeros((5, 3)))


def test_pcc_mean_leaves_nan_out():
    assert pcc_mean(np.array([0.5, np.nan, 0.1])) == pytest.approx(0.3)


def test_pcc_mean_of_nothing_but_nan_is_nan():
    assert np.isnan(pcc_mean(np.array([np.nan, np.nan])))


def test_highly_expressed_is_highest_first_with_ties_in_panel_order():
    assert highly_expressed(np.array([1.0, 3.0, 2.0, 3.0, 0.0]), n=3).tolist() == [1, 3, 2]


def test_highly_expressed_takes_all_where_the_panel_is_short():
    assert sorted(highly_expressed(np.arange(4.0), n=50)) == [0, 1, 2, 3]


@given(seed=SEEDS)
def test_errors_are_the_means_over_all_entries(seed):
    predicted, target = draw(seed)
    residual = (predicted - target).ravel().tolist()
    assert mse(predicted, target) == pytest.approx(sum(r * r for r in residual) / len(residual))
    assert mae(predicted, target) == pytest.approx(sum(abs(r) for r in residual) / len(residual))


def test_gene_table_counts_constant_genes_and_scores_the_rest():
    predicted, target = draw(1)
    target[:, 0] = 0.0
    table = gene_table(predicted, target, np.array([0, 3]))
    pcc = gene_pcc(predicted, target)
    assert table["n_constant_genes"] == 1
    assert table["pcc_all"] == pytest.approx(pcc[1:].mean())
    assert table["pcc_heg50"] == pytest.approx(pcc[3])


def test_gene_table_of_a_perfect_prediction():
    _, target = draw(2)
    table = gene_table(target, target, highly_expressed(target.mean(axis=0)))
    assert table == pytest.approx({"pcc_all": 1.0, "pcc_heg50": 1.0, "mse": 0.0, "mae": 0.0, "n_constant_genes": 0})
