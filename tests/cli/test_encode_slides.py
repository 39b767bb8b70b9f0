import csv
import errno
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import yaml

from hage_transfer.cli.main import run
from hage_transfer.config import SlideSetSettings, TissueSettings
from hage_transfer.data.feature_file import read_features
from hage_transfer.data.feature_journal import journal_path
from hage_transfer.data.labels import read_labels
from hage_transfer.encode.bags import Workers, _write_table
from hage_transfer.encode.bags import encode_bags as encode_all
from hage_transfer.encode.slide_items import SlideTiles, slide_items
from hage_transfer.encode.status import StatusBook
from hage_transfer.errors import ConfigError, DataError, ItemsFailedError
from hage_transfer.mil.config import MilConfig
from hage_transfer.running import atomic
from hage_transfer.running.locks import try_lock
from hage_transfer.slides.geojson import read_geojson


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


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


PLAIN = {"device": "cpu", "overwrite": False, "labels_needed": False}


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
        encode_all(slides, device="cpu", overwrite=False)


def test_encode_slides_takes_labels_of_a_column_target(slides):
    slides.data.labels.write_text("slide,target\na,1\n")
    encode_all(slides, **PLAIN)
    assert rows_of(slides.features / "labels.csv") == [{"slide": "a", "label": "1", "group": ""}]


def test_encode_slides_leaves_a_slide_table_that_lies_where_labels_are_written(slides):
    table = slides.features / "labels.csv"
    table.parent.mkdir()
    table.write_text("slide,label,case_id,mpp\na.tif,1,p,1.0\n")
    before = table.read_bytes()
    encode_all(
        slides.model_copy(update={"data": slides.data.model_copy(update={"labels": table})}),
        device="cpu", overwrite=False,
    )  # fmt: skip
    assert table.read_bytes() == before
    assert status_of(slides)["a"]["status"] == "done"


def test_workers_that_begin_together_write_labels_one_after_the_other(slides):
    slides.data.labels.write_text("slide,label\n" + "".join(f"{name},1\n" for name in range(300)))
    (slides.data.root / "0.tif").write_bytes(b"")
    items, _ = slide_items(slides.data, slides.features)
    book = StatusBook(slides.features, ())

    def write(_):
        _write_table(slides, items, book, labels_needed=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(24)))
    assert len(rows_of(slides.features / "labels.csv")) == 300
    assert [path.name for path in slides.features.iterdir()] == ["labels.csv"]


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


def test_encode_slides_names_slides_that_are_gone_as_their_tables_do(slides):
    slides.data.labels.write_text("slide,label,group\na,0,p\nTCGA-1.B34C,0,p\nTCGA-1.9F1E,1,q\nsub/d.svs,1,q\n")
    with pytest.raises(ItemsFailedError, match="3 of 4 slides failed"):
        encode_all(slides, device="cpu", overwrite=False)
    names = ["a", "TCGA-1.B34C", "TCGA-1.9F1E", "d"]
    assert list(status_of(slides)) == names
    assert [row["slide"] for row in rows_of(slides.features / "labels.csv")] == names
    assert read_labels(slides.data.labels).keys.tolist() == names


def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_slide(slides, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*a\.png'"):
            encode_all(slides, **PLAIN)
    assert not list(slides.features.rglob("*.json"))
    assert not list(slides.features.rglob("*.lock"))
    encode_all(slides, **PLAIN)
    assert {row["status"] for row in status_of(slides).values()} == {"done"}


def test_hage_encode_slides_takes_mpp_of_slides_that_record_none(slides, tmp_path):
    write_slides(slides.data.root, "none", mpp=1e9)
    slides.data.labels.write_text("slide\nnone\n")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(slides.model_dump(mode="json")))
    call = ["encode", "slides", str(tmp_path / "recipe.yaml"), "--device", "cpu"]
    assert run(call) == 1
    assert run([*call, "--mpp", "1.0"]) == 0
    assert float(status_of(slides)["none"]["mpp_um_per_px"]) == 1.0


def test_encode_slides_mends_what_failed_when_run_again(slides):
    whole = (slides.data.root / "b.tif").read_bytes()
    (slides.data.root / "b.tif").write_bytes(whole[:500])
    with pytest.raises(ItemsFailedError):
        encode_all(slides, **PLAIN)
    (slides.data.root / "b.tif").write_bytes(whole)
    encode_all(slides, **PLAIN)
    assert {row["status"] for row in status_of(slides).values()} == {"done"}
    assert not (slides.features / "failures.csv").exists()


@pytest.mark.slow
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


@pytest.mark.slow
def test_encode_slides_leaves_a_slide_that_is_at_work_elsewhere(slides, caplog):
    with try_lock(slides.features / "locks", "b"):
        encode_all(slides, **PLAIN)
    assert status_of(slides)["b"]["status"] == "running elsewhere"
    assert sorted(bytes_of(slides)) == ["a.h5", "c d ü.h5"]
    assert "1 slides are at work elsewhere" in caplog.text
    encode_all(slides, **PLAIN)
    assert status_of(slides)["b"]["status"] == "done"


def test_encode_slides_goes_on_at_the_batch_where_it_was_stopped(slides, tmp_path, stopped_at_third_batch, caplog):
    caplog.set_level("INFO", "hage_transfer")
    encode_all(slides, **PLAIN)
    stopped = slides.model_copy(update={"features": tmp_path / "stopped"})
    with stopped_at_third_batch():
        encode_all(stopped, **PLAIN)
    assert not list((stopped.features / "features").glob("*.h5"))
    encode_all(stopped, **PLAIN)
    assert re.search(r"a: 8 of \d+ rows are there from a run that was stopped", caplog.text)
    assert bytes_of(stopped) == bytes_of(slides)


def test_encode_slides_drops_unfinished_rows_of_another_batch_size(slides, monkeypatch, caplog):
    caplog.set_level("INFO", "hage_transfer")
    monkeypatch.setattr("hage_transfer.encode.worker.write_blocks", lambda *args, **how: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_all(slides, **PLAIN)
    monkeypatch.undo()
    other = slides.model_copy(update={"encoder": slides.encoder.model_copy(update={"batch_size": 5})})
    encode_all(other, **PLAIN)
    assert "from a run that was stopped" not in caplog.text


@pytest.mark.slow
def test_encode_slides_overwrite_makes_all_anew(slides):
    encode_all(slides, **PLAIN)
    (slides.features / "geojson" / "a.geojson").write_text("edited")
    before = bytes_of(slides)
    encode_all(slides, device="cpu", overwrite=True, labels_needed=False)
    assert bytes_of(slides) == before
    assert (slides.features / "geojson" / "a.geojson").read_text() != "edited"


def test_encode_slides_overwrite_leaves_what_another_worker_makes_just_now(slides):
    journal = journal_path(slides.features / "features" / "b.h5")
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"rows of another worker")
    with try_lock(slides.features / "locks", "b"):
        encode_all(slides, device="cpu", overwrite=True, labels_needed=False)
        assert journal.read_bytes() == b"rows of another worker"
    assert status_of(slides)["b"]["status"] == "running elsewhere"


def test_encode_slides_keeps_an_edited_outline_without_overwrite(slides):
    (slides.features / "geojson").mkdir(parents=True)
    (slides.features / "geojson" / "a.geojson").write_text("edited")
    encode_all(slides, **PLAIN)
    assert (slides.features / "geojson" / "a.geojson").read_text() == "edited"


def test_encode_slides_replaces_an_outline_of_other_settings_that_no_one_edited(slides):
    slides.data.labels.write_text("slide\na\n")
    drawn = slides.features / "geojson" / "a.geojson"
    nothing = slides.data.model_copy(update={"tissue": TissueSettings(min_piece_um2=1e9)})
    with pytest.raises(ItemsFailedError):
        encode_all(slides.model_copy(update={"data": nothing}), **PLAIN)
    assert read_geojson(drawn, width_px=640, height_px=640) == []
    encode_all(slides, **PLAIN)
    assert len(read_geojson(drawn, width_px=640, height_px=640)) == 1


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


def replacing(slides, monkeypatch, *, times):
    """Writes another slide in place of ``a`` while it is read, so many times; what of ``a`` was read."""
    read, seen = SlideTiles.read, []

    def reading(self, start, stop):
        found = read(self, start, stop)
        if self.slide.name == "a" and start == 0:
            seen.append(found[0].mean())
            if len(seen) <= times:
                write_slides(slides.data.root, f"new {len(seen)}")
                (slides.data.root / f"new {len(seen)}.tif").replace(slides.data.root / "a.tif")
        return found

    monkeypatch.setattr(SlideTiles, "read", reading)
    return seen


@pytest.mark.slow
def test_a_slide_that_is_replaced_while_it_is_encoded_is_done_again(slides, monkeypatch, caplog):
    write_slides(slides.data.root, "new")
    seen = replacing(slides, monkeypatch, times=1)
    encode_all(slides, **PLAIN)
    assert len(seen) == 2
    assert "a: an image was replaced while it was encoded; it is encoded again" in caplog.text
    assert {row["status"] for row in status_of(slides).values()} == {"done"}
    twice = bytes_of(slides)
    monkeypatch.undo()
    again = slides.model_copy(update={"features": slides.features.with_name("again")})
    encode_all(again, **PLAIN)
    assert bytes_of(again) == twice
    encode_all(slides, **PLAIN)  # what is stamped is the file that is there


@pytest.mark.slow
def test_a_slide_that_never_rests_fails_alone(slides, monkeypatch):
    replacing(slides, monkeypatch, times=9)
    with pytest.raises(ItemsFailedError, match="changed 3 times while it was encoded"):
        encode_all(slides, **PLAIN)
    assert {name: row["status"] for name, row in status_of(slides).items()} == {
        "a": "failed", "b": "done", "c d ü": "done",
    }  # fmt: skip


def test_who_needs_all_slides_waits_for_what_another_worker_has_begun(slides, caplog):
    book = StatusBook(slides.features, ())
    lock = try_lock(book.locks, "b")
    threading.Timer(3.0, lock.release).start()
    with caplog.at_level("INFO"):
        encode_all(slides, **PLAIN, waits=True)
    assert "waiting for its features" in caplog.text
    assert {row["status"] for row in status_of(slides).values()} == {"done"}
