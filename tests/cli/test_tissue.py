import csv
import json

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from hage_transfer.cli.main import run
from hage_transfer.config import SlideSetSettings
from hage_transfer.door.tissue import tissue
from hage_transfer.errors import DataError, ItemsFailedError


def write_slide(path, *, mpp=4.0, seed=0):
    rng = np.random.default_rng(seed)
    image = np.full((512, 512, 3), 240, np.uint8)
    image[100:400, 100:400] = np.clip(np.array([200, 110, 165]) + rng.integers(-40, 40, (300, 300, 1)), 0, 255)
    tags = {} if mpp is None else {"resolution": (1e4 / mpp,) * 2, "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), metadata=None, **tags)


@pytest.fixture
def slides(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    write_slide(folder / "a.tif")
    write_slide(folder / "b.tif", mpp=None)
    (folder / "c.svs").touch()
    return folder


def rows(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


HOW = ["--set", "data.mpp_um_per_px=4", "--set", "data.tile_px=64"]


def test_tissue_looks_at_what_it_can_and_names_the_rest(slides, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["tissue", str(slides), "--out", str(out), *HOW]) == 1
    (found,) = rows(out / "tissue.csv")
    assert (found["slide"], found["mpp_x_um_per_px"]) == ("a", "4.0")
    assert int(found["tiles"]) > 15
    assert float(found["tissue_mm2"]) == pytest.approx(300 * 300 * 16 / 1e6, rel=0.03)
    failures = {row["item"]: row["reason"] for row in rows(out / "failures.csv")}
    assert "records no resolution" in failures["b"]
    assert "the file is empty" in failures["c"]
    assert "2 of 3 slides failed" in " ".join(capsys.readouterr().err.split())
    with Image.open(out / "outlines" / "a.png") as picture:
        assert picture.size == (512, 512)
    assert json.loads((out / "geojson" / "a.geojson").read_text())["features"]


def test_the_function_gives_the_rows_of_the_table(slides, tmp_path, capsys):
    changes = [text for text in HOW if text != "--set"]
    with pytest.raises(ItemsFailedError) as failed:
        tissue(str(slides), out=tmp_path / "out", changes=changes)
    assert failed.value.done["slide"].tolist() == ["a"]
    found = tissue(slides / "a.tif", out=tmp_path / "out", changes=changes)
    (row,) = rows(tmp_path / "out" / "tissue.csv")
    assert float(row["tissue_mm2"]) == found.loc[0, "tissue_mm2"]
    assert list(found.columns) == list(row)
    assert capsys.readouterr().out == ""
    with pytest.raises(DataError, match="the file is empty"):
        tissue([slides / "c.svs"], out=tmp_path / "none", changes=changes)


def test_tissue_goes_on_where_it_was_and_takes_mpp(slides, tmp_path):
    out = tmp_path / "out"
    (slides / "c.svs").unlink()
    assert run(["tissue", str(slides / "a.tif"), "--out", str(out), "--mpp", "4", *HOW]) == 0
    before = (out / "outlines" / "a.png").stat().st_mtime_ns
    assert run(["tissue", str(slides), "--out", str(out), "--mpp", "4", "--jobs", "2", *HOW]) == 0
    assert (out / "outlines" / "a.png").stat().st_mtime_ns == before
    assert [row["slide"] for row in rows(out / "tissue.csv")] == ["a", "b"]
    assert not (out / "failures.csv").exists()


def test_tissue_keeps_what_was_edited_unless_told_otherwise(slides, tmp_path):
    out = tmp_path / "out"
    call = ["tissue", str(slides / "a.tif"), "--out", str(out), *HOW]
    assert run(call) == 0
    drawn = out / "geojson" / "a.geojson"
    drawn.write_text(drawn.read_text().replace("tissue 1", "mine"))
    assert run([*call, "--set", "data.min_tissue=0.6"]) == 0
    assert "mine" in drawn.read_text()
    assert run([*call, "--overwrite"]) == 0
    assert "mine" not in drawn.read_text()


def test_tissue_that_was_killed_before_its_record_takes_no_outline_for_edited(slides, tmp_path):
    out = tmp_path / "out"
    call = ["tissue", str(slides / "a.tif"), "--out", str(out), *HOW]
    assert run(call) == 0
    (out / "records" / "a.json").unlink()
    assert run([*call, "--set", "data.tissue.min_piece_um2=1e9"]) == 0
    assert "tissue 1" not in (out / "geojson" / "a.geojson").read_text()


def test_output_that_cannot_be_written_is_one_message(slides, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["tissue", str(slides / "a.tif"), "--out", str(tmp_path / "file"), *HOW]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert f"{tmp_path / 'file'}" in error
    assert "name another place (--out" in error


def test_tissue_reads_a_recipe_and_the_table_s_mpp(slides, tmp_path, capsys):
    table, recipe, out = tmp_path / "labels.csv", tmp_path / "r.yaml", tmp_path / "out"
    table.write_text("slide,label,mpp\na,x,\nb,y,4\ngone,y,\n")
    data = {"layout": "slides", "root": str(slides), "labels": str(table), "mpp_um_per_px": 4.0, "tile_px": 64}
    recipe.write_text(yaml.safe_dump({"data": data}))
    assert run(["tissue", str(recipe), "--out", str(out)]) == 1
    assert [row["mpp_source"] for row in rows(out / "tissue.csv")] == [
        "its TIFF resolution tags (px per cm)",
        "slide table",
    ]
    assert [row["item"] for row in rows(out / "failures.csv")] == ["gone"]
    assert run(["tissue", str(recipe), "--out", str(out), "--set", "data.tissue.metod=clam"]) == 2
    assert "data.tissue.method" in " ".join(capsys.readouterr().err.split())


def test_tissue_settings_say_what_excludes_what(capsys, slides):
    call = ["tissue", str(slides)]
    assert run([*call, *HOW, "--set", "data.tile_level0_px=256"]) == 2
    assert run([*call, "--set", "data.tissue.method=geojson"]) == 2
    assert run([*call, "--set", "data.tissue.mthresh=4"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "exclude each other" in said
    assert "tissue.folder is missing" in said
    assert "a median filter's side is odd" in said


def test_config_of_level0_tiles_is_read_again_as_written():
    settings = SlideSetSettings(labels="l.csv", tile_level0_px=256)
    assert SlideSetSettings.model_validate(settings.model_dump(mode="json")) == settings
