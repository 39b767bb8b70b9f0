"""What a study could show, before anybody scans a slide: a binormal simulation through the test that judges runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from hage_transfer.compare.differences import paired_difference
from hage_transfer.compare.null import POWER
from hage_transfer.compare.split_sizes import SplitSizes
from hage_transfer.compare.splits import repeated_folds
from hage_transfer.errors import ConfigError

_STEPS = 12


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a planned study can show.

    Attributes:
        slides: of both classes together.
        patients: that they are of; one is on one side of a fold.
        auc: of the baseline.
        folds: of the cross-validation.
        repeats: of the folds.
        detectable: smallest gain in AUC that ends in the verdict "gain" with probability 0.8; None where even an AUC
            of 1 does not.
        false_alarms: share of simulated studies without a difference that end in a verdict.
        by_difference: difference in AUC to the probability of the verdict "gain".
    """

    slides: int
    patients: int
    auc: float
    folds: int
    repeats: int
    detectable: float | None
    false_alarms: float
    by_difference: Mapping[float, float]

    def sentence(self) -> str:
        """In words."""
        study = (
            f"{self.slides} slides of {self.patients} patients in {self.folds} folds"
            f"{f', repeated {self.repeats} times' if self.repeats > 1 else ''}, AUC {self.auc:g}"
        )
        if self.detectable is None:
            return f"{study}: no gain is shown with power {POWER:g}, not even up to an AUC of 1; plan more patients."
        return f"{study}: a gain of {self.detectable:.3f} in AUC or more is shown with power {POWER:g}."

    def __repr__(self) -> str:
        return self.sentence()


def power(
    *,
    slides: int,
    patients: int | None = None,
    auc: float = 0.85,
    folds: int = 5,
    repeats: int = 1,
    prevalence: float = 0.5,
    agreement: float = 0.5,
    within_patient: float = 0.5,
    simulations: int = 400,
    seed: int = 0,
) -> Power:
    """The smallest gain in AUC that a study would show with power 0.8.

    Scores are normal in each class (binormal). Patients are split into folds as a run splits them, each simulated
    study is judged by the run's own test. Training noise beyond that of the scores is not in it, so a real study shows
    a little less: ``hage probe|mil --null`` measures that on its own slides.

    Args:
        slides: of both classes together.
        patients: that they are of, slides dealt out evenly; None: each its own.
        auc: of the baseline, 0.5 to 1.
        folds: of the cross-validation.
        repeats: of the folds.
        prevalence: share of patients of the positive class.
        agreement: correlation of the two sources' scores within a class; alike sources show smaller differences.
        within_patient: correlation of the scores of two slides of one patient within a class.
        simulations: studies that are simulated.
        seed: of the simulation.

    Raises:
        ConfigError: a number out of its range.
        SplitError: folds that so few patients cannot fill.

    >>> print(power(slides=60, auc=0.85, simulations=20).detectable)  # too few for any gain
    None
    >>> 0.05 < power(slides=400, auc=0.85, simulations=20).detectable < 0.15
    True
    """
    patients = slides if patients is None else patients
    _check(slides, patients, auc, folds, repeats, prevalence, agreement, within_patient, simulations)
    rng = np.random.default_rng(seed)
    studies = [
        _Study.draw(rng, slides, patients, folds, repeats, prevalence, agreement, within_patient)
        for _ in range(simulations)
    ]

    def gains(difference: float) -> float:
        return mean(study.verdict(auc, auc + difference) == "gain" for study in studies)

    alarms = mean(study.verdict(auc, auc) in ("gain", "loss") for study in studies)
    low, high, seen = 0.0, 0.999 - auc, dict[float, float]()
    seen[high] = gains(high)
    reachable = seen[high] >= POWER
    for _ in range(_STEPS if reachable else 0):
        middle = (low + high) / 2
        seen[middle] = gains(middle)
        low, high = (low, middle) if seen[middle] >= POWER else (middle, high)
    return Power(
        slides=slides,
        patients=patients,
        auc=auc,
        folds=folds,
        repeats=repeats,
        detectable=high if reachable else None,
        false_alarms=alarms,
        by_difference=dict(sorted(seen.items())),
    )


@dataclass(frozen=True)
class _Study:
    """One simulated study: noise of both sources' scores, and the folds that it was split into."""

    labels: Int[np.ndarray, " slide"]
    noise: Float[np.ndarray, "2 slide"]
    folds: Mapping[str, Int[np.ndarray, " test"]]
    sizes: SplitSizes

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        slides: int,
        patients: int,
        folds: int,
        repeats: int,
        prevalence: float,
        agreement: float,
        within_patient: float,
    ) -> "_Study":
        patient = np.arange(slides) % patients
        labels = (np.arange(patients) < round(prevalence * patients)).astype(int)[patient]
        own, of_patient = (
            np.sqrt(agreement) * rng.normal(size=n) + np.sqrt(1 - agreement) * rng.normal(size=(2, n))
            for n in (slides, patients)
        )
        noise = np.sqrt(within_patient) * of_patient[:, patient] + np.sqrt(1 - within_patient) * own
        of_patients = repeated_folds(
            labels[:patients].astype(str), None, n_folds=folds, seed=int(rng.integers(2**31)), repeats=repeats
        )  # a patient's slides are of one class, so that folds of patients are folds by group
        split = [
            replace(f, train=np.flatnonzero(np.isin(patient, f.train)), test=np.flatnonzero(np.isin(patient, f.test)))
            for f in of_patients
        ]
        return cls(labels, noise, {fold.name: fold.test for fold in split}, SplitSizes.of(split))

    def verdict(self, auc: float, better: float) -> str:
        """Of a source of one AUC against a baseline of another."""
        ours, theirs = (self._aucs(one, noise) for one, noise in zip((better, auc), self.noise, strict=True))
        found = paired_difference(ours, theirs, metric="auc", source="a", baseline="b", sizes=self.sizes)
        return "not judged" if found is None else found.verdict

    def _aucs(self, auc: float, noise: Float[np.ndarray, " slide"]) -> dict[str, float]:
        scores = noise + np.sqrt(2) * norm.ppf(auc) * self.labels
        return {name: _auc(self.labels[rows], scores[rows]) for name, rows in self.folds.items()}


def _auc(labels: Int[np.ndarray, " row"], scores: Float[np.ndarray, " row"]) -> float:
    """Share of pairs in the right order; normal scores have no ties."""
    return float((scores[labels == 1][:, None] > scores[labels == 0]).mean())


def _check(
    slides: int,
    patients: int,
    auc: float,
    folds: int,
    repeats: int,
    prevalence: float,
    agreement: float,
    within_patient: float,
    simulations: int,
) -> None:
    ranges: Sequence[tuple[str, float, float, float]] = (
        ("slides", slides, 4, 100_000),
        ("patients", patients, 4, slides),
        ("auc", auc, 0.5, 0.99),
        ("folds", folds, 2, patients),
        ("repeats", repeats, 1, 1000),
        ("prevalence", prevalence, 0.01, 0.99),
        ("agreement", agreement, 0, 0.999),
        ("within_patient", within_patient, 0, 1),
        ("simulations", simulations, 10, 100_000),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ConfigError(f"{name} = {value:g}: wanted {low:g} to {high:g}")
