import shutil

import pytest
from pytest import approx

from hage_transfer.errors import DataError
from hage_transfer.viewer.run_kinds import read_contents


def test_mil_run_lists_slides_with_facts_of_each_source(mil_run):
    contents = read_contents(mil_run, slides=None)
    assert list(contents.slides) == ["s0", "s1", "gone"]
    assert contents.sources == ("frozen", "hage")
    assert contents.columns["probability_tumour"] == "P(tumour)"
    assert "probability_normal" not in contents.columns  # of two classes one says it all
    one = contents.slides["s1"]
    assert one.facts["hage"]["probability_tumour"] == approx(0.8)
    assert one.facts["hage"]["predicted"] == "tumour"
    assert one.overlays["hage"] == mil_run / "heatmaps" / "hage" / "s1" / "tiles.h5ad"
    assert one.mpp_um_per_px == 0.5
    assert contents.slides["s0"].tissue.name == "s0.geojson"
    assert one.tissue is None
    assert contents.hint == ""


def test_mil_run_without_heatmaps_says_which_command_makes_them(tmp_path, make_mil_run):
    contents = read_contents(make_mil_run(tmp_path, heatmaps=False), slides=None)
    assert "hage heatmap" in contents.hint and "`" not in contents.hint
    assert contents.slides["s0"].path == tmp_path / "slides" / "s0.tif"
    assert contents.slides["s0"].overlays == {}


def test_slide_that_is_not_there_is_listed_with_where_it_was_sought(mil_run):
    gone = read_contents(mil_run, slides=None).slides["gone"]
    assert gone.path is None
    assert str(mil_run.parent / "slides") in gone.sought


def test_slides_that_moved_are_found_in_the_folder_given(tmp_path, make_mil_run):
    run = make_mil_run(tmp_path / "a")
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    shutil.move(tmp_path / "a" / "slides", moved)
    assert read_contents(run, slides=None).slides["s0"].path is None
    assert read_contents(run, slides=tmp_path / "elsewhere").slides["s0"].path == moved / "s0.tif"


def test_a_name_that_is_two_files_is_not_guessed(tmp_path, make_mil_run, make_slide):
    run = make_mil_run(tmp_path, heatmaps=False)
    make_slide(tmp_path / "slides" / "copy" / "s0.tif", width=64, height=64)
    assert read_contents(run, slides=None).slides["s0"].path is None


def test_heatmap_folder_is_viewed_on_its_own(mil_run):
    contents = read_contents(mil_run / "heatmaps", slides=None)
    assert list(contents.slides) == ["s0", "s1"]
    assert contents.slides["s0"].facts["frozen"]["probability"] == approx(0.9)


def test_tissue_folder_lists_its_table(tmp_path, make_slide):
    slide = make_slide(tmp_path / "slides" / "a.tif", width=64, height=64)
    folder = tmp_path / "tissue"
    (folder / "geojson").mkdir(parents=True)
    (folder / "geojson" / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (folder / "tissue.csv").write_text(f"slide,path,tissue_mm2,pieces,tiles\na,{slide},1.5,2,30\nb,/none/b.svs,,,\n")
    contents = read_contents(folder, slides=None)
    assert contents.slides["a"].path == slide
    assert contents.slides["a"].facts["slides"] == {"tiles": 30.0, "tissue_mm2": 1.5, "pieces": 2.0}
    assert contents.slides["a"].tissue is not None
    assert contents.slides["b"].path is None
    assert "/none/b.svs" in contents.slides["b"].sought


@pytest.mark.parametrize(("across", "down", "taken"), [("0.25", "0.25", 0.25), ("0.25", "0.3", None), ("", "", None)])
def test_resolution_that_was_given_for_the_survey_is_taken_where_it_is_of_both_axes(tmp_path, across, down, taken):
    table = f"slide,path,mpp_x_um_per_px,mpp_y_um_per_px,tissue_mm2,pieces,tiles\na,/none/a.svs,{across},{down},1,1,1\n"
    (tmp_path / "tissue.csv").write_text(table)
    assert read_contents(tmp_path, slides=None).slides["a"].mpp_um_per_px == taken


def test_encoded_folder_finds_slides_where_it_is_told(tmp_path, make_slide):
    make_slide(tmp_path / "slides" / "a.tif", width=64, height=64)
    folder = tmp_path / "features"
    (folder / "features").mkdir(parents=True)
    (folder / "status.csv").write_text(
        "slide,status,tiles,tissue_mm2,seconds,mpp_um_per_px,reason\na,done,3,1,1,0.5,\n"
    )
    assert read_contents(folder, slides=None).slides["a"].path is None
    found = read_contents(folder, slides=tmp_path / "slides").slides["a"]
    assert found.path == tmp_path / "slides" / "a.tif"
    assert found.mpp_um_per_px == 0.5


def test_wrong_folders_are_refused_with_what_is_wanted(tmp_path, mil_run):
    probe = tmp_path / "probe"
    probe.mkdir()
    (probe / "config.yaml").write_text("seed: 0\n")
    (probe / "predictions.csv").write_text("source,trial,key,fold,label,predicted,probability_a\n")
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "config.yaml").write_text("seed: 0\n")
    for folder, words in (
        (tmp_path / "none", "no such folder"),
        (probe / "config.yaml", "is a file"),
        (tmp_path, "wanted a run of `mil`"),
        (tmp_path / "pretrain", "without slides"),
        (probe, "probe"),
    ):
        with pytest.raises(DataError, match=words):
            read_contents(folder, slides=None)
    with pytest.raises(DataError, match="slides="):
        read_contents(mil_run, slides=tmp_path / "none")


def test_an_application_lists_calls_and_doubts_under_its_own_name(application):
    contents = read_contents(application / "as_run", slides=None)
    assert (contents.title, contents.kind) == (application.name, "application to new slides")
    columns = ["call", "probability_normal", "calibrated", "doubt"]  # of the positive class; no label, no fold
    assert list(contents.columns) == columns
    facts = contents.slides["s1"].facts["frozen"]
    assert (facts["call"], facts["doubt"], facts["why"]) == (
        "tumour (abstained)",
        1.4,
        "its tiles are unlike training's",
    )
    assert contents.slides["s0"].facts["frozen"]["why"] is None
    assert contents.slides["s0"].overlays.keys() == {"frozen"}


def test_an_application_whose_tables_are_damaged_is_refused(application, tmp_path):
    for name in ("scores.csv", "apply.json"):
        folder = tmp_path / name
        shutil.copytree(application, folder)
        (folder / name).write_text("nothing\n")
        with pytest.raises(DataError, match=name):
            read_contents(folder / "as_run", slides=None)


def test_a_name_with_a_slash_is_refused(tmp_path, make_mil_run):
    run = make_mil_run(tmp_path, heatmaps=False)
    table = run / "predictions.csv"
    table.write_text(table.read_text().replace("gone", "../gone"))
    with pytest.raises(DataError, match="slash"):
        read_contents(run, slides=None)
