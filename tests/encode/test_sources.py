"""Feature sources: what their settings become, and that embeddings never outlive their encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.encode.embed import embed_path
from hage_transfer.encode.sources import find_encoders, needs_frozen, resolve_sources
from hage_transfer.errors import DataError, ItemsFailedError
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.models.gene_informed import GeneInformedEncoder

META = feature_meta("set", mpp_um_per_px=None)


def write_encoder(folder, *, seed=0):
    from hage_transfer.models import checkpoint

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GeneInformedEncoder(torch.randn(5, 4), feature_dim=3, embed_dim=8, n_heads=2)
    card = {"feature_dim": 3, "embed_dim": 8, "n_heads": 2, "panel": list("abcde")}
    card |= {"frozen_encoder": "embedded", "frozen_encoder_sha256": "a" * 64, "frozen_encoder_licence": "Apache-2.0"}
    checkpoint.write_encoder(folder, tensors=model.state_dict(), card=card)
    return folder


@pytest.fixture
def frozen(tmp_path):
    path = tmp_path / "features" / "features.h5"
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    write_features(path, features, META, keys=[f"k{i}" for i in range(6)])
    return path


def resolve(tmp_path, path, **sources):
    settings = {name: SourceSettings.model_validate(source) for name, source in sources.items()}
    return resolve_sources(settings, frozen=path, out=tmp_path / "run", device="cpu")


def test_resolve_sources_leave_frozen_features_as_they_are(tmp_path, frozen):
    assert resolve(tmp_path, frozen, frozen={}) == {"frozen": [frozen]}
    assert resolve(tmp_path, frozen, other={"features": frozen.parent}) == {"other": [frozen]}


def test_resolve_sources_embed_a_glob_as_trials_in_natural_order(tmp_path, frozen):
    for trial in (0, 2, 10):
        write_encoder(tmp_path / "encoders" / f"trial_{trial}", seed=trial)
    paths = resolve(tmp_path, frozen, hage={"encoder": str(tmp_path / "encoders" / "trial_*")})["hage"]
    assert paths == [tmp_path / "run" / "embeddings" / "hage" / f"trial_{k}" / "features.h5" for k in range(3)]
    for path, trial in zip(paths, (0, 2, 10), strict=True):
        embedded = read_features(path)
        assert embedded.keys.tolist() == [f"k{i}" for i in range(6)]
        assert embedded.meta.encoder_sha256 == encoder_sha256(tmp_path / "encoders" / f"trial_{trial}")
        assert embedded.features.shape == (6, 8)


def test_resolve_sources_embed_a_folder_of_bags(tmp_path):
    folder = tmp_path / "bags" / "features"
    for slide in ("s1", "s2"):
        coords = np.zeros((4, 2), dtype=np.int64)
        write_features(folder / f"{slide}.h5", np.ones((4, 3), np.float32), META, coords=coords)
    encoder = write_encoder(tmp_path / "encoder")
    (path,) = resolve(tmp_path, folder, hage={"encoder": str(encoder)})["hage"]
    assert sorted(file.name for file in path.iterdir()) == ["s1.h5", "s2.h5"]


def test_resolve_sources_embed_again_for_a_retrained_encoder_only(tmp_path, frozen):
    encoder = write_encoder(tmp_path / "encoder", seed=0)
    (path,) = resolve(tmp_path, frozen, hage={"encoder": str(encoder)})["hage"]
    first, made = read_features(path).features, path.stat().st_mtime_ns
    resolve(tmp_path, frozen, hage={"encoder": str(encoder)})
    assert path.stat().st_mtime_ns == made
    write_encoder(encoder, seed=1)
    resolve(tmp_path, frozen, hage={"encoder": str(encoder)})
    assert not np.allclose(read_features(path).features, first)


def test_resolve_sources_name_a_glob_that_matches_nothing(tmp_path, frozen):
    with pytest.raises(DataError, match=r"sources\.hage\.encoder = .*none/trial_\*.*`pretrain`"):
        resolve(tmp_path, frozen, hage={"encoder": str(tmp_path / "none" / "trial_*")})


def test_resolve_sources_name_features_that_are_not_there(tmp_path, frozen):
    with pytest.raises(DataError, match=r"sources\.uni\.features = nowhere"):
        resolve(tmp_path, frozen, uni={"features": Path("nowhere")})


def test_find_encoders_take_relative_globs(tmp_path, monkeypatch):
    (tmp_path / "runs" / "B" / "trial_0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_encoders("hage", "runs/*/trial_*") == [Path("runs/B/trial_0")]


def test_needs_frozen_is_false_where_every_source_has_features():
    assert needs_frozen({"a": SourceSettings(features=Path("x")), "b": SourceSettings(encoder="e")})
    assert not needs_frozen({"a": SourceSettings(features=Path("x"))})


def test_embed_path_embeds_again_where_the_features_changed(tmp_path, frozen):
    encoder, out = write_encoder(tmp_path / "encoder"), tmp_path / "out.h5"
    assert embed_path(frozen, encoder=encoder, out=out, device="cpu") == 1
    assert embed_path(frozen, encoder=encoder, out=out, device="cpu") == 0
    write_features(frozen, np.ones((2, 3), np.float32), META, keys=["k0", "k1"])
    assert embed_path(frozen, encoder=encoder, out=out, device="cpu") == 1
    assert len(read_features(out)) == 2


def test_embed_path_refuses_features_of_another_width(tmp_path):
    path = tmp_path / "f.h5"
    write_features(path, np.ones((2, 5), np.float32), META, keys=["a", "b"])
    with pytest.raises(DataError, match="takes features of width 3") as caught:
        embed_path(path, encoder=write_encoder(tmp_path / "encoder"), out=tmp_path / "out.h5", device="cpu")
    assert str(path) in caught.value.__notes__[0]


def test_embed_path_refuses_to_overwrite_its_features(tmp_path, frozen):
    with pytest.raises(DataError, match="take the place of their features"):
        embed_path(frozen, encoder=write_encoder(tmp_path / "encoder"), out=frozen, device="cpu")


def test_embed_lists_what_failed_and_does_the_rest(tmp_path):
    folder, out, told = tmp_path / "bags", tmp_path / "out", []
    for slide, width in (("s1", 3), ("s2", 4), ("s3", 3)):
        write_features(folder / f"{slide}.h5", np.ones((4, width), np.float32), META, coords=np.zeros((4, 2), np.int64))
    encoder = write_encoder(tmp_path / "encoder")
    with pytest.raises(ItemsFailedError, match=r"1 of 3 files failed, see .*failures\.csv; the rest are done"):
        embed_path(folder, encoder=encoder, out=out, device="cpu", progress=lambda *one: told.append(one))
    assert sorted(path.name for path in out.iterdir()) == ["failures.csv", "s1.h5", "s3.h5"]
    assert (out / "failures.csv").read_text().splitlines()[1].startswith("s2,")
    assert told == [(1, 3, "s1"), (2, 3, "s2"), (3, 3, "s3")]
    write_features(folder / "s2.h5", np.ones((4, 3), np.float32), META, coords=np.zeros((4, 2), np.int64))
    assert embed_path(folder, encoder=encoder, out=out, device="cpu") == 1
    assert sorted(path.name for path in out.iterdir()) == ["s1.h5", "s2.h5", "s3.h5"]
