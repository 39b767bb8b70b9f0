"""Configs of MIL: every recipe builds; what is wrong is named."""

from pathlib import Path

import pytest

from hage_transfer.config import load_config
from hage_transfer.errors import ConfigError
from hage_transfer.mil.config import MilConfig

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "mil").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_mil_config_builds_from_every_recipe(path):
    assert load_config(MilConfig, path).sources
    assert path.read_text().startswith(f"# hage mil configs/mil/{path.name}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.layout=slides"], "data.labels is missing"),
        (["data.layout=pattern"], "data.tile_px is missing"),
        (["data.layout=slide"], "data.layout = 'slide': wanted manifest, folder, pattern, pcam, slides or features"),
        (["data.root=x"], "data.layout is missing: wanted manifest, folder, pattern, pcam, slides or features"),
        (["data.layout=features", "data.labels=x", "sources={a/b: {}}"], r"a/b.*match pattern"),
        (["data.layout=features", "data.labels=x", "train.epoch=1"], r"nearest valid key: train\.epochs"),
    ],
)
def test_mil_config_refuses_with_one_message(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(MilConfig, None, overrides)
