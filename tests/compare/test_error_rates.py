"""What reports quote of error rates: one run of the benchmark, the page made of it, and what it has to show."""

import runpy
from pathlib import Path

from hage_transfer.compare.error_rates import measured_rates

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_docs_says_what_reports_quote():
    page = runpy.run_path(str(ROOT / "benchmarks" / "rates_page.py"))
    assert (ROOT / "docs" / "error-rates.md").read_text() == "\n".join(page["table_lines"](measured_rates())) + "\n"


def test_verdicts_and_intervals_keep_what_they_promise():
    rates = measured_rates()
    assert rates.replicates >= 300
    assert max(rates.worst_verdict, *rates.genes.values()) <= 0.07
    assert min(share for of_sets in rates.coverage.values() for share in of_sets.values()) >= 0.93
    assert {"10 draws of 0.1", "10 draws of 0.2", "20 draws of 0.2", "5 folds, 10 repeats"} < set(rates.verdicts)
    assert set(rates.genes) == {"0.0", "0.5", "1.0", "2.0"}
    for one in rates.null.values():  # right within a fifth, and power 0.8 at what is said between 0.7 and 0.9
        assert 0.8 <= one.said / one.true <= 1.2
        assert 0.7 <= one.power <= 0.9
