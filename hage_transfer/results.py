"""Results of a run: flat records, their file, their summary over folds, and their table.

The file form (``results.json``) is documented in docs/file-formats.md and versioned by ``SCHEMA_VERSION``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hage_transfer.atomic import write_json
from hage_transfer.errors import DataError

SCHEMA_VERSION = 1
MEAN, STD = "mean", "std"


@dataclass(frozen=True)
class Record:
    """One number: which task, feature source or method, split, fold and trial it belongs to.

    Attributes:
        task: ``pretrain``, ``probe`` or ``mil``.
        source: named feature source, or the method of a gene table (``hage``, ``ridge``, ...).
        split: the part it was measured on, ``test`` or ``validation``.
        fold: fold name (the held-out unit, or a number as text); ``mean`` or ``std`` in a summary row.
        trial: 0, 1, ...; None where there are no trials or all are averaged.
        metric: ``pcc_all``, ``accuracy``, ...
        value: the number; None where it is not defined (JSON has no NaN).
        section: test section of a gene table's per-section row; None elsewhere.
    """

    task: str
    source: str
    split: str
    fold: str
    trial: int | None
    metric: str
    value: float | None
    section: str | None = None


@dataclass(frozen=True)
class Results:
    """Records and what they mean as a whole (preset, split unit, hashes, warnings) in ``meta``."""

    records: Sequence[Record]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes ``results.json`` atomically."""
        records = [
            {k: v for k, v in asdict(record).items() if k != "section" or v is not None} for record in self.records
        ]
        write_json(path, {"schema_version": SCHEMA_VERSION, "records": records, "meta": dict(self.meta)})

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Reads ``results.json``.

        Raises:
            DataError: missing, not JSON, or of a later schema version.
        """
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            version = tree["schema_version"]
            if version > SCHEMA_VERSION:
                raise DataError(
                    f"{path}: schema_version {version} is newer than this program's {SCHEMA_VERSION}; upgrade"
                )
            return cls([Record(**record) for record in tree["records"]], tree["meta"])
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; is the run finished?") from None
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a results file: {error}") from None

    def select(self, **wanted: Any) -> list[Record]:
        """The records whose fields equal ``wanted``, in order."""
        return [r for r in self.records if all(getattr(r, key) == value for key, value in wanted.items())]

    def value(self, **wanted: Any) -> float:
        """The one value that matches ``wanted``.

        Raises:
            LookupError: none or several match, or it is undefined.
        """
        found = self.select(**wanted)
        if len(found) != 1 or found[0].value is None:
            raise LookupError(f"{len(found)} records match {wanted}")
        return found[0].value


def finite(value: float) -> float | None:
    """The number, or None where it is NaN or infinite (an undefined metric)."""
    return float(value) if math.isfinite(value) else None


def summarise(records: Sequence[Record]) -> list[Record]:
    """Mean and std (ddof = 1) over folds of each (task, source, split, trial, metric).

    Undefined values are left out; a single fold has no std. Per-section rows are not summarised: the caller makes
    the fold's own row from them first, so that nothing is pooled unseen.
    """
    groups: dict[tuple[str, str, str, int | None, str], list[float]] = {}
    for record in records:
        if record.section is None and record.fold not in (MEAN, STD) and record.value is not None:
            key = (record.task, record.source, record.split, record.trial, record.metric)
            groups.setdefault(key, []).append(record.value)
    rows: list[Record] = []
    for (task, source, split, trial, metric), values in groups.items():
        mean = sum(values) / len(values)
        rows.append(Record(task, source, split, MEAN, trial, metric, mean))
        if len(values) > 1:
            std = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
            rows.append(Record(task, source, split, STD, trial, metric, std))
    return rows
