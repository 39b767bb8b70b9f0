"""Two different intervals of one difference never stand on one page."""

import re

import pytest

from hage_transfer.compare.classification import METRICS
from hage_transfer.report.page import write_report
from hage_transfer.report.runs import read_run

GAIN = re.compile(r"([+-]\d\.\d{3})(?:[^+-]|-(?!\d)){0,90}?([+-]\d\.\d{3}) to ([+-]\d\.\d{3})")
"""A difference, words or cells of a table, and the ends of its interval."""


@pytest.mark.parametrize("names", [("probe",), ("mil",), ("pretrain", "probe", "mil")], ids=" ".join)
def test_a_difference_has_one_interval_wherever_the_page_says_it(runs, tmp_path, names):
    write_report([runs[name] for name in names], tmp_path / "page")
    pages = [(tmp_path / "page" / page).read_text(encoding="utf-8") for page in ("report.md", "report.html")]
    said = [found.groups() for page in pages for found in GAIN.finditer(re.sub(r"<[^>]*>|&[a-z]+;", " ", page))]
    for name in set(names) - {"pretrain"}:
        run = read_run(runs[name]).named
        (wanted,) = run.differences("auc")
        every = [one for metric in METRICS for one in run.differences(metric)]
        first, alike = (
            f"{wanted.mean:+.3f}",
            {words(one) for one in every if f"{one.mean:+.3f}" == f"{wanted.mean:+.3f}"},
        )
        intervals = [(low, high) for mean, low, high in said if mean == first]
        assert intervals.count(words(wanted)) > 2
        assert set(intervals) <= alike  # of another metric, by chance


def words(difference) -> tuple[str, ...]:
    return tuple(f"{end:+.3f}" for end in difference.interval)
