"""How the sources of one run differ: what the page's cards, tables and answer are made of."""

from hage_transfer.compare.differences import Difference
from hage_transfer.report.runs import BASELINE, Run


def difference(run: Run, metric: str, source: str, baseline: str) -> Difference | None:
    """Compares two sources of a run, paired; None where no fold (or patient) has both."""
    return run.results.difference(source, baseline, metric, run=run.name)


def baseline_of(run: Run) -> str:
    """``frozen``, or the first source where none has that name."""
    return BASELINE if BASELINE in run.sources else run.sources[0]


def differences(run: Run, metric: str) -> list[Difference]:
    """Every source of a classification run against its baseline."""
    baseline = baseline_of(run)
    found = [difference(run, metric, source, baseline) for source in run.sources if source != baseline]
    return [one for one in found if one is not None]
