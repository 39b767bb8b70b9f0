import shutil
import threading

import numpy as np
import pandas as pd
import pytest
import torch

import hage_transfer as ht
from hage_transfer.cli.main import run as hage


class MeanBag(torch.nn.Module):
    """Tiles in, logits and attention out."""

    def __init__(self, feature_dim: int, n_classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(feature_dim, n_classes)

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.head(tiles.mean(0)), torch.full((len(tiles),), 1 / len(tiles))


def test_a_run_is_found_again_and_prints_nothing(small, capsys):
    told = []
    run = ht.mil(small.mil, out="run", progress=lambda *one: told.append(one))
    again = ht.read_results("run")
    assert again.frame().equals(run.frame())
    assert again == run
    assert (told[-1][0], run.slides) == (told[-1][1], small.labels["slide"].tolist())
    assert {"accuracy", "auc", "recall"} <= set(run.table().columns.get_level_values(0))
    assert "<table" in run._repr_html_()
    assert run.plot().axes
    assert capsys.readouterr().out == ""


def test_labels_as_rows_give_the_records_of_the_same_csv(small):
    from_file = ht.mil(small.mil, out=small.root / "a")
    from_rows = ht.mil(small.mil, labels=small.labels, out=str(small.root / "b"))
    assert from_rows.frame().equals(from_file.frame())
    with_index = ht.mil(small.mil, labels=small.labels.set_index("slide"), out="c")
    assert with_index.frame().equals(from_file.frame())
    kept = from_rows.folder / "given_labels.csv"
    assert hage(["mil", str(from_rows.folder / "config.yaml"), "--out", str(small.root / "b")]) == 0  # goes on
    anew = ht.mil(small.mil, labels=small.labels, out="b", overwrite=True)
    assert kept.is_file()
    assert anew.frame().equals(from_file.frame())


def test_the_command_leaves_what_the_function_does(small):
    import yaml

    keys = small.mil | {"data": {key: str(value) for key, value in small.mil["data"].items()}}
    (small.root / "mil.yaml").write_text(yaml.safe_dump(keys))
    assert hage(["mil", "mil.yaml", "--out", "command"]) == 0
    run = ht.mil("mil.yaml", out="function")
    assert (run.folder / "results.json").read_bytes() == (small.root / "command" / "results.json").read_bytes()


@pytest.mark.parametrize("labels", ["without a column", "twice"])
def test_wrong_rows_are_told_and_nothing_is_written(small, labels):
    table = small.labels.drop(columns="label") if labels == "without a column" else small.labels
    table = table if labels != "twice" else table.assign(slide="s1")
    with pytest.raises(ht.DataError, match="label table"):
        ht.mil(small.mil, labels=table, out="run")
    assert not (small.root / "run").exists()


def test_a_folder_of_another_run_is_refused_before_its_table_is_replaced(small):
    ht.mil(small.mil, labels=small.labels, out="run")
    before = (small.root / "run" / "given_labels.csv").read_bytes()
    with pytest.raises(ht.ConfigError, match=r"differs in .*train\.epochs"):
        ht.mil(small.mil, labels=small.labels.iloc[:6], changes={"train": {"epochs": 2}}, out="run")
    assert (small.root / "run" / "given_labels.csv").read_bytes() == before


@pytest.mark.parametrize("folds", [2, 60])
def test_folds_of_slides_are_laid_once_and_before_any_is_encoded(small, monkeypatch, folds):
    from hage_transfer.door import mil_run as door
    from hage_transfer.mil import plan

    (small.root / "slides").mkdir(exist_ok=True)

    laid, mil_folds = [], plan.mil_folds

    def lay(config, labels):
        laid.append(config.split.folds)
        return mil_folds(config, labels)

    def encode(config, **_):
        assert laid == [2]
        shutil.copytree(small.root / "bags", config.features / "features")

    monkeypatch.setattr(plan, "mil_folds", lay)
    monkeypatch.setattr(door, "encode_bags", encode)
    data = {"layout": "slides", "root": small.root / "slides", "labels": small.root / "labels.csv"}
    keys = small.mil | {"data": data, "features": "made", "split": {"folds": folds}}
    if folds == 2:
        assert ht.mil(keys, out="run").frame().equals(ht.mil(small.mil, out="there").frame())
        assert laid == [2, 2]
    else:
        with pytest.raises(ht.SplitError, match="60 folds"):
            ht.mil(keys, out="run")
        assert not (small.root / "made").exists()


def test_a_classifier_of_the_users_own_is_trained(small):
    run = ht.mil(small.mil, model=MeanBag, out="own")
    assert "frozen" in run.table().index
    assert run.model is MeanBag
    with pytest.raises(ht.ConfigError, match="own"):
        ht.mil(small.root / "own" / "config.yaml", out="own")


def test_patches_by_an_encoder_of_the_users_own(small, mean_colour):
    told = []
    own = ht.encode_patches(
        small.root / "images",
        manifest=small.manifest,
        encoder=mean_colour,
        out="own",
        progress=lambda *one: told.append(one),
    )
    assert (own.encoder, own.width, told[-1][0]) == ("mean-colour", 6, told[-1][1])
    rows = own[next(iter(own))]
    assert rows.features[:, 0] == pytest.approx(np.arange(8) * 20 / 255, abs=1e-3)
    assert ht.read_results("own").frame().equals(own.frame())
    run = ht.probe(
        small.probe, manifest="manifest.csv", features="own", sources={"own": own, "again": "own"}, out="probe"
    )
    assert run.compare("own", "again", "accuracy").verdict in ("within noise", "not judged")
    assert ht.read_results("probe") == run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": "six"}, "width = 'six'"),
        ({"sha256": ""}, "sha256 = ''"),
        ({"width": 7}, "its width is 7, and it puts out 6 numbers"),
    ],
)
def test_an_object_that_is_no_encoder_is_refused(small, mean_colour, change, message):
    for name, value in change.items():
        setattr(mean_colour, name, value)
    with pytest.raises(ht.WeightsError, match=message):
        ht.encode_patches("images", manifest=small.manifest, encoder=mean_colour, out="own")


def test_nothing_of_a_stage_in_a_folder_is_told(small):
    with pytest.raises(ht.DataError, match="no such file; is the run finished"):
        ht.read_results(small.root / "images")


def test_has_knows_its_extras():
    with pytest.raises(ht.ConfigError, match="no extra torch"):
        ht.has("torch")


def test_an_encoder_that_is_an_object_goes_to_the_workers_of_a_call(small, monkeypatch):
    import cloudpickle
    import tifffile

    from hage_transfer.encode import bags
    from hage_transfer.running.job import attempt

    class Own:
        name = "own"

        def __init__(self, *held):
            self.held = held

        def __call__(self, images):
            return images.reshape(len(images), -1, 3).mean(1)

    def run_jobs(jobs, *, n_jobs, **_):
        return [attempt(cloudpickle.loads(cloudpickle.dumps(job))) for job in jobs]

    (small.root / "slides").mkdir()
    for name in "ab":
        pixels = np.random.default_rng(ord(name)).integers(60, 200, (64, 64, 3), dtype=np.uint8)
        tifffile.imwrite(
            f"slides/{name}.tif", pixels, tile=(16, 16), resolution=(20000, 20000), resolutionunit="CENTIMETER"
        )
    labels = pd.DataFrame({"slide": ["a", "b"], "label": ["x", "y"]})
    given = {"labels": labels, "tile_px": 16, "mpp_um_per_px": 0.5, "changes": {"data": {"min_tissue": 0}}}
    alone = ht.encode_slides("slides", encoder=Own(), out="alone", **given)
    monkeypatch.setattr(bags, "run_jobs", run_jobs)
    made = ht.encode_slides("slides", encoder=Own(), jobs=2, out="spread", **given)
    for name in "ab":
        np.testing.assert_array_equal(made[name].features, alone[name].features)
    with pytest.raises(ht.ConfigError, match=r"encoder own: cannot be given to other processes .*; give jobs=1"):
        ht.encode_slides("slides", encoder=Own(threading.Lock()), jobs=2, out="locked", **given)
