from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from hage_transfer.config import Settings, config_sha256, dump_config, load_config
from hage_transfer.errors import ConfigError


class Train(Settings):
    epochs: int = 5
    rate: float = Field(1e-3, gt=0)


class Left(Settings):
    layout: Literal["left"] = "left"
    root: Path = Path()


class Right(Settings):
    layout: Literal["right"] = "right"
    labels: Path = Path()


class Whole(Settings):
    train: Train = Train()
    data: Left | Right = Field(Left(), discriminator="layout")
    sources: dict[str, Train] = Field({})


def test_overrides_are_yaml_and_win_over_the_file(tmp_path):
    (tmp_path / "a.yaml").write_text("train: {epochs: 3}\n")
    config = load_config(Whole, tmp_path / "a.yaml", ["train.epochs=7", "train.rate=1e-4", "data.layout=right"])
    assert (config.train.epochs, config.train.rate, config.data) == (7, 1e-4, Right())


def test_every_fault_is_named_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("train: {epoch: 3, rate: -1}\nsurces: {}\n")
    with pytest.raises(ConfigError) as error:
        load_config(Whole, tmp_path / "a.yaml")
    message = str(error.value)
    assert str(tmp_path / "a.yaml") in message
    for part in (
        "train.epoch (nearest valid key: train.epochs)",
        "train.rate = -1",
        "surces (nearest valid key: sources)",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data={layout: left, rot: x}", r"unknown key data\.rot \(nearest valid key: data\.root\)"),
        ("sources.hage.epoch=1", r"sources\.hage\.epoch \(nearest valid key: sources\.hage\.epochs\)"),
        ("train", "wanted key=value"),
        ("train.epochs=[", "not valid YAML"),
    ],
)
def test_a_wrong_override_says_what_is_near(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(Whole, None, [override])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        load_config(Whole, tmp_path / "a.yaml")


def test_a_dumped_config_reads_back(tmp_path):
    config = load_config(Whole, None, ["train.epochs=7", "sources.hage.rate=2"])
    (tmp_path / "a.yaml").write_text(dump_config(config))
    assert load_config(Whole, tmp_path / "a.yaml") == config


def test_the_hash_follows_values_not_order():
    one = load_config(Whole, None, ["train.epochs=7", "train.rate=2"])
    other = load_config(Whole, None, ["train.rate=2", "train.epochs=7"])
    assert config_sha256(one) == config_sha256(other) != config_sha256(Whole())
