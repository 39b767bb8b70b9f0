"""How often the verdicts of this program are false, and what its intervals cover, on simulated sets of known truth.

    python benchmarks/calibration.py            # half an hour of one core; writes the table that reports quote
    python benchmarks/calibration.py --quick    # two minutes, prints alone

Every number is of the program's own functions: folds (`repeated_folds`, `train_validation`), `paired_difference`,
`Results.difference`, `source_intervals`, `null_of`; only data and classifier (ridge, numpy) are made here.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import numpy as np
from rates_page import table_lines
from simulated_sets import SimulatedSet, auc

from hage_transfer.compare.comparison import LabelledFolds, paired_tests, source_intervals
from hage_transfer.compare.differences import paired_difference
from hage_transfer.compare.error_rates import RATES_FILE, ErrorRates
from hage_transfer.compare.null import POWER, null_of
from hage_transfer.compare.out_of_fold import OutOfFold, classification_records
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import META, SplitSizes
from hage_transfer.compare.splits import repeated_folds, train_validation

DOCS = Path(__file__).parents[1] / "docs" / "error-rates.md"
SETS = {
    "60 rows, 20 features, AUC 0.8": SimulatedSet(60, 20, gap=2.0),
    "60 rows, 20 features, at chance": SimulatedSet(60, 20, gap=0.0),
    "60 rows, 200 features, AUC 0.75": SimulatedSet(60, 200, gap=4.0),
    "200 rows, 50 features, AUC 0.75": SimulatedSet(200, 50, gap=1.5),
    "200 rows, 50 features, scores alike": SimulatedSet(200, 50, gap=2.0, shared=0.5, shrinkage=0.1),
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


def false_verdicts(scheme: Splits, simulated: SimulatedSet, *, replicates: int, seed: int) -> float:
    """Share of sets with equal sources on which the verdict is a gain or a loss."""
    rng, wrong = np.random.default_rng(seed), 0
    for k in range(replicates):
        labels, sources = simulated.draw(rng)
        splits = scheme(labels, k)
        values = [simulated.aucs(one, labels, splits) for one in sources]
        found = paired_difference(*values, metric="auc", source="one", baseline="other", sizes=SplitSizes.of(splits))
        wrong += found is not None and found.verdict in ("gain", "loss")
    return wrong / replicates


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
                records.append(
                    Record(
                        task="pretrain",
                        source=source,
                        split="test",
                        fold=section,
                        trial=None,
                        metric="pcc_all",
                        value=value,
                        section=section,
                    )
                )
                records.append(
                    Record(
                        task="pretrain",
                        source=source,
                        split="test",
                        fold=section,
                        trial=None,
                        metric="pcc_all",
                        value=value,
                    )
                )
        found = Results(records, meta).difference("hage", "ridge", "pcc_all")
        wrong += found is not None and found.verdict in ("gain", "loss")
    return wrong / replicates


def own_intervals(simulated: SimulatedSet, *, replicates: int, seed: int) -> dict[str, float]:
    """What intervals of one source's AUC cover, and how often tests of the trained models err for a new training.

    The truth of a new training is the mean AUC over sets of the same size, each tested on rows of its own.
    """
    rng, splits_of = np.random.default_rng(seed), folds(5)
    truth = mean(_new_training(simulated, rng) for _ in range(4 * replicates))
    covered = delong = bootstrap = 0
    for k in range(replicates):
        labels, sources = simulated.draw(rng)
        splits = splits_of(labels, k)
        predictions = [OutOfFold(name, None, _shares(simulated, one, labels, splits)) for name, one in
                       zip(("hage", "frozen"), sources, strict=True)]  # fmt: skip
        tested = LabelledFolds(labels, {s.name: s.test for s in splits}, None, 1, SplitSizes.of(splits))
        own = next(row for row in source_intervals(predictions, tested) if row["metric"] == "auc")
        covered += own["low"] <= truth <= own["high"]
        records = classification_records(predictions, task="probe", labels=labels, test_rows=tested.folds, positive=1)
        test = next(
            row for row in paired_tests(predictions, records, tested, baseline="frozen") if row["metric"] == "auc"
        )
        delong += test["delong_p_value"] is not None and test["delong_p_value"] < 0.05
        bootstrap += not test["low"] <= 0 <= test["high"]
    return {"coverage": covered / replicates, "delong": delong / replicates, "bootstrap": bootstrap / replicates}


def detectable_ratio(*, replicates: int, seed: int, copies: int = 12) -> float:
    """Smallest difference that `--null` says of a set, over the true one with that power: the ratio should be 1.

    Copies are sources of one set with features of their own. The true one is found on sets whose first source has a
    longer gap, by the share of verdicts "gain".
    """
    simulated, scheme = SimulatedSet(200, 20, gap=1.5), folds(5, 3)
    rng, said = np.random.default_rng(seed), []
    for k in range(max(replicates // 8, 10)):
        labels, _ = simulated.draw(rng)
        splits = scheme(labels, k)
        values = [simulated.aucs(simulated.draw(rng)[1][1], labels, splits) for _ in range(copies)]
        said.append(null_of(values, SplitSizes.of(splits), metric="auc", rows=simulated.rows).detectable or np.nan)
    shown = []
    for better in np.linspace(0.2, 2.0, 7):
        gains, sets = [], SimulatedSet(200, 20, gap=1.5, better=float(better))
        differences = []
        for k in range(max(replicates // 4, 40)):
            labels, sources = sets.draw(rng)
            splits = scheme(labels, k)
            found = paired_difference(
                *(sets.aucs(one, labels, splits) for one in sources),
                metric="auc", source="one", baseline="other", sizes=SplitSizes.of(splits),
            )  # fmt: skip
            gains.append(found.verdict == "gain")
            differences.append(found.mean)
        shown.append((mean(gains), mean(differences)))
    power, difference = np.array(sorted(shown)).T
    return float(np.mean(said) / np.interp(POWER, power, difference))


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
    parser.add_argument("--replicates", type=int, help="simulated sets of each number")
    options = parser.parse_args()
    n = options.replicates or (60 if options.quick else 300)
    verdicts = {}
    for name, scheme in SCHEMES.items():
        verdicts[name] = {
            title: false_verdicts(scheme, simulated, replicates=n, seed=7) for title, simulated in SETS.items()
        }
        print(name, verdicts[name], flush=True)
    genes = {str(sd): false_gene_verdicts(sd, replicates=4 * n, seed=11) for sd in (0.0, 0.5, 1.0, 2.0)}
    print("genes", genes, flush=True)
    chosen = list(SETS.items())[:1] + list(SETS.items())[3:4]
    own = {title: own_intervals(simulated, replicates=n // 5, seed=13) for title, simulated in chosen}
    print("own", own, flush=True)
    ratio = detectable_ratio(replicates=n, seed=17)
    print("detectable", ratio, flush=True)
    rates = ErrorRates(n, verdicts, genes, own, n // 5, ratio)
    print("\n".join(table_lines(rates)))
    if not options.quick:
        RATES_FILE.write_text(json.dumps(rates.tree(), indent=1) + "\n", encoding="utf-8")
        DOCS.write_text("\n".join(table_lines(rates)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
