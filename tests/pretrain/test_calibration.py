import numpy as np

from hage_transfer.compare.genes import gene_pcc, mse
from hage_transfer.pretrain.calibration import calibrate


def rows(n: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4))


def test_calibration_recovers_an_affine_map():
    target = rows(50, seed=0)
    squeezed = target * [0.1, 3.0, 0.5, 1.0] + [1.0, 0.0, -2.0, 5.0]
    np.testing.assert_allclose(calibrate(squeezed, train_predicted=squeezed, train_target=target), target, atol=1e-9)


def test_calibration_leaves_pcc_as_it_is():
    target, test_target = rows(50, seed=0), rows(30, seed=1)
    predicted = target + rows(50, seed=2)
    test_predicted = test_target + rows(30, seed=3)
    calibrated = calibrate(test_predicted, train_predicted=predicted, train_target=target)
    np.testing.assert_allclose(gene_pcc(calibrated, test_target), gene_pcc(test_predicted, test_target))


def test_calibration_never_does_worse_than_the_mean_on_its_training_spots():
    target, predicted = rows(50, seed=0), rows(50, seed=1)
    calibrated = calibrate(predicted, train_predicted=predicted, train_target=target)
    assert mse(calibrated, target) <= mse(np.broadcast_to(target.mean(0), target.shape), target)


def test_a_constant_prediction_becomes_the_training_mean():
    target = rows(50, seed=0)
    constant = np.full((50, 4), 7.0)
    calibrated = calibrate(constant, train_predicted=constant, train_target=target)
    np.testing.assert_allclose(calibrated, np.broadcast_to(target.mean(0), target.shape))
