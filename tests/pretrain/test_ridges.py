"""The ridges that bar the way: against scikit-learn, in their limits, and where each should win."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.pretrain import ridge_path
from hage_transfer.pretrain.config import BAGGED_NAMES, BASELINE_NAMES
from hage_transfer.pretrain.methods.score import section_pcc
from hage_transfer.pretrain.methods.selection import held_out_parts
from hage_transfer.pretrain.ridge_path import FULL, RidgePath, Sums
from hage_transfer.pretrain.ridges import BAGGED, KERNEL_ALPHAS, KERNEL_WIDTHS, RANKS, RIDGES, Fits, with_neighbours
from tests.pretrain.test_baselines import TEST, TRAIN, spots


def path_of(train):
    scaler = StandardScaler().fit(train.features)
    return RidgePath(scaler, Sums.of(scaler, train.features, train.target))


def fits(train, test):
    return Fits(train, test, unit="section")


@pytest.mark.parametrize("alpha", [1.0, 1e3])
def test_full_rank_is_scikit_learns_ridge(alpha):
    scaler = StandardScaler().fit(TRAIN.features)
    model = Ridge(alpha=alpha).fit(scaler.transform(TRAIN.features), TRAIN.target)
    predicted = path_of(TRAIN).at(alpha).predict(TEST.features)
    np.testing.assert_allclose(predicted, model.predict(scaler.transform(TEST.features)), atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_rank_k_is_the_projection_on_the_training_fits_right_singular_vectors(rank):
    path = path_of(TRAIN)
    fitted = path.at(10.0).predict(TRAIN.features)
    mean = TRAIN.target.mean(0)
    right = np.linalg.svd(fitted - mean, full_matrices=False)[2][:rank]
    full = path.at(10.0).predict(TEST.features)
    reduced = path.at(10.0, float(rank)).predict(TEST.features)
    np.testing.assert_allclose(reduced, (full - mean) @ right.T @ right + mean, atol=1e-5)


def test_more_genes_than_features_gives_the_same_projection():
    own = np.random.default_rng(0).normal(size=(90, 20))
    wide = replace(
        TRAIN, target=(np.tile(TRAIN.target, 4) + own).astype(np.float32), counts=np.ones((90, 20), np.float32)
    )
    path = path_of(wide)
    fitted = path.at(10.0).predict(wide.features)
    right = np.linalg.svd(fitted - wide.target.mean(0), full_matrices=False)[2][:2]
    reduced = path.at(10.0, 2.0).predict(wide.features)
    centred = fitted - wide.target.mean(0)
    np.testing.assert_allclose(reduced, centred @ right.T @ right + wide.target.mean(0), atol=1e-4)


def test_fit_over_parts_equals_the_fit_over_all(monkeypatch):
    whole = path_of(TRAIN).at(10.0, 2.0).predict(TEST.features)
    monkeypatch.setattr(ridge_path, "_ENTRIES_AT_A_TIME", 35)
    parts = path_of(TRAIN).at(10.0, 2.0).predict(TEST.features)
    np.testing.assert_allclose(parts, whole, atol=1e-8)


def low_rank(n: int, *, seed: int, sections: int):
    """Forty genes that share one programme of the features, under much noise of their own."""
    made = spots(n, seed=seed, sections=sections)
    rng = np.random.default_rng(seed)
    programme = made.features[:, :1] * np.random.default_rng(5).normal(size=(1, 40))
    target = (programme + 4 * rng.normal(size=(n, 40))).astype(np.float32)
    return replace(made, target=target, counts=np.ones((n, 40), np.float32))


def test_reduced_rank_is_chosen_and_wins_where_genes_share_a_programme():
    train, test = low_rank(120, seed=0, sections=3), low_rank(400, seed=1, sections=1)
    truth = test.features[:, :1] * np.random.default_rng(5).normal(size=(1, 40))
    reduced = RIDGES["reduced_rank_ridge"].predict(fits(train, test))
    assert reduced.chosen["rank"] in RANKS
    full = path_of(train).at(reduced.chosen["alpha"], FULL).predict(test.features)
    assert np.square(reduced.test - truth).mean() < np.square(full - truth).mean()


def test_kernel_ridge_finds_what_no_line_can():
    train, test = spots(240, seed=0), spots(120, seed=1, sections=1)
    train, test = (replace(part, target=np.square(part.features)[:, :5]) for part in (train, test))
    kernel = RIDGES["kernel_ridge"].predict(fits(train, test)).test
    line = RIDGES["reduced_rank_ridge"].predict(fits(train, test)).test
    assert np.corrcoef(kernel[:, 0], test.target[:, 0])[0, 1] > 0.6 > np.corrcoef(line[:, 0], test.target[:, 0])[0, 1]


def test_context_is_of_the_spots_own_section():
    joined = with_neighbours(TRAIN)
    assert joined.features.shape == (90, 12)
    moved = replace(TRAIN, features=np.where(TRAIN.section[:, None] == 0, 99, TRAIN.features).astype(np.float32))
    other = TRAIN.section != 0
    np.testing.assert_array_equal(with_neighbours(moved).features[other], joined.features[other])


@pytest.mark.parametrize("name", RIDGES)
def test_test_counts_are_not_read(name):
    hidden = replace(TEST, target=np.full_like(TEST.target, np.nan), counts=np.full_like(TEST.counts, np.nan))
    ridge = RIDGES[name]
    np.testing.assert_array_equal(ridge.predict(fits(TRAIN, hidden)).test, ridge.predict(fits(TRAIN, TEST)).test)


def test_names_are_kept_from_variants():
    assert ("ridge", *RIDGES) == BASELINE_NAMES
    assert tuple(BAGGED) == BAGGED_NAMES


def test_a_fit_on_drawn_spots_knows_no_other():
    rows = [np.arange(0, 90, 2), np.arange(60)]
    _, bagged = BAGGED["bagged_ridge"]
    found = bagged.on_rows(fits(TRAIN, TEST), rows, {"alpha": 10.0})
    for drawn, predicted in zip(rows, found, strict=True):
        scaler = StandardScaler().fit(TRAIN.features[drawn])
        model = Ridge(alpha=10.0).fit(scaler.transform(TRAIN.features[drawn]), TRAIN.target[drawn])
        np.testing.assert_allclose(predicted, model.predict(scaler.transform(TEST.features)), atol=1e-5)


def test_a_reduced_fit_on_drawn_spots_has_the_rank_that_was_chosen():
    train, test = low_rank(120, seed=0, sections=3), low_rank(50, seed=1, sections=1)
    of, bagged = BAGGED["bagged_reduced_rank_ridge"]
    assert of == "reduced_rank_ridge"
    whole = RIDGES[of].predict(fits(train, test))
    (same,) = bagged.on_rows(fits(train, test), [np.arange(120)], whole.chosen)
    np.testing.assert_array_equal(same, whole.test)
    (drawn,) = bagged.on_rows(fits(train, test), [np.arange(80)], {"alpha": 10.0, "rank": 2.0})
    assert np.linalg.matrix_rank(drawn - drawn.mean(0), tol=1e-4) == 2


@pytest.mark.parametrize("context", [False, True])
def test_settings_score_as_fits_and_predictions_of_their_own_would(context):
    """Sections of two spots and of more spots than features, and a gene that one of them has constant."""
    train = low_rank(120, seed=0, sections=3)
    section = np.where(np.arange(120) < 2, 2, train.section % 2)
    train.target[section == 0, 3] = 1.0
    train = replace(train, section=section)
    features = (with_neighbours(train) if context else train).features
    found = Fits(train, unit="section").scores(context=context)
    assert list(found)[:2] == [(0.0, 1.0, 1.0), (0.0, 1.0, 2.0)]
    for setting in [(0.0, 1.0, 2.0), (0.0, 1e3, FULL), (0.0, 1e6, 32.0), (0.0, 10.0, 1.0)]:
        _, alpha, rank = setting
        scores = []
        for fit, rest in held_out_parts(train, unit="section"):
            model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(
                features[fit].astype(float), train.target[fit].astype(float)
            )
            mean = train.target[fit].mean(0, dtype=float)
            right = np.linalg.svd(model.predict(features[fit]) - mean, full_matrices=False)[2]
            right = right[: int(rank)] if rank != FULL else np.eye(40)
            predicted = (model.predict(features[rest]) - mean) @ right.T @ right + mean
            scores.append(section_pcc(predicted, train.target[rest], train.section[rest]))
        assert found[setting] == pytest.approx(np.mean(scores), abs=1e-5)


def test_kernels_score_as_scikit_learns_would():
    train = spots(90, seed=0)
    found = Fits(train, unit="section").kernel_scores
    width, alpha = 0.3, KERNEL_ALPHAS[4]
    scores = []
    for fit, rest in held_out_parts(train, unit="section"):
        kernel = Nystroem(gamma=width / 6, n_components=len(fit), random_state=0)
        model = make_pipeline(StandardScaler(), kernel, Ridge(alpha=alpha)).fit(train.features[fit], train.target[fit])
        scores.append(section_pcc(model.predict(train.features[rest]), train.target[rest], train.section[rest]))
    assert found[width, alpha, FULL] == pytest.approx(np.mean(scores), abs=1e-5)
    assert len(found) == len(KERNEL_WIDTHS) * len(KERNEL_ALPHAS)
