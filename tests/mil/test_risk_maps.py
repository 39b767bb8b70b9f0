"""Heatmaps of targets beyond classes: a tile's number is what the model says of it alone, and every reader shows it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sampled import sampled

import hage_transfer as ht
from hage_transfer.data.feature_file import read_features
from hage_transfer.mil.checkpoint import fold_models
from hage_transfer.viewer.mil_run import read_heatmap_folder, read_mil_run

N, TILES, SIDE = 24, 6, 16
SURVIVAL = {"kind": "survival", "time": "months", "event": "died"}
KINDS = {
    "cox": (SURVIVAL, {"log_hazard": "log hazard from the training mean"}),
    "hazards": ({**SURVIVAL, "loss": "hazards", "bins": 3}, {"risk": "risk: minus the intervals survived, of 3"}),
    "regression": ({"kind": "regression", "column": "amount"}, {"predicted": "value of amount"}),
    "ordinal": (
        {"kind": "ordinal", "column": "grade", "order": ["low", "middle", "high"]},
        {"expected_grade": "expected grade, 0 (low) to 2 (high)"},
    ),
    "multilabel": (
        {"kind": "multilabel", "columns": ["er", "pr"]},
        {"probability_er": "probability of er", "probability_pr": "probability of pr"},
    ),
}
COLUMNS = {"cox": "risk", "hazards": "risk", "regression": "predicted", "ordinal": "probability_high"}
TRAIN = {"epochs": 2, "validation": 0, "bags_per_step": 4, "learning_rate": 0.01}


@pytest.fixture
def cohort(tmp_path, write_slide):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=N)
    table = pd.DataFrame({"slide": [f"s{k}" for k in range(N)], "group": [f"p{k}" for k in range(N)]})
    table["months"], table["died"] = rng.exponential(10 * np.exp(-truth)), np.arange(N) % 3 > 0
    table["amount"] = 1e-4 * (100 + 20 * truth)
    table["grade"] = np.array(["low", "middle", "high"])[np.arange(N) % 3]
    table["er"], table["pr"] = (truth > 0).astype(int), (truth < 0.3).astype(int)
    (tmp_path / "images").mkdir()
    for name, value in zip(table.slide, truth, strict=True):
        sizes = {"patch_size_px": SIDE, "patch_size_level0_px": 224, "mpp_um_per_px": 0.5}
        write_slide(tmp_path / "features", name, rng.normal(value, 1, size=(TILES, 3)), **sizes)
    Image.new("RGB", (224 * TILES, 224), (230, 180, 210)).save(tmp_path / "images" / "s3.png")
    table.to_csv(tmp_path / "labels.csv", index=False)


def numbers(model, kind, features):
    """What the model says of bags, in plain words."""
    out = np.stack([model(bag).logits[0].double().numpy() for bag in features])
    if kind == "cox":
        return out - model.meta["fitted"][0]
    if kind == "regression":
        return out * model.meta["fitted"][1] + model.meta["fitted"][0]
    share = 1 / (1 + np.exp(-out))
    if kind == "hazards":
        return -np.cumprod(1 - share, axis=1).sum(axis=1, keepdims=True)
    return np.cumprod(share, axis=1).sum(axis=1, keepdims=True) if kind == "ordinal" else share


@pytest.mark.parametrize("kind", sampled(KINDS, "cox", "ordinal"))
def test_maps_show_what_the_models_say_of_each_tile_alone(tmp_path, cohort, kind, monkeypatch):
    target, shown = KINDS[kind]
    data = {"layout": "features", "root": tmp_path / "features", "labels": tmp_path / "labels.csv"}
    tree = {"data": data, "target": target, "split": {"folds": 2}, "train": TRAIN}
    out, drawn = tmp_path / "run", []
    ht.mil({**tree, "model": {"hidden_dim": 0, "attention_dim": 4}}, out=out)
    from hage_transfer.explain import pictures

    draw = pictures.draw_attention_map
    monkeypatch.setattr(pictures, "draw_attention_map", lambda *a, **k: (drawn.append(k.get("layer")), draw(*a, **k)))
    found = ht.explain(out, slides=["s3"], slide_folder=tmp_path / "images", genes=False, device="cpu")
    rows = pd.read_csv(out / "predictions.csv").set_index("slide")
    (model,) = (one for one in fold_models(out, source="frozen") if one.fold == str(rows.fold["s3"]))
    bag = torch.from_numpy(read_features(tmp_path / "features" / "s3.h5").features)
    alone = numbers(model, kind, [bag[[tile]] for tile in range(TILES)])
    assert np.ptp(alone) > 0
    np.testing.assert_allclose(found["s3"].tiles[list(shown)], alone, rtol=1e-4)
    facts = found["s3"].facts
    np.testing.assert_allclose([facts[name] for name in shown], numbers(model, kind, [bag])[0], rtol=1e-3)
    assert [None if layer is None else layer.legend for layer in drawn] == [None, *shown.values()]
    pictures_there = sorted(path.name for path in (out / "heatmaps/frozen/s3").glob("score_*.png"))
    assert pictures_there == [f"score_{place}_{name}.png" for place, name in enumerate(shown, start=1)]
    (tile, *_) = json.loads((out / "heatmaps/frozen/s3/attention.geojson").read_text())["features"]
    assert {name.replace("_", " ", 1) for name in shown} <= tile["properties"]["measurements"].keys()
    assert next(iter(shown)) in found._repr_html_() and next(iter(shown)) in found["s3"]._repr_html_()
    _check_readers(out, kind, shown, rows)


def _check_readers(out, kind, shown, rows):
    """The viewer and the report name the target's score."""
    opened = read_mil_run(out, slides=None)
    column = COLUMNS.get(kind, "probability_er")
    assert column in opened.columns and set(opened.columns) >= {"label", "fold"}
    listed = opened.slides["s3"]
    assert "frozen" in listed.overlays
    assert listed.facts["frozen"][column] == pytest.approx(rows[column]["s3"], rel=1e-4)
    alone = read_heatmap_folder(out / "heatmaps", slides=None).slides["s3"]
    assert shown.keys() <= alone.facts["frozen"].keys()


def test_scores_of_a_run_with_other_features_since_are_refused(tmp_path, cohort, write_slide):
    data = {"layout": "features", "root": tmp_path / "features", "labels": tmp_path / "labels.csv"}
    tree = {"data": data, "target": KINDS["regression"][0], "split": {"folds": 2}, "train": TRAIN}
    ht.mil({**tree, "model": {"hidden_dim": 0, "attention_dim": 4}}, out=tmp_path / "run")
    write_slide(
        tmp_path / "features",
        "s3",
        np.full((TILES, 3), 5.0),
        patch_size_px=SIDE,
        patch_size_level0_px=224,
        mpp_um_per_px=0.5,
    )
    with pytest.raises(ht.DataError, match="others since; run `mil` again"):
        ht.explain(tmp_path / "run", slides=["s3"], genes=False, device="cpu")
