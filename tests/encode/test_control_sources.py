"""Controls of a pretraining run become sources, for the same held-out units as the encoders they stand beside."""

import json

import pytest
import torch

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.encode.control_sources import with_controls
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.linear import LinearEncoder


def write(folder, fold, **card):
    LinearEncoder(torch.eye(2)).save_pretrained(folder, card={"fold": fold, "frozen_encoder": "uni", **card})
    return folder


@pytest.fixture
def run(tmp_path):
    for fold in ("B", "C"):
        for trial in (0, 1, 10):
            write(tmp_path / f"run/encoders/{fold}/trial_{trial}", fold)
            write(tmp_path / f"run/controls/untrained/{fold}/trial_{trial}", fold, role="control", made_by="untrained")
        write(tmp_path / f"run/controls/pca/{fold}/trial_0", fold, role="control", made_by="pca")
    write(tmp_path / "run/encoder", "B")
    return tmp_path / "run"


def shown(sources):
    return {name: [path.split("/controls/")[-1] for path in source.encoder or ()] for name, source in sources.items()}


def test_controls_stand_for_the_folds_of_the_encoders_in_natural_order(run):
    sources = {"frozen": SourceSettings(), "hage": SourceSettings(encoder=f"{run}/encoders/B/trial_*")}
    found = with_controls(sources, True, by_default=False)
    assert list(found) == ["frozen", "hage", "pca", "untrained"]
    assert shown(found)["untrained"] == [f"untrained/B/trial_{k}" for k in (0, 1, 10)]
    assert shown(found)["pca"] == ["pca/B/trial_0"]
    every = with_controls(
        sources | {"hage": SourceSettings(encoder=f"{run}/encoders/*/trial_*")}, True, by_default=False
    )
    assert [name.split("/")[1] for name in shown(every)["pca"]] == ["B", "C"]
    best = with_controls({"hage": SourceSettings(encoder=f"{run}/encoder")}, None, by_default=True)
    assert shown(best)["pca"] == ["pca/B/trial_0"]


def test_controls_take_the_features_of_what_they_stand_beside(run, tmp_path):
    sources = {"hage": SourceSettings(encoder=f"{run}/encoders/B/trial_*", features=tmp_path / "features.h5")}
    assert with_controls(sources, True, by_default=False)["pca"].features == tmp_path / "features.h5"


@pytest.mark.parametrize(("wanted", "by_default", "there"), [(None, False, 1), (False, True, 1), (None, True, 3)])
def test_controls_are_taken_where_they_are_wanted(run, wanted, by_default, there):
    sources = {"hage": SourceSettings(encoder=f"{run}/encoders/B/trial_0")}
    assert len(with_controls(sources, wanted, by_default=by_default)) == there


def test_a_source_of_the_user_s_own_keeps_its_name(run, tmp_path):
    sources = {"hage": SourceSettings(encoder=f"{run}/encoders/B/trial_0"), "pca": SourceSettings(features=tmp_path)}
    assert with_controls(sources, True, by_default=False)["pca"].features == tmp_path


def test_another_run_s_folder_may_be_named(run, tmp_path):
    write(tmp_path / "elsewhere/trial_0", "B")
    sources = {"hage": SourceSettings(encoder=f"{tmp_path}/elsewhere/trial_0")}
    assert len(with_controls(sources, None, by_default=True)) == 1
    assert set(with_controls(sources, run, by_default=False)) == {"hage", "pca", "untrained"}
    with pytest.raises(DataError, match=r"holds no control of the folds B.*pretrain.controls=True"):
        with_controls(sources, True, by_default=False)


def test_controls_need_an_encoder_to_stand_beside():
    with pytest.raises(ConfigError, match="no source has an encoder"):
        with_controls({"frozen": SourceSettings()}, True, by_default=False)
    assert list(with_controls({"frozen": SourceSettings()}, None, by_default=True)) == ["frozen"]


def test_a_control_does_not_stand_beside_itself(run):
    sources = {
        "ctl": SourceSettings(encoder=f"{run}/controls/pca/B/trial_0"),
        "hage": SourceSettings(encoder=f"{run}/encoders/C/trial_0"),
    }
    assert shown(with_controls(sources, True, by_default=False))["untrained"][0] == "untrained/C/trial_0"
    assert json.loads((run / "controls/pca/B/trial_0/config.json").read_text())["role"] == "control"
