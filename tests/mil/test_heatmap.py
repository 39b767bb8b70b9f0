"""Explanations: means over the models that tested a slide, and what must be said with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hage_transfer.compare.results import Results
from hage_transfer.errors import DataError
from hage_transfer.mil.checkpoint import FoldModel
from hage_transfer.mil.deciding_genes import deciding_tiles
from hage_transfer.mil.heatmap import HeldOutSlide, explain, read_held_out
from hage_transfer.mil.models import build_model

CLASSES = ("normal", "tumour")


def fold_model(seed, *, kind="abmil", trial=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(kind, 4, n_classes=2, hidden_dim=6, attention_dim=5, gated=True, dropout=0.2).eval()
    mean, std = torch.full((4,), 0.5), torch.full((4,), 2.0)
    return FoldModel(
        model=model,
        mean=mean,
        std=std,
        classes=CLASSES,
        source="frozen",
        trial=trial,
        fold="0",
        meta={"model": {"kind": kind}},
    )


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def as_held_out(models, rows, label="tumour"):
    found = {key: model(torch.from_numpy(rows)).logits.softmax(1)[0].numpy() for key, model in models.items()}
    return HeldOutSlide("s1", label, found)


def test_an_explanation_is_the_mean_over_trials(rows):
    models = {("0", trial): fold_model(trial, trial=trial) for trial in range(3)}
    explanation = explain(as_held_out(models, rows), models, dict.fromkeys(range(3), rows))
    outputs = [model(torch.from_numpy(rows)) for model in models.values()]
    np.testing.assert_allclose(explanation.attention, np.mean([o.attention[0].numpy() for o in outputs], 0), rtol=1e-5)
    mean = np.mean([o.logits.softmax(1)[0].numpy() for o in outputs], 0)
    np.testing.assert_allclose(explanation.probabilities, mean, rtol=1e-5)
    assert explanation.predicted == CLASSES[mean.argmax()]
    assert explanation.attention.sum() == pytest.approx(1)


def test_models_with_an_attention_a_class_explain_the_class_that_they_call_together(rows):
    models = {("0", trial): fold_model(trial, kind="clam_mb", trial=trial) for trial in range(12)}
    outputs = [model(torch.from_numpy(rows)) for model in models.values()]
    assert {int(output.logits.argmax()) for output in outputs} == {0, 1}
    explanation = explain(as_held_out(models, rows), models, dict.fromkeys(range(12), rows))
    called = CLASSES.index(explanation.predicted)
    expected = np.mean([output.of_classes[0, called].numpy() for output in outputs], 0)
    np.testing.assert_allclose(explanation.attention, expected, rtol=1e-5)


def test_each_trial_reads_its_own_features(rows):
    models = {("0", trial): fold_model(0, trial=trial) for trial in range(2)}
    other = rows[::-1].copy()
    slide = HeldOutSlide("s1", "tumour", as_held_out(models, rows).probabilities)  # a bag has no order
    explanation = explain(slide, models, {0: rows, 1: other})
    single = models["0", 0](torch.from_numpy(rows)).attention[0].numpy()
    np.testing.assert_allclose(explanation.attention, (single + single[::-1]) / 2, rtol=1e-5)


def test_a_tile_probability_is_that_of_the_tile_as_a_slide(rows):
    models = {("0", 0): fold_model(0)}
    explanation = explain(as_held_out(models, rows), models, {0: rows})
    for tile in (0, 13):
        alone = models["0", 0](torch.from_numpy(rows[[tile]])).logits.softmax(1)[0].numpy()
        np.testing.assert_allclose(explanation.tile_probabilities[tile], alone, rtol=1e-5)


def test_features_of_another_time_are_refused(rows):
    models = {("0", 0): fold_model(0)}
    with pytest.raises(DataError, match="others since; run `mil` again"):
        explain(as_held_out(models, rows), models, {0: rows + 3})


def test_percentiles_rank_tiles_and_average_ties(rows):
    models = {("0", 0): fold_model(0)}
    twice = np.concatenate([rows[:2], rows[:2]])
    explanation = explain(as_held_out(models, twice), models, {0: twice})
    assert sorted(explanation.percentile) == [25, 25, 75, 75]


def test_entropy_is_1_for_even_and_0_for_one_tile(rows):
    models = {("0", 0): fold_model(0)}
    explanation = explain(as_held_out(models, rows), models, {0: rows})
    n_tiles = len(explanation.attention)
    assert replace(explanation, attention=np.full(n_tiles, 1 / n_tiles)).entropy == pytest.approx(1)
    assert replace(explanation, attention=np.eye(n_tiles)[3]).entropy == 0


@pytest.mark.parametrize(
    ("changes", "caution"),
    [
        ({"kind": "mean"}, "no tile decided"),
        ({"kind": "max"}, "one tile"),
        ({"attention": np.full(30, 1 / 30)}, "nearly even"),
        ({"agreement": 0.1}, "models disagree"),
        ({"probabilities": np.array([0.9, 0.1])}, "the call is wrong"),
        ({"tile_probabilities": np.tile([0.7, 0.3], (30, 1))}, "alone speak against the call (mean p of tumour 0.30)"),
    ],
)
def test_cautions_name_what_weakens_an_explanation(rows, changes, caution):
    models = {("0", 0): fold_model(0)}
    sure = np.random.default_rng(0).dirichlet(np.full(30, 0.1))
    deciding = deciding_tiles(sure, share=0.1)
    for_it = np.tile([0.2, 0.8], (30, 1))
    plain = replace(
        explain(as_held_out(models, rows), models, {0: rows}),
        attention=sure,
        probabilities=np.array([0.1, 0.9]),
        tile_probabilities=for_it,
    )
    assert plain.cautions(deciding) == []
    assert any(caution in text for text in replace(plain, **changes).cautions(deciding))


def test_held_out_slides_are_those_of_the_source(tmp_path):
    (tmp_path / "predictions.csv").write_text(
        "source,trial,slide,fold,label,predicted,probability_normal,probability_tumour\n"
        "hage,0,s1,2,tumour,tumour,0.1,0.9\nhage,1,s1,2,tumour,normal,0.6,0.4\nfrozen,,s2,0,normal,normal,0.8,0.2\n"
    )
    found = read_held_out(tmp_path, "hage")
    assert list(found) == ["s1"]
    assert list(found["s1"].probabilities) == [("2", 0), ("2", 1)]
    assert found["s1"].folds == ("2",)
    assert list(read_held_out(tmp_path, "frozen")["s2"].probabilities) == [("0", 0)]
    with pytest.raises(DataError, match="no prediction of source uni"):
        read_held_out(tmp_path, "uni")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frozen,,s1,0,a,a,high,0.1", "line 2: could not convert string to float: 'high'"),
        ("frozen,x,s1,0,a,a,0.9,0.1", "line 2: invalid literal for int"),
        ("frozen,,s1,0,a,a,nan,0.1", "line 2: a probability is no number"),
    ],
)
def test_a_row_that_is_no_prediction_is_named(tmp_path, line, message):
    header = "source,trial,slide,fold,label,predicted,probability_a,probability_b"
    (tmp_path / "predictions.csv").write_text(f"{header}\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_held_out(tmp_path, "frozen")


def test_a_table_of_predictions_that_lost_rows_is_refused(tmp_path):
    header = "source,trial,slide,fold,label,predicted,probability_a,probability_b"
    (tmp_path / "predictions.csv").write_text(f"{header}\nfrozen,,s1,0,a,a,0.9,0.1\n")
    Results([], {"prediction_rows": 2}).save(tmp_path / "results.json")
    with pytest.raises(DataError, match="has 1 rows, the run wrote 2"):
        read_held_out(tmp_path, "frozen")
