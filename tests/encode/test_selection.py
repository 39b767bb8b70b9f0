"""`hage probe --select` and what `hage mil` makes of it; sources side by side."""

import json
from pathlib import Path

import pytest
import torch

from hage_transfer.compare.records import MEAN, Record
from hage_transfer.compare.results import Results
from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.encode.selection import read_selection, select
from hage_transfer.encode.sources import candidates, find_encoders, side_by_side
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.probes.config import ProbeConfig


def encoder(folder, *, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GeneInformedEncoder(torch.randn(5, 4), feature_dim=3, embed_dim=8, n_heads=2)
    model.save_pretrained(folder, card={"frozen_encoder": "embedded", "frozen_encoder_sha256": "a" * 64})
    return folder


@pytest.fixture
def sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for trial in range(3):
        encoder(Path("encoders") / f"trial_{trial}", seed=trial)
    return {"frozen": SourceSettings(), "hage": SourceSettings(encoder="encoders/trial_*")}


def records(values, *, split="test"):
    return [
        Record(task="probe", source="hage", split=split, fold=MEAN, trial=trial, metric="auc", value=value)
        for trial, value in enumerate(values)
    ]


def test_select_writes_the_best_trial_and_what_it_was_chosen_by(sources, tmp_path):
    chosen = select(Results(records([0.7, 0.9, 0.8])), candidates(sources), metric="auc", run=tmp_path)
    assert chosen["encoder"] == "encoders/trial_1"
    tree = json.loads((tmp_path / "selected.json").read_text())
    assert tree == chosen
    assert tree["selected_by"]["rows"] == "test"
    assert "the test folds" in tree["selected_by"]["rule"]
    assert "no estimate any more" in " ".join(tree["read_with_care"].split())
    assert [row["auc"] for row in tree["candidates"]] == [0.7, 0.9, 0.8]


def test_select_goes_by_validation_rows_where_there_are_any(sources, tmp_path):
    both = [*records([0.7, 0.9, 0.8]), *records([0.6, 0.5, 0.8], split="validation")]
    chosen = select(Results(both), candidates(sources), metric="auc", run=tmp_path)
    assert chosen["encoder"] == "encoders/trial_2"
    assert chosen["selected_by"]["rows"] == "validation"


def test_find_encoders_take_the_selected_one(sources, tmp_path):
    select(Results(records([0.7, 0.9, 0.8])), candidates(sources), metric="auc", run=tmp_path)
    assert find_encoders("hage", str(tmp_path / "selected.json")) == [Path("encoders/trial_1")]


def test_read_selection_refuses_an_encoder_that_was_trained_again(sources, tmp_path):
    select(Results(records([0.7, 0.9, 0.8])), candidates(sources), metric="auc", run=tmp_path)
    encoder(Path("encoders/trial_1"), seed=9)
    with pytest.raises(DataError, match="trained again since"):
        read_selection(tmp_path / "selected.json")


@pytest.mark.parametrize(("text", "message"), [(None, "probe.select=True"), ("{}", "not a file"), ("[", "not a file")])
def test_read_selection_names_a_file_that_is_none(tmp_path, text, message):
    path = tmp_path / "selected.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_selection(path)


def test_candidates_need_an_encoder():
    with pytest.raises(ConfigError, match="no source has an encoder"):
        candidates({"frozen": SourceSettings()})


def test_select_fails_where_the_metric_is_defined_for_none(sources, tmp_path):
    with pytest.raises(DataError, match="auc is defined for no encoder"):
        select(Results(records([None, None, None])), candidates(sources), metric="auc", run=tmp_path)


def probe_sources(**given):
    return ProbeConfig.model_validate({"sources": given}).sources


def test_side_by_side_pairs_trials_and_repeats_single_parts():
    given = probe_sources(frozen={}, hage={"encoder": "e"}, both={"concat": ["frozen", "hage"]})
    paths = {"frozen": [Path("f")], "hage": [Path("h0"), Path("h1")]}
    assert side_by_side(given, paths) == {
        "frozen": [(Path("f"),)],
        "hage": [(Path("h0"),), (Path("h1"),)],
        "both": [(Path("f"), Path("h0")), (Path("f"), Path("h1"))],
    }


def test_side_by_side_goes_through_files_again_until_there_are_as_many_trials():
    given = probe_sources(frozen={}, hage={"encoder": "e"}, both={"concat": ["frozen", "hage"]})
    paths = {"frozen": [Path("f")], "hage": [Path("h0"), Path("h1")]}
    assert side_by_side(given, paths, repeats=3) == {
        "frozen": [(Path("f"),)] * 3,
        "hage": [(Path("h0"),), (Path("h1"),), (Path("h0"),)],
        "both": [(Path("f"), Path("h0")), (Path("f"), Path("h1")), (Path("f"), Path("h0"))],
    }


def test_side_by_side_refuses_other_numbers_of_trials():
    given = probe_sources(a={}, b={}, both={"concat": ["a", "b"]})
    with pytest.raises(ConfigError, match="paired by number, and the parts have a 2, b 3"):
        side_by_side(given, {"a": [Path("x")] * 2, "b": [Path("y")] * 3})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"both": {"concat": ["frozen", "hage"]}, "frozen": {}}, "names hage, which is no source"),
        ({"a": {}, "b": {"concat": ["a", "a"]}, "c": {"concat": ["a", "b"]}}, "a concatenation itself"),
        ({"a": {}, "b": {"concat": ["a"]}}, "two sources or more"),
        ({"a": {}, "b": {"concat": ["a", "a"], "encoder": "e"}}, "no place beside it"),
    ],
)
def test_concatenations_that_cannot_be_made_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        ProbeConfig.model_validate({"sources": given})
