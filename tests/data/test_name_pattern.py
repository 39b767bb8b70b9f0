import time

import pytest

from hage_transfer.data.name_pattern import match_all
from hage_transfer.errors import ConfigError


def test_patterns_give_the_named_groups_of_whole_names():
    groups, values = match_all(
        r"(?P<core>\w+?)_(?P<label>a|b)(?P<rest>x)?\.png", ["t1_a.png", "t2_c.png", "t3_bx.png"], key="k"
    )
    assert groups == ("core", "label", "rest")
    assert values == [
        {"core": "t1", "label": "a", "rest": None},
        None,
        {"core": "t3", "label": "b", "rest": "x"},
    ]


@pytest.mark.parametrize("pattern", [r"(?P<label>(a|aa)+)+\.pnx", r"(?:(?:a|aa|aaa)+)+(?P<label>\w)\.pn[^g]"])
def test_a_pattern_that_backtracks_without_end_is_refused_in_seconds(pattern):
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"data\.pattern = .*takes more than 1 s over 1 names"):
        match_all(pattern, ["a" * 60 + ".png"], key="data.pattern")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    "pattern", [r"(a+)+(?P<label>b)", r"(?P<label>(\w|\w\w)*)-", r"(?P<label>(.*)*)=", r"(.*.*)*(?P<label>x)"]
)
def test_patterns_that_the_standard_library_never_ends_with_are_answered(pattern):
    assert match_all(pattern, ["a" * 60 + ".png"], key="data.pattern")[1] == [None]


@pytest.mark.parametrize("pattern", ["(", "(?P<label>", "(?P<1>a)", "[z-a]", "a{99999999999}", "(?i" * 3])
def test_what_is_no_expression_is_named(pattern):
    with pytest.raises(ConfigError, match=r"data\.pattern = .*not a regular expression"):
        match_all(pattern, ["a"], key="data.pattern")
