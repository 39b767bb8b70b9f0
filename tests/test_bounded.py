"""YAML and JSON of a user's: every fault of the parser is one message, within a second and in little memory."""

import os
import time

import pytest

from hage_transfer.bounded import BoundsError, parse_yaml, read_json, read_text
from hage_transfer.config import FeatureSetSettings, load_config, read_yaml
from hage_transfer.errors import ConfigError

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(9)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} {{<<: [{','.join(['*' + chr(97 + k)] * 9)}]}}\n" for k in range(9)
)
BROKEN = {
    "a date that is none": "a: 2024-13-45",
    "a time that is none": "a: 2024-01-01T99:99:99",
    "5,000 digits": "a: " + "9" * 5000,
    "60 digits": "a: " + "9" * 60,
    "sexagesimal": "a: " + "1:" * 60_000 + "1",
    "a bool that is none": "a: !!bool x",
    "an int that is none": "a: !!int x",
    "a float that is none": "a: !!float x",
    "binary that is none": "a: !!binary x",
    "python": "a: !!python/object/apply:os.system [echo]",
    "an unknown tag": "a: !wild x",
    "deep flow": "a: " + "[" * 5000,
    "deep and closed": "a: " + "[" * 300 + "]" * 300,
    "deep blocks": "\n".join(" " * k + "a:" for k in range(200)),
    "an alias bomb": BOMB,
    "a bomb of merges": MERGES,
    "recursion": "a: &a [*a]",
    "recursion of mappings": "a: &a {b: *a}",
    "an alias of nothing": "a: *nothing",
    "an unhashable key": "? [a]\n: 1",
    "two documents": "a: 1\n---\nb: 2",
    "a tab": "a:\n\t- 1",
    "control characters": "a: \x07",
    "many values": "a: [" + "1," * 120_000 + "]",
    "300 kB": "# " + "x" * 300_000,
    "a null byte": "a: \x00",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_yaml_that_is_damaged_or_hostile_is_one_message_within_a_second(tmp_path, kind):
    path, start = tmp_path / "c.yaml", time.perf_counter()
    path.write_text(BROKEN[kind], encoding="utf-8")
    for read in (lambda: load_config(FeatureSetSettings, path), lambda: read_yaml(path)):
        with pytest.raises(ConfigError, match=r"c\.yaml: cannot be read as a config") as caught:
            read()
        assert len(str(caught.value)) < 1000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("kind", ["a date that is none", "5,000 digits", "recursion", "a bool that is none"])
def test_overrides_are_held_to_the_same(kind):
    value = BROKEN[kind].removeprefix("a: ")
    with pytest.raises(ConfigError, match=r"changes=root=.*: the value is not valid YAML") as caught:
        load_config(FeatureSetSettings, None, [f"root={value}"])
    assert len(str(caught.value)) < 1000


def test_yaml_that_people_write_stays_as_it_is():
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: 0.5\nd: 2024-01-02\ne: [yes, null, '1']\nf: |\n  " + "9" * 600
    tree = parse_yaml(text)
    assert tree["b"] == [{"x": 1}, {"x": 1}]
    assert tree["c"] == 0.5
    assert tree["f"] == "9" * 600
    assert parse_yaml("") is None


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_settings_hold_finite_numbers(value):
    from hage_transfer.config import SlideSetSettings

    with pytest.raises(ConfigError, match="finite number"):
        load_config(SlideSetSettings, None, ["labels=l.csv", f"mpp_um_per_px={value}"])


@pytest.mark.parametrize(
    "text", [b"{", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"nothing", b"", b'{"a": 1}x']
)
def test_json_that_is_damaged_is_one_message(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(BoundsError):
        read_json(tmp_path / "a.json")


def test_json_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("kind", ["pipe", "folder", "large", "no text", "long name", "null byte"])
def test_what_is_no_text_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "c.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(10**10)
    elif kind == "no text":
        path.write_bytes(b"\xff\xfe\x00")
    else:
        path = tmp_path / ("x" * 300 if kind == "long name" else "a\0b")
    for read, error in (
        (lambda: read_text(path, limit_bytes=1000), BoundsError),
        (lambda: read_yaml(path), ConfigError),
    ):
        with pytest.raises(error):
            read()
