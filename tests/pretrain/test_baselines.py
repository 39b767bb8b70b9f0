from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.pretrain.baselines import all_zero, gene_mean, gene_median, spot_depth
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.ridges import PLAIN, Fits


def spots(n: int, *, seed: int, sections: int = 3, signal: float = 1.0) -> Spots:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    weights = np.random.default_rng(7).normal(size=(6, 5))
    target = (signal * features @ weights + rng.normal(size=(n, 5))).astype(np.float32)
    return Spots(
        features=features,
        counts=rng.poisson(20, size=(n, 5)).astype(np.float32),
        target=target,
        coords_px=np.stack([np.arange(n) % 8, np.arange(n) // 8], axis=1) * 290.0,
        section=np.arange(n) % sections,
        section_names=tuple(f"S{number}" for number in range(sections)),
        patient=tuple("PPQQRR"[:sections]),
        spot_names=tuple(str(number) for number in range(n)),
    )


def choose_alpha(train: Spots, *, unit: str) -> tuple[float, dict[float, float]]:
    scores = {alpha: score for (_, alpha, _), score in PLAIN.scores(Fits(train, unit=unit)).items()}
    return PLAIN.predict(Fits(train, TEST, unit=unit)).chosen["alpha"], scores


TRAIN, TEST = spots(90, seed=0), spots(30, seed=1, sections=1)


def test_constants_are_those_of_the_training_spots():
    np.testing.assert_allclose(gene_mean(TRAIN, TEST)[3], TRAIN.target.mean(0), rtol=1e-5)
    np.testing.assert_allclose(gene_median(TRAIN, TEST)[3], np.median(TRAIN.target, axis=0), rtol=1e-5)
    assert not all_zero(TRAIN, TEST).any()


def test_ridge_equals_scikit_learn_at_the_chosen_alpha():
    alpha, _ = choose_alpha(TRAIN, unit="section")
    scaler = StandardScaler().fit(TRAIN.features)
    model = Ridge(alpha=alpha).fit(scaler.transform(TRAIN.features), TRAIN.target)
    np.testing.assert_allclose(
        PLAIN.predict(Fits(TRAIN, TEST, unit="section")).test, model.predict(scaler.transform(TEST.features)), rtol=1e-5
    )


def test_alpha_grows_where_features_say_nothing():
    assert choose_alpha(spots(90, seed=0, signal=3.0), unit="section")[0] < 1000
    assert len(choose_alpha(spots(90, seed=0), unit="section")[1]) == 13


def test_alpha_is_chosen_with_a_single_section():
    alpha, scores = choose_alpha(spots(60, seed=0, sections=1), unit="patient")
    assert scores[alpha] == max(scores.values())


def test_spot_depth_is_a_line_on_depth_alone():
    predicted = spot_depth(TRAIN, TEST)
    depth = np.log10(1 + TEST.counts.sum(1))
    assert np.abs(gene_pcc(predicted, np.broadcast_to(depth[:, None], predicted.shape))) == pytest.approx(
        np.where(np.ptp(predicted, axis=0) > 0, 1, 0)
    )


def test_alpha_is_chosen_on_whole_patients_where_patients_are_left_out():
    """Two sections of a patient share a shift that a fit on the one carries over to the other."""
    train = spots(120, seed=0, sections=4, signal=0.3)
    by_patient, by_section = (choose_alpha(train, unit=unit)[1] for unit in ("patient", "section"))
    assert by_patient != by_section
    merged = replace(train, section=train.section // 2, section_names=("S0", "S2"), patient=("P", "Q"))
    fits = choose_alpha(merged, unit="patient")[1]
    assert fits.keys() == by_patient.keys()


def test_a_section_where_every_gene_is_constant_does_not_decide_alpha():
    train = spots(90, seed=0)
    target = train.target.copy()
    target[train.section == 2] = 1.0
    alpha, scores = choose_alpha(replace(train, target=target), unit="section")
    assert np.isfinite(list(scores.values())).all()
    assert scores[alpha] == max(scores.values())
