"""A classifier directory goes to a hub and comes back: what is uploaded, what is asked for, and what still stops it."""

import json

import pytest

import hage_transfer as ht


def test_a_shared_classifier_is_loaded_and_applied_from_the_hub(made, write_bags, tmp_path, hub):
    moved = made.moved(tmp_path / "moved")
    (moved / "patients.csv").write_text("what lies beside it stays here")
    ht.share(moved, to="lab/brca")
    assert not (hub / "lab/brca/patients.csv").exists()
    folder = write_bags(tmp_path / "new", ["n0", "n1"], seed=1)
    here = ht.apply(moved, folder, out=tmp_path / "here")
    there = ht.apply("lab/brca", folder, out=tmp_path / "there")
    assert (there.folder / "scores.csv").read_bytes() == (here.folder / "scores.csv").read_bytes()
    loaded = ht.load_classifier("lab/brca", source="frozen")
    assert loaded.facts == ht.load_classifier(moved).facts
    assert len(ht.apply("lab/brca", folder, out=tmp_path / "final", final=True)) == 2
    with pytest.raises(ht.ConfigError, match="is of source frozen"):
        ht.load_classifier("lab/brca", source="hage")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("licence", "licence"),
        ("weights", r"fold_0\.safetensors: is not the file that was written"),
        ("gone", r"training\.csv: is missing"),
        ("empty", r"classifier\.json is missing"),
    ],
)
def test_what_is_wrong_on_the_hub_is_refused_by_name(made, write_bags, tmp_path, hub, fault, message):
    place = hub / "lab" / "brca"
    made.moved(place)
    if fault == "licence":
        facts = json.loads((place / "classifier.json").read_text())
        (place / "classifier.json").write_text(json.dumps(facts | {"licence": {"encoder": "UNI", "licence": None}}))
    elif fault == "weights":
        (place / "models/trial_0/fold_0.safetensors").write_bytes(b"another")
    else:
        (place / {"gone": "training.csv", "empty": "classifier.json"}[fault]).unlink()
    with pytest.raises(ht.HageError, match=message):
        ht.apply("lab/brca", write_bags(tmp_path / "new", ["n0"], seed=1), out=tmp_path / "scores")
