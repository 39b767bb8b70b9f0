"""Slides, images and patches by a classifier's own recipe: equal to the run's own numbers, doubt of another stain."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from sampled import sampled

import hage_transfer as ht
from hage_transfer.apply import stain
from hage_transfer.apply.stain import stain_numbers
from hage_transfer.cli.main import run as hage
from hage_transfer.config import PatchSetSettings
from hage_transfer.demo.slides import write_pyramid


class Colours:
    """A frozen encoder that costs nothing."""

    name, width, input_px, licence, sha256 = "colours", 6, 224, "CC0-1.0", "0" * 64

    def __call__(self, images: np.ndarray) -> np.ndarray:
        pixels = images.reshape(len(images), -1, 3).astype("float32") / 255
        return np.concatenate([pixels.mean(1), pixels.std(1)], axis=1)


def tissue(seed: int, *, dark: bool, stain: float = 1.0, side: int = 256) -> np.ndarray:
    """A pink image with grains, darker of one class; ``stain`` scales its optical density in red."""
    generator = np.random.default_rng(seed)
    density = generator.gamma(4.0, 0.2 + 0.1 * dark, (side, side, 1)) * np.array([0.8, 1.3, 0.7])
    density[..., 0] *= stain
    return np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8)


def write_images(folder, names, *, stain=1.0, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(tissue(seed + number, dark=bool(number % 2), stain=stain)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Runs of the same images as patches and as bags, and their folder."""
    root = tmp_path_factory.mktemp("images")
    names = [f"p{number}" for number in range(16)]
    write_images(root / "train", names)
    rows = [(f"{name}.png", "ab"[number % 2], f"g{number // 2}") for number, name in enumerate(names)]
    table = pd.DataFrame(rows, columns=["path", "label", "group"])
    shared = {"split": {"folds": 2}}
    table.to_csv(root / "manifest.csv", index=False)
    data = {"root": root / "train", "manifest": root / "manifest.csv"}
    patches = ht.probe(
        {"data": data, "features": root / "patches", **shared, "train": {"epochs": 5, "batch_size": 4, "final": True}},
        encoder=Colours(),
        out=root / "probe",
    )
    bags = ht.mil(
        {
            "data": {**data, "layout": "manifest", "tile_px": 64},
            "features": root / "bags",
            **shared,
            "model": {"kind": "mean", "hidden_dim": 0},
            "train": {"epochs": 4, "validation": 0, "learning_rate": 0.01},
        },
        encoder=Colours(),
        out=root / "mil",
    )
    return root, patches, bags


@pytest.mark.parametrize("kind", ["patches", "bags"])
def test_images_score_as_their_features_do_and_another_stain_is_doubtful(images, tmp_path, kind):
    run = images[1] if kind == "patches" else images[2]
    new = write_images(tmp_path / "new", [f"n{number}" for number in range(8)], seed=50)
    write_images(new, [f"x{number}" for number in range(8)], seed=50, stain=1.6)
    scores = ht.apply(run, new, encoder=Colours(), out=tmp_path / "scores").frame()
    other = scores.iloc[:, 0].str.startswith("x")
    assert scores["doubt"][other].min() > scores["doubt"][~other].max()
    assert scores["why"][other].str.contains("stain unlike training").all()
    features = tmp_path / "scores" / "input" if kind == "patches" else tmp_path / "scores" / "input" / "features"
    again = ht.apply(run, features, out=tmp_path / "again").frame()
    assert again["probability"].equals(scores["probability"])
    assert again["stain_distance"].isna().all()
    assert again["tile_distance"].equals(scores["tile_distance"])
    if kind == "patches":
        assert (ht.apply(run, features, out=tmp_path / "all", final=True).frame()["models"] == 1).all()


def test_a_probe_scores_rows_as_its_run_did(images, tmp_path):
    root, patches, _ = images
    classifier = ht.load_classifier(patches)
    features = ht.read_features(root / "patches" / "features.h5")
    found = classifier.probabilities(features)[0]
    folds = pd.read_csv(patches.folder / "predictions.csv").set_index("key")
    for row, key in enumerate(features.keys):
        assert found[int(folds.loc[key, "fold"]), row, 1] == pytest.approx(folds.loc[key, "probability_b"], abs=1e-5)


@pytest.mark.parametrize("kind", ["patches", "bags"])
def test_an_image_that_cannot_be_read_is_named_and_the_rest_go_on(images, tmp_path, kind):
    run = images[1] if kind == "patches" else images[2]
    new = write_images(tmp_path / "new", ["n0", "n1", "n2"], seed=50)
    whole = (new / "n1.png").read_bytes()
    (new / "n1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ht.ItemsFailedError, match="1 of") as failed:
        ht.apply(run, new, encoder=Colours(), out=tmp_path / "scores")
    assert [name.removesuffix(".png") for name in failed.value.done.frame().iloc[:, 0]] == ["n0", "n2"]


TARGETS = {
    "cox": {"kind": "survival"},
    "hazards": {"kind": "survival", "loss": "hazards", "bins": 2},
    "regression": {"kind": "regression", "column": "amount"},
    "ordinal": {"kind": "ordinal", "column": "grade", "order": ["low", "middle", "high"]},
    "multilabel": {"kind": "multilabel", "columns": ["er", "pr"]},
}


def values_of(names, key):
    """A table of targets that follow how dark an image is, and one patient an image."""
    rng, dark = np.random.default_rng(0), np.arange(len(names)) % 2
    table = pd.DataFrame(
        {key: names, "group": [f"g-{name}" for name in names], "amount": dark + rng.random(len(names))}
    )
    table["time"], table["event"] = 10 - 5 * dark + rng.random(len(names)), (np.arange(len(names)) % 3 > 0).astype(int)
    table["grade"] = np.array(["low", "middle", "high"])[dark + np.arange(len(names)) % 4 // 2]
    return table.assign(er=dark, pr=np.arange(len(names)) % 4 // 2)


@pytest.mark.parametrize(
    ("of", "kind"),
    sampled(
        [(of, kind) for of in ("patches", "bags") for kind in TARGETS if kind != "hazards"],
        ("patches", "multilabel"),
    ),
)
def test_a_target_s_directory_reads_images_by_its_own_recipe(tmp_path, of, kind):
    names, new = ([f"{letter}{number}.png" for number in range(12)] for letter in "pn")
    write_images(tmp_path / "train", [name.removesuffix(".png") for name in names])
    write_images(tmp_path / "new", [name.removesuffix(".png") for name in new], seed=50)
    values_of(names, "path").to_csv(tmp_path / "manifest.csv", index=False)
    shared = {"split": {"folds": 2}, "target": TARGETS[kind], "features": tmp_path / "features"}
    data = {"root": tmp_path / "train", "manifest": tmp_path / "manifest.csv"}
    if of == "patches":
        config = {**shared, "data": data, "train": {"min_steps": 10, "batch_size": 4}}
        run = ht.probe(config, encoder=Colours(), out=tmp_path / "run")
    else:
        config = {
            **shared,
            "data": {**data, "layout": "manifest", "tile_px": 128},
            "model": {"kind": "mean", "hidden_dim": 0},
        }
        run = ht.mil({**config, "train": {"epochs": 2, "validation": 0}}, encoder=Colours(), out=tmp_path / "run")
    alone = shutil.copytree(run.folder / "classifier/frozen", tmp_path / "alone")
    labels = values_of(new if of == "patches" else [name.removesuffix(".png") for name in new], "slide")
    labels = labels.rename(columns={"slide": "key"}) if of == "patches" else labels
    scores = ht.apply(alone, tmp_path / "new", encoder=Colours(), labels=labels, out=tmp_path / "scores")
    assert len(scores) == 12 and ht.read_results(tmp_path / "scores").meta["groups"] == 12
    features = tmp_path / "scores/input" if of == "patches" else tmp_path / "scores/input/features"
    again = ht.apply(alone, features, out=tmp_path / "again").frame()
    names = list(ht.load_classifier(alone).score_names)
    assert again[names].equals(scores.frame()[names])
    assert scores["stain_distance"].notna().all() and again["stain_distance"].isna().all()
    of_run = pd.read_csv(run.folder / "predictions.csv")
    key, row = of_run.columns[2], of_run.iloc[0]
    unit = ht.apply(alone, tmp_path / "train", encoder=Colours(), out=tmp_path / "old").frame().set_index(key)
    models = ht.load_classifier(alone).facts["models"]
    assert (
        models == 2 and unit.loc[row[key], "models"] == 2
    )  # the fold's own and one that trained on it: near, not equal
    found = ht.load_classifier(alone).probabilities(_features(tmp_path / "old", of, str(row[key])))
    np.testing.assert_allclose(found[0, int(row["fold"]), 0], row[names].to_numpy(float), rtol=1e-4, atol=1e-5)


def _features(folder, of, name):
    """Of one image, as they were encoded to be scored."""
    if of == "bags":
        return ht.read_features(folder / "input/features" / f"{name}.h5")
    every = ht.read_features(folder / "input/features.h5")
    place = every.keys.tolist().index(name)
    return replace(every, features=every.features[[place]], keys=every.keys[[place]])


NAMES = [f"s{number}" for number in range(8)]


def write_slide(path, number, *, side=768, stain=1.0, **tags):
    path.parent.mkdir(exist_ok=True)
    glass = np.full((1024, 1024, 3), 245, np.uint8)
    glass[128 : 128 + side, 128 : 128 + side] = tissue(number, dark=bool(number % 2), stain=stain, side=side)
    if not tags:
        return write_pyramid(path, glass)
    return tifffile.imwrite(path, glass, tile=(256, 256), photometric="rgb", compression="deflate", **tags)


@pytest.fixture(scope="module")
def slides_run(tmp_path_factory):
    """A run on slides, whose folder lies beside it."""
    root = tmp_path_factory.mktemp("slides_run")
    for number, name in enumerate(NAMES):
        write_slide(root / "slides" / f"{name}.tif", number)
    labels = pd.DataFrame({"slide": NAMES, "label": ["a", "b"] * 4, "group": [f"g{n // 2}" for n in range(8)]})
    return ht.mil(
        {
            "data": {"layout": "slides", "mpp_um_per_px": 1.0, "tile_px": 128, "min_tissue": 0.1},
            "split": {"folds": 2},
            "model": {"kind": "mean", "hidden_dim": 0},
            "train": {"epochs": 2, "validation": 0},
        },
        root=root / "slides",
        labels=labels,
        features=root / "features",
        encoder=Colours(),
        out=root / "run",
    )


def test_slides_are_read_as_the_classifier_says_and_scored_as_the_run_did(slides_run, tmp_path):
    run, slides = slides_run, Path(shutil.copytree(slides_run.folder.parent / "slides", tmp_path / "slides"))
    with pytest.raises(ht.WeightsError, match="colours"):
        ht.apply(run, slides, out=tmp_path / "none")
    other = Colours()
    other.sha256 = "1" * 64
    with pytest.raises(ht.WeightsError, match="those here are 111111111111"):
        ht.apply(run, slides, encoder=other, out=tmp_path / "none")
    (slides / "broken.tif").write_bytes(b"no slide")
    with pytest.raises(ht.ItemsFailedError) as failed:
        ht.apply(run, slides, encoder=Colours(), out=tmp_path / "scores")
    scores = failed.value.done
    assert list(scores.failures) == ["broken"]
    assert list(scores["slide"]) == NAMES
    classifier = ht.load_classifier(run)
    of_run = pd.read_csv(run.folder / "predictions.csv", dtype={"fold": str}).set_index("slide")
    for name in NAMES:
        features = ht.read_features(tmp_path / "scores" / "input" / "features" / f"{name}.h5")
        found = classifier.probabilities(features)[0, int(of_run.loc[name, "fold"]), 0, 1]
        assert found == pytest.approx(of_run.loc[name, "probability_b"], abs=1e-5)
    facts = classifier.facts["reading"]
    assert (facts["of"], facts["data"]["tile_px"], facts["data"]["mpp_um_per_px"]) == ("slides", 128, 1.0)


@pytest.fixture(scope="module")
def new_slides(tmp_path_factory):
    """Three slides that no run has seen."""
    folder = tmp_path_factory.mktemp("new") / "slides"
    for number in range(3):
        write_slide(folder / f"n{number}.tif", 50 + number, side=512)
    return folder


SHOWN = {"cox": "log_hazard", "hazards": "risk", "regression": "predicted", "ordinal": "expected_grade"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_learnt_from_slides_is_told_of_new_ones_in_every_form(slides_run, new_slides, tmp_path, kind):
    root = slides_run.folder.parent
    values_of(NAMES, "slide").to_csv(tmp_path / "slides.csv", index=False)
    run = ht.mil(
        {
            "data": {"layout": "slides", "mpp_um_per_px": 1.0, "tile_px": 128, "min_tissue": 0.1},
            "target": TARGETS[kind],
            "split": {"folds": 2},
            "model": {"hidden_dim": 0, "attention_dim": 2},
            "train": {"epochs": 2, "validation": 0},
        },
        root=root / "slides",
        labels=tmp_path / "slides.csv",
        features=root / "features",
        encoder=Colours(),
        out=tmp_path / "run",
    )
    alone = shutil.copytree(run.folder / "classifier/frozen", tmp_path / "alone")
    labels = values_of([f"n{number}.tif" for number in range(3)], "slide")
    scores = ht.apply(alone, new_slides, encoder=Colours(), labels=labels, out=tmp_path / "slides").frame()
    classifier, made = ht.load_classifier(alone), tmp_path / "slides/input/features"
    names = list(classifier.score_names)
    found = [classifier.probabilities(ht.read_features(made / f"{name}.h5")) for name in scores["slide"]]
    wanted = np.stack([one[:, :, 0].mean(axis=(0, 1)) for one in found])
    np.testing.assert_allclose(scores[names].to_numpy(), wanted, rtol=2e-5, atol=1e-6)
    assert np.ptp(wanted[:, 0]) > 0 and scores["stain_distance"].notna().all()
    ht.convert(made, to="trident", magnification=10, overlap_px=0, out=tmp_path / "trident")
    for form in (made, tmp_path / "trident"):
        again = ht.apply(alone, form, out=tmp_path / f"of-{form.name}").frame()
        assert again[["slide", *names, "spread"]].equals(scores[["slide", *names, "spread"]])
    explained = ht.explain(tmp_path / "slides", slides=["n1"], genes=False)
    shown = SHOWN.get(kind, "probability_er")
    assert (explained.folder / f"frozen/n1/score_1_{shown}.png").is_file()
    row = scores.set_index("slide").loc["n1"]
    told = row["probability_middle"] + 2 * row["probability_high"] if kind == "ordinal" else row.get(shown, row.iloc[0])
    assert explained["n1"].facts[shown] == pytest.approx(told, rel=1e-4)
    assert len(explained["n1"].tiles) == row["tiles"]
    facts = ht.read_results(tmp_path / "slides").meta
    assert facts["groups"] == 3 and facts["intervals"][0]["metric"] == classifier.target.metrics[0]


def test_a_look_says_which_slides_are_unlike_training_and_scores_nothing(slides_run, tmp_path, capsys):
    new = tmp_path / "new"
    write_slide(new / "alike.tif", 20)
    write_slide(new / "stained.tif", 21, stain=1.7)
    write_slide(new / "small.tif", 22, side=200)
    write_slide(new / "coarse.tif", 23, resolution=(5000, 5000), resolutionunit="CENTIMETER")
    tags = [(271, 2, 0, "Maker", True), (272, 2, 0, "Model 9", True)]
    write_slide(new / "named.tif", 24, resolution=(40000, 40000), resolutionunit="CENTIMETER", extratags=tags)
    out = tmp_path / "out"
    assert hage(["apply", str(slides_run.folder), str(new), "--look", "--out", str(out)]) == 0
    assert "4 of 5 differ from the training cohort" in capsys.readouterr().out
    health = ht.look(slides_run, new, out=out)
    frame = health.frame().set_index("slide")
    said = frame["differs"].to_dict()
    assert said["alike"] == ""
    assert "stain unlike training, darker in red" in said["stained"]
    assert "tissue outside the training range" in said["small"]
    assert "2 um per px, training slides 0.5" in said["coarse"]
    assert "coarser than the tiles" in said["coarse"]
    assert said["named"].startswith("0.25 um per px, training slides 0.5; ")
    assert frame.loc["named", "scanner"] == "Maker Model 9"
    training = ht.load_classifier(slides_run).training
    assert frame.loc["alike", "tissue_share"] == pytest.approx(training["tissue_share"].mean(), rel=0.1)
    assert frame.loc["alike", "tiles"] == training["tiles"].median()
    assert any(one.startswith("2 of 5: 0.25 to 2 um per px") for one in health.findings)
    assert any("1.1 by chance" in one for one in health.findings)
    assert "no training slide names it" in health.not_known[-1]
    assert "Some slides are not like the training slides" in (out / "health.html").read_text()
    assert "<li>" in health._repr_html_()
    assert not (out / "scores.csv").exists()
    with pytest.raises(ht.ItemsFailedError, match="1 of 5 slides") as failed:  # goes on in the same folder
        ht.apply(slides_run, new, encoder=Colours(), out=out)
    stain = failed.value.done.frame().set_index("slide")["stain_distance"]
    assert frame.loc["stained", "stain_distance"] == pytest.approx(stain["stained"], rel=1e-4)


def test_a_look_at_patches_is_of_their_stain(images, tmp_path):
    new = write_images(tmp_path / "new", [f"n{number}" for number in range(3)], seed=50)
    write_images(new, ["x0"], seed=50, stain=1.8)
    (new / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ht.ItemsFailedError) as failed:
        ht.look(images[1], new, out=tmp_path / "out")
    health = failed.value.done
    assert list(health.failures) == ["broken.png"]
    assert health.frame().set_index("key")["differs"].str.contains("stain").to_dict()["x0.png"]
    assert "um per px: not compared, the classifier directory does not have" in repr(health)


def test_an_image_of_several_patches_is_opened_once_and_each_has_its_own_stain(tmp_path, monkeypatch):
    write_images(tmp_path, ["n0", "n1"], seed=7)
    data = PatchSetSettings(layout="folder", root=tmp_path, tile_px=64)
    opened, opens = [], stain.open_picture
    monkeypatch.setattr(stain, "open_picture", lambda path: opened.append(path.name) or opens(path))
    images = {name: stain.Pixels(tmp_path / name, data) for name in ("n0.png", "n1.png")}
    places = [np.array([[x, 0]]) for x in (0, 64, 128)]
    found = stain.stains_of({n: (images[f"n{n % 2}.png"], places[n // 2]) for n in range(6)})
    assert opened == ["n0.png", "n1.png"]
    for unit, numbers in found.items():
        assert (numbers == images[f"n{unit % 2}.png"].stain(places[unit // 2])).all()
    assert len({tuple(numbers) for numbers in found.values()}) == 6


def test_stain_numbers_are_of_tissue_alone():
    white = np.full((60, 60, 3), 250, np.uint8)
    pink = tissue(0, dark=True, side=60)
    both = stain_numbers([white, pink])
    assert both == pytest.approx(stain_numbers([pink]), rel=0.05)
    assert (stain_numbers([tissue(0, dark=True, side=60, stain=1.5)])[0] > 1.3 * both[0]).all()
