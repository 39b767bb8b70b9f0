"""How the sources of one run differ: what the page's cards, tables and answer are made of."""

from hage_transfer.compare.differences import Difference, paired_difference
from hage_transfer.report.runs import BASELINE, Run


def difference(run: Run, metric: str, source: str, baseline: str) -> Difference | None:
    """Compares two sources of a run fold by fold; None where no fold has both."""
    return paired_difference(
        run.fold_values(source, metric),
        run.fold_values(baseline, metric),
        metric=metric,
        source=source,
        baseline=baseline,
        task=run.task,
        run=run.name,
        trials=[run.fold_values(source, metric, trial=trial) for trial in run.trials(source)],
    )


def baseline_of(run: Run) -> str:
    """``frozen``, or the first source where none has that name."""
    return BASELINE if BASELINE in run.sources else run.sources[0]


def differences(run: Run, metric: str) -> list[Difference]:
    """Every source of a classification run against its baseline."""
    baseline = baseline_of(run)
    found = [difference(run, metric, source, baseline) for source in run.sources if source != baseline]
    return [one for one in found if one is not None]
