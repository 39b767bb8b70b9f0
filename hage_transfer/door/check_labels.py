"""`check_labels`: a look at labels and split files before anything is trained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hage_transfer.compare.split_files import SplitFile, SplitSurvey, read_split_files, survey_split
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.door.given import PathLike


@dataclass(frozen=True)
class LabelCheck:
    """What a label table and its split files hold.

    Attributes:
        labels: the table.
        splits: each file with what is to be said of it.
    """

    labels: LabelTable
    splits: tuple[tuple[SplitFile, SplitSurvey], ...] = ()

    @property
    def tests(self) -> Counter[str]:
        """How often each slide is tested."""
        return Counter(slide for file, _ in self.splits for slide in file.sides["test"])

    def groups(self) -> pd.DataFrame:
        """Groups (patients) and sites, if any: how many, slides of the largest, how many of several classes."""
        rows = {}
        for what, values in (("groups (patients)", self.labels.groups), ("sites", self.labels.sites)):
            if values is not None:
                sizes = Counter(values.tolist())
                mixed = sum(len(set(self.labels.labels[values == name].tolist())) > 1 for name in sizes)
                rows[what] = {"number": len(sizes), "largest": max(sizes.values()), "of several classes": mixed}
        return pd.DataFrame.from_dict(rows, orient="index")

    def table(self) -> pd.DataFrame:
        """A row a split: known slides of each side by class, unknown and shared ones, labelled ones on no side."""
        rows = [
            {
                "split": file.name,
                **{side: dict(counts) for side, counts in survey.counts.items()},
                "unknown slides": sum(map(len, survey.unknown.values())),
                "slides on two sides": _distinct(survey.shared_slides),
                "patients on two sides": _distinct(survey.shared_groups),
                "unused": len(survey.unused),
            }
            for file, survey in self.splits
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        return self.groups().to_html() + self.table().to_html(index=False)


def check_labels(labels: PathLike, *, splits: PathLike | None = None) -> LabelCheck:
    """Counts slides, classes, patients and sites; finds unknown slides, and patients on two sides of a split.

    Args:
        labels: label table of slides.
        splits: folder of ``splits_<i>.csv`` in CLAM's form.

    Raises:
        DataError: a table or file is wrong.
    """
    table = read_labels(Path(labels))
    files = [] if splits is None else read_split_files(Path(splits), labels=table)
    return LabelCheck(table, tuple((file, survey_split(file, table)) for file in files))


def _distinct(shared: Mapping[tuple[str, str], Sequence[str]]) -> int:
    return len({name for names in shared.values() for name in names})
