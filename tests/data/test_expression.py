import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hage_transfer.compare.genes import gene_pcc, highly_expressed, mae, mse, pcc_mean
from hage_transfer.data.expression import PRESETS, normalise
from hage_transfer.data.genes import panel_counts, read_symbols
from hage_transfer.errors import ConfigError, DataError

COUNTS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 5000))


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("spot_log10", [[np.log10(2501), np.log10(7501)], [np.log10(10001), 0]]),
        ("spot_ln", [[np.log(2501), np.log(7501)], [np.log(10001), 0]]),
        ("gene_log10", [[np.log10(2001), np.log10(10001)], [np.log10(8001), 0]]),
    ],
)
def test_normalise_is_the_presets_formula(preset, wanted):
    np.testing.assert_allclose(normalise(np.array([[1, 3], [4, 0]]), preset), wanted, rtol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
@given(counts=COUNTS)
def test_normalise_gives_finite_float32_and_keeps_zeros(preset, counts):
    expression = normalise(counts, preset)
    assert expression.dtype == np.float32
    assert np.isfinite(expression).all()
    assert ((expression == 0) == (counts == 0)).all()


@pytest.mark.parametrize("preset", PRESETS)
@given(counts=COUNTS)
def test_normalise_of_sparse_and_dense_counts_is_equal(preset, counts):
    np.testing.assert_array_equal(normalise(sp.csr_matrix(counts), preset), normalise(counts, preset))


@given(counts=COUNTS, factor=st.integers(2, 9))
def test_normalise_by_spot_ignores_a_spots_depth(counts, factor):
    deeper = counts.copy()
    deeper[0] *= factor
    np.testing.assert_allclose(normalise(deeper, "spot_log10"), normalise(counts, "spot_log10"), rtol=1e-6)


@given(counts=COUNTS)
def test_normalise_by_gene_is_the_transpose_of_by_spot(counts):
    np.testing.assert_array_equal(normalise(counts, "gene_log10"), normalise(counts.T, "spot_log10").T)


def test_normalise_names_the_nearest_preset():
    with pytest.raises(ConfigError, match=r"unknown preset 'spot_log'.*nearest: spot_log10"):
        normalise(np.ones((2, 2)), "spot_log")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_normalise_refuses_what_is_no_count(value):
    counts = np.ones((2, 3))
    counts[1, 2] = value
    with pytest.raises(DataError, match="spot 1, gene 2"):
        normalise(counts, "spot_log10")


# Measured on the 32 sections and 785 genes: MSE and MAE of predicting zeros; MSE and MAE of the other patients' means;
# MAE of their medians; PCC of spot depth (log total of panel counts), all genes and the section's own top 50.
REFERENCE = {
    "spot_log10": (0.611, 0.414, 0.335, 0.448, 0.362, 0.194, 0.282),
    "gene_log10": (1.094, 0.568, 0.727, 0.678, 0.525, 0.299, 0.601),
    "spot_ln": (3.238, 0.954, 1.775, 1.032, 0.833, 0.194, 0.282),
}


@pytest.fixture(scope="module")
def real_panel_counts(real_data, real_sections) -> tuple[list[str], list[np.ndarray]]:
    symbols = read_symbols(real_data / "genes" / "her_hvg_cut_1000.txt")
    patients = [section.uns["section"]["patient"] for section in real_sections]
    return patients, [panel_counts(section, symbols) for section in real_sections]


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_normalise_reproduces_the_constant_baselines_of_the_real_sections(preset, real_panel_counts):
    patients, counts = real_panel_counts
    expression = [normalise(section, preset) for section in counts]
    training = {
        held_out: np.concatenate([e for p, e in zip(patients, expression, strict=True) if p != held_out])
        for held_out in set(patients)
    }
    means = {patient: spots.mean(axis=0) for patient, spots in training.items()}
    medians = {patient: np.median(spots, axis=0) for patient, spots in training.items()}
    rows = []
    for patient, target, depth in zip(patients, expression, counts, strict=True):
        mean, median = means[patient], medians[patient]
        log_depth = np.log1p(depth.sum(axis=1, keepdims=True))
        pcc = gene_pcc(np.broadcast_to(log_depth, target.shape), target)
        rows.append(
            [
                *(error(np.zeros_like(target), target) for error in (mse, mae)),
                *(error(np.broadcast_to(mean, target.shape), target) for error in (mse, mae)),
                mae(np.broadcast_to(median, target.shape), target),
                pcc_mean(pcc),
                pcc_mean(pcc, highly_expressed(target.mean(axis=0))),
            ]
        )
    np.testing.assert_allclose(np.mean(rows, axis=0), REFERENCE[preset], atol=6e-4)
