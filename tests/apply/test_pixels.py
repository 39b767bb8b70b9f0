"""Slides, images and patches by a classifier's own recipe: equal to the run's own numbers, doubt of another stain."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hage_transfer as ht
from hage_transfer.apply.stain import stain_numbers
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


def test_slides_are_read_as_the_classifier_says_and_scored_as_the_run_did(tmp_path):
    names = [f"s{number}" for number in range(8)]
    for number, name in enumerate(names):
        (tmp_path / "slides").mkdir(exist_ok=True)
        glass = np.full((1024, 1024, 3), 245, np.uint8)
        glass[128:896, 128:896] = tissue(number, dark=bool(number % 2), side=768)
        write_pyramid(tmp_path / "slides" / f"{name}.tif", glass)
    labels = pd.DataFrame({"slide": names, "label": ["a", "b"] * 4, "group": [f"g{n // 2}" for n in range(8)]})
    run = ht.mil(
        {
            "data": {"layout": "slides", "mpp_um_per_px": 1.0, "tile_px": 128, "min_tissue": 0.1},
            "split": {"folds": 2},
            "model": {"kind": "mean", "hidden_dim": 0},
            "train": {"epochs": 2, "validation": 0},
        },
        root=tmp_path / "slides",
        labels=labels,
        features=tmp_path / "features",
        encoder=Colours(),
        out=tmp_path / "run",
    )
    with pytest.raises(ht.WeightsError, match="colours"):
        ht.apply(run, tmp_path / "slides", out=tmp_path / "none")
    other = Colours()
    other.sha256 = "1" * 64
    with pytest.raises(ht.WeightsError, match="those here are 111111111111"):
        ht.apply(run, tmp_path / "slides", encoder=other, out=tmp_path / "none")
    (tmp_path / "slides" / "broken.tif").write_bytes(b"no slide")
    with pytest.raises(ht.ItemsFailedError) as failed:
        ht.apply(run, tmp_path / "slides", encoder=Colours(), out=tmp_path / "scores")
    scores = failed.value.done
    assert list(scores.failures) == ["broken"]
    assert list(scores["slide"]) == names
    classifier = ht.load_classifier(run)
    of_run = pd.read_csv(run.folder / "predictions.csv", dtype={"fold": str}).set_index("slide")
    for name in names:
        features = ht.read_features(tmp_path / "scores" / "input" / "features" / f"{name}.h5")
        found = classifier.probabilities(features)[0, int(of_run.loc[name, "fold"]), 0, 1]
        assert found == pytest.approx(of_run.loc[name, "probability_b"], abs=1e-5)
    facts = classifier.facts["reading"]
    assert (facts["of"], facts["data"]["tile_px"], facts["data"]["mpp_um_per_px"]) == ("slides", 128, 1.0)


def test_stain_numbers_are_of_tissue_alone():
    white = np.full((60, 60, 3), 250, np.uint8)
    pink = tissue(0, dark=True, side=60)
    both = stain_numbers([white, pink])
    assert both == pytest.approx(stain_numbers([pink]), rel=0.05)
    assert (stain_numbers([tissue(0, dark=True, side=60, stain=1.5)])[0] > 1.3 * both[0]).all()
