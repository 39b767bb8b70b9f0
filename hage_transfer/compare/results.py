"""Results of a run: flat records, their file, their summary over folds, and the tables they show themselves as.

The file form (``results.json``) is documented in docs/file-formats.md and versioned by ``SCHEMA_VERSION``.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from math import nan
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from hage_transfer.bounded import read_json
from hage_transfer.compare.differences import Difference, paired_difference
from hage_transfer.compare.records import MEAN, STD, Record, mean_and_std, read_record
from hage_transfer.compare.split_sizes import sizes_of
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
BASELINE = "frozen"
MAIN_METRICS = (
    "accuracy",
    "auc",
    "recall",
    "pcc_all",
    "pcc_heg50",
    "mse",
    "mae",
    "mse_calibrated",
    "mae_calibrated",
)


@dataclass(frozen=True, repr=False)
class Results:
    """Records, and what they mean as a whole (preset, split unit, hashes, warnings) in ``meta``.

    In a notebook it shows itself as a table.

    Attributes:
        records: every number.
        meta: of the whole run.
        name: of the run's folder, where it was read from one.

    >>> rows = [Record(task="probe", source=name, split="test", fold=str(k), trial=None, metric="auc",
    ...                value=v + k / 100)
    ...         for name, v in (("frozen", 0.80), ("hage", 0.83)) for k in range(3)]
    >>> results = Results(rows)
    >>> round(results.compare("hage", "frozen").mean, 3)
    0.03
    >>> results
    probe: mean ± std over 3 folds
                      auc
    frozen  0.810 ± 0.010
    hage    0.840 ± 0.010
    """

    records: Sequence[Record]
    meta: Mapping[str, Any] = field(default_factory=dict)
    name: str = field(default="", compare=False)

    def save(self, path: Path) -> None:
        """Writes ``results.json`` atomically."""
        records = [
            {k: v for k, v in asdict(record).items() if v is not None or k not in ("section", "role")}
            for record in self.records
        ]
        write_json(path, {"schema_version": SCHEMA_VERSION, "records": records, "meta": dict(self.meta)})

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Reads ``results.json``.

        Raises:
            DataError: missing, not JSON, of a later schema version, or a record that is none.
        """
        try:
            tree = read_json(path)
            version = tree["schema_version"]
            if type(version) is not int:
                raise ValueError(f"schema_version {version!r} is no whole number")
            if version > SCHEMA_VERSION:
                raise DataError(
                    f"{path}: schema_version {version} is newer than this program's {SCHEMA_VERSION}; upgrade"
                )
            return cls(
                [read_record(record) for record in tree["records"]], dict(tree["meta"]), path.resolve().parent.name
            )
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; is the run finished?") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"{path}: not a results file: {error}") from None

    def select(self, **wanted: Any) -> list[Record]:
        """The records whose fields equal ``wanted``, in order."""
        among = self.records
        if {"source", "metric"} <= wanted.keys():  # a page asks thousands of times
            among = self._by_source_and_metric.get((wanted["source"], wanted["metric"]), ())
        return [r for r in among if all(getattr(r, key) == value for key, value in wanted.items())]

    @cached_property
    def _by_source_and_metric(self) -> Mapping[tuple[str, str], Sequence[Record]]:
        groups: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            groups.setdefault((record.source, record.metric), []).append(record)
        return groups

    def value(self, **wanted: Any) -> float:
        """The one value that matches ``wanted``.

        Raises:
            LookupError: none or several match, or it is undefined.
        """
        found = self.select(**wanted)
        if len(found) != 1 or found[0].value is None:
            raise LookupError(f"{len(found)} records match {wanted}")
        return found[0].value

    @property
    def sources(self) -> list[str]:
        """Feature sources, or methods of a gene table, in order."""
        return list(dict.fromkeys(record.source for record in self.records))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in order."""
        return list(dict.fromkeys(record.metric for record in self.records))

    @property
    def trials_as_one(self) -> "Results | None":
        """The same with a source's trials as one classifier, their probabilities averaged; None where none has several.

        Raises:
            DataError: the meta's ``trials_as_one`` holds no records.
        """
        tree = self.meta.get("trials_as_one")
        if not tree:
            return None
        try:
            records = [read_record(record) for record in tree["records"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"trials_as_one of {self.name or 'these results'}: not records: {error}") from None
        return Results(records, {key: value for key, value in tree.items() if key != "records"}, self.name)

    def trials(self, source: str) -> list[int]:
        """Numbers of a source's trials; empty where it has one row only."""
        return sorted({r.trial for r in self.records if r.source == source and r.trial is not None})

    def fold_values(self, source: str, metric: str, *, trial: int | None = None) -> dict[str, float]:
        """A metric in each test fold where it is defined; ``trial`` None: the row over trials."""
        found = self.select(source=source, metric=metric, trial=trial, split="test", section=None)
        return {r.fold: r.value for r in found if r.fold not in (MEAN, STD) and r.value is not None}

    def folds(self, metric: str) -> "pd.DataFrame":
        """A metric by fold (rows) and source (columns); trials are averaged.

        Raises:
            LookupError: no record is of that metric.
        """
        import pandas as pd

        self._check(metric, self.metrics, "metric")
        columns = {source: self.fold_values(source, metric) for source in self.sources}
        names = dict.fromkeys(fold for values in columns.values() for fold in values)
        table = pd.DataFrame({s: pd.Series(v, dtype=float) for s, v in columns.items() if v}, index=list(names))
        return table.rename_axis(index="fold", columns=metric)

    def frame(self) -> "pd.DataFrame":
        """Every record, a row each: task, source, split, fold, trial, metric, value, section.

        Rows of fold ``mean`` and ``std`` are over folds; those without a trial are over trials.
        """
        import pandas as pd

        columns = [one.name for one in fields(Record)]
        table = pd.DataFrame([asdict(record) for record in self.records], columns=columns)
        return table.astype({"trial": "Int64", "value": "float64"})

    def table(self, metrics: Sequence[str] | None = None) -> "pd.DataFrame":
        """Source (rows) by metric, its ``mean`` and ``std`` over folds; trials are averaged within each fold.

        Args:
            metrics: columns; None: the main ones (accuracy, AUC, recall; PCC, MSE, MAE), or all where there are none.

        Raises:
            LookupError: no record is of one of them.
        """
        import pandas as pd

        wanted = self._wanted(metrics)
        rows = {source: [list(self.fold_values(source, m).values()) for m in wanted] for source in self.sources}
        cells = {
            source: [number for own in values for number in (mean(own) if own else nan, stdev(own) if own[1:] else nan)]
            for source, values in rows.items()
            if any(values)
        }
        columns = pd.MultiIndex.from_product([wanted, [MEAN, STD]], names=["metric", None])
        return pd.DataFrame.from_dict(cells, orient="index", columns=columns).rename_axis(index="source")

    def text_table(self, metrics: Sequence[str] | None = None) -> "pd.DataFrame":
        """As ``table``, each cell as "mean ± std"."""
        import pandas as pd

        wanted = self._wanted(metrics)
        rows = {s: [mean_and_std(list(self.fold_values(s, m).values())) for m in wanted] for s in self.sources}
        kept = {source: cells for source, cells in rows.items() if any(cells)}
        return pd.DataFrame.from_dict(kept, orient="index", columns=wanted)

    def _wanted(self, metrics: Sequence[str] | None) -> list[str]:
        for metric in metrics or ():
            self._check(metric, self.metrics, "metric")
        main = self.meta.get("metrics") or MAIN_METRICS
        return list(metrics or [m for m in main if m in self.metrics] or self.metrics)

    @property
    def main_metric(self) -> str:
        """What verdicts speak of: AUC, or a target's own (C-index, Pearson correlation, ...)."""
        return str((self.meta.get("metrics") or ("auc",))[0])

    @property
    def baseline(self) -> str:
        """``frozen``, or the first source where none has that name."""
        return BASELINE if BASELINE in self.sources else self.sources[0]

    def differences(self, metric: str | None = None) -> list[Difference]:
        """Every other source less the baseline, where a fold has both; None: in the ``main_metric``."""
        metric = metric or self.main_metric
        others = [source for source in self.sources if source != self.baseline]
        found = (self.difference(source, self.baseline, metric) for source in others)
        return [one for one in found if one is not None]

    def compare(self, source: str, baseline: str, metric: str | None = None) -> Difference:
        """A source less another, paired by fold; its ``sentence()`` says it with its uncertainty.

        Args:
            source: the one that is judged.
            baseline: the one it is judged against.
            metric: which number; None: the ``main_metric``.

        Raises:
            LookupError: no such source or metric, or no fold has both.
        """
        for name in (source, baseline):
            self._check(name, self.sources, "source")
        metric = metric or self.main_metric
        self._check(metric, self.metrics, "metric")
        found = self.difference(source, baseline, metric)
        if found is None:
            raise LookupError(f"no fold has {metric} of both {source} and {baseline}")
        return found

    def difference(self, source: str, baseline: str, metric: str) -> Difference | None:
        """As ``compare``; None where no fold has both.

        The units of a gene table are patients where the results know them: a patient's value is the mean of its
        sections, whatever was left out, since sections of one patient resemble one another.
        """
        patients = self._patients
        names = dict.fromkeys([*self.unit_values(source, metric), *self.unit_values(baseline, metric)])
        return paired_difference(
            self.unit_values(source, metric),
            self.unit_values(baseline, metric),
            metric=metric,
            source=source,
            baseline=baseline,
            task=self.task,
            run=self.name,
            trials=[self.unit_values(source, metric, trial=trial) for trial in self.trials(source)],
            sizes=sizes_of(self.meta, names),
            unit="patient" if patients else "fold",
        )

    def unit_values(self, source: str, metric: str, *, trial: int | None = None) -> dict[str, float]:
        """A metric in each unit of a verdict: patients of a gene table that knows them, else folds."""
        patients, by_patient = self._patients, dict[str, list[float]]()
        if not patients:
            return self.fold_values(source, metric, trial=trial)
        for r in self.select(source=source, metric=metric, trial=trial, split="test"):
            if r.section is not None and r.value is not None:
                by_patient.setdefault(patients[r.section], []).append(r.value)
        return {patient: mean(values) for patient, values in by_patient.items()}

    @property
    def _patients(self) -> Mapping[str, str]:
        """Patient of each section, of results that record them."""
        return self.meta.get("patients") or {}

    @property
    def task(self) -> str:
        """``pretrain``, ``probe`` or ``mil``; empty without a record."""
        return self.records[0].task if self.records else ""

    @property
    def notes(self) -> list[str]:
        """What the run itself doubts."""
        return [str(warning) for warning in self.meta.get("warnings") or []]

    def __repr__(self) -> str:
        if not self.records:
            return "Results without a record"
        return "\n".join([self._caption(), self.text_table().to_string(), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        if not self.records:
            return "<p>Results without a record</p>"
        notes = "".join(f"<p>note: {html.escape(note)}</p>" for note in self.notes)
        return f"<p>{html.escape(self._caption())}</p>{self.text_table().to_html(escape=True)}{notes}"

    def _caption(self) -> str:
        folds = {r.fold for r in self.records if r.split == "test"} - {MEAN, STD}
        name = self.task + (f" ({self.name})" if self.name else "")
        return f"{name}: mean ± std over {len(folds)} fold{'s' * (len(folds) != 1)}"

    @staticmethod
    def _check(name: str, known: Sequence[str], what: str) -> None:
        if name not in known:
            raise LookupError(f"no {what} {name!r} here; there are {', '.join(known) or 'none'}")
