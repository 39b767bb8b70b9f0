"""A classifier directory goes to a hub and comes back: what is uploaded, what is asked for, and what still stops it."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

import hage_transfer as ht
from hage_transfer.models import checkpoint, sharing


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder: uploads keep what their patterns allow, downloads are links as in the hub's cache."""
    stored = tmp_path / "stored"

    class Api:
        def __init__(self, token: str) -> None: ...

        def create_repo(self, repo_id, **_):
            return f"https://hub/{repo_id}"

        def repo_info(self, repo_id):
            return type("Info", (), {"private": True})

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, **_):
            every = [
                path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()
            ]
            for name in filter_repo_objects(every, allow_patterns=allow_patterns):
                place = stored / repo_id / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(folder_path) / name, place)

    def download(name, *, allow_patterns, **_):
        snapshot = tmp_path / "cache" / name
        every = [path.relative_to(stored / name).as_posix() for path in (stored / name).rglob("*") if path.is_file()]
        for one in filter_repo_objects(every, allow_patterns=allow_patterns):
            (snapshot / one).parent.mkdir(parents=True, exist_ok=True)
            (snapshot / one).unlink(missing_ok=True)
            (snapshot / one).symlink_to(stored / name / one)
        return str(snapshot)

    monkeypatch.setattr(sharing.huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(sharing.huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(checkpoint.huggingface_hub, "snapshot_download", download)
    return stored


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
