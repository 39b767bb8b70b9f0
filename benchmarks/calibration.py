"""How often the verdicts of this program are false, and what its intervals cover, on simulated sets of known truth.

    python benchmarks/calibration.py            # ten minutes of one core; writes the table that reports quote
    python benchmarks/calibration.py --quick    # two minutes, prints alone

Every number is of the program's own functions: folds (`repeated_folds`, `train_validation`), `paired_difference`,
`Results.difference`, `source_intervals`, `null_of`; only data and classifier (ridge, numpy) are made here.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace

import numpy as np
from rates_page import table_lines
from simulated_sets import SimulatedSet, auc

from hage_transfer.compare.comparison import LabelledFolds, paired_tests, source_intervals
from hage_transfer.compare.differences import Difference, paired_difference
from hage_transfer.compare.error_rates import RATES_FILE, ErrorRates, ShownDifference
from hage_transfer.compare.null import POWER, null_of
from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import META, SplitSizes
from hage_transfer.compare.splits import repeated_folds, train_validation

DOCS = Path(__file__).parents[1] / "docs" / "error-rates.md"
SETS = {
    "60 rows, 20 features, AUC 0.85": SimulatedSet(60, 20, gap=2.0),
    "60 rows, 20 features, at chance": SimulatedSet(60, 20, gap=0.0),
    "60 rows, 200 features, AUC 0.75": SimulatedSet(60, 200, gap=2.2),
    "60 rows, 200 features, AUC 0.97": SimulatedSet(60, 200, gap=4.0),
    "200 rows, 50 features, AUC 0.78": SimulatedSet(200, 50, gap=1.5),
    "200 rows, 50 features, scores alike": SimulatedSet(200, 50, gap=2.0, shared=0.5, shrinkage=0.1),
}
BETTER = 0.7
"""How much longer the first source's gap is where a difference is true."""
OWN = ("60 rows, 20 features, AUC 0.85", "200 rows, 50 features, AUC 0.78", "200 rows, 50 features, scores alike")
NULL_SETS = {
    "100 rows, 20 features, AUC 0.7, 5 folds": (SimulatedSet(100, 20, gap=1.2), "5 folds"),
    "200 rows, 20 features, AUC 0.8, 5 folds": (SimulatedSet(200, 20, gap=1.5), "5 folds"),
    "200 rows, 20 features, AUC 0.8, 5 folds, 3 repeats": (SimulatedSet(200, 20, gap=1.5), "5 folds, 3 repeats"),
}
Splits = Callable[[np.ndarray, int], list[SimpleNamespace]]


def folds(k: int, repeats: int = 1) -> Splits:
    """(Repeated) k-fold as a run makes it."""
    return lambda labels, seed: list(repeated_folds(labels.astype(str), None, n_folds=k, seed=seed, repeats=repeats))


def draws(number: int, share: float) -> Splits:
    """Monte-Carlo draws as a MIL run makes them."""

    def make(labels: np.ndarray, seed: int) -> list[SimpleNamespace]:
        found = []
        for k in range(number):
            own = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
            train, test = train_validation(labels.astype(str), None, share=share, seed=own)
            found.append(SimpleNamespace(name=str(k), train=train, test=test))
        return found

    return make


def published(labels: np.ndarray, seed: int) -> list[SimpleNamespace]:
    """Splits of sizes of their own that leave rows out, as published files may."""
    rng, n = np.random.default_rng(seed), len(labels)
    found = []
    for k, (train_share, test_share) in enumerate(((0.5, 0.1), (0.6, 0.2), (0.7, 0.3), (0.5, 0.3), (0.8, 0.1))):
        halves = [rng.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
        train = [rows[: round(train_share * n / 2)] for rows in halves]
        test = [rows[round(train_share * n / 2) :][: max(round(test_share * n / 2), 2)] for rows in halves]
        found.append(SimpleNamespace(name=str(k), train=np.concatenate(train), test=np.concatenate(test)))
    return found


SCHEMES: dict[str, Splits] = {
    "5 folds": folds(5),
    "10 folds": folds(10),
    "5 folds, 3 repeats": folds(5, 3),
    "5 folds, 10 repeats": folds(5, 10),
    "10 draws of 0.1": draws(10, 0.1),
    "10 draws of 0.2": draws(10, 0.2),
    "20 draws of 0.2": draws(20, 0.2),
    "5 published splits of unequal sizes": published,
}


@lru_cache(maxsize=2000)
def splits_of(scheme: str, rows: int, seed: int) -> list[SimpleNamespace]:
    """The same splits for every kind of set of so many rows, since labels alternate in all of them."""
    return SCHEMES[scheme](np.arange(rows) % 2, seed)


def judged(scheme: str, simulated: SimulatedSet, *, replicates: int, seed: int) -> list[Difference]:
    """The difference of the two sources in each simulated set, as a run judges it."""
    rng, found = np.random.default_rng(seed), []
    for k in range(replicates):
        labels, sources = simulated.draw(rng)
        splits = splits_of(scheme, simulated.rows, k)
        values = [simulated.aucs(one, labels, splits) for one in sources]
        one = paired_difference(*values, metric="auc", source="one", baseline="other", sizes=SplitSizes.of(splits))
        if one is not None:
            found.append(one)
    return found


def false_verdicts(scheme: str, simulated: SimulatedSet, *, replicates: int, seed: int) -> float:
    """Share of sets with equal sources on which the verdict is a gain or a loss."""
    found = judged(scheme, simulated, replicates=replicates, seed=seed)
    return sum(one.verdict in ("gain", "loss") for one in found) / replicates


def difference_coverage(scheme: str, simulated: SimulatedSet, *, replicates: int, seed: int) -> float:
    """Share of sets whose interval holds the true difference, of a source that is better.

    The truth is the mean difference over all sets: what training on as many rows of new sets gives. Sets whose folds
    all tie have no interval and are left out.
    """
    found = judged(scheme, replace(simulated, better=BETTER), replicates=replicates, seed=seed)
    truth = mean(one.mean for one in found)
    return mean(low <= truth <= high for low, high in (one.interval for one in found if one.interval is not None))


def false_gene_verdicts(
    patient_sd: float, *, replicates: int, seed: int, patients: int = 8, sections: int = 4
) -> float:
    """Likewise of a gene table that left out one section after another, patients with an effect of their own."""
    rng, wrong = np.random.default_rng(seed), 0
    names = {f"{p}-{s}": f"P{p}" for p in range(patients) for s in range(sections)}
    sizes = {f"P{p}": sections for p in range(patients)}, dict.fromkeys(names.values(), patients * sections - 1)
    meta = {
        "patients": names,
        "split_unit": "section",
        META: SplitSizes(sizes[1], sizes[0], len(names), evenly=True).meta(),
    }
    for _ in range(replicates):
        effect = rng.normal(0, 0.02 * patient_sd, patients)
        records = []
        for section, patient in names.items():
            base = float(rng.normal(0.2, 0.05))
            other = base + effect[int(patient[1:])] + float(rng.normal(0, 0.02))
            for source, value in (("hage", other), ("ridge", base)):
                records += [_record("pretrain", source, section, "pcc_all", value, of) for of in (section, None)]
        found = Results(records, meta).difference("hage", "ridge", "pcc_all")
        wrong += found is not None and found.verdict in ("gain", "loss")
    return wrong / replicates


def _record(task: str, source: str, fold: str, metric: str, value: float, section: str | None = None) -> Record:
    return Record(
        task=task, source=source, split="test", fold=fold, trial=None, metric=metric, value=value, section=section
    )


def own_intervals(simulated: SimulatedSet, *, replicates: int, seed: int) -> dict[str, float]:
    """What intervals of one source's AUC cover, and how often tests of the trained models err for a new training.

    The truth of a new training is the mean AUC over sets of the same size, each tested on rows of its own.
    """
    rng = np.random.default_rng(seed)
    truth = mean(_new_training(simulated, rng) for _ in range(4 * replicates))
    covered = delong = bootstrap = 0
    for k in range(replicates):
        labels, sources = simulated.draw(rng)
        splits = splits_of("5 folds", simulated.rows, k)
        predictions = [OutOfFold(name, None, _shares(simulated, one, labels, splits)) for name, one in
                       zip(("hage", "frozen"), sources, strict=True)]  # fmt: skip
        tested = LabelledFolds(labels, {s.name: s.test for s in splits}, None, 1, SplitSizes.of(splits))
        own = next(row for row in source_intervals(predictions[:1], tested) if row["metric"] == "auc")
        covered += own["low"] <= truth <= own["high"]
        (test,) = paired_tests(predictions, _auc_records(predictions, tested), tested, baseline="frozen")
        delong += test["delong_p_value"] is not None and test["delong_p_value"] < 0.05
        bootstrap += not test["low"] <= 0 <= test["high"]
    return {"coverage": covered / replicates, "delong": delong / replicates, "bootstrap": bootstrap / replicates}


def _auc_records(predictions: Sequence[OutOfFold], tested: LabelledFolds) -> list[Record]:
    return [
        _record("probe", one.source, fold, "auc", auc(tested.labels[rows], one.probabilities[rows, 1]))
        for one in predictions
        for fold, rows in tested.folds.items()
    ]


def shown_difference(
    simulated: SimulatedSet, scheme: str, *, replicates: int, seed: int, copies: int = 20
) -> ShownDifference:
    """The smallest difference that `--null` says of a set, and the one that is shown with that power.

    Copies are sources of one set with features of their own. The true one is found on new sets whose first source is
    better and better, by the share of verdicts "gain" at each mean difference.
    """
    rng, said = np.random.default_rng(seed), []
    labels, _ = simulated.draw(rng)
    for k in range(max(replicates // 8, 10)):
        splits = splits_of(scheme, simulated.rows, k)
        values = [simulated.aucs(simulated.draw(rng)[1][1], labels, splits) for _ in range(copies)]
        said.append(null_of(values, SplitSizes.of(splits), metric="auc", rows=simulated.rows).detectable or np.inf)
    shown = []
    for better in np.linspace(0.0, 2.5, 11):
        found = judged(scheme, replace(simulated, better=float(better)), replicates=replicates, seed=seed + 1)
        shown.append((mean(one.mean for one in found), mean(one.verdict == "gain" for one in found)))
    difference, power = np.array(sorted(shown)).T
    power = np.maximum.accumulate(power)
    middle = median(said)
    return ShownDifference(
        middle, float(np.interp(POWER, power, difference)), float(np.interp(middle, difference, power))
    )


def _new_training(simulated: SimulatedSet, rng: np.random.Generator) -> float:
    labels, (_, features) = simulated.draw(rng)
    tested_labels, (_, tested) = SimulatedSet(
        400, simulated.features, simulated.gap, shared=simulated.shared, shrinkage=simulated.shrinkage
    ).draw(rng)
    rows = np.arange(round(len(labels) * 0.8))
    return auc(tested_labels, simulated.score(features, labels, rows, tested))


def _shares(
    simulated: SimulatedSet, features: np.ndarray, labels: np.ndarray, splits: list[SimpleNamespace]
) -> np.ndarray:
    scores = np.zeros(len(labels))
    for split in splits:
        scores[split.test] = simulated.score(features, labels, split.train, features[split.test])
    share = 1 / (1 + np.exp(-4 * scores))
    return np.stack([1 - share, share], axis=1)


def main() -> None:
    """Measures, prints, and (whole alone) writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sets; nothing is written")
    options = parser.parse_args()
    n = 60 if options.quick else 400
    verdicts, coverage = {}, {}
    for name in SCHEMES:
        verdicts[name] = {title: false_verdicts(name, one, replicates=n, seed=7) for title, one in SETS.items()}
        coverage[name] = {title: difference_coverage(name, one, replicates=n, seed=9) for title, one in SETS.items()}
        print(name, verdicts[name], coverage[name], flush=True)
    genes = {str(sd): false_gene_verdicts(sd, replicates=4 * n, seed=11) for sd in (0.0, 0.5, 1.0, 2.0)}
    print("genes", genes, flush=True)
    own = {title: own_intervals(SETS[title], replicates=n, seed=13) for title in OWN}
    print("own", own, flush=True)
    null = {title: shown_difference(*of, replicates=n, seed=17) for title, of in NULL_SETS.items()}
    rates = ErrorRates(n, verdicts, coverage, genes, own, null)
    print("\n".join(table_lines(rates)))
    if not options.quick:
        RATES_FILE.write_text(json.dumps(rates.tree(), indent=1) + "\n", encoding="utf-8")
        DOCS.write_text("\n".join(table_lines(rates)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
