import csv
import re

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse
import tifffile
import yaml
from PIL import Image

from hage_transfer.cli.encode import encode_bags, encode_patches, encode_sections
from hage_transfer.cli.encode_bags import Workers
from hage_transfer.cli.encode_bags import encode_bags as encode_all
from hage_transfer.cli.main import run
from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.data import pcam
from hage_transfer.data import sections as sections_module
from hage_transfer.data.feature_file import read_features
from hage_transfer.data.feature_journal import FeatureJournal
from hage_transfer.encoders import embedded
from hage_transfer.errors import ConfigError, DataError, ItemsFailedError, WeightsError
from hage_transfer.locks import try_lock
from mil.config import MilConfig
from pretrain.config import PretrainConfig
from probes.config import ProbeConfig

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
    monkeypatch.setattr(sections_module, "read_sections", lambda settings: found)
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
    with pytest.raises(ConfigError, match=r"features\.h5: made by another encoder.*--overwrite"):
        encode_patches(probe_config, **HOW)


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
    with pytest.raises(ConfigError, match=r"A1\.h5, .*A2\.h5: made by another encoder, at another patch size"):
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


def write_slides(folder, *names, mpp=1.0, side=640):
    """Pyramids of textured pink with glass around; every other is of glass alone where its name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        image = np.full((side, side, 3), 240, np.uint8)
        if "glass" not in name:
            grain = rng.integers(-40, 40, (side - 128, side - 128, 1))
            image[64:-64, 64:-64] = np.clip(np.array([200, 110, 165]) + grain, 0, 255)
        tifffile.imwrite(
            folder / f"{name}.tif",
            image,
            tile=(128, 128),
            photometric="rgb",
            metadata=None,
            resolution=(1e4 / mpp, 1e4 / mpp),
            resolutionunit="CENTIMETER",
        )


@pytest.fixture
def slides(tmp_path):
    """Recipe of three slides in a plain table, without labels."""
    write_slides(tmp_path / "slides", "a", "b", "c d ü")
    (tmp_path / "table.csv").write_text("slide,mpp\na,\nb,1.0\nc d ü,\n", encoding="utf-8")
    data = SlideSetSettings(root=tmp_path / "slides", labels=tmp_path / "table.csv", mpp_um_per_px=1.0, tile_px=128)
    return MilConfig(data=data, features=tmp_path / "features", encoder={"batch_size": 4, "runtime": "torch"})


PLAIN = {**HOW, "labels_needed": False}


def status_of(config):
    return {row["slide"]: row for row in rows_of(config.features / "status.csv")}


def bytes_of(config):
    return {path.name: path.read_bytes() for path in (config.features / "features").iterdir()}


def test_encode_slides_of_a_plain_table_gives_features_status_and_pictures(slides):
    encode_all(slides, **PLAIN)
    rows = status_of(slides)
    assert [row["status"] for row in rows.values()] == ["done"] * 3
    bag = read_features(slides.features / "features" / "c d ü.h5")
    assert int(rows["c d ü"]["tiles"]) == len(bag) == len(bag.coords)
    assert float(rows["a"]["tissue_mm2"]) == pytest.approx(0.512**2, rel=0.2)
    assert float(rows["a"]["mpp_um_per_px"]) == pytest.approx(1.0)
    assert all(float(row["seconds"]) > 0 for row in rows.values())
    found = {path.relative_to(slides.features).as_posix() for path in slides.features.rglob("*") if path.is_file()}
    for name in ("a", "b", "c d ü"):
        wanted = {f"features/{name}.h5", f"outlines/{name}.png", f"geojson/{name}.geojson", f"status/{name}.json"}
        assert wanted <= found
        found -= wanted
    assert found == {"status.csv"}


def test_encode_slides_without_labels_serves_no_mil(slides):
    with pytest.raises(DataError, match="a label table has the columns"):
        encode_all(slides, **HOW)


def test_encode_slides_tells_empty_from_failed_and_does_the_rest(slides):
    write_slides(slides.data.root, "glass")
    (slides.data.root / "b.tif").write_bytes(b"II*\0 no slide")
    slides.data.labels.write_text("slide\na\nglass\nb\ngone\n")
    with pytest.raises(ItemsFailedError, match="3 of 4 slides failed"):
        encode_all(slides, **PLAIN)
    rows = status_of(slides)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "done", "glass": "empty", "b": "failed", "gone": "failed",
    }  # fmt: skip
    assert "none of" in rows["glass"]["reason"]
    assert "no such file" in rows["gone"]["reason"]
    assert {row["item"] for row in rows_of(slides.features / "failures.csv")} == {"glass", "b", "gone"}
    assert sorted(bytes_of(slides)) == ["a.h5"]


def test_encode_slides_mends_what_failed_when_run_again(slides):
    whole = (slides.data.root / "b.tif").read_bytes()
    (slides.data.root / "b.tif").write_bytes(whole[:500])
    with pytest.raises(ItemsFailedError):
        encode_all(slides, **PLAIN)
    (slides.data.root / "b.tif").write_bytes(whole)
    encode_all(slides, **PLAIN)
    assert {row["status"] for row in status_of(slides).values()} == {"done"}
    assert not (slides.features / "failures.csv").exists()


def test_encode_slides_shards_share_the_list_and_make_the_same_files(slides, tmp_path):
    encode_all(slides, **PLAIN)
    parts = slides.model_copy(update={"features": tmp_path / "parts"})
    encode_all(parts, **PLAIN, workers=Workers(shard="1/2"))
    assert {name: row["status"] for name, row in status_of(parts).items()} == {
        "a": "done", "b": "waiting", "c d ü": "done",
    }  # fmt: skip
    encode_all(parts, **PLAIN, workers=Workers(shard="2/2"))
    assert bytes_of(parts) == bytes_of(slides)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_encode_slides_refuses_a_wrong_shard(slides, shard):
    with pytest.raises(ConfigError, match="wanted i/n with i from 1 to n"):
        encode_all(slides, **PLAIN, workers=Workers(shard=shard))


def test_encode_slides_leaves_a_slide_that_is_at_work_elsewhere(slides, caplog):
    with try_lock(slides.features / "locks", "b"):
        encode_all(slides, **PLAIN)
    assert status_of(slides)["b"]["status"] == "running elsewhere"
    assert sorted(bytes_of(slides)) == ["a.h5", "c d ü.h5"]
    assert "1 slides are at work elsewhere" in caplog.text
    encode_all(slides, **PLAIN)
    assert status_of(slides)["b"]["status"] == "done"


def test_encode_slides_goes_on_at_the_batch_where_it_was_stopped(slides, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "hage_transfer")
    encode_all(slides, **PLAIN)
    stopped = slides.model_copy(update={"features": tmp_path / "stopped"})
    really, calls = FeatureJournal.append, []

    def stop_at_third(journal, rows):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(rows))
        really(journal, rows)

    monkeypatch.setattr(FeatureJournal, "append", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        encode_all(stopped, **PLAIN)
    monkeypatch.undo()
    assert not list((stopped.features / "features").glob("*.h5"))
    encode_all(stopped, **PLAIN)
    assert re.search(r"a: 8 of \d+ rows are there from a run that was stopped", caplog.text)
    assert bytes_of(stopped) == bytes_of(slides)


def test_encode_slides_drops_unfinished_rows_of_another_batch_size(slides, monkeypatch, caplog):
    caplog.set_level("INFO", "hage_transfer")
    monkeypatch.setattr("hage_transfer.encoders.worker.write_blocks", lambda *args, **how: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_all(slides, **PLAIN)
    monkeypatch.undo()
    other = slides.model_copy(update={"encoder": slides.encoder.model_copy(update={"batch_size": 5})})
    encode_all(other, **PLAIN)
    assert "from a run that was stopped" not in caplog.text


def test_encode_slides_overwrite_makes_all_anew(slides):
    encode_all(slides, **PLAIN)
    (slides.features / "geojson" / "a.geojson").write_text("edited")
    before = bytes_of(slides)
    encode_all(slides, device="cpu", overwrite=True, labels_needed=False)
    assert bytes_of(slides) == before
    assert (slides.features / "geojson" / "a.geojson").read_text() != "edited"


def test_encode_slides_keeps_an_edited_outline_without_overwrite(slides):
    (slides.features / "geojson").mkdir(parents=True)
    (slides.features / "geojson" / "a.geojson").write_text("edited")
    encode_all(slides, **PLAIN)
    assert (slides.features / "geojson" / "a.geojson").read_text() == "edited"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_encode_slides_by_several_workers_makes_the_same_files(slides, tmp_path, engine):
    if engine == "ray":
        pytest.importorskip("ray")
    encode_all(slides, **PLAIN)
    spread = slides.model_copy(update={"features": tmp_path / "spread"})
    encode_all(spread, **PLAIN, workers=Workers(jobs=2, engine=engine))
    assert bytes_of(spread) == bytes_of(slides)
    assert {row["status"] for row in status_of(spread).values()} == {"done"}


def test_hage_encode_slides_takes_a_table_without_labels(slides, tmp_path):
    recipe = tmp_path / "mil.yaml"
    recipe.write_text(yaml.safe_dump(slides.model_dump(mode="json")))
    assert run(["encode", "slides", str(recipe), "--device", "cpu", "--shard", "1/3"]) == 0
    assert sorted(bytes_of(slides)) == ["a.h5"]


def test_encode_patches_of_pcam_streams_and_resumes(tmp_path, monkeypatch):
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
    really, calls = FeatureJournal.append, []

    def stop_at_third(journal, rows):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(rows))
        really(journal, rows)

    monkeypatch.setattr(FeatureJournal, "append", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        encode_patches(stopped, **HOW)
    monkeypatch.undo()
    first = []
    monkeypatch.setattr(pcam, "_read", lambda path, start, read=pcam._read: first.append(start) or read(path, start))
    encode_patches(stopped, **HOW)
    assert first == [16]
    assert (stopped.features / "features.h5").read_bytes() == (whole.features / "features.h5").read_bytes()
    assert sorted(path.name for path in stopped.features.iterdir()) == ["features.h5", "labels.csv"]
