import csv
import os

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse
import yaml
from PIL import Image

from hage_transfer.cli.main import run
from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.data import pcam
from hage_transfer.data.feature_file import read_features
from hage_transfer.data.feature_journal import journal_path
from hage_transfer.encode import sections_and_patches
from hage_transfer.encode.bags import encode_bags
from hage_transfer.encode.sections_and_patches import encode_patches, encode_sections
from hage_transfer.encoders import embedded
from hage_transfer.errors import ConfigError, DataError, ItemsFailedError, WeightsError
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.locks import try_lock
from hage_transfer.slides.slide import Slide

HOW = {"device": "cpu", "overwrite": False}


def save_noise(path, *, seed=0, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def probe_config(tmp_path):
    for k, label in enumerate(("a", "b", "a")):
        save_noise(tmp_path / "images" / label / f"{k}.png", seed=k)
    return ProbeConfig(data=PatchSetSettings(layout="folder", root=tmp_path / "images"), features=tmp_path / "features")


@pytest.fixture
def mil_config(probe_config):
    data = probe_config.data.model_copy(update={"tile_px": 32})
    return MilConfig(data=data, features=probe_config.features)


@pytest.fixture
def sections(tmp_path, monkeypatch):
    found = []
    for name, image in (("A1", True), ("A2", True), ("B1", False)):
        path = save_noise(tmp_path / f"{name}.png", seed=len(found), size=(300, 300)) if image else ""
        section = ad.AnnData(scipy.sparse.csr_matrix(np.ones((2, 3), np.float32)))
        section.obs_names = ["1x1", "2x1"]
        section.obsm["spatial"] = np.array([[120.0, 130.0], [170.0, 130.0]])
        section.uns["section"] = {"name": name, "patient": name[0], "image_path": str(path), "mpp_um_per_px": 0.5}
        found.append(section)
    monkeypatch.setattr(sections_and_patches, "read_sections", lambda settings, progress: found)
    return found


@pytest.fixture
def st_config(tmp_path):
    return PretrainConfig(data={"root": tmp_path}, features=tmp_path / "st", patch={"size_px": 64})


def test_encode_patches_writes_features_and_labels_in_one_order(probe_config):
    encode_patches(probe_config, **HOW)
    features = read_features(probe_config.features / "features.h5")
    labels = rows_of(probe_config.features / "labels.csv")
    assert features.features.shape == (3, 352)
    assert [row["key"] for row in labels] == features.keys.tolist() == ["a/0.png", "a/2.png", "b/1.png"]
    assert [row["label"] for row in labels] == ["a", "a", "b"]
    assert {row["group"] for row in labels} == {""}


def test_encode_patches_stamps_encoder_hash_and_licence(probe_config):
    encode_patches(probe_config, **HOW)
    meta = read_features(probe_config.features / "features.h5").meta
    assert (meta.encoder, meta.encoder_sha256) == ("embedded", embedded.SHA256)
    assert (meta.encoder_licence, meta.patch_size_px, meta.precision) == ("Apache-2.0", 64, "float32")


def test_encode_patches_keeps_what_is_there(probe_config):
    encode_patches(probe_config, **HOW)
    before = (probe_config.features / "features.h5").stat().st_mtime_ns
    encode_patches(probe_config, **HOW)
    assert (probe_config.features / "features.h5").stat().st_mtime_ns == before


def test_encode_patches_refuses_features_of_other_images(probe_config):
    encode_patches(probe_config, **HOW)
    save_noise(probe_config.data.root / "a" / "0.png", seed=9)
    with pytest.raises(ConfigError, match=r"features\.h5: made by another encoder.*overwrite=True"):
        encode_patches(probe_config, **HOW)


def test_encode_patches_writes_no_labels_over_its_manifest(probe_config):
    manifest = probe_config.features / "labels.csv"
    manifest.parent.mkdir()
    manifest.write_text("path,label\na/0.png,a\nb/1.png,b\n")
    data = {"layout": "manifest", "root": probe_config.data.root, "manifest": manifest}
    with pytest.raises(ConfigError, match=r"data\.manifest .*labels would be written in its place"):
        encode_patches(ProbeConfig(data=data, features=probe_config.features), **HOW)
    assert manifest.read_text().startswith("path,label")


def test_encode_patches_overwrite_encodes_anew(probe_config):
    encode_patches(probe_config, **HOW)
    before = read_features(probe_config.features / "features.h5").features
    save_noise(probe_config.data.root / "a" / "0.png", seed=9)
    encode_patches(probe_config, device="cpu", overwrite=True)
    after = read_features(probe_config.features / "features.h5").features
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1:], after[1:])


def test_encode_patches_does_not_depend_on_the_batch_size(probe_config):
    encode_patches(probe_config, **HOW)
    before = read_features(probe_config.features / "features.h5").features
    other = probe_config.encoder.model_copy(update={"batch_size": 1})
    encode_patches(probe_config.model_copy(update={"encoder": other}), device="cpu", overwrite=True)
    after = read_features(probe_config.features / "features.h5").features
    np.testing.assert_allclose(before, after, rtol=1e-3, atol=1e-4)


def test_encode_patches_unknown_encoder_comes_before_the_images(probe_config):
    other = probe_config.encoder.model_copy(update={"name": "embeded"})
    with pytest.raises(WeightsError, match="nearest: embedded"):
        encode_patches(probe_config.model_copy(update={"encoder": other}), **HOW)


def test_encode_bags_of_images_writes_one_file_per_image(mil_config):
    encode_bags(mil_config, **HOW)
    labels = rows_of(mil_config.features / "labels.csv")
    assert [(row["slide"], row["label"]) for row in labels] == [("0", "a"), ("2", "a"), ("1", "b")]
    bag = read_features(mil_config.features / "features" / "1.h5")
    assert bag.coords.tolist() == [[0, 0], [32, 0], [0, 32], [32, 32]]
    assert bag.keys[1] == "b/1.png#32_0"


def test_encode_bags_tiles_have_the_features_of_their_pixels(mil_config, probe_config):
    encode_bags(mil_config, **HOW)
    cut = probe_config.data.model_copy(update={"tile_px": 32})
    encode_patches(probe_config.model_copy(update={"data": cut}), **HOW)
    together = read_features(mil_config.features / "features.h5")
    alone = read_features(mil_config.features / "features" / "1.h5")
    rows = [k for k, key in enumerate(together.keys) if key.startswith("b/1.png#")]
    np.testing.assert_allclose(alone.features, together.features[rows], rtol=1e-3, atol=1e-4)


def test_encode_bags_does_what_is_left(mil_config):
    encode_bags(mil_config, **HOW)
    files = {path: path.stat().st_mtime_ns for path in (mil_config.features / "features").glob("*.h5")}
    gone = mil_config.features / "features" / "2.h5"
    wanted = read_features(gone).features
    gone.unlink()
    encode_bags(mil_config, **HOW)
    np.testing.assert_array_equal(read_features(gone).features, wanted)
    assert all(path.stat().st_mtime_ns == time for path, time in files.items() if path != gone)


def encode(kind, config):
    encode_patches(config, **HOW) if kind == "patches" else encode_bags(config, **HOW)


def written(config):
    """Every file below the features, aside from what tells seconds."""
    files = [path for path in config.features.rglob("*") if path.is_file() and "status" not in str(path)]
    return {str(path.relative_to(config.features)): path.read_bytes() for path in files}


KINDS = pytest.mark.parametrize("kind", ["patches", "bags"])


@KINDS
def test_what_a_worker_left_that_was_killed_after_its_last_write_is_removed(request, kind):
    config = request.getfixturevalue("probe_config" if kind == "patches" else "mil_config")
    encode(kind, config)
    before = written(config)
    done = next(path for path in config.features.rglob("*.h5"))
    name = str(config.data.root) if kind == "patches" else done.stem
    journal_path(done).write_bytes(b"rows")
    gone = try_lock(config.features / "locks", name)
    (lock,) = (config.features / "locks").iterdir()
    alive = lock.read_text()
    encode(kind, config)  # of a worker that lives
    assert lock.read_text() == alive
    assert journal_path(done).exists()
    gone._stop.set()
    lock.write_text(alive.replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    encode(kind, config)
    assert written(config) == before
    assert not (config.features / "locks").exists()


def replacing(monkeypatch, path, *, times, size=(64, 64)):
    """Writes another image in place of one while it is read, so many times; how often it was read."""
    read, seen = Slide.read_region, []

    def reading(self, *args, **kwargs):
        found = read(self, *args, **kwargs)
        if self.path == path:
            seen.append(found)
            if len(seen) <= times:
                save_noise(path, seed=90 + len(seen), size=size)
        return found

    monkeypatch.setattr(Slide, "read_region", reading)
    return seen


@KINDS
def test_an_image_that_is_replaced_while_it_is_encoded_is_done_again(request, monkeypatch, caplog, kind):
    config = request.getfixturevalue("probe_config" if kind == "patches" else "mil_config")
    image = config.data.root / "a" / "0.png"
    seen = replacing(monkeypatch, image, times=1)
    encode(kind, config)
    assert len(seen) >= 2
    assert "an image was replaced while it was encoded; it is encoded again" in caplog.text
    found = written(config)
    monkeypatch.undo()
    encode(kind, config)  # what is stamped is the image that is there
    again = config.model_copy(update={"features": config.features.with_name("again")})
    encode(kind, again)
    assert written(again) == found


@KINDS
@pytest.mark.parametrize(
    ("times", "size", "said"),
    [(99, (64, 64), "changed 3 times"), (1, (96, 64), "96 x 64 px, and 64 x 64 px when the set was read")],
    ids=["never rests", "of another size"],
)
def test_an_image_that_cannot_be_done_again_is_named(request, monkeypatch, kind, times, size, said):
    config = request.getfixturevalue("probe_config" if kind == "patches" else "mil_config")
    replacing(monkeypatch, config.data.root / "a" / "0.png", times=times, size=size)
    with pytest.raises(DataError if kind == "patches" else ItemsFailedError, match=said):
        encode(kind, config)
    assert not list(config.features.rglob("*.h5.unfinished"))
    assert len(list(config.features.rglob("*.h5"))) == (0 if kind == "patches" else 2)


def test_encode_bags_refuses_two_images_of_one_name(mil_config):
    save_noise(mil_config.data.root / "b" / "0.png")
    with pytest.raises(DataError, match=r"a/0\.png, b/0\.png: one name, 0, for 2 bags"):
        encode_bags(mil_config, **HOW)


def test_encode_bags_lists_a_damaged_image_and_does_the_rest(mil_config):
    image = mil_config.data.root / "a" / "2.png"
    image.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(ItemsFailedError, match="1 of 3 slides failed"):
        encode_bags(mil_config, **HOW)
    assert [row["item"] for row in rows_of(mil_config.features / "failures.csv")] == ["2"]
    assert sorted(path.name for path in (mil_config.features / "features").iterdir()) == ["0.h5", "1.h5"]
    save_noise(image, seed=2)
    encode_bags(mil_config, **HOW)
    assert not (mil_config.features / "failures.csv").exists()


def test_encode_bags_of_feature_files_says_there_is_nothing_to_do(tmp_path):
    config = MilConfig(data={"layout": "features", "root": tmp_path, "labels": tmp_path / "labels.csv"})
    with pytest.raises(ConfigError, match="encoded already"):
        encode_bags(config, **HOW)


def slide_config(tmp_path, *rows, **keys):
    (tmp_path / "labels.csv").write_text("\n".join(["slide,label,group", *rows]) + "\n")
    data = SlideSetSettings(labels=tmp_path / "labels.csv", mpp_um_per_px=1.0, tile_px=112, **keys)
    return MilConfig(data=data, features=tmp_path / "features")


def test_encode_bags_of_slides_lists_the_one_without_resolution(tmp_path, real_data):
    config = slide_config(
        tmp_path, "CMU-1-Small-Region,x,p1", "tcga-cr-7395-01a-01-ts1.svs,y,p2", root=real_data / "slides",
        stride_px=448,
    )  # fmt: skip
    with pytest.raises(ItemsFailedError, match="1 of 2 slides failed"):
        encode_bags(config, **HOW)
    bag = read_features(config.features / "features" / "CMU-1-Small-Region.h5")
    assert bag.meta.mpp_um_per_px == 1.0
    assert bag.meta.patch_size_level0_px == round(112 / 0.499)
    assert len(bag.coords) == len(bag.features)
    reason = rows_of(config.features / "failures.csv")[0]["reason"]
    assert "data.slide_mpp_um_per_px" in reason
    assert [row["slide"] for row in rows_of(config.features / "labels.csv")][1] == "tcga-cr-7395-01a-01-ts1"


def test_encode_bags_of_slides_names_all_that_are_absent(tmp_path):
    config = slide_config(tmp_path, "one,x,", "two,y,", root=tmp_path)
    with pytest.raises(DataError, match=r"slide one: no such file.*slide two: no such file"):
        encode_bags(config, **HOW)


def test_encode_sections_writes_a_row_per_spot_of_sections_with_an_image(st_config, sections, caplog):
    encode_sections(st_config, **HOW)
    assert sorted(path.name for path in st_config.features.iterdir()) == ["A1.h5", "A2.h5"]
    features = read_features(st_config.features / "A1.h5")
    assert features.keys.tolist() == ["1x1", "2x1"]
    assert (features.meta.source, features.meta.patch_size_px, features.meta.mpp_um_per_px) == ("A1", 64, 0.5)
    assert "no image of sections B1" in caplog.text


def test_encode_sections_refuses_features_of_another_patch_size(st_config, sections):
    encode_sections(st_config, **HOW)
    other = st_config.model_copy(update={"patch": st_config.patch.model_copy(update={"size_px": 32})})
    with pytest.raises(ConfigError, match=r"A1\.h5, .*A2\.h5: made by another encoder, at another precision"):
        encode_sections(other, **HOW)


def test_encode_sections_without_any_image_is_an_error(st_config, sections):
    for section in sections:
        section.uns["section"]["image_path"] = ""
    with pytest.raises(DataError, match=r"none of the sections has an image \(A1, A2, B1\)"):
        encode_sections(st_config, **HOW)


def test_encode_sections_stops_at_a_spot_outside_the_image(st_config, sections):
    sections[0].obsm["spatial"][1, 0] = 5000
    with pytest.raises(DataError, match="spot 2x1 of section A1"):
        encode_sections(st_config, **HOW)


def test_hage_encode_patches_reads_config_and_overrides(probe_config, tmp_path):
    recipe = tmp_path / "probe.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"layout": "folder", "root": str(probe_config.data.root)}}))
    assert run(["encode", "patches", str(recipe), "--set", f"features={tmp_path / 'out'}", "--device", "cpu"]) == 0
    assert len(read_features(tmp_path / "out" / "features.h5")) == 3


@pytest.mark.parametrize("override", ["encoder.name=unii", "data.layout=pattern", "data.rot=x"])
def test_hage_encode_wrong_input_exits_with_2(probe_config, tmp_path, capsys, override):
    recipe = tmp_path / "probe.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"layout": "folder", "root": str(probe_config.data.root)}}))
    assert run(["encode", "patches", str(recipe), "--set", override, "--set", f"features={tmp_path / 'out'}"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_hage_encode_with_a_failed_item_exits_with_1(mil_config, tmp_path):
    image = mil_config.data.root / "a" / "2.png"
    image.write_bytes(image.read_bytes()[:2000])
    recipe = tmp_path / "mil.yaml"
    recipe.write_text(yaml.safe_dump(mil_config.model_dump(mode="json")))
    assert run(["encode", "slides", str(recipe)]) == 1


def test_encode_patches_of_pcam_streams_and_resumes(tmp_path, monkeypatch, stopped_at_third_batch):
    rng = np.random.default_rng(0)
    prefix = tmp_path / "camelyonpatch_level_2_split_test"
    with h5py.File(f"{prefix}_x.h5", "w") as file:
        file["x"] = rng.integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    with h5py.File(f"{prefix}_y.h5", "w") as file:
        file["y"] = np.zeros((40, 1, 1, 1), np.uint8)
    data = PatchSetSettings(layout="pcam", root=tmp_path)
    whole, stopped = (
        ProbeConfig(data=data, features=tmp_path / name, encoder={"batch_size": 8}) for name in ("whole", "stopped")
    )
    encode_patches(whole, **HOW)
    with stopped_at_third_batch():
        encode_patches(stopped, **HOW)
    first = []
    monkeypatch.setattr(pcam, "_read", lambda *given, read=pcam._read: first.append(given[-1]) or read(*given))
    encode_patches(stopped, **HOW)
    assert first == [16]
    assert (stopped.features / "features.h5").read_bytes() == (whole.features / "features.h5").read_bytes()
    assert sorted(path.name for path in stopped.features.iterdir()) == ["features.h5", "labels.csv"]
