import numpy as np
import pytest

from hage_transfer.compare.genes import gene_pcc, pcc_mean
from hage_transfer.pretrain.running_pcc import RunningPcc


def spots(n: int, *, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(n, 5)) + shift
    predicted = 0.5 * target + rng.normal(size=(n, 5))
    return predicted.astype(np.float32), target.astype(np.float32), rng.integers(3, size=n)


def in_batches(running: RunningPcc, parts: tuple[np.ndarray, ...], size: int) -> RunningPcc:
    for start in range(0, len(parts[0]), size):
        running.update(*(part[start : start + size] for part in parts))
    return running


def direct(predicted: np.ndarray, target: np.ndarray, sections: np.ndarray) -> float:
    scores = [pcc_mean(gene_pcc(predicted[sections == one], target[sections == one])) for one in np.unique(sections)]
    return float(np.mean(scores))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_score_equals_that_of_all_spots_at_once(size, shift):
    parts = spots(200, seed=0, shift=shift)
    assert in_batches(RunningPcc(), parts, size).score() == pytest.approx(direct(*parts), rel=1e-9)


def test_a_constant_target_is_left_out_and_a_constant_prediction_counts_as_zero():
    predicted, target, _ = spots(50, seed=0)
    predicted[:, 0], target[:, 1] = 2.5, 0.3
    sections = np.zeros(50, dtype=np.int64)
    found = in_batches(RunningPcc(), (predicted, target, sections), 8).score()
    assert found == pytest.approx(direct(predicted, target, sections))


def test_a_section_with_one_spot_does_not_count():
    predicted, target, _ = spots(50, seed=0)
    sections = np.zeros(50, dtype=np.int64)
    sections[17] = 1
    rest = sections == 0
    found = in_batches(RunningPcc(), (predicted, target, sections), 8).score()
    assert found == pytest.approx(direct(predicted[rest], target[rest], sections[rest]))


def test_a_prediction_that_is_not_finite_scores_below_everything():
    predicted, target, sections = spots(50, seed=0)
    predicted[30, 2] = np.nan
    assert in_batches(RunningPcc(), (predicted, target, sections), 8).score() == -np.inf


def test_nothing_seen_scores_zero():
    assert RunningPcc().score() == 0
