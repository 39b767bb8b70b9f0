"""Configs of probes: every recipe builds; what is wrong is named."""

from pathlib import Path

import pytest

from hage_transfer.config import load_config
from hage_transfer.errors import ConfigError
from hage_transfer.probes.config import ProbeConfig

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "probes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_probe_config_builds_from_every_recipe(path):
    assert load_config(ProbeConfig, path).sources
    assert path.read_text().startswith(f"# hage probe configs/probes/{path.name}")


def test_probe_config_refuses_a_source_name_that_is_no_folder():
    with pytest.raises(ConfigError, match=r"a/b.*match pattern"):
        load_config(ProbeConfig, None, ["sources={a/b: {}}"])


def test_probe_config_names_the_nearest_key():
    with pytest.raises(ConfigError, match=r"unknown key train\.epoch \(nearest valid key: train\.epochs\)"):
        load_config(ProbeConfig, None, ["train.epoch=3"])
