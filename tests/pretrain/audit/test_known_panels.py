"""Panels that the field chose on the sections that test are known by their genes."""

import pytest

from hage_transfer.pretrain.audit.known_panels import panel_warnings


@pytest.mark.parametrize(("name", "layout", "count"), [("her", "her2st", "785"), ("skin", "gse144240", "171")])
def test_the_fields_lists_are_known_in_any_order(real_data, name, layout, count):
    path = real_data / "genes" / f"{name}_hvg_cut_1000.txt"
    genes = path.read_text(encoding="utf-8").split()
    assert count in panel_warnings(reversed(genes), layout=layout)[0]
    assert not panel_warnings(genes[:-1], layout=layout)
    assert not panel_warnings(genes, layout="space_ranger")
