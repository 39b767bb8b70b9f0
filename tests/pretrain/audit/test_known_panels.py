"""Panels that the field chose on the sections that test are known by their genes."""

import pytest

from hage_transfer.pretrain.audit import known_panels
from hage_transfer.pretrain.audit.known_panels import panel_sha256, panel_warnings
from hage_transfer.pretrain.inputs import read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory
from tests.pretrain.conftest import GENES


@pytest.mark.parametrize(("name", "layout", "count"), [("her", "her2st", "785"), ("skin", "gse144240", "171")])
def test_the_fields_lists_are_known_in_any_order(real_data, name, layout, count):
    path = real_data / "genes" / f"{name}_hvg_cut_1000.txt"
    genes = path.read_text(encoding="utf-8").split()
    assert count in panel_warnings(reversed(genes), layout=layout)[0]
    assert not panel_warnings(genes[:-1], layout=layout)
    assert not panel_warnings(genes, layout="space_ranger")


def test_a_run_on_a_known_panel_is_told_so(config, tmp_path, monkeypatch):
    split = config.split.model_copy(update={"held_out": ("A",)})
    config = config.model_copy(update={"methods": ("knn",), "trials": 1, "controls": "none", "split": split})
    monkeypatch.setattr(known_panels, "_KNOWN", {panel_sha256(GENES): ("40", "HER2+ (her2st)", "her2st")})
    results = pretrain(config, read_inputs(config), RunDirectory.open(tmp_path / "run", config), device="cpu")
    assert any("list of 40 genes" in note and "those that test here among them" in note for note in results.notes)
