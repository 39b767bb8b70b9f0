"""The answer in one sentence: over all tasks, what the gene-informed encoder gains, with its uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from hage_transfer.compare.controls import Ascription, ascribe
from hage_transfer.compare.differences import METRIC_NAMES, Difference, t_quantile, verdict_of
from hage_transfer.compare.results import BASELINE
from hage_transfer.data.image_set import META as IMAGE_SET
from hage_transfer.report.runs import Run

OWN = "hage"
VOTE = "bagged_reduced_rank_ridge_averaged"
_GENE_PAIRS = (("hage_averaged", VOTE), (OWN, "ridge"), ("hage_averaged", "ridge"))
HEADLINES = {
    "gain": "Yes, here it helps",
    "loss": "No, here it is worse",
    "within noise": "No difference is shown",
    "not judged": "Too little to tell",
}
UNASCRIBED = "A gain, not shown to be owed to genes"


@dataclass(frozen=True)
class Answer:
    """What the page says first.

    Attributes:
        verdict: ``gain``, ``loss``, ``within noise`` or ``not judged``.
        sentence: one sentence, its number with a 95% interval where one can be had.
        parts: each task's own difference, which the sentence is made of or stands beside.
        genes: whether a gain is ascribed to genes; None where there is none to ascribe.
    """

    verdict: str
    sentence: str
    parts: tuple[Difference, ...]
    genes: bool | None = None

    @property
    def headline(self) -> str:
        """The verdict in words."""
        return UNASCRIBED if self.genes is False else HEADLINES[self.verdict]


@dataclass(frozen=True)
class Pooled:
    """Mean difference over data sets.

    Attributes:
        mean: each data set counts once.
        margin: half width of the 95% interval; None where no spread is known of a run.
        n_sets: data sets.
        n_better: data sets whose own mean is above 0.
    """

    mean: float
    margin: float | None
    n_sets: int
    n_better: int

    @property
    def verdict(self) -> str:
        """As a single difference's."""
        return verdict_of(self.mean, self.margin)


def answer_of(runs: Sequence[Run]) -> Answer:
    """The answer over all runs: classifiers where there are any, else how well genes are predicted."""
    by_run = [(run, _claimed(run)) for run in runs if run.task in ("probe", "mil")]
    parts = tuple(one for _, found in by_run for one in found)
    genes = tuple(one for run in runs if run.task == "pretrain" and (one := _gene_difference(run)) is not None)
    chosen = [(run, _gene_informed(found)) for run, found in by_run if found]
    chosen = [(run, one) for run, one in chosen if one.metric == chosen[0][1].metric]  # others stand beside it
    if chosen:
        return _downstream(chosen, parts, genes)
    if genes:
        return _genes_alone(genes, runs)
    return Answer("not judged", "No run here compares two feature sources, so the question stays open.", ())


def _claimed(run: Run) -> list[Difference]:
    """Every source less the baseline, but controls."""
    return [one for one in run.named.differences() if one.source not in run.controls]


def pool(chosen: Sequence[tuple[Run, Difference]]) -> Pooled:
    """Averages differences over data sets, each counted once, and says how uncertain that mean is.

    Differences of one data set (other folds, other classifiers) are not independent: their standard errors are averaged
    as if they were fully correlated, which errs on the wide side. Between data sets variances add, and the degrees of
    freedom are Satterthwaite's. The interval is about these data sets, not about data sets at large.
    """
    sets: dict[tuple[object, ...], list[Difference]] = {}
    for run, one in chosen:
        sets.setdefault(_data_of(run), []).append(one)
    means = [mean(one.mean for one in found) for found in sets.values()]
    errors, freedom = [], []
    for found in sets.values():
        known = [None if one.margin is None else one.standard_error for one in found]
        errors.append(math.nan if None in known else mean(e for e in known if e is not None))
        freedom.append(min(one.freedom for one in found))
    return Pooled(mean(means), _margin(errors, freedom), len(means), sum(m > 0 for m in means))


def _margin(errors: Sequence[float], freedom: Sequence[float]) -> float | None:
    total = sum(error**2 for error in errors)
    if math.isnan(total):
        return None
    if total == 0:
        return 0.0
    spread = sum(error**4 / k for error, k in zip(errors, freedom, strict=True))
    return t_quantile(total**2 / spread) * math.sqrt(total) / len(errors)


def _data_of(run: Run) -> tuple[object, ...]:
    """What tells data sets apart: their images, else the rows of every class; a run that says neither is its own."""
    if run.meta.get(IMAGE_SET):
        return (run.meta[IMAGE_SET],)
    counts = run.meta.get("class_counts")
    if not isinstance(counts, dict):
        return (run.name,)
    return tuple(sorted((str(name), number) for name, number in counts.items()))


def _gene_informed(found: Sequence[Difference]) -> Difference:
    return next((one for one in found if one.source == OWN), found[0])


def _downstream(
    chosen: Sequence[tuple[Run, Difference]], parts: tuple[Difference, ...], genes: tuple[Difference, ...]
) -> Answer:
    pooled = pool(chosen)
    first = chosen[0][1]
    one_set = f"{len(chosen)} tasks of one set" if len(chosen) > 1 else first.run
    tasks = f" ({len(chosen)} tasks)" if len(chosen) > pooled.n_sets else ""
    where = f"Over {pooled.n_sets} data sets{tasks}" if pooled.n_sets > 1 else f"On one data set ({one_set})"
    who = "gene-informed features differ" if first.source == OWN else f"{first.source} differs"
    metric = METRIC_NAMES.get(first.metric, first.metric)
    text = f"{where}, {who} from {_baseline(first)} by {pooled.mean:+z.3f} in {metric}"
    if pooled.margin is None:
        return Answer("not judged", f"{text}; {_silent([one for _, one in chosen])}.", parts + genes)
    better = f"; better on {pooled.n_better} of {pooled.n_sets}" if pooled.n_sets > 1 else ""
    closing = {
        "gain": "more than the folds' spread explains",
        "loss": "a loss larger than the folds' spread explains",
        "within noise": "which these folds cannot tell from no difference",
    }[pooled.verdict]
    text += f" (95% interval {_interval(pooled.mean, pooled.margin)}{better}), {closing}"
    if pooled.verdict != "gain":
        return Answer(pooled.verdict, f"{text}.", parts + genes)
    owed = _owed_to(chosen)
    return Answer(pooled.verdict, f"{text}; {owed.clause}.", parts + genes, owed.genes)


def _owed_to(chosen: Sequence[tuple[Run, Difference]]) -> Ascription:
    """What the pooled gain is owed to: each control that all runs have is pooled and judged as the gain itself is."""
    by_kind = [{kind: name for name, kind in run.controls.items()} for run, _ in chosen]
    shared = [kind for kind in by_kind[0] if all(kind in names for names in by_kind)]

    def judge(one: str, other: str) -> tuple[float, str] | None:
        pairs = []
        for (run, gain), names in zip(chosen, by_kind, strict=True):
            own = {OWN: gain.source, BASELINE: gain.baseline, **names}
            found = run.named.difference(own[one], own[other], gain.metric)
            pairs += [] if found is None else [(run, found)]
        pooled = pool(pairs) if len(pairs) == len(chosen) else None
        return None if pooled is None else (pooled.mean, pooled.verdict)

    return ascribe(OWN, BASELINE, {kind: kind for kind in shared}, judge)


def _gene_difference(run: Run) -> Difference | None:
    """HAGE less the ridge that is its match: a vote against a vote on the same spots, in older runs single ones."""
    found = (run.named.difference(source, baseline, "pcc_all") for source, baseline in _GENE_PAIRS)
    return next((one for one in found if one is not None), None)


def _fitted_on(run: Run, one: Difference) -> str:
    """What each side of the gene headline is, and how much of the training spots it was fitted on."""
    if one.baseline == VOTE:
        return "trials averaged on both sides, each fitted on the same spots"
    if one.source != OWN:
        return "trials averaged against one ridge"
    share = run.meta.get("training_share")
    fitted = "" if share is None else f", fitted on {share:.0%} of the spots that ridge is fitted on"
    return f"single trials against one ridge{fitted}"


def _genes_alone(genes: tuple[Difference, ...], runs: Sequence[Run]) -> Answer:
    judged = [one for one in genes if one.margin is not None]
    if not judged:
        span = _span([one.mean for one in genes])
        return Answer(
            "not judged",
            f"No run here classifies patches or slides, and of predicting genes no spread is known "
            f"({genes[0].no_spread}; HAGE minus {_ridge(genes[0])} on frozen features: {span} in PCC).",
            genes,
        )
    first = max(judged, key=lambda one: one.folds)
    low_high = _interval(first.mean, first.margin or 0.0)
    how = next(_fitted_on(run, first) for run in runs if run.name == first.run)
    closing = {"gain": "more than noise", "loss": "less, by more than noise", "within noise": "within noise"}
    return Answer(
        first.verdict,
        f"No run here classifies patches or slides; in predicting genes HAGE differs from {_ridge(first)} on the "
        f"frozen features by {first.mean:+z.3f} in PCC (95% interval {low_high}, {first.folds} {first.unit}s of "
        f"{first.run}; {how}), {closing[first.verdict]}.",
        genes,
    )


def _ridge(one: Difference) -> str:
    return "reduced-rank ridge" if one.baseline == VOTE else "ridge"


def _silent(found: Sequence[Difference]) -> str:
    """Which runs leave the spread unknown, and why."""
    silent = [f"{one.run} ({one.no_spread})" for one in found if one.margin is None]
    return f"no spread is known of {', '.join(silent)}"


def _baseline(one: Difference) -> str:
    return "the frozen encoder's" if one.baseline == "frozen" else one.baseline


def _interval(middle: float, margin: float) -> str:
    return f"{middle - margin:+z.3f} to {middle + margin:+z.3f}"


def _span(values: Sequence[float]) -> str:
    return f"{values[0]:+z.3f}" if len(values) == 1 else f"{min(values):+z.3f} to {max(values):+z.3f}"
